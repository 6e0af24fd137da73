"""Who or what stands before the camera: living people who do as they are told, and attacks by species.

A presentation is told what the kiosk asks (`cue`) and gives the frame of any moment (`frame`, BGR, 640 x 480). Everything random comes from
one seed: the same seed is the same presentation. Moments are seconds since it was put before the camera.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Protocol

from simulators.camera.flat import Flat, Pose, Screen, printed
from simulators.camera.head import CANVAS, EYES_AT, EYES_PX, Head
from simulators.camera.lobby import HEIGHT, WIDTH, Lens, Lobby, put
from simulators.camera.motion import TURNS, Motion, Obeys, Recorded, Swing, earlier_session

NEAR_EYES_PX = 78.0
WALK_S = 0.8
STEP_S = 20.0
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


class Held:
    """A flat thing that somebody holds and moves: `showing(at)` is what is on it, `posed(at, tilt)` where it is."""

    def __init__(self, showing: Callable[[float], Flat], hand: Hand, lobby: Lobby, motion: Motion | None = None) -> None:
        self._showing, self._hand, self._lobby, self._motion = showing, hand, lobby, motion

    def cue(self, stage: str, at: float) -> None:
        self._hand.cue(stage, at)
        if self._motion is not None:
            self._motion.cue(stage, at)

    def frame(self, at: float) -> Any:
        picture = self._showing(at).put(self._lobby.wall.copy(), self._hand.pose(at))
        return self._lobby.exposed(picture, Lens())


class Hand:
    """Holds a thing, shakes a little; tilts it (by `tilt` degrees) or moves it aside (by `aside_mm`) to the side that is asked for."""

    def __init__(self, random: Random, base: Pose, *, tilt: float = 0.0, aside_mm: float = 0.0) -> None:
        self._base, self._tilt, self._aside = base, tilt, aside_mm
        self._reaction_s = random.uniform(0.3, 0.6)
        self._lasts_s = random.uniform(0.3, 0.7)
        self._phases = [random.uniform(0, 6) for _ in range(4)]
        self._swing = Swing(0, 1, 0, 0)

    def cue(self, stage: str, at: float) -> None:
        goal = TURNS.get(stage, 0.0)
        if goal != self._swing.end:
            begins = at + self._reaction_s
            self._swing = Swing(begins, self._lasts_s, self._swing.degrees(begins), goal)

    def pose(self, at: float) -> Pose:
        share, (a, b, c, d) = self._swing.degrees(at), self._phases
        return replace(
            self._base,
            x_mm=self._base.x_mm + share * self._aside + 5 * math.sin(1.3 * at + a),
            y_mm=self._base.y_mm + 4 * math.sin(1.7 * at + b),
            tilt=self._base.tilt - share * self._tilt + 2 * math.sin(0.9 * at + c),
            roll=self._base.roll + 2 * math.sin(1.1 * at + d),
        )


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


# --- attacks, by species


def print_moved(head: Head, seed: int) -> Held:
    """A life-size print that is moved aside when a turn is asked for, and shaken."""
    random = Random(seed)
    hand = Hand(random, _held(random), tilt=random.uniform(0, 15), aside_mm=random.uniform(-60, 60))
    return _print(head, hand, seed)


def print_tilted(head: Head, seed: int) -> Held:
    """Tilted by 20 to 60 degrees to the side that is asked for (or the other)."""
    random = Random(seed)
    side = random.choice((1, 1, 1, -1))
    return _print(head, Hand(random, _held(random), tilt=side * random.uniform(20, 60), aside_mm=random.uniform(-40, 40)), seed)


def print_bent(head: Head, seed: int) -> Held:
    """Bent around an upright axis (radius 90 to 260 mm), as if it had a face's depth, and tilted by 25 to 58 degrees."""
    random = Random(seed)
    return _bent(head, random, seed, random.uniform(90, 260))


def paper_mask(head: Head, seed: int) -> Held:
    """Rolled as tightly as a head is round (radius 55 to 90 mm), and turned by 25 to 58 degrees: a mask of paper."""
    random = Random(seed)
    return _bent(head, random, seed, random.uniform(55, 90))


def _bent(head: Head, random: Random, seed: int, bend_mm: float) -> Held:
    base = replace(_held(random), bend_mm=bend_mm)
    return _print(head, Hand(random, base, tilt=random.uniform(25, 58), aside_mm=random.uniform(-40, 40)), seed)


def prints_swapped(head: Head, seed: int) -> Held:
    """Three prints: from the front and turned to either side. The hand takes another one for each request."""
    random = Random(seed)
    prints = {stage: _printed(head, degrees) for stage, degrees in {"": 0.0, "turnLeft": 35.0, "turnRight": -35.0}.items()}
    hand = _Swapping(random, _held(random))
    return Held(lambda at: prints[hand.shown(at)], hand, Lobby(seed))


