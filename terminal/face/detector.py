"""Faces of a frame, each with five points: YuNet (Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", 2023) in OpenCV.

The frame is looked at 320 pixels wide (a smaller one as it is), score from .7: 3 to 6 ms on one thread, no face of LFW missed
(docs/face.md). At that width a face is found from about 10 pixels on, in a 640-pixel frame from about 20: half of what the quality gate
wants.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivers.errors import ConfigurationFault
from terminal.face.models import YUNET, read_model
from terminal.face.values import Detection, FrameRefused, Landmarks, Point

if TYPE_CHECKING:
    from drivers.devices.camera import Frame

WIDTH_PX = 320
SCORE = 0.7
NMS = 0.3
MOST_FACES = 50
LEAST_SIDE_PX, MOST_SIDE_PX = 16, 4096
NARROWEST = 0.25
"""Of width to height and of height to width: nothing a camera gives is longer."""


class YuNetDetector:
    """Single-threaded. ConfigurationFault when the model is missing, another one, or OpenCV cannot load it."""

    def __init__(self, folder: Path | None = None, score: float = SCORE) -> None:
        import cv2
        import numpy

        self._cv2 = cv2
        content = numpy.frombuffer(read_model(YUNET, folder), numpy.uint8)
        try:
            self._network = cv2.FaceDetectorYN.create(
                "onnx", content, numpy.zeros(0, numpy.uint8), (WIDTH_PX, WIDTH_PX), score, NMS, MOST_FACES
            )
        except cv2.error as error:
            raise ConfigurationFault(f"face model {YUNET.name}: OpenCV {cv2.__version__} cannot load it ({error.err})") from None

    def detect(self, frame: Frame) -> list[Detection]:
        """FrameRefused: not a colour picture of a sane size."""
        height, width = check_frame(frame)
        scale = min(1.0, WIDTH_PX / width)
        size = (round(width * scale), round(height * scale))
        self._network.setInputSize(size)
        small = self._cv2.resize(frame, size, interpolation=self._cv2.INTER_AREA) if scale < 1 else frame
        _, rows = self._network.detect(small)
        found = [_detection(row, width / size[0], height / size[1]) for row in rows] if rows is not None else []
        return [face for face in found if face is not None]


def check_frame(frame: Frame) -> tuple[int, int]:
    """Height and width. FrameRefused says what is wrong with it."""
    shape: tuple[int, ...] = tuple(getattr(frame, "shape", ()))
    if len(shape) != 3 or shape[2] != 3 or str(frame.dtype) != "uint8":
        raise FrameRefused("the frame is no colour picture of 8 bits")
    height, width = int(shape[0]), int(shape[1])
    if not LEAST_SIDE_PX <= min(height, width) <= max(height, width) <= MOST_SIDE_PX:
        raise FrameRefused(f"the frame is {width} x {height}: each side must be {LEAST_SIDE_PX} to {MOST_SIDE_PX} pixels")
    if min(height, width) < NARROWEST * max(height, width):
        raise FrameRefused(f"the frame is {width} x {height}: one side is more than four times the other")
    return height, width


def _detection(row: Any, across: float, down: float) -> Detection | None:
    """YuNet's row: left, top, width, height, five points (x, y), score. None when it is no face: not finite, or without extent."""
    values = [float(value) for value in row]
    if not all(map(math.isfinite, values)):
        return None
    left, top, width, height, *points, score = values
    landmarks = Landmarks(*(Point(points[at] * across, points[at + 1] * down) for at in range(0, 10, 2)))
    face = Detection(left * across, top * down, width * across, height * down, min(1.0, max(0.0, score)), landmarks)
    return face if min(face.width, face.height, face.eye_distance_px) >= 1 else None
