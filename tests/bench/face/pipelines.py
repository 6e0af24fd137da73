"""The pipelines that are compared: the two back-ends as shipped, and `face_recognition` as its users run it."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy

from face.data import Data, picture
from terminal.face.backend import Backend, load_backend
from terminal.face.values import Detection

NAMES = ("sface", "dlib", "face_recognition")
SHIPPED = ("sface", "dlib")


class Pipeline(Protocol):
    name: str
    accept: float

    def vector(self, frame: Any) -> Any:
        """Of the face that the picture is of; None when none was found."""
        ...

    def scores(self, these: Any, those: Any) -> Any:
        """All of the one (n x 128) with all of the other (m x 128): n x m; larger is more alike."""
        ...

    def mean(self, vectors: Any) -> Any:
        """The template of several."""
        ...


def central(faces: list[Detection], frame: Any) -> Detection | None:
    """A photograph's person: large and in the middle. A kiosk refuses two faces instead; LFW has bystanders."""
    middle_y, middle_x = frame.shape[0] / 2, frame.shape[1] / 2
    return max(faces, key=lambda face: face.area - 2 * ((face.centre.x - middle_x) ** 2 + (face.centre.y - middle_y) ** 2), default=None)


class Shipped:
    """A back-end of ours: cosine of unit vectors."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.backend: Backend = load_backend(name)
        self.accept = self.backend.bands.accept

    def vector(self, frame: Any) -> Any:
        face = central(self.backend.detector.detect(frame), frame)
        return None if face is None else self.backend.embedder.embed(frame, face)

    def scores(self, these: Any, those: Any) -> Any:
        return these @ those.T

    def mean(self, vectors: Any) -> Any:
        total = vectors.sum(axis=0)
        return total / numpy.linalg.norm(total)


class FaceRecognition:
    """`face_recognition.face_encodings(picture)` with its defaults; score = 1 - distance, so its tolerance .6 is .4."""

    name = "face_recognition"
    accept = 1 - 0.6

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import face_recognition
        self._library = face_recognition

    def vector(self, frame: Any) -> Any:
        rgb = numpy.ascontiguousarray(frame[:, :, ::-1])
        boxes = self._library.face_locations(rgb)
        if not boxes:
            return None
        middle = numpy.array(frame.shape[:2]) / 2

        def central_size(box: tuple[int, int, int, int]) -> float:
            top, right, bottom, left = box
            away = numpy.array([top + bottom, left + right]) / 2 - middle
            return (bottom - top) * (right - left) - 2 * float(away @ away)

        box = max(boxes, key=central_size)
        return self._library.face_encodings(rgb, [box])[0]

    def scores(self, these: Any, those: Any) -> Any:
        square = (these**2).sum(axis=1)[:, None] + (those**2).sum(axis=1)[None] - 2 * these @ those.T
        return 1 - numpy.sqrt(square.clip(0))

    def mean(self, vectors: Any) -> Any:
        return vectors.mean(axis=0)


def load(name: str) -> Pipeline:
    return FaceRecognition() if name == "face_recognition" else Shipped(name)


@dataclass(frozen=True, slots=True)
class Embedded:
    """`vectors`: one row for each picture; a row of NaN where no face was found."""

    pipeline: Pipeline
    vectors: Any

    @property
    def missed(self) -> int:
        return int(numpy.isnan(self.vectors[:, 0]).sum())


def embed(pipeline: Pipeline, data: Data, change: Callable[[Any, int], Any] = lambda frame, _: frame) -> Embedded:
    """Every picture of the data, changed by `change(frame, index)` first."""
    rows = []
    for index, path in enumerate(data.paths):
        vector = pipeline.vector(change(picture(path), index))
        rows.append(numpy.full(128, math.nan) if vector is None else numpy.asarray(vector, dtype=float))
    return Embedded(pipeline, numpy.array(rows))


def matrix(embedded: Embedded, other: Embedded | None = None) -> Any:
    """The score of every picture with every picture; -inf where a face was not found."""
    with numpy.errstate(invalid="ignore"):
        found = embedded.pipeline.scores(embedded.vectors, (other or embedded).vectors)
    return numpy.where(numpy.isnan(found), -math.inf, found)


def timed(what: Callable[[], Any]) -> tuple[Any, float, float]:
    """Its result, wall milliseconds, CPU milliseconds of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = what()
    return result, (time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000