def replay_talking(head: Head, seed: int) -> Held:
    """A film of the person talking to somebody, who looks about now and then. The attacker tilts the screen as asked, sometimes."""
    random = Random(seed)
    script, at = [], random.uniform(0.3, 2.0)
    while at < STEP_S:
        script.append((at, random.choice((-1, 1)) * random.choice((random.uniform(3, 15), random.uniform(15, 35)))))
        at += random.uniform(0.5, 1.5)
        if random.random() < 0.7:
            script.append((at, random.uniform(-5, 5)))
            at += random.uniform(0.4, 3.0)
    return _replay(head, Recorded(script, random), random, seed, tilt=random.choice((0.0, random.uniform(15, 50))))


def replay_session(head: Head, seed: int) -> Held:
    """A film of an earlier verification: two or three turns in an order of that day. It runs once, or in a loop."""
    random = Random(seed)
    script = earlier_session(random)
    repeats = random.choice((None, script[-1][0] + 1.5))
    return _replay(head, Recorded(script, random, repeats_s=repeats), random, seed)


def replay_interactive(head: Head, seed: int) -> Held:
    """A picture that turns as asked, on a screen: a puppet, or a person in a video call."""
    random = Random(seed)
    return _replay(head, Obeys(random), random, seed)


def print_and_person(head: Head, other: Head, seed: int) -> Taking:
    """The customer's print for the straight frames, the attacker's own face for the turns."""
    sheet, attacker = print_moved(head, seed), obeying(other, seed)
    return Taking(Random(seed), {"": sheet, "turnLeft": attacker, "turnRight": attacker})


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


Maker = Callable[[Head, Head, int], Presentation]
"""From the customer's head, somebody else's, and a seed."""


def _of_one(make: Callable[[Head, int], Presentation]) -> Maker:
    return lambda head, other, seed: make(head, seed)


ATTACKS: Mapping[str, Maker] = {
    "printMoved": _of_one(print_moved),
    "printTilted": _of_one(print_tilted),
    "printBent": _of_one(print_bent),
    "printsSwapped": _of_one(prints_swapped),
    "printAndPerson": print_and_person,
    "replayTalking": _of_one(replay_talking),
}
BEYOND: Mapping[str, Maker] = {
    "paperMask": _of_one(paper_mask),
    "replaySession": _of_one(replay_session),
    "replayInteractive": _of_one(replay_interactive),
}
"""What a challenge stops in part (a mask; a film of an earlier session, when its order is another one) or not at all (what answers)."""


class _Swapping(Hand):
    """The thing in the hand changes `reaction_s` after the request."""

    def __init__(self, random: Random, base: Pose) -> None:
        super().__init__(random, base)
        self._changes: list[tuple[float, str]] = [(float("-inf"), "")]

    def cue(self, stage: str, at: float) -> None:
        side = stage if stage in TURNS else ""
        if side != self._changes[-1][1]:
            self._changes.append((at + self._reaction_s, side))

    def shown(self, at: float) -> str:
        return next(side for since, side in reversed(self._changes) if since <= at)


def _held(random: Random) -> Pose:
    return Pose(
        x_mm=random.uniform(-20, 20),
        y_mm=random.uniform(-15, 15),
        z_mm=random.uniform(480, 580),
        nod=random.uniform(-10, 10),
        roll=random.uniform(-5, 5),
    )


def _printed(head: Head, degrees: float = 0.0) -> Flat:
    picture, opaque = head.turned(degrees) if degrees else (head.picture, head.opaque)
    return printed(picture, opaque, EYES_PX, EYES_AT)


def _print(head: Head, hand: Hand, seed: int) -> Held:
    sheet = _printed(head)
    return Held(lambda at: sheet, hand, Lobby(seed))


def _replay(head: Head, motion: Motion, random: Random, seed: int, tilt: float = 0.0) -> Held:
    """The film was taken in another room. A telephone shows it smaller and is held nearer: the face ends up about as large."""
    actor = Living(head, motion, random, Standing(CANVAS[0] / 2, EYES_PX * 0.85, arrives=False))
    there = Lobby(seed + 1, other=random.random() < 0.5)
    life = random.uniform(0.45, 1.0)
    screen = Screen(random, EYES_PX * 0.85, (CANVAS[0] / 2, FACE_Y), life)
    base = replace(_held(random), z_mm=random.uniform(480, 560) * life)

    def showing(at: float) -> Flat:
        return screen.showing(there.exposed(actor.stand_before(there.wall.copy(), at), Lens()))

    return Held(showing, Hand(random, base, tilt=tilt), Lobby(seed), motion)
