"""An independent witness of deadlines: it hears what the agent asks and what it is told, and looks at none of its lists and timers.

Every command given to a worker is answered, or the worker declared lost, at most `LATE_S` after its deadline; so is every request to the
bank. No phase lasts longer than its time limit without anything having happened that belongs to it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from terminal.core.model import Phase, Timeouts
from terminal.core.session import TRANSITIONS

if TYPE_CHECKING:
    from money.life import Life

LATE_S = 1.0
"""Half a second of grace before a kill, and as much for the way."""
THANKS_S = 5.0
ROWS = frozenset((phase.value, event.__name__) for phase, event in TRANSITIONS) | {(phase.value, "StoreFailed") for phase in Phase}


@functools.cache
def limits(times: Timeouts) -> dict[str, float]:
    """Seconds by phase (docs/session.md). Between customers there is none."""
    typing = (Phase.CHOOSING_APPLICATION, Phase.ENTERING_PIN, Phase.CHOOSING_AMOUNT, Phase.ENTERING_AMOUNT)
    reading = (Phase.EXPLAINING_FACE, Phase.CHOOSING_FACE_SERVICE, Phase.CONFIRMING_REVOCATION, Phase.FACE_SERVICE_DONE)
    by_phase = {
        **dict.fromkeys(typing, max(times.input_s, times.pin_pad_s)),
        **dict.fromkeys((Phase.READING_CARD, Phase.PREPARING, Phase.CONFIRMING_CARD), times.card_s),
        **dict.fromkeys((Phase.RETURNING_CARD, Phase.EJECTING), times.take_card_s),
        **dict.fromkeys((Phase.RESOLVING, Phase.RECOVERING), times.resolve_s),
        Phase.STILL_THERE: times.still_there_s,
        Phase.FETCHING_TEMPLATE: max(times.face_s, times.authorise_s + 1),
        Phase.VERIFYING_FACE: times.face_s,
        **dict.fromkeys(reading, times.input_s),
        Phase.CONSENTING: times.consent_s,
        Phase.ENROLLING_FACE: times.enrol_s,
        Phase.OPENING_FACE_SERVICE: max(times.card_s, times.authorise_s + 2),
        **dict.fromkeys((Phase.STORING_FACE, Phase.REVOKING_FACE), times.authorise_s + 2),
        Phase.PRINTING_CONFIRMATION: times.print_s + 5,
        Phase.AUTHORISING: times.authorise_s + 2,
        Phase.DISPENSING: times.dispense_s + 5,
        Phase.PRESENTING: times.take_cash_s,
        Phase.PRINTING: times.print_s + 5,
        Phase.THANKING: THANKS_S,
        Phase.FAILED: times.message_s,
    }
    return {phase.value: seconds for phase, seconds in by_phase.items()}


class Deadlines:
    """Of one life of the agent, in its own time (`Life.time`)."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._open: dict[Any, tuple[str, float]] = {}
        self._early: set[Any] = set()
        self._limits = limits(life.world.config.timeouts)
        self._phase, self._since, self._before = "", life.time, life.time
        self._event_at = life.time

    # --- commands and requests

    def asked(self, number: Any, what: str, seconds: float) -> None:
        """A command's number or a request's identity; answers may have come before the asking returned."""
        if number in self._early:
            self._early.discard(number)
        else:
            self._open[number] = (what, self._life.time + seconds + LATE_S)

    def answered(self, number: Any) -> None:
        if number is None:
            return
        what, due = self._open.pop(number, ("", 0.0))
        if not what:
            self._early.add(number)
        elif self._life.time > due:
            self._life.world.broke("deadlines", f"{what}: answered {self._life.time - due:.1f} s too late")

    # --- phases

    def event(self, phase: str, name: str) -> None:
        """The agent takes an event, in this phase."""
        self._look(phase)
        self._event_at = self._life.time
        self._before = self._since
        if (phase, name) in ROWS:
            self._since = self._event_at

    def ignored(self) -> None:
        """The event was none of this phase's."""
        self._since = self._before

    def _look(self, phase: str) -> None:
        if phase != self._phase:
            self._phase, self._since = phase, self._event_at
        limit = self._limits.get(phase)
        lasted = self._life.time - self._since
        if limit is not None and lasted > limit + LATE_S:
            self._life.world.broke("deadlines", f"{phase} lasted {lasted:.1f} s, its limit is {limit:.1f} s")
            self._since = self._life.time

    def overdue(self, phase: str) -> Iterator[str]:
        """What should have ended by now; each is told once."""
        self._look(phase)
        now = self._life.time
        for number in [number for number, (_, due) in self._open.items() if now > due]:
            what, due = self._open.pop(number)
            yield f"{what}: no answer {now - due:.1f} s after the last moment"
