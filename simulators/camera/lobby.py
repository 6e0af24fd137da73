"""Where the people stand: a lobby's wall, its light, and the camera's own faults (noise, lack of focus, a hand on the lens).

Every frame has fresh sensor noise: two frames of a living camera are never equal.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 640, 480
NOISE = 2.0
NOISES = 6


@dataclass(frozen=True, slots=True)
class Lens:
    """`light` 1.0 is a lit lobby; `blur_px` the standard deviation of a lens out of focus; `covered`: tape or a finger on it."""

    light: float = 1.0
    blur_px: float = 0.0
    covered: bool = False


class Lobby:
    """`other` is another room: what an exchanged camera would see."""

    def __init__(self, seed: int, *, other: bool = False) -> None:
        import numpy

        self._random = numpy.random.default_rng(seed)
        self._noises = _noises()
        self.wall = _other_wall() if other else _wall()

    def exposed(self, picture: Any, lens: Lens) -> Any:
        """What the sensor gives for `picture` (BGR, 8 bits)."""
        import cv2
        import numpy

        if lens.covered:
            picture = numpy.full_like(picture, 6)
        elif lens.blur_px:
            picture = cv2.GaussianBlur(picture, (0, 0), lens.blur_px)
        noise = self._noises[self._random.integers(NOISES)]
        noise = numpy.roll(noise, int(self._random.integers(HEIGHT * WIDTH)) * 3)
        lit = cv2.convertScaleAbs(picture, alpha=lens.light) if lens.light != 1.0 else picture
        return cv2.add(lit, noise, dtype=cv2.CV_8U)


@functools.cache
def _noises() -> list[Any]:
    """A sensor's noise; frames take pieces of it at random."""
    import numpy

    random = numpy.random.default_rng(20261126)
    return [random.normal(0, NOISE, (HEIGHT, WIDTH, 3)).astype(numpy.int8) for _ in range(NOISES)]


def _wall() -> Any:
    """A lit wall, darker to the sides, a doorway."""
    import numpy

    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH].astype(numpy.float32)
    light = 190 - 0.12 * y - 0.0004 * (x - WIDTH / 2) ** 2
    wall = numpy.stack([light * 1.02, light, light * 0.94], axis=2)
    wall[120:, 540:600] *= 0.6
    wall[430:] *= 0.75
    return wall.clip(0, 255).astype(numpy.uint8)


def _other_wall() -> Any:
    """A window with a bright sill, a dark pillar."""
    import numpy

    _, x = numpy.mgrid[0:HEIGHT, 0:WIDTH].astype(numpy.float32)
    light = 95 + 0.12 * x + 12 * numpy.sin(x / 23)
    wall = numpy.stack([light * 0.9, light, light * 1.05], axis=2)
    wall[40:260, 30:170] = (235, 230, 225)
    wall[:, 560:620] *= 0.35
    wall[400:] *= 0.5
    return wall.clip(0, 255).astype(numpy.uint8)


def put(frame: Any, picture: Any, opaque: Any) -> Any:
    """`picture` before `frame`; `opaque` 0..255 for each pixel."""
    import numpy

    share = opaque.astype(numpy.uint16)[:, :, None]
    return ((picture * share + frame * (255 - share)) // 255).astype(numpy.uint8)
