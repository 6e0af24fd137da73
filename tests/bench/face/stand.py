"""The frame that latency is measured with: somebody before the kiosk, 640 x 480, one face, good enough to be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from face.data import Data, picture
from face.pipelines import Shipped
from terminal.face.quality import QualityLimits, gate, measure

WIDTH, HEIGHT = 640, 480


def frame(cache: Path, data: Data | None, work: Path) -> Path | None:
    """A lossless file in `work`: of the recorded scene when it was made, else of the data's first fit picture, enlarged. None: neither."""
    import cv2

    detector = Shipped("sface").backend.detector
    scene = cache / "scene-customer.avi"
    for candidate in [*_scene(scene), *_pictures(data)]:
        faces = detector.detect(candidate)
        if len(faces) == 1 and not gate(measure(candidate, faces[0]), QualityLimits()):
            path = work / "frame.png"
            cv2.imwrite(str(path), candidate)
            return path
    return None


def _scene(path: Path) -> list[Any]:
    import cv2

    frames: list[Any] = []
    capture = cv2.VideoCapture(str(path)) if path.is_file() else None
    while capture is not None and (read := capture.read())[0]:
        if read[1].shape == (HEIGHT, WIDTH, 3):
            frames.append(read[1])
    return frames[::-1]  # the person stands still at the end


def _pictures(data: Data | None) -> list[Any]:
    """The first fifty, filled up with grey."""
    import cv2

    found = []
    for path in data.paths[:50] if data else ():
        shown = picture(path)
        scale = HEIGHT / shown.shape[0]
        shown = cv2.resize(shown, None, fx=scale, fy=scale)
        side = WIDTH - shown.shape[1]
        if side >= 0:
            found.append(
                cv2.copyMakeBorder(shown, 0, HEIGHT - shown.shape[0], side // 2, side - side // 2, cv2.BORDER_CONSTANT, value=(128,) * 3)
            )
    return found
