"""People made of numbers for the face challenge: what a head's five points show while it does, or does not, what it is asked to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from terminal.face.challenge import Challenge

FRAME_S = 1 / 15
TURNED = 0.6
SIDES = {"turnLeft": 1.0, "turnRight": -1.0}
Goal = Callable[[str, float], float]
"""From what is asked and the moment to the yaw5 that the head goes to."""


@dataclass
class Person:
    """Goes to `goal` by at most `speed` a second, `reaction_s` after being asked. `depth`: relief of the head (a living one: about 1)."""

    goal: Goal
    reaction_s: float = 0.3
    speed: float = 2.5
    depth: float = 0.95
    noise: float = 0.0
    random: Random = field(default_factory=lambda: Random(1))
    yaw: float = 0.0
    asked: list[tuple[float, str]] = field(default_factory=list)

    def pose(self, at: float, stage: str) -> tuple[float, float]:
        """yaw5 and width to height at this moment."""
        if not self.asked or self.asked[-1][1] != stage:
            self.asked.append((at, stage))
        heard = next((what for since, what in reversed(self.asked) if since + self.reaction_s <= at), "look")
        goal = self.goal(heard, at)
        step = self.speed * FRAME_S
        self.yaw += max(-step, min(step, goal - self.yaw))
        tangent = abs(self.yaw) / self.depth
        jitter = self.random.uniform(-self.noise, self.noise)
        return self.yaw + jitter, 1.05 / (1 + tangent * tangent) ** 0.5


def obeys(stage: str, at: float) -> float:
    return TURNED * SIDES.get(stage, 0.0)


def run(challenge: Challenge, person: Person, seconds: float = 30.0, frame_s: float = FRAME_S) -> float:
    """Frame by frame until it is over; `after` frames conclude it as the verifier does. Returns the moment of the end."""
    at, after = 0.0, 0
    while not challenge.over and at < seconds:
        at += frame_s
        challenge.see(at, *person.pose(at, challenge.stage))
        after += challenge.after
        if after >= 3:
            challenge.conclude()
    return at
