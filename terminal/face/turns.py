"""What a turn of the head is, in numbers: its sides, its limits, and what five points say of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from terminal.face.values import Detection

Turn = Literal["turnLeft", "turnRight"]
RandomBelow = Callable[[int], int]
"""`secrets.randbelow`, or a seeded one in a test."""
SIDES: tuple[Turn, Turn] = ("turnLeft", "turnRight")
STEPS = 1000


@dataclass(frozen=True, slots=True)
class ChallengeLimits:
    """Seconds, and differences of yaw5. `jump` and `alike`: how much one frame may differ from the one before.

    `relief`: the least median over the turned frames of a turn. From the request on, `begin_s`: a turn is begun by then, `back_s`: so
    long may the way back take, `step_s`: all of it. `hold_s`: a turn is held for so long; `left_allowed`: so
    often in all somebody may turn back before being asked to, and turn again. `late_allowed`: so often in all somebody may be too late,
    and is asked anew, after a pause, for a side that is drawn anew. `quick_s`: who takes longer from a request to the turn's end (from one
    side across to the other: `quick_across_s`), or needs any of these allowances, is asked for one turn more.
    """

    turn: float = 0.45
    held: float = 0.30
    straight: float = 0.20
    begun: float = 0.09
    on_the_way: float = 0.15
    jump: float = 0.46
    alike: float = 0.58
    unasked: float = 0.24
    frontal: float = 0.35
    relief: float = 0.55
    steady: float = 0.15
    settle_frames: int = 4
    turn_frames: int = 2
    after_frames: int = 3
    begin_s: float = 2.2
    back_s: float = 2.4
    quick_s: float = 1.5
    quick_across_s: float = 2.0
    step_s: float = 4.5
    earliest_s: float = 0.12
    wait_s: tuple[float, float] = (0.1, 0.4)
    next_s: tuple[float, float] = (0.0, 0.15)
    hold_s: tuple[float, float] = (0.05, 0.35)
    early_allowed: int = 1
    left_allowed: int = 1
    flat_allowed: int = 1
    late_allowed: int = 1
    late_pause_s: float = 0.3
    jumps_allowed: int = 2
    frame_s: tuple[float, float] = (0.067, 0.1)


def draw_turns(random_below: RandomBelow, turns: int) -> tuple[Turn, ...]:
    """`turns`, or (one time in eight) one more, each to either side."""
    return tuple(SIDES[random_below(2)] for _ in range(turns + (random_below(8) == 0)))


def narrowness(face: Detection) -> float:
    """Distance of the eyes to the height from eyes to mouth: about 1 from the front, less when a face (or a picture of one) turns away."""
    points = face.landmarks
    x = (points.mouth_left.x + points.mouth_right.x - points.eye_left.x - points.eye_right.x) / 2
    y = (points.mouth_left.y + points.mouth_right.y - points.eye_left.y - points.eye_right.y) / 2
    return float(face.eye_distance_px / max(1.0, (x * x + y * y) ** 0.5))


def relief(change: float, share: float) -> float:
    """How far the nose stands before the eyes, from one turned frame: yaw5's change over the tangent of the turn.

    The cosine of the turn is `share`: the face's `narrowness` as a share of what it was when straight. Living faces: median .97, 95 %
    above .70 (119 turned faces of LFW, against everybody's mean); flat prints below .5; see docs/face-liveness.md for bent ones.
    """
    cosine = min(0.985, max(0.05, share))
    return float(change * cosine / (1 - cosine * cosine) ** 0.5)


def between(random_below: RandomBelow, span: tuple[float, float]) -> float:
    return span[0] + (span[1] - span[0]) * random_below(STEPS) / STEPS
