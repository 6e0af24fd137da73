"""A face turned upright: the similarity (turn, scale, shift) that brings its five points nearest to fixed places, in 112 x 112 pixels.

Least squares over similarities without reflection has a closed form when a point is one complex number: with the points z and the places
w, both from their means, the turn and scale is a = sum(conj(z) w) / sum(|z|^2). The places are those ArcFace published for 112 x 112
(Deng et al. 2019), on which SFace was trained.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from terminal.face.values import Detection, FrameRefused

if TYPE_CHECKING:
    from drivers.devices.camera import Frame

CHIP_PX = 112
PLACES = (
    complex(38.2946, 51.6963),  # the eye on the left of the picture
    complex(73.5318, 51.5014),
    complex(56.0252, 71.7366),  # nose
    complex(41.5493, 92.3655),  # the corner of the mouth on the left of the picture
    complex(70.7299, 92.2041),
)
CENTRE = sum(PLACES) / len(PLACES)
SMALLEST_RADIUS_PX = 1.0


def similarity(face: Detection) -> tuple[complex, complex]:
    """(a, b): a point z of the frame lies at a z + b of the chip. FrameRefused: the points do not make a face."""
    points = [complex(point.x, point.y) for point in face.landmarks]
    centre = sum(points) / len(points)
    away = [point - centre for point in points]
    square = sum(abs(point) ** 2 for point in away)
    if not math.isfinite(square) or square < len(points) * SMALLEST_RADIUS_PX**2:
        raise FrameRefused("the points of the face lie in one spot")
    turn = sum(point.conjugate() * (place - CENTRE) for point, place in zip(away, PLACES, strict=True)) / square
    return turn, CENTRE - turn * centre


def align(frame: Frame, face: Detection) -> Frame:
    """The chip, 112 x 112 x 3, BGR. What lies outside the frame is black. FrameRefused as `similarity`."""
    import cv2
    import numpy

    turn, shift = similarity(face)
    matrix = numpy.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]], dtype=numpy.float64)
    chip: Any = cv2.warpAffine(frame, matrix, (CHIP_PX, CHIP_PX), flags=cv2.INTER_LINEAR)
    return numpy.asarray(chip, dtype=numpy.uint8)
