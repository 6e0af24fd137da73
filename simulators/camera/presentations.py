"""Who stands before the camera: living people who do as they are told. Attacks: `attacks`.

A presentation is told what the kiosk asks (`cue`) and gives the frame of any moment (`frame`, BGR, 640 x 480). Everything random comes from
one seed: the same seed is the same presentation. Moments are seconds since it was put before the camera.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from simulators.camera.head import EYES_AT, EYES_PX, Head
from simulators.camera.lobby import HEIGHT, WIDTH, Lens, Lobby, put
from simulators.camera.motion import Motion, Obeys, Recorded

NEAR_EYES_PX = 78.0
WALK_S = 0.8
FACE_Y = 200


class Presentation(Protocol):
    def cue(self, stage: str, at: float) -> None:
        """What the kiosk's page shows from now on: look, turnLeft, turnRight, lookStraight, compare."""
        ...

    def frame(self, at: float) -> Any: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a living person stands: the middle of the eyes in pixels, their distance; `arrives`: walks up first."""

    x: float = WIDTH / 2
    eyes_px: float = NEAR_EYES_PX
    arrives: bool = True


class Living:
    """One person, moving as `motion` says, sharp in the middle of a turn or a little smeared by it."""

    def __init__(self, head: Head, motion: Motion, random: Random, standing: Standing | None = None) -> None:
        self._head, self._motion = head, motion
        self._standing = standing or Standing()
        self._phases = [random.uniform(0, 6) for _ in range(4)]
        self._shift = (random.uniform(-18, 18), random.uniform(-12, 12))
        self._smear = random.uniform(0.0, 1.0)

    def cue(self, stage: str, at: float) -> None:
        self._motion.cue(stage, at)

    def stand_before(self, picture: Any, at: float) -> Any:
        import cv2

        degrees = self._motion.degrees(at)
        head, opaque = self._head.turned(degrees)
        speed = abs(degrees - self._motion.degrees(at - 0.02)) / 0.02
        smear = int(speed * self._smear / 14) | 1
        if smear > 1:  # the exposure's share of a fast turn
            head = cv2.blur(head, (min(smear, 11), 1))
        move, size = self._placed(at)
        how = cv2.INTER_AREA if size < 0.9 else cv2.INTER_LINEAR
        head = cv2.warpAffine(head, move, (WIDTH, HEIGHT), flags=how, borderMode=cv2.BORDER_REPLICATE)
        return put(picture, head, cv2.warpAffine(opaque, move, (WIDTH, HEIGHT), flags=how))

    def _placed(self, at: float) -> tuple[Any, float]:
        import numpy

        standing, (a, b, c, d) = self._standing, self._phases
        walk = min(1.0, at / WALK_S) if standing.arrives else 1.0
        size = standing.eyes_px / EYES_PX * (0.6 + 0.4 * walk) * (1 + 0.01 * math.sin(0.9 * at + a))
        lean = math.radians(1.2 * math.sin(0.8 * at + d))
        cosine, sine = size * math.cos(lean), size * math.sin(lean)
        x = standing.x + self._shift[0] * walk + 4 * math.sin(1.1 * at + b)
        y = FACE_Y + self._shift[1] + 2.5 * math.sin(1.4 * at + c)
        return numpy.array(
            [
                [cosine, -sine, x - cosine * EYES_AT[0] + sine * EYES_AT[1]],
                [sine, cosine, y - sine * EYES_AT[0] - cosine * EYES_AT[1]],
            ],
            dtype=numpy.float32,
        ), size


class Room:
    """People before the wall, seen through a lens."""

    def __init__(self, people: list[Living], lobby: Lobby, lens: Lens | None = None) -> None:
        self._people, self._lobby = people, lobby
        self.lens = lens or Lens()

    def cue(self, stage: str, at: float) -> None:
        for person in self._people:
            person.cue(stage, at)

    def frame(self, at: float) -> Any:
        picture = self._lobby.wall.copy()
        for person in self._people:
            picture = person.stand_before(picture, at)
        return self._lobby.exposed(picture, self.lens)


# --- living people


def obeying(head: Head, seed: int, lens: Lens | None = None) -> Room:
    random = Random(seed)
    return Room([Living(head, Obeys(random), random, Standing(arrives=random.random() < 0.2))], Lobby(seed), lens)


def two_people(head: Head, other: Head, seed: int) -> Room:
    random = Random(seed)
    first = Living(head, Obeys(random), random, Standing(195, 50))
    return Room([first, Living(other, Obeys(random), random, Standing(445, 50))], Lobby(seed))


def nobody(seed: int, lens: Lens | None = None) -> Room:
    return Room([], Lobby(seed), lens)


def still(head: Head, seed: int) -> Room:
    """Looks and does not turn."""
    random = Random(seed)
    return Room([Living(head, Recorded([], random), random)], Lobby(seed))


class Taking:
    """Shows one presentation or another, by what is asked, a moment later; all of them hear everything."""

    def __init__(self, random: Random, parts: Mapping[str, Presentation], delay_s: float | None = None) -> None:
        self._parts = parts
        self._delay_s = random.uniform(0.2, 0.5) if delay_s is None else delay_s
        self._changes: list[tuple[float, str]] = [(float("-inf"), "")]

    def cue(self, stage: str, at: float) -> None:
        for part in self._parts.values():
            part.cue(stage, at)
        side = stage if stage in self._parts else ""
        if side != self._changes[-1][1]:
            self._changes.append((at + self._delay_s, side))

    def frame(self, at: float) -> Any:
        return self._parts[next(side for since, side in reversed(self._changes) if since <= at)].frame(at)
