"""Flat things held before a camera: a printed photograph, a screen. Moved, tilted and bent in space, seen in perspective.

Millimetres: x to the right, y down, z away from the camera, the camera at the origin. A tilt is a turn about the thing's own vertical
axis; a bent thing is a piece of a cylinder about that axis, drawn as upright strips.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simulators.camera.lobby import HEIGHT, WIDTH, put

FOCAL_PX = 650.0
EYES_MM = 63.0
STRIPS = 14


@dataclass(frozen=True, slots=True)
class Pose:
    """`bend_mm`: radius of the cylinder, 0 for flat; the middle is nearest to the camera. Degrees."""

    x_mm: float = 0.0
    y_mm: float = 0.0
    z_mm: float = 550.0
    tilt: float = 0.0
    nod: float = 0.0
    roll: float = 0.0
    bend_mm: float = 0.0


@dataclass(frozen=True, slots=True)
class Flat:
    """`picture`: BGR, 8 bits; `width_mm` across; `origin`: the pixel that `Pose` places."""

    picture: Any
    width_mm: float
    origin: tuple[float, float]

    def put(self, frame: Any, pose: Pose) -> Any:
        """Before `frame`. Strips that are further away are drawn first."""
        import numpy

        height, width = self.picture.shape[:2]
        strips = STRIPS if pose.bend_mm else 1
        edges = numpy.linspace(0, width, strips + 1)
        corners = [self._seen(x, pose) for x in edges]
        order = sorted(range(strips), key=lambda i: -(corners[i][2] + corners[i + 1][2]))
        for i in order:
            frame = self._strip(frame, (edges[i], edges[i + 1]), [corners[i], corners[i + 1]], height)
        return frame

    def _seen(self, x: float, pose: Pose) -> tuple[tuple[float, float], tuple[float, float], float]:
        """Top and bottom of the thing at column `x`, in pixels of the frame, and the depth of its middle."""
        import numpy

        scale = self.width_mm / self.picture.shape[1]
        across = (x - self.origin[0]) * scale
        depth = 0.0
        if pose.bend_mm:
            angle = across / pose.bend_mm
            across, depth = pose.bend_mm * numpy.sin(angle), pose.bend_mm * (1 - numpy.cos(angle))
        turn = _rotation(pose)
        ends = []
        for y in (0, self.picture.shape[0]):
            point = turn @ numpy.array([across, (y - self.origin[1]) * scale, depth]) + (pose.x_mm, pose.y_mm, pose.z_mm)
            z = max(float(point[2]), 50.0)
            ends.append((WIDTH / 2 + FOCAL_PX * float(point[0]) / z, HEIGHT * 0.45 + FOCAL_PX * float(point[1]) / z, z))
        return ends[0][:2], ends[1][:2], (ends[0][2] + ends[1][2]) / 2

    def _strip(self, frame: Any, columns: tuple[float, float], seen: list[Any], height: int) -> Any:
        import cv2
        import numpy

        (near_top, near_bottom, _), (far_top, far_bottom, _) = seen
        if far_top[0] - near_top[0] < 0.5:  # seen from behind, or edge on
            return frame
        source = numpy.array([[columns[0], 0], [columns[1], 0], [columns[1], height], [columns[0], height]], numpy.float32)
        goal = numpy.array([near_top, far_top, far_bottom, near_bottom], numpy.float32)
        left, right = int(max(0, goal[:, 0].min() - 1)), int(min(WIDTH, goal[:, 0].max() + 2))
        top, bottom = int(max(0, goal[:, 1].min() - 1)), int(min(HEIGHT, goal[:, 1].max() + 2))
        if right - left < 2 or bottom - top < 2:
            return frame
        goal -= (left, top)
        size = (right - left, bottom - top)
        picture = cv2.warpPerspective(
            self.picture, cv2.getPerspectiveTransform(source, goal), size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        mask = numpy.zeros((size[1], size[0]), numpy.uint8)
        cv2.fillConvexPoly(mask, (goal * 16).round().astype(numpy.int32), 255, cv2.LINE_8, 4)
        frame[top:bottom, left:right] = put(frame[top:bottom, left:right], picture, mask)
        return frame


def _rotation(pose: Pose) -> Any:
    import numpy

    def about(axis: int, degrees: float) -> Any:
        angle = numpy.radians(degrees)
        c, s = numpy.cos(angle), numpy.sin(angle)
        rows = {0: [[1, 0, 0], [0, c, -s], [0, s, c]], 1: [[c, 0, s], [0, 1, 0], [-s, 0, c]], 2: [[c, -s, 0], [s, c, 0], [0, 0, 1]]}
        return numpy.array(rows[axis])

    return about(2, pose.roll) @ about(0, pose.nod) @ about(1, pose.tilt)


def printed(picture: Any, opaque: Any, eyes_px: float, eyes_at: tuple[float, float], life: float = 1.0) -> Flat:
    """A colour print on white paper, a margin around it: paler than life, less black. `life` 1.0 is life-size."""
    import cv2
    import numpy

    paper = numpy.full_like(picture, 225)
    inked = cv2.convertScaleAbs(picture, alpha=0.78, beta=28)
    inked = put(paper, inked, opaque)
    margin = 24
    sheet = cv2.copyMakeBorder(inked, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=(228, 230, 231))
    return Flat(sheet, sheet.shape[1] * EYES_MM * life / eyes_px, (eyes_at[0] + margin, eyes_at[1] + margin))


class Screen:
    """A tablet or telephone that shows pictures: dark border, a lattice of pixels that beats with the camera's, a lamp's reflection."""

    def __init__(self, random: Any, eyes_px: float, eyes_at: tuple[float, float], life: float) -> None:
        self._life = life
        self._eyes = (eyes_px, eyes_at)
        self._period = (random.uniform(2.2, 6.0), random.uniform(2.2, 6.0))
        self._beat = random.uniform(4, 14)
        self._glare = (random.uniform(0, 1), random.uniform(0, 0.6), random.uniform(0, 90))
        self._border = int(random.uniform(12, 34))
        self._veil: Any = None

    def showing(self, picture: Any) -> Flat:
        import cv2

        if self._veil is None:
            self._veil = self._lattice(picture.shape)
        lit = cv2.add(cv2.convertScaleAbs(picture, alpha=0.92, beta=6), self._veil, dtype=cv2.CV_8U)
        border = self._border
        framed = cv2.copyMakeBorder(lit, border, border, border, border, cv2.BORDER_CONSTANT, value=(18, 17, 16))
        (eyes_px, (x, y)) = self._eyes
        return Flat(framed, framed.shape[1] * EYES_MM * self._life / eyes_px, (x + border, y + border))

    def _lattice(self, shape: tuple[int, ...]) -> Any:
        """Moire as the eye sees it: slow colour waves; and a reflection."""
        import numpy

        height, width = shape[:2]
        y, x = numpy.mgrid[0:height, 0:width].astype(numpy.float32)
        waves = numpy.sin(2 * numpy.pi * (x / self._period[0] + 0.02 * y)) * numpy.sin(2 * numpy.pi * (y / self._period[1] + 0.013 * x))
        veil = numpy.stack([self._beat * waves, self._beat * 0.7 * waves, -self._beat * 0.8 * waves], axis=2)
        gx, gy, strength = self._glare
        distance = ((x / width - gx) ** 2 + (y / height - gy) ** 2) / 0.02
        return (veil + (strength * numpy.exp(-distance))[:, :, None] + (6, 2, -2)).astype(numpy.int16)
