"""How a bank can fail, as a terminal sees it. In force until used up or cleared; none survives a restart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulators.bank.authorise import Planned
from simulators.bank.verify import RESPONSE_CODES, Verdict

ACTIONS = ("PINR", "PINL", "CPTR", "CHDA")


@dataclass(slots=True)
class Faults:
    """`down` discards what arrives; `silent` works, but withholds that many responses; `late` delays only the next response."""

    planned: Planned
    down: bool = False
    slow_s: float = 0.0
    late_s: float = 0.0
    silent: int = 0
    ack_silent: int = 0
    duplicate_responses: int = 0
    crash_before_ack: bool = False

    def set(self, kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """One fault by its name, with its arguments; ValueError names the known ones. Returns what is in force now."""
        verbs: dict[str, Callable[..., None]] = {
            "slow": self._slow,
            "late": self._late,
            "silent": self._silent,
            "ack_silent": self._ack_silent,
            "down": self._down,
            "up": self._up,
            "duplicate_responses": self._duplicates,
            "decline_next": self._decline_next,
            "script_next": self._script_next,
            "risk": self._risk,
            "crash_before_ack": self._crash,
            "clear": self.clear,
        }
        if kind not in verbs:
            raise ValueError(f"no fault {kind}; known are {', '.join(verbs)}")
        verbs[kind](**arguments)
        return self.state()

    def _slow(self, seconds: float) -> None:
        self.slow_s = _seconds(seconds)

    def _late(self, seconds: float) -> None:
        self.late_s = _seconds(seconds)

    def _silent(self, n: int = 1) -> None:
        self.silent = _count(n)

    def _ack_silent(self, n: int = 1) -> None:
        self.ack_silent = _count(n)

    def _duplicates(self, n: int = 1) -> None:
        self.duplicate_responses = _count(n)

    def _down(self) -> None:
        self.down = True

    def _up(self) -> None:
        self.down = False

    def _crash(self) -> None:
        self.crash_before_ack = True

    def _decline_next(self, reason: str, actions: list[str] | None = None) -> None:
        if reason not in RESPONSE_CODES or not reason:
            raise ValueError(f"no reason {reason}; known are {', '.join(name for name in RESPONSE_CODES if name)}")
        if any(action not in ACTIONS for action in actions or []):
            raise ValueError(f"actions are {', '.join(ACTIONS)}")
        self.planned.declines.append(Verdict(reason, tuple(actions or ())))

    def _script_next(self, tag: str, header: str) -> None:
        """`header` is CLA INS P1 P2 in hex: 841E0000 blocks the application, 84180000 unblocks it."""
        if tag not in ("71", "72") or len(bytes.fromhex(header)) != 4:
            raise ValueError("tag is 71 or 72, header four bytes in hex")
        self.planned.scripts.append((tag, header))

    def _risk(self, account: str, on: bool = True) -> None:
        """Withdrawals from this account are answered with CHDA until they come with a face that matched."""
        (self.planned.risky.add if on else self.planned.risky.discard)(account)

    def clear(self) -> None:
        self.planned.declines.clear()
        self.planned.risky.clear()
        self.planned.scripts.clear()
        self.down, self.crash_before_ack = False, False
        self.slow_s, self.late_s = 0.0, 0.0
        self.silent, self.ack_silent, self.duplicate_responses = 0, 0, 0

    def state(self) -> dict[str, Any]:
        return {
            "down": self.down,
            "slow_s": self.slow_s,
            "late_s": self.late_s,
            "silent": self.silent,
            "ack_silent": self.ack_silent,
            "duplicate_responses": self.duplicate_responses,
            "decline_next": [verdict.reason for verdict in self.planned.declines],
            "script_next": [f"{tag} {header}" for tag, header in self.planned.scripts],
            "risk": sorted(self.planned.risky),
            "crash_before_ack": self.crash_before_ack,
        }


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 3600:
        raise ValueError("seconds must be a number from 0 to 3600")
    return float(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1_000_000:
        raise ValueError("n must be an integer from 0 to 1000000")
    return value


@dataclass(frozen=True, slots=True)
class Sending:
    """How one answer goes out: after how long, how often (0: not at all)."""

    delay_s: float
    times: int


def sending(faults: Faults, leaf: str) -> Sending:
    """Decide for one answer and use up what is counted."""
    if leaf == "ack":
        if faults.ack_silent:
            faults.ack_silent -= 1
            return Sending(0.0, 0)
        return Sending(faults.slow_s, 1)
    if faults.silent:
        faults.silent -= 1
        return Sending(0.0, 0)
    delay, faults.late_s = faults.slow_s + faults.late_s, 0.0
    times = 1
    if faults.duplicate_responses:
        faults.duplicate_responses -= 1
        times = 2
    return Sending(delay, times)
