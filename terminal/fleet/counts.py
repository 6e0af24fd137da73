"""What the agent and its workers go through, counted and timed for the telemetry report. No I/O; times are arguments.

Counting reads events and the core's states before and after them; it changes nothing. Notes are counted from the accounted
counters, so that an answer that came twice, or by LAST STATUS, counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.cash import PATH_ERRORS
from terminal.core.model import Device, State

NAMES = (
    *("notesMoved", "notesRejected", "dispenses", "jams", "cardReads", "cardErrors", "apduErrors", "receipts", "printerErrors"),
    *("pinBlocks", "pinPadErrors", "faceChecks", "faceErrors", "transactions", "declines", "doubts", "workerRestarts", "linkDrops"),
)
MOST_TIMINGS = 512
TIMED: Mapping[type[Any], str] = {
    c.Dispense: "dispense",
    c.Authorise: "authorisation",
    c.VerifyFace: "faceVerify",
    c.ReadCard: "cardRead",
    c.GenerateFirstCryptogram: "cryptogram",
    c.MakePinBlock: "pinBlock",
    c.PrintReceipt: "receipt",
}
GOOD: Mapping[type[e.Event], str] = {
    e.ApplicationsRead: "cardReads",
    e.ReceiptPrinted: "receipts",
    e.PinBlockMade: "pinBlocks",
    e.FaceVerified: "faceChecks",
    e.NotesDispensed: "dispenses",
}
FAILED: Mapping[Device, str] = {
    Device.CARD_READER: "cardErrors",
    Device.PRINTER: "printerErrors",
    Device.PIN_PAD: "pinPadErrors",
    Device.FACE: "faceErrors",
}
CHIP_SILENT = frozenset({"cardGone", "linkError", "protocolError"})
CUSTOMERS_OWN = frozenset({"minimumLength", "noPin", "applicationBlocked", "cardBlocked", "noApplication"})
"""Failures of a command that are no device's fault."""


@dataclass(slots=True)
class Counts:
    """Since the last report (`take`), and what is being timed."""

    counts: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    timings: dict[str, list[float]] = field(default_factory=dict)
    _open: dict[int, tuple[str, float]] = field(default_factory=dict)

    def sent(self, command: c.Command, now: float) -> None:
        """A command has left."""
        name = TIMED.get(type(command))
        number = command.command_id if isinstance(command, c.DeviceCommand) else getattr(command, "request_id", None)
        if name is not None and number is not None:
            self._open = {**dict(list(self._open.items())[-16:]), number: (name, now)}

    def saw(self, event: e.Event, before: State, after: State, now: float) -> None:
        """An event was handled."""
        number = getattr(event, "command_id", getattr(event, "request_id", None))
        timed = None if number is None else self._open.pop(number, None)
        if timed is not None:
            kept = self.timings.setdefault(timed[0], [])
            if len(kept) < MOST_TIMINGS:
                kept.append((now - timed[1]) * 1000)
        self._events(event, before)
        if isinstance(event, e.Started):  # what the journal knows was counted in an earlier life
            return
        moved = _moved(after) - _moved(before)
        if moved > 0:  # less: a cassette was exchanged, or the journal was read
            self.counts["notesMoved"] += moved
            self.counts["notesRejected"] += max(0, _rejected(after) - _rejected(before))
        if after.latch is not None and before.latch is None and after.latch.reason == "outcomeUnknown":
            self.counts["doubts"] += 1
        if after.last_transaction > before.last_transaction:
            self.counts["transactions"] += 1

    def _events(self, event: e.Event, before: State) -> None:
        good = GOOD.get(type(event))
        if good is not None:
            self.counts[good] += 1
        if isinstance(event, e.NotesDispensed | e.LastStatusRead) and before.open_dispense is not None:
            self.counts["jams"] += event.result.error in PATH_ERRORS
        if isinstance(event, e.CommandFailed) and event.name not in CUSTOMERS_OWN and event.kind != "workerLost":
            name = FAILED.get(event.device)
            if name is not None:
                self.counts[name] += 1
            if event.device is Device.CARD_READER and event.name in CHIP_SILENT:
                self.counts["apduErrors"] += 1
        if isinstance(event, e.AuthorisationAnswered) and event.response != "APPR":
            self.counts["declines"] += 1
        if isinstance(event, e.DeviceLost) and event.reason == "workerLost":
            self.counts["workerRestarts"] += 1
        if isinstance(event, e.LinkDown) and before.link_up:
            self.counts["linkDrops"] += 1

    def take(self) -> tuple[dict[str, int], dict[str, Any], dict[str, int]]:
        """Counts, timings and refusals since the last call; they begin anew."""
        counts = {name: self.counts[name] for name in NAMES}
        timings = {name: _summary(kept) for name, kept in sorted(self.timings.items())}
        refused = dict(sorted(self.refused.items()))
        self.counts, self.refused, self.timings = Counter(), Counter(), {}
        return counts, timings, refused


def _summary(kept: list[float]) -> dict[str, float | int]:
    """`n` stops at MOST_TIMINGS; milliseconds."""
    return {"n": len(kept), "p50": round(median(kept), 1), "max": round(max(kept), 1)}


def _moved(state: State) -> int:
    return sum(unit.presented + unit.rejected for unit in state.units)


def _rejected(state: State) -> int:
    return sum(unit.rejected for unit in state.units)
