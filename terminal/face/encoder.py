"""From a frame to faces, and from a face to 128 numbers: dlib's HOG detector, 5-point landmarks and ResNet encoder.

This is what `face_recognition.face_encodings` does, without that package's import (see `models`). Distances between encodings are
Euclidean. One thread; 25-30 ms to look at a 640x480 frame, 80-250 ms to encode a face (measured on 2 shared cores).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from terminal.face.models import DLIB_ENCODER, DLIB_LANDMARKS, check_model

if TYPE_CHECKING:
    from drivers.devices.camera import Frame

CHIP = 112
"""Sharpness is measured on the face scaled to this side, so that it does not depend on the distance."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Checked paths. `encoder_sha256` is what a template's `model` must be."""

    encoder: Path
    landmarks: Path
    encoder_sha256: str = DLIB_ENCODER.sha256


def find_models(folder: Path | None = None) -> ModelFiles:
    """ConfigurationFault says which file is missing or changed."""
    return ModelFiles(check_model(DLIB_ENCODER, folder), check_model(DLIB_LANDMARKS, folder))


@dataclass(frozen=True, slots=True)
class Face:
    """One face of one frame. Pixels of that frame; `sharpness` is the variance of the Laplacian, `brightness` 0..255."""

    left: int
    top: int
    width: int
    height: int
    eye_distance_px: float
    sharpness: float
    brightness: float

    @property
    def area(self) -> int:
        return self.width * self.height

    @property
    def centre_x(self) -> float:
        return self.left + self.width / 2


class Encoder(Protocol):
    """What the verifier needs; dlib here, other pipelines later."""

    model_sha256: str

    def faces(self, frame: Frame) -> list[Face]:
        """The faces of a frame, in no order."""
        ...

    def encode(self, frame: Frame, face: Face) -> list[float]:
        """The 128 values of one of its faces."""
        ...


class DlibEncoder:
    """Loads dlib and the models: about a second and 80 MiB."""

    def __init__(self, files: ModelFiles) -> None:
        import cv2
        import dlib
        import numpy

        cv2.setNumThreads(1)
        self._cv2, self._dlib, self._numpy = cv2, dlib, numpy
        self._detector = dlib.get_frontal_face_detector()
        self._landmarks = dlib.shape_predictor(str(files.landmarks))
        self._network = dlib.face_recognition_model_v1(str(files.encoder))
        self.model_sha256 = files.encoder_sha256

    def faces(self, frame: Frame) -> list[Face]:
        picture = self._rgb(frame)
        rectangles, _, _ = self._detector.run(picture, 0, 0.0)
        return [self._face(picture, rectangle) for rectangle in rectangles]

    def encode(self, frame: Frame, face: Face) -> list[float]:
        picture = self._rgb(frame)
        rectangle = self._dlib.rectangle(face.left, face.top, face.left + face.width - 1, face.top + face.height - 1)
        return list(self._network.compute_face_descriptor(picture, self._landmarks(picture, rectangle)))

    def _rgb(self, frame: Frame) -> Any:
        return self._numpy.ascontiguousarray(frame[:, :, ::-1])

    def _face(self, picture: Any, rectangle: Any) -> Face:
        shape = self._landmarks(picture, rectangle)
        points = [shape.part(number) for number in range(4)]  # the corners of the one eye, then of the other; the fifth is the nose
        right, left = (((a.x + b.x) / 2, (a.y + b.y) / 2) for a, b in (points[:2], points[2:]))
        eyes = ((right[0] - left[0]) ** 2 + (right[1] - left[1]) ** 2) ** 0.5
        top, bottom = max(0, rectangle.top()), min(picture.shape[0], rectangle.bottom() + 1)
        near, far = max(0, rectangle.left()), min(picture.shape[1], rectangle.right() + 1)
        sharpness = brightness = 0.0
        if bottom > top and far > near:
            grey = self._cv2.cvtColor(picture[top:bottom, near:far], self._cv2.COLOR_RGB2GRAY)
            brightness = float(grey.mean())
            chip = self._cv2.resize(grey, (CHIP, CHIP), interpolation=self._cv2.INTER_AREA)
            sharpness = float(self._cv2.Laplacian(chip, self._cv2.CV_64F).var())
        return Face(rectangle.left(), rectangle.top(), rectangle.width(), rectangle.height(), eyes, sharpness, brightness)
