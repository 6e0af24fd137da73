"""What the bank's enrolment desk does: a photograph to an encoding. A second writing of the pipeline, on dlib's own face chips.

The terminal gives dlib the landmarks of a frame; here the face is first cut out and turned upright (150 x 150, padding .25), which is
what the network was trained on. Both must come to the same numbers.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

ENCODER = "dlib_face_recognition_resnet_model_v1.dat"
LANDMARKS = "shape_predictor_5_face_landmarks.dat"
LONGEST_SIDE = 800


class EncodingFailed(Exception):
    """The models or a face are missing; the sentence says which."""


class Desk:
    """Photographs in, encodings out."""

    def __init__(self) -> None:
        found = importlib.util.find_spec("face_recognition_models")
        if found is None or found.origin is None or importlib.util.find_spec("dlib") is None:
            raise EncodingFailed("the face models are not installed: install the extra 'face'")
        import dlib

        folder = Path(found.origin).parent / "models"
        self._dlib: Any = dlib
        self._detector = dlib.get_frontal_face_detector()
        self._landmarks = dlib.shape_predictor(str(folder / LANDMARKS))
        self._network = dlib.face_recognition_model_v1(str(folder / ENCODER))
        self.model_sha256 = hashlib.sha256((folder / ENCODER).read_bytes()).hexdigest()

    def find(self, rgb: Any) -> tuple[int, int, int]:
        """Left, top and width of the largest face. EncodingFailed when there is none."""
        faces = self._detector(rgb, 0)
        if not faces:
            raise EncodingFailed("there is no face in the photograph")
        face = max(faces, key=lambda rectangle: rectangle.area())
        return face.left(), face.top(), face.width()

    def encode(self, rgb: Any) -> list[float]:
        left, top, width = self.find(rgb)
        shape = self._landmarks(rgb, self._dlib.rectangle(left, top, left + width - 1, top + width - 1))
        chip = self._dlib.get_face_chip(rgb, shape, size=150, padding=0.25)
        return list(self._network.compute_face_descriptor(chip))


def read_photograph(path: Path) -> Any:
    """RGB, at most 800 pixels on its longer side."""
    import cv2
    import numpy

    picture = cv2.imread(str(path))
    if picture is None:
        raise EncodingFailed(f"{path.name} is no picture")
    scale = min(1.0, LONGEST_SIDE / max(picture.shape[:2]))
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return numpy.ascontiguousarray(picture[:, :, ::-1])
