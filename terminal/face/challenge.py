"""The active challenge: turn your head, this way and that, when you are asked to.

Two or three turns (`turns` or one more), each to a side drawn at random, asked for at random moments; between two sides sometimes by way of
the middle, sometimes not; and one more when an answer was slow or something had to be done again. A turn counts when the nose has moved
between the eyes (yaw5) by at least .45 in the asked direction, had been seen on the way there, and was held until the next request, while
the face showed a head's relief (see `relief`). What each rule is for:

===============================  =====================================================================================================
rule                             against
===============================  =====================================================================================================
change of .45 in yaw5            a flat photograph: tilted by 45 degrees it changes by .12 (95 % below .25), by 55 degrees by .40
relief                           a photograph tilted or bent further than that: it becomes narrow before it seems to turn
random sides, count, moments     a recording: its order, its pauses and its holds are not those asked for
wrong way, or unasked: refused   a recording that turns to and fro and would meet every order in the end
seen on the way, without a jump  a second photograph or clip put in the place of the first
one track (`tracking`)           the same, and another person
===============================  =====================================================================================================

A pure object, fed with moments and poses; random numbers are handed in. It does not stop somebody whose picture answers in time (a
puppet, a live deepfake, a person in a mask), nor who feeds pictures into the camera's cable.
"""

from __future__ import annotations

from enum import StrEnum, unique
from itertools import pairwise
from statistics import median
from typing import Literal

from terminal.face.turns import SIDES, ChallengeLimits, RandomBelow, Turn, between, relief
from terminal.face.values import Stage

Failure = Literal["", "noResponse", "wrongWay", "movedUnasked", "jumped", "flat"]
MEDIAN_OF = 3
"""Frames: a detector's error in a single one is nobody's movement."""
RELIEFS = 7
"""Frames of one turn that are judged together: the last ones."""


@unique
class Phase(StrEnum):
    SETTLE = "settle"
    WAIT = "wait"
    TURN = "turn"
    HOLD = "hold"
    BACK = "back"
    AFTER = "after"
    PASSED = "passed"
    FAILED = "failed"


