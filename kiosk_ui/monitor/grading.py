"""How bad is it, from what is known of a terminal: its grade, its place in the list (worst first), and why, as codes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kiosk_ui.monitor.config import ThresholdSection
from kiosk_ui.monitor.effects import SEVERITIES
from kiosk_ui.monitor.picture import Picture

GRADES = ("fault", "offline", "attention", "ok")
BY_A_PERSON = frozenset({"outOfServiceByOperator"})
NO_FAULT = frozenset({"online", "deviceBusy", "starting", "noDevice"})
TAMPERED = frozenset({"fraudAttempt", "potentialFraud"})
VITAL = frozenset({"cardReader", "pinPad", "cashDispenser"})  # without one of these no money is paid
OUTBOX_HIGH = 1_000


@dataclass(frozen=True, slots=True)
class Unit:
    unit: str
    minor: int | None
    currency: str | None
    count: int | None
    initial: int | None
    accuracy: str | None
    status: str | None
    replenishment: str | None


@dataclass(slots=True)
class Summary:
    """A line of the list. What changes with time alone (forecasts) is set by `fleet`, `silent` and `unsure` by `listen`; `grade`, `why`,
    `rank` by `judge`.

    `unsure`: by its last word it is online, that was long ago, and the monitor itself has not been hearing for long enough to say more.
    """

    terminal: str
    branch: str
    region: str
    revision: int
    link: str
    link_at: int
    heard: int
    vouched: int
    service: str | None
    since: int | None
    reasons: tuple[str, ...]
    latched: bool
    devices: tuple[tuple[str, str], ...]
    units: tuple[Unit, ...]
    version: str
    waiting: int
    clock_offset_ms: int | None
    certificate_days: int | None
    configuration: str
    empty_at: dict[str, int] = field(default_factory=dict)
    forecast_at: int = 0
    forecast_counts: tuple[int | None, ...] = ()
    open_alarms: int = 0
    unacknowledged: int = 0
    worst: str = ""
    affected: int = 0
    blocked: bool = False
    silent: bool = False
    unsure: bool = False
    grade: str = "ok"
    why: tuple[str, ...] = ()
    rank: tuple[int, ...] = ()

    @property
    def offline(self) -> bool:
        return self.link != "online" or self.silent

    @property
    def cash_out_at(self) -> int | None:
        return min(self.empty_at.values(), default=None)


def summarise(terminal: str, branch: str, region: str, revision: int, picture: Picture) -> Summary:
    state = picture["state"]
    agent = {**_known(state.get("agent")), **_known(picture["telemetry"].get("agent"))}
    waiting = _known(agent.get("outbox"))
    return Summary(
        terminal,
        branch,
        region,
        revision,
        picture["link"],
        picture["linkAt"],
        picture["heard"],
        picture.get("vouched", 0),
        state.get("service"),
        state.get("since"),
        tuple(state.get("reasons", ())),
        bool(state.get("latched")),
        tuple(sorted((name, str(one["device"])) for name, one in picture["devices"].items())),
        tuple(_unit(name, one) for name, one in sorted(picture["units"].items())),
        str(agent.get("version") or "")[:40],
        sum(n for klass, n in waiting.items() if klass != "telemetry" and isinstance(n, int)),
        _whole(agent.get("clockOffsetMs")),
        _whole(agent.get("certificateDaysLeft")),
        str(picture["reported"].get("state") or ""),
    )


def _known(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _unit(name: str, one: dict[str, Any]) -> Unit:
    return Unit(
        name,
        one["minor"],
        one["currency"],
        one["count"],
        one["initial"],
        one["accuracy"],
        one["status"],
        one["replenishmentStatus"],
    )


def listen(one: Summary, now: int, after_s: float, hearing_since: int | None) -> None:
    """Is it silent? `hearing_since`: when the ingest began to hear; None while it does not. No silence is found until it has been
    hearing for `after_s` itself; one that was found before lasts until the terminal is heard.
    """
    quiet = one.link == "online" and after_s > 0 and now - max(one.heard, one.vouched) > after_s * 1000
    heard_enough = hearing_since is not None and now - hearing_since > after_s * 1000
    one.silent = quiet and (heard_enough or one.silent)
    one.unsure = quiet and not one.silent


def judge(one: Summary, now: int, threshold: ThresholdSection) -> None:
    faults, notices = _faults(one), _notices(one, now, threshold)
    if one.offline:
        one.grade, one.why = "offline", ("silent",) if one.silent else ("neverHeard",) if one.link == "unknown" else ("linkLost",)
        one.why += tuple(faults)
    elif faults:
        one.grade, one.why = "fault", (*faults, *notices)
    elif notices:
        one.grade, one.why = "attention", tuple(notices)
    else:
        one.grade, one.why = "ok", ()
    severity = SEVERITIES.index(one.worst) if one.worst in SEVERITIES else len(SEVERITIES)
    one.rank = (GRADES.index(one.grade), severity, -one.affected, one.cash_out_at or 2**62, -len(one.why))


def _faults(one: Summary) -> list[str]:
    found = []
    if one.latched:
        found.append("cashOutLatched")
    if one.service == "outOfService" and not (one.reasons and BY_A_PERSON.issuperset(one.reasons)):
        said_below = {name for name, status in one.devices if status not in NO_FAULT}
        found.extend(reason for reason in one.reasons if reason not in BY_A_PERSON | said_below and reason not in found)
        found.extend(["outOfService"] if not one.reasons else [])
    for name, status in one.devices:
        if status in TAMPERED:
            found.append(f"{name}.tampered")
        elif status not in NO_FAULT and name in VITAL:
            found.append(f"{name}.{status}")
    if one.worst == "critical":
        found.append("criticalAlarm")
    return found


def _notices(one: Summary, now: int, threshold: ThresholdSection) -> list[str]:
    found = []
    if one.service == "outOfService" and BY_A_PERSON.intersection(one.reasons):
        found.append("outOfServiceByOperator")
    found.extend(f"{name}.{status}" for name, status in one.devices if status not in NO_FAULT | TAMPERED and name not in VITAL)
    for unit in one.units:
        if unit.status not in (None, "ok"):
            found.append(f"cash.{unit.status}")
        elif unit.replenishment in ("empty", "low"):
            found.append(f"cash.{unit.replenishment}")
    if one.cash_out_at is not None and one.cash_out_at - now <= threshold.cash_out_h * 3_600_000:
        found.append("cashOutSoon")
    if one.worst in ("major", "minor"):
        found.append(f"{one.worst}Alarm")
    if one.waiting > OUTBOX_HIGH:
        found.append("outboxHigh")
    if one.clock_offset_ms is not None and abs(one.clock_offset_ms) > threshold.clock_offset_ms:
        found.append("clockWrong")
    if one.certificate_days is not None and one.certificate_days <= threshold.certificate_days:
        found.append("certificateExpiring")
    if one.configuration in ("rejected", "rolledBack"):
        found.append("configurationRejected")
    if one.blocked:
        found.append("messagesMissing")
    return list(dict.fromkeys(found))
