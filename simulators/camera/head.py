"""A photograph's head, given depth, so that it can be turned: what a camera sees of a person who looks to the side.

The head is an ellipsoid with a nose on it, in units of the distance between the eyes (about 63 mm). Its relief is deeper than a real
one's, because a detector judges a turn by more than geometry: chosen so that YuNet's five points shift against each other by about
.45 to .6 at 25 to 33 degrees, which a living face reaches earlier. From the front it is the photograph. What the photograph does not show
(the far cheek) is stretched from its edge, so beyond 40 degrees the picture stops being believable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

EYES_PX = 90.0
"""Distance between the eyes on the canvas."""
CANVAS = (620, 560)
EYES_AT = (310.0, 215.0)
HALF_WIDTH, HALF_HEIGHT, HALF_DEPTH = 1.25, 1.75, 2.2
MIDDLE_BELOW_EYES = 0.35
NOSE_BELOW_EYES, NOSE_HEIGHT, NOSE_WIDTH, NOSE_LENGTH = 0.6, 0.7, 0.3, 0.4
NECK_FROM, NECK_TO = 1.5, 2.4
ROWS_APART = 4
FINENESS, MAPS_KEPT = 5, 480
"""Steps in a degree (a fifth of a degree moves nothing by more than half a pixel), and how many turns are remembered."""


@dataclass(frozen=True, slots=True)
class Points:
    """The two eyes (the picture's left one first), the nose, in pixels of the photograph."""

    eye_left: tuple[float, float]
    eye_right: tuple[float, float]
    nose: tuple[float, float]


class Head:
    """`picture` is BGR, 8 bits. `turned` gives canvas pictures of `CANVAS` with the eyes at `EYES_AT`, `EYES_PX` apart."""

    def __init__(self, picture: Any, points: Points) -> None:
        import cv2
        import numpy

        (ax, ay), (bx, by) = points.eye_left, points.eye_right
        scale = EYES_PX / ((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5
        middle = ((ax + bx) / 2, (ay + by) / 2)
        move = numpy.array([[scale, 0, EYES_AT[0] - scale * middle[0]], [0, scale, EYES_AT[1] - scale * middle[1]]], dtype=numpy.float32)
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        blurred = cv2.GaussianBlur(picture, (0, 0), 0.45 / scale) if scale < 0.9 else picture  # no aliases of fine hair
        self.picture = cv2.warpAffine(blurred, move, CANVAS, flags=how, borderMode=cv2.BORDER_REPLICATE)
        self._maps: dict[int, tuple[Any, Any]] = {}
        self.opaque = self._cut(picture.shape, move)
        self._depth, self._turns = self._relief(scale * (points.nose[0] - middle[0]) / EYES_PX)

    def turned(self, degrees: float) -> tuple[Any, Any]:
        """Picture and opacity (0..255). Positive: the nose moves to the right of the picture, the person's own left."""
        import cv2

        across, down = self._map(round(degrees * FINENESS))
        picture = cv2.remap(self.picture, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return picture, cv2.remap(self.opaque, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)

    @staticmethod
    def _cut(shape: tuple[int, ...], move: Any) -> Any:
        """Soft edges beside the head and where the photograph ends; the bottom stays."""
        import cv2
        import numpy

        width, height = CANVAS
        y, x = numpy.mgrid[0:height, 0:width].astype(numpy.float32)
        beside = 3.4 - 1.35 * abs(x - EYES_AT[0]) / EYES_PX + 0.5 * (y > EYES_AT[1] + 2 * EYES_PX)
        whole = numpy.full(shape[:2], 255, numpy.uint8)
        whole[:2] = whole[:, :2] = whole[:, -2:] = 0
        inside = cv2.warpAffine(whole, move, CANVAS, flags=cv2.INTER_AREA)
        inside = cv2.distanceTransform((inside > 250).astype(numpy.uint8), cv2.DIST_L2, 3) / 25
        if inside[-1].max() <= 0:
            inside[-1] = 1
        return (numpy.minimum(beside, inside).clip(0, 1) * 255).astype(numpy.uint8)

    @staticmethod
    def _relief(nose_x: float) -> tuple[Any, Any]:
        """Depth of every fourth row, and how much of the turn that row makes (the neck follows less, the shoulders not at all)."""
        import numpy

        width, height = CANVAS
        y = ((numpy.arange(0, height, ROWS_APART) - EYES_AT[1]) / EYES_PX)[:, None]
        x = ((numpy.arange(width) - EYES_AT[0]) / EYES_PX)[None]
        inside = 1 - (x / HALF_WIDTH) ** 2 - ((y - MIDDLE_BELOW_EYES) / HALF_HEIGHT) ** 2
        nose = NOSE_HEIGHT * numpy.exp(-(((x - nose_x) / NOSE_WIDTH) ** 2) / 2 - (((y - NOSE_BELOW_EYES) / NOSE_LENGTH) ** 2) / 2)
        depth = HALF_DEPTH * numpy.sqrt(inside.clip(0, None)) + nose * (inside > 0)
        down = ((y - NECK_FROM) / (NECK_TO - NECK_FROM)).clip(0, 1)
        return depth, 1 - down * down * (3 - 2 * down)

    def _map(self, turn: int) -> tuple[Any, Any]:
        """Where each pixel of the head turned by `turn` steps comes from. Kept, for the next time."""
        if turn not in self._maps:
            if len(self._maps) >= MAPS_KEPT:
                self._maps.pop(next(iter(self._maps)))
            self._maps[turn] = self._make_map(turn / FINENESS)
        return self._maps[turn]

    def _make_map(self, degrees: float) -> tuple[Any, Any]:
        """What is in front hides what is behind."""
        import cv2
        import numpy

        width, height = CANVAS
        x = (numpy.arange(width) - EYES_AT[0]) / EYES_PX
        source = numpy.empty((len(self._depth), width), numpy.float32)
        for row, depth in enumerate(self._depth):
            angle = numpy.radians(degrees) * self._turns[row, 0]
            goes = x * numpy.cos(angle) + depth * numpy.sin(angle)
            if angle >= 0:
                goes = numpy.maximum.accumulate(goes)
            else:
                goes = numpy.minimum.accumulate(goes[::-1])[::-1]
            source[row] = numpy.interp(x, goes + numpy.arange(width) * 1e-9, x)
        across = cv2.resize(source * EYES_PX + EYES_AT[0], (width, height), interpolation=cv2.INTER_LINEAR)
        down = numpy.repeat(numpy.arange(height, dtype=numpy.float32)[:, None], width, axis=1)
        return cv2.convertMaps(across.astype(numpy.float32), down, cv2.CV_16SC2)
