"""What the parts of the face step tell each other. Pixels are of the frame a thing was found in, origin top left, x to the right.

"Left" and "right" are the picture's, not the person's: the eye on the left of a picture that is not mirrored is the person's right eye.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

from drivers.errors import DeviceError, ProtocolError

if TYPE_CHECKING:
    import numpy

    from drivers.devices.camera import Frame

    Embedding: TypeAlias = numpy.ndarray[Any, numpy.dtype[numpy.float32]]
    """Shape (VALUES,), L2 norm 1."""

VALUES = 128


class FrameRefused(ProtocolError):
    """This frame (or this face in it) cannot be worked with: no picture, an absurd size, points that are no face. The next one may be."""


class ModelFault(DeviceError):
    """A network gave something that is no embedding. Nothing may be concluded from it."""


Decision = Literal[
    "accepted", "askAgain", "rejected", "notLive", "noFace", "poorQuality", "severalFaces", "cameraFault", "templateRefused", "modelFault"
]
Hint = Literal["", "noFace", "onePerson", "comeCloser", "goBack", "holdStill", "moreLight", "lessLight", "stepToTheMiddle", "lookStraight"]
Stage = Literal["look", "turnLeft", "turnRight", "lookStraight", "compare"]
"""What the person is asked for now. Left and right are the person's own."""


class Point(NamedTuple):
    x: float
    y: float


class Landmarks(NamedTuple):
    """YuNet's five points, in its order. The first eye is the one on the left of the picture."""

    eye_left: Point
    eye_right: Point
    nose: Point
    mouth_left: Point
    mouth_right: Point


@dataclass(frozen=True, slots=True)
class Detection:
    """One face of one frame. `score` 0..1."""

    left: float
    top: float
    width: float
    height: float
    score: float
    landmarks: Landmarks

    @property
    def area(self) -> float:
        return self.width * self.height

    @property
    def centre(self) -> Point:
        return Point(self.left + self.width / 2, self.top + self.height / 2)

    @property
    def eye_distance_px(self) -> float:
        left, right = self.landmarks.eye_left, self.landmarks.eye_right
        return float(((right.x - left.x) ** 2 + (right.y - left.y) ** 2) ** 0.5)

    @property
    def yaw5(self) -> float:
        """Head turn without a unit: 0 straight; about +-.64 at 20 to 30 degrees; positive: the nose points to the right of the picture."""
        left, right, nose = self.landmarks.eye_left.x, self.landmarks.eye_right.x, self.landmarks.nose.x
        return ((nose - left) - (right - nose)) / max(abs(right - left), 1.0)


class Detector(Protocol):
    def detect(self, frame: Frame) -> list[Detection]:
        """The faces of a frame (height x width x 3, BGR, uint8), in no order."""
        ...


class Embedder(Protocol):
    """`model_sha256`: lower-case hex of the model file; a template of another model is refused."""

    model_sha256: str

    def embed(self, frame: Frame, face: Detection) -> Embedding:
        """ModelFault when the network gives no finite vector."""
        ...
