"""Every alarm of a terminal: how bad it is, how long a condition must stand before it is one, what hides it (docs/alarms.md).

After ISA-18.2: an alarm asks a person for something. What asks for nothing is an event. The delays are the defaults; the
configuration's (`[fleet]`) replace those named there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class Severity(StrEnum):
    """ISA-18.2 priorities, worst first."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class AlarmKind:
    """One row. `raise_at` and `clear_at` for a measured value: raised at the one, returned only beyond the other (the deadband);
    `raise_at` above `clear_at` means that high values are bad. `hidden_by`: codes of root causes, of the same device or of the terminal.
    """

    code: str
    severity: Severity
    on_delay_s: float = 0.0
    off_delay_s: float = 5.0
    raise_at: float | None = None
    clear_at: float | None = None
    hidden_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.raise_at is None) != (self.clear_at is None) or (self.raise_at is not None and self.raise_at == self.clear_at):
            raise ValueError(f"{self.code}: a measured alarm needs two different limits")

    def holds(self, value: float, standing: bool) -> bool:
        """Is `value` a condition of this alarm, given whether it stands already?"""
        assert self.raise_at is not None and self.clear_at is not None
        limit = self.clear_at if standing else self.raise_at
        if self.raise_at > self.clear_at:
            return value > limit if standing else value >= limit
        return value < limit if standing else value <= limit


C, M, N, W = Severity.CRITICAL, Severity.MAJOR, Severity.MINOR, Severity.WARNING
ROOTS = ("deviceOutOfService", "deviceTampered", "cashOutLatched", "dispenserBlocked", "noCash", "hostUnreachable")

ALARMS: Mapping[str, AlarmKind] = {
    kind.code: kind
    for kind in (
        AlarmKind("cashOutLatched", C, off_delay_s=0.0),
        AlarmKind("dispenserBlocked", C, off_delay_s=0.0),
        AlarmKind("deviceTampered", C),
        AlarmKind("deviceOutOfService", C, off_delay_s=30.0),
        AlarmKind("noCash", C, off_delay_s=0.0),
        AlarmKind("terminalOutOfService", C, on_delay_s=60.0, off_delay_s=30.0, hidden_by=(*ROOTS, "deviceOffline", "deviceFault")),
        AlarmKind("deviceOffline", M, on_delay_s=30.0, off_delay_s=30.0, hidden_by=("deviceTampered",)),
        AlarmKind("deviceFault", M, on_delay_s=10.0, off_delay_s=30.0, hidden_by=("cashOutLatched", "dispenserBlocked")),
        AlarmKind("hostUnreachable", M, on_delay_s=60.0, off_delay_s=30.0),
        AlarmKind("cashUnitEmpty", M, off_delay_s=0.0, hidden_by=("noCash",)),
        AlarmKind("cashUnitInoperative", M, off_delay_s=0.0),
        AlarmKind("outboxHigh", M, off_delay_s=30.0, raise_at=80.0, clear_at=70.0, hidden_by=("hostUnreachable",)),
        AlarmKind("diskLow", M, on_delay_s=30.0, off_delay_s=30.0, raise_at=512.0, clear_at=768.0),
        AlarmKind("configurationRolledBack", N, off_delay_s=0.0),
        AlarmKind("serviceSoon", N, off_delay_s=60.0, raise_at=7.0, clear_at=3.5),
        AlarmKind("certificateExpiring", N, off_delay_s=0.0, raise_at=30.0, clear_at=31.0),
        AlarmKind("clockWrong", N, on_delay_s=60.0, off_delay_s=60.0, raise_at=30.0, clear_at=10.0),
        AlarmKind("cashUnitLow", W, off_delay_s=0.0),
        AlarmKind("consumableLow", W, off_delay_s=5.0),
        AlarmKind("alarmFlood", M),
    )
}
MEASURED_IN = {
    "outboxHigh": "percent of the fullest class",
    "diskLow": "MiB free",
    "serviceSoon": "CUSUM score",
    "certificateExpiring": "days left",
    "clockWrong": "seconds off, either way",
}
DISPENSABLE = frozenset({"printer", "faceVerifier", "page"})
"""Devices without which money is still paid: their worst alarms are major, not critical."""


def severity_of(code: str, device: str | None) -> Severity:
    severity = ALARMS[code].severity
    if device in DISPENSABLE and code in ("deviceOutOfService", "deviceOffline", "deviceFault"):
        return Severity.MAJOR if code == "deviceOutOfService" else Severity.MINOR
    return severity
