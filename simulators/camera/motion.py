"""How people move: a head that turns when it is told to, a while later and not at once; a recording that turns when it pleases.

Numbers only: degrees, seconds, no pictures. Positive degrees are towards the person's own left. `Random` is Python's seeded generator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

FURTHER, FURTHEST = 6.0, 42.0
TURNS = {"turnLeft": 1.0, "turnRight": -1.0}


class Motion(Protocol):
    """`cue`: what the kiosk shows from `at` on. `degrees`: where the head is then."""

    def cue(self, stage: str, at: float) -> None: ...

    def degrees(self, at: float) -> float: ...


@dataclass(frozen=True, slots=True)
class Swing:
    begins: float
    lasts: float
    start: float
    end: float

    def degrees(self, at: float) -> float:
        """Minimum jerk: slow, fast, slow, as limbs and heads move."""
        share = min(1.0, max(0.0, (at - self.begins) / self.lasts))
        return self.start + (self.end - self.start) * share**3 * (10 - 15 * share + 6 * share * share)


class Obeys:
    """A cooperating person: reacts after `reaction_s`, turns by `turn_degrees` at about `speed` degrees a second, is never quite still."""

    def __init__(self, random: Random) -> None:
        self.reaction_s = random.uniform(0.25, 0.45)
        self.turn_degrees = random.uniform(31, 38)
        self.speed = random.uniform(60, 100)
        self._phase = random.uniform(0, 6)
        self._sway = random.uniform(0.3, 1.5)
        self._swing = Swing(0, 1, 0, 0)
        self._next: list[tuple[float, float]] = []
        self._stage = ""
        self._patience_s = random.uniform(0.6, 0.9)

    def cue(self, stage: str, at: float) -> None:
        if stage == self._stage:
            return
        self._stage = stage
        self._next.append((at + self.reaction_s, self.turn_degrees * TURNS.get(stage, 0.0)))

    def degrees(self, at: float) -> float:
        while self._next and self._next[0][0] <= at:
            begins, goal = self._next.pop(0)
            start = self._swing.degrees(begins)
            self._swing = Swing(begins, max(0.15, abs(goal - start) / self.speed), start, goal)
        self._further(at)
        return self._swing.degrees(at) + self._sway * math.sin(2.1 * at + self._phase)

    def _further(self, at: float) -> None:
        """The arrow is still there: a little more, as people do, up to what a neck likes."""
        swing, side = self._swing, TURNS.get(self._stage, 0.0)
        waited = at - swing.begins - swing.lasts >= self._patience_s
        if waited and not self._next and swing.end * side > 0 and abs(swing.end) < FURTHEST:
            self._swing = Swing(at, 0.2, swing.end, swing.end + FURTHER * side)


class Recorded:
    """Turns by its own script, whatever is asked: (seconds after the beginning, degrees to go to)."""

    def __init__(self, script: Sequence[tuple[float, float]], random: Random, *, repeats_s: float | None = None) -> None:
        self._script = sorted(script)
        self._speed = random.uniform(70, 120)
        self._sway = random.uniform(0.5, 2.5)
        self._phase = random.uniform(0, 6)
        self._repeats_s = repeats_s

    def cue(self, stage: str, at: float) -> None:
        """Nobody listens."""

    def degrees(self, at: float) -> float:
        at_script = at if self._repeats_s is None else at % self._repeats_s
        goal = start = 0.0
        begins = 0.0
        for moment, degrees in self._script:
            if moment > at_script:
                break
            start, goal, begins = goal, degrees, moment
        swing = Swing(begins, max(0.15, abs(goal - start) / self._speed), start, goal)
        return swing.degrees(at_script) + self._sway * math.sin(1.7 * at + self._phase)


def earlier_session(random: Random) -> list[tuple[float, float]]:
    """The script of somebody who once did what a kiosk asked for: two or three turns in an order of that day."""
    script, at = [], random.uniform(0.8, 2.5)
    for _ in range(random.choice((2, 3))):
        script.append((at, random.choice((-1, 1)) * random.uniform(30, 40)))
        at += random.uniform(0.8, 1.4)
        script.append((at, 0.0))
        at += random.uniform(0.7, 1.4)
    return script
