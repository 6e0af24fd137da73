"""Stories of the pure core: `assert play(state) >> event << [commands, Phase.X]`.

`play` does what the agent does with a step: commands in order; a Record goes to a list that plays the journal; a Record that the "disk"
refuses stops the step, leaves the state as it was and is told as StoreFailed. Answers take the number of what they answer from the
state (`answer(e.PinBlockMade, ...)`), so that stories speak of no numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from terminal.agent import FACTS
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Phase, State
from terminal.core.session import CONCERNS, TRANSITIONS, step

Make = Callable[[State], e.Event]


@dataclass(frozen=True, slots=True)
class Told:
    """What a command must look like: its class and some of its fields."""

    kind: type[c.Command]
    fields: tuple[tuple[str, Any], ...]

    def fits(self, command: c.Command) -> bool:
        return type(command) is self.kind and all(getattr(command, name) == value for name, value in self.fields)

    def __repr__(self) -> str:
        return f"{self.kind.__name__}({', '.join(f'{n}={v!r}' for n, v in self.fields)})"


def told(kind_of: type[c.Command], /, **known: Any) -> Told:
    assert set(known) <= {field.name for field in fields(kind_of)}, f"{kind_of.__name__} has no such field"
    return Told(kind_of, tuple(known.items()))


def recorded(*kinds: str, advice: str | None = None) -> Callable[[c.Command], bool]:
    """A Record of entries of these kinds; `advice` is the transactionStatus of the completion advice that goes with it, None for none."""

    def fits(command: c.Command) -> bool:
        if not isinstance(command, c.Record) or tuple(entry.kind for entry in command.entries) != kinds:
            return False
        said = [out.data["transactionStatus"] for out in command.outgoing if out.type == "ATMWithdrawalCompletionAdvice"]
        return said == ([] if advice is None else [advice])

    fits.__name__ = f"recorded({', '.join(kinds)}; advice={advice})"
    return fits


Expected = type[c.Command] | Told | Callable[[c.Command], bool] | Phase


def waits(state: State) -> bool:
    """A resting phase waits for whoever comes; every other for a timer or for the answer to a command, which has a deadline."""
    if state.phase in (Phase.UNKNOWN, Phase.IDLE, Phase.OUT_OF_SERVICE):
        return True
    timed = bool(state.timer) and (state.phase, e.TimerExpired) in TRANSITIONS
    return timed or any(device.value in state.pending for device in CONCERNS.get(state.phase, ()))


class play:  # noqa: N801 - reads as a verb
    """A terminal in a story. `>> event` steps, `<< [...]` says what must have been done by the last event(s) since the last `<<`."""

    def __init__(self, state: State, journal: list[c.Entry] | None = None) -> None:
        self.state = state
        self.journal: list[c.Entry] = journal if journal is not None else []
        self.outgoing: list[c.Outgoing] = []
        self.sent: list[c.Command] = []
        self.since: list[c.Command] = []
        self.effects = 0
        self.disk_full_at: int | None = None
        """The number of the Record (from 1) that the disk refuses; it refuses every one after it, too."""
        self._records = 0

    def __rshift__(self, given: e.Event | Make | Sequence[e.Event | Make]) -> play:
        for one in given if isinstance(given, list | tuple) else [given]:
            self.take(one if isinstance(one, e.Event) else one(self.state))  # type: ignore[operator]
        return self

    def __lshift__(self, expected: Sequence[Expected]) -> play:
        commands = [command for command in self.since if not isinstance(command, c.StartTimer)]
        phases = [one for one in expected if isinstance(one, Phase)]
        wanted = [one for one in expected if not isinstance(one, Phase)]
        shown = f"\n  done: {[_show(command) for command in commands]}\n  due:  {[_show(one) for one in wanted]}"
        assert len(commands) == len(wanted), f"in {self.state.phase.value}:{shown}"
        for command, want in zip(commands, wanted, strict=True):
            assert _fits(command, want), f"in {self.state.phase.value}: {_show(command)} is not {_show(want)}{shown}"
        if phases:
            assert self.state.phase is phases[0], f"{self.state.phase} is not {phases[0]}"
        self.since = []
        return self

    def take(self, event: e.Event) -> None:
        state, commands = step(self.state, event)
        for command in commands:
            if not self.perform(command):
                if not self.state.store_failed:
                    self.take(e.StoreFailed())
                    if isinstance(event, FACTS):
                        self.take(event)
                return
        self.state = state
        assert waits(state), f"{state.phase.value} after {type(event).__name__}: nothing will ever come"

    def perform(self, command: c.Command) -> bool:
        """False when the disk refuses it."""
        if isinstance(command, c.Record):
            self._records += 1
            if self.disk_full_at is not None and self._records >= self.disk_full_at:
                return False
            self.journal += command.entries
            self.outgoing += command.outgoing
        self.since.append(command)
        self.sent.append(command)
        return True

    # --- what is known afterwards

    def advices(self, transaction_id: str | None = None) -> list[dict[str, Any]]:
        found = [dict(out.data) for out in self.outgoing if out.type == "ATMWithdrawalCompletionAdvice"]
        return [one for one in found if transaction_id in (None, one["transactionId"])]

    def dispenses(self) -> list[c.Dispense]:
        return [command for command in self.sent if isinstance(command, c.Dispense)]

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.journal]


def _fits(command: c.Command, want: Any) -> bool:
    if isinstance(want, Told):
        return want.fits(command)
    return isinstance(command, want) if isinstance(want, type) else bool(want(command))


def _show(one: Any) -> str:
    if isinstance(one, c.Record):
        return "Record:" + ",".join(entry.kind for entry in one.entries)
    return repr(one) if isinstance(one, Told) else getattr(one, "__name__", type(one).__name__)