class Challenge:
    """`see` every frame's pose. `stage`, `done`, `of` are for the person; `phase` for the decision. Random numbers are drawn at once."""

    def __init__(self, turns: tuple[Turn, ...], random_below: RandomBelow, limits: ChallengeLimits | None = None) -> None:
        if not turns:
            raise ValueError("a challenge has at least one turn")
        self._limits = limits or ChallengeLimits()
        self.turns = turns
        firsts = range(self._limits.early_allowed + 1)
        self._waits = [between(random_below, self._limits.wait_s) for _ in firsts]
        self._nexts = [between(random_below, self._limits.next_s) for _ in (*turns, "one more")]
        self._holds = [between(random_below, self._limits.hold_s) for _ in (*turns, "one more")]
        self._direct = [*(random_below(2) == 0 and one != other for one, other in pairwise(turns)), False, False]
        self._one_more: Turn | None = SIDES[random_below(2)]
        self._doubtful = False
        self._others = [SIDES[random_below(2)] for _ in range(self._limits.late_allowed)]
        self.asked = False
        """Something was asked for: whoever leaves now has not passed."""
        self.phase = Phase.SETTLE
        self.failure: Failure = ""
        self.done = 0
        self._since = self._asked_at = 0.0
        self._recent: list[tuple[float, float]] = []
        self._base = self._width = 0.0
        self._early = self._jumps = self._left = self._flats = 0
        self._last_change = self._seen_at = 0.0
        self._lately: list[tuple[float, float]] = []
        self._alike = self._alike_then = 1.0
        self._interval_s = self._limits.frame_s[0]
        self._again = False
        self._wrong = self._turned = self._straight = self._crossed = 0
        self._way = self._crossing = self._begun = False
        self._reliefs: list[float] = []
        self._held_since = 0.0

    @property
    def of(self) -> int:
        return len(self.turns)

    @property
    def stage(self) -> Stage:
        if self.phase in (Phase.TURN, Phase.HOLD):
            return "lookStraight" if self._again else self.turns[self.done]
        if self.phase in (Phase.BACK, Phase.AFTER):
            return "lookStraight"
        return "compare" if self.phase is Phase.PASSED else "look"

    @property
    def _doubted(self) -> bool:
        """Slow, or with a mishap: such people there are, and such films. One turn more tells them apart."""
        late = len(self._others) < self._limits.late_allowed
        return self._doubtful or late or self._early + self._jumps + self._left + self._flats > 0

    @property
    def over(self) -> bool:
        return self.phase in (Phase.PASSED, Phase.FAILED)

    @property
    def before(self) -> bool:
        """Frames of now may be compared as "before the challenge"."""
        return self.phase in (Phase.SETTLE, Phase.WAIT) and self.done == 0

    @property
    def after(self) -> bool:
        return self.phase is Phase.AFTER

    def restart(self) -> None:
        """The person left before anything was asked for; what will be asked stays the same."""
        if not self.asked:
            self.phase, self._recent = Phase.SETTLE, []

    def see(self, at: float, yaw5: float, width: float, alike: float = 1.0) -> None:
        """`at`: monotonic seconds; `yaw5`, `width` (`narrowness`) of the followed face; `alike`: cosine with the frame before."""
        self._alike = min(alike, self._alike_then)  # the median below is a frame late: so is what belongs to it
        self._alike_then = alike if at - self._seen_at <= self._limits.frame_s[1] else 1.0  # far apart, a living head is unlike itself
        self._lately = [*self._lately, (yaw5, width)][-MEDIAN_OF:]
        yaw5, width = median(one for one, _ in self._lately), median(one for _, one in self._lately)
        self._interval_s += 0.25 * (min(at - self._seen_at, 1.0) - self._interval_s) if self._seen_at else 0.0
        self._seen_at = at
        handle = {
            Phase.SETTLE: self._settle,
            Phase.WAIT: self._wait,
            Phase.TURN: self._turn,
            Phase.HOLD: self._hold,
            Phase.BACK: self._back,
            Phase.AFTER: self._after,
        }.get(self.phase)
        if handle is not None:
            handle(at, yaw5, width)

    def pass_time(self, at: float) -> None:
        """A frame without a usable face: only the clock counts."""
        self._seen_at = at
        if self.phase in (Phase.TURN, Phase.HOLD, Phase.BACK, Phase.AFTER) and at - self._since > self._limits.step_s:
            self._fail("flat" if self._flat else "noResponse")

    # --- phases

    def _settle(self, at: float, yaw5: float, width: float) -> None:
        limits = self._limits
        self._recent = [*self._recent, (yaw5, width)][-limits.settle_frames :]
        yaws = [one for one, _ in self._recent]
        still = len(yaws) == limits.settle_frames and max(yaws) - min(yaws) <= limits.steady
        if still and max(map(abs, yaws)) <= limits.frontal:
            self._base, self._width = median(yaws), median(one for _, one in self._recent)
            self._enter(Phase.WAIT, at)

    def _wait(self, at: float, yaw5: float, width: float) -> None:
        if self._moves(yaw5):
            self._early += 1
            self._recent = []
            if self._early > self._limits.early_allowed:
                self._fail("movedUnasked")
            elif self.done == 0:
                self._enter(Phase.SETTLE, at)
            else:
                self._since = at
        elif at - self._since >= (self._nexts[self.done] if self.done else self._waits[self._early]):
            self._last_change = self._change(yaw5)
            self.asked = True
            self._enter(Phase.TURN, at)

    def _turn(self, at: float, yaw5: float, width: float) -> None:
        limits = self._limits
        change = self._change(yaw5)
        step, self._last_change = change - self._last_change, change
        self._crossed = self._crossed + 1 if change > -limits.straight else 0
        if self._crossing and self._crossed >= limits.turn_frames:  # back from the other side: that is a beginning
            self._crossing, self._begun = False, True
        self._wrong = self._wrong + 1 if change <= -limits.unasked and not self._crossing else 0
        if self._wrong >= limits.turn_frames:
            return self._fail("wrongWay")
        if step > limits.jump * self._slowness or (self._alike < limits.alike / self._slowness and change > limits.on_the_way):
            return self._jump(at)
        if change < limits.turn:
            self._begun = self._begun or change >= limits.begun
            if not (self._begun or self._crossing) and at - self._asked_at > limits.begin_s:
                return self._late(at)
            self._turned = 0
            if self._again and change <= limits.on_the_way:  # back: the same is asked for anew
                self._again, self._asked_at = False, at
            self._way = self._way or change >= limits.on_the_way
            return self.pass_time(at)
        if at - self._since < limits.earliest_s:
            return self._fail("movedUnasked")
        if not self._way:
            return self._jump(at)
        self._turned += 1
        self._reliefs.append(relief(change, width / self._width))
        if self._turned >= limits.turn_frames and not self._flat and not self._again:
            across = self.done > 0 and self._direct[self.done - 1]
            self._doubtful |= at - self._asked_at > (limits.quick_across_s if across else limits.quick_s)
            self._enter(Phase.HOLD, at, keep_clock=True)
            self._held_since = at
        return self.pass_time(at)

    def _late(self, at: float) -> None:
        """Not begun in time: the arrow goes, and comes again for a side drawn anew. One more chance, for a film as well."""
        if not self._others:
            return self._fail("noResponse")
        self.turns = (*self.turns[: self.done], self._others.pop(), *self.turns[self.done + 1 :])
        self._enter(Phase.WAIT, at)
        self._since = at + self._limits.late_pause_s
        return None

    def _jump(self, at: float) -> None:
        """The way there was not seen. Once it may have been a fast head and a slow camera: back, and the same again."""
        if not self._again:
            self._jumps += 1
        self._again, self._turned = True, 0
        if self._jumps > self._limits.jumps_allowed:
            self._fail("jumped")
        else:
            self.pass_time(at)

    def _hold(self, at: float, yaw5: float, width: float) -> None:
        """Whoever turns back before being asked to has to turn again, and may do so once: a recording does not hold until it is asked."""
        change = self._change(yaw5)
        if change >= self._limits.turn:
            self._reliefs.append(relief(change, width / self._width))
        left, flat = change < self._limits.held, self._flat
        self._left += left
        self._flats += flat
        if self._left > self._limits.left_allowed:
            self._fail("movedUnasked")
        elif self._flats > self._limits.flat_allowed:
            self._fail("flat")
        elif left or flat:
            self._enter(Phase.TURN, at, keep_clock=True)
        elif at - self._held_since >= self._holds[self.done]:
            self._go_on(at, yaw5)
        else:
            self.pass_time(at)

    def _go_on(self, at: float, yaw5: float) -> None:
        """To the other side at once, sometimes; else, and to the same side, and to the end, by way of the middle."""
        if self._direct[self.done]:
            self.done += 1
            self._last_change = self._change(yaw5)
            self._enter(Phase.TURN, at)
            self._crossing = True
        else:
            self._enter(Phase.BACK, at)

    @property
    def _slowness(self) -> float:
        """A slower camera sees larger steps between frames less alike, down to ten a second. Frames without a face do not count."""
        usual, slowest = self._limits.frame_s
        return min(max(self._interval_s, usual), slowest) / usual

    @property
    def _flat(self) -> bool:
        return bool(self._reliefs) and not median(self._reliefs[-RELIEFS:]) >= self._limits.relief

    def _back(self, at: float, yaw5: float, width: float) -> None:
        limits = self._limits
        self._wrong = self._wrong + 1 if self._change(yaw5) <= -limits.unasked else 0
        if self._wrong >= limits.turn_frames:
            return self._fail("movedUnasked")
        self._straight = self._straight + 1 if abs(yaw5 - self._base) <= limits.straight else 0
        if self._straight < limits.turn_frames:
            return self._fail("noResponse") if at - self._since > limits.back_s else self.pass_time(at)
        self.done += 1
        if self.done == self.of and self._one_more is not None and self._doubted:
            self.turns, self._one_more = (*self.turns, self._one_more), None
        self._enter(Phase.AFTER if self.done == self.of else Phase.WAIT, at)
        return None

    def _after(self, at: float, yaw5: float, width: float) -> None:
        if self._moves(yaw5):
            self._fail("movedUnasked")
        else:
            self.pass_time(at)

    def conclude(self) -> None:
        """The frames after the last turn are there."""
        if self.phase is Phase.AFTER:
            self.phase = Phase.PASSED

    # ---

    def _moves(self, yaw5: float) -> bool:
        """Away from the middle, in two frames one after the other: in a single one it is the detector's error."""
        self._wrong = self._wrong + 1 if abs(yaw5 - self._base) > self._limits.unasked else 0
        return self._wrong >= self._limits.turn_frames

    def _change(self, yaw5: float) -> float:
        """Towards the side that is asked for. The person's left is the picture's right: yaw5 grows."""
        return (yaw5 - self._base) * (1 if self.turns[self.done] == "turnLeft" else -1)

    def _enter(self, phase: Phase, at: float, *, keep_clock: bool = False) -> None:
        self.phase = phase
        if not keep_clock:
            self._since = self._asked_at = at
        self._wrong = self._turned = self._straight = self._crossed = 0
        if not keep_clock:
            self._way = self._again = self._crossing = self._begun = False
            self._reliefs = []

    def _fail(self, failure: Failure) -> None:
        self.phase, self.failure = Phase.FAILED, failure
