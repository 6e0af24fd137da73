"""A second opinion on liveness from a single frame: a network that a bank brings as a file, by its sha256. It can only deny.

No such network can be shipped (docs/face-liveness.md), so none is built in: without a file the challenge stands alone, and the evidence
says so. Two formats are known:

``faceplugin``  one ONNX file (`fr_liveness.onnx` of the npm package faceplugin-face-recognition-js 0.0.1). Input 1 x 3 x 128 x 128, BGR,
                0..255, a crop of 2.7 times the face's box; three values, softmax, the first is "live".
``minifasnet``  the pair of Silent-Face-Anti-Spoofing, converted to ONNX. The configured file is a JSON text that names both, so that one
                sha256 covers them: {"files": [{"name", "sha256", "scale"}, ...]}, beside it. Input 1 x 3 x 80 x 80, BGR, 0..255, crops of
                2.7 and 4.0; three values, softmax, the second is "live"; the mean of both counts.

A crop that would reach far outside the frame is refused beforehand (`room`): without background these networks guess.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivers.errors import ConfigurationFault
from terminal.face.values import Detection, ModelFault

if TYPE_CHECKING:
    from drivers.devices.camera import Frame

MAX_BYTES = 64 * 1024 * 1024
LEAST_ROOM = 0.6
"""The crop must have at least this share of the wanted scale."""
FORMATS = {"faceplugin": (128, 0), "minifasnet": (80, 1)}
"""Side of the input in pixels, place of "live" among the outputs."""


@dataclass(frozen=True, slots=True)
class PassiveConfig:
    """`threshold`: live from there on, 0..1 (published: faceplugin .9, minifasnet .7)."""

    path: Path
    sha256: str
    format: str
    threshold: float

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ConfigurationFault(f"passive liveness: there is no format {self.format!r}: {' or '.join(FORMATS)}")
        if not 0 < self.threshold < 1:
            raise ConfigurationFault("passive liveness: the threshold must lie between 0 and 1")


class Passive:
    """Loads at once. ConfigurationFault says which file is missing, another one, or no network."""

    def __init__(self, config: PassiveConfig) -> None:
        import cv2

        self._cv2 = cv2
        self._threshold = config.threshold
        self._side, self._place = FORMATS[config.format]
        content = _checked(config.path, config.sha256)
        parts = [(content, 2.7)] if config.format == "faceplugin" else _pair(config.path, content)
        self._networks = [(self._network(data, config.path), scale) for data, scale in parts]

    def room(self, frame: Frame, face: Detection) -> bool:
        """Is there enough picture around the face?"""
        wanted = max(scale for _, scale in self._networks)
        return _scale(frame, face, wanted) >= LEAST_ROOM * wanted

    def score(self, frame: Frame, face: Detection) -> float:
        """0..1, larger is more alive. ModelFault: the network gave something else."""
        scores = [self._one(network, _crop(frame, face, scale)) for network, scale in self._networks]
        return sum(scores) / len(scores)

    def live(self, frame: Frame, face: Detection) -> bool:
        """A network that fails says no."""
        try:
            return self.score(frame, face) >= self._threshold
        except ModelFault:
            return False

    def _network(self, content: bytes, path: Path) -> Any:
        import numpy

        try:
            return self._cv2.dnn.readNetFromONNX(numpy.frombuffer(content, numpy.uint8))
        except self._cv2.error as error:
            raise ConfigurationFault(f"passive liveness {path}: OpenCV cannot load it ({error.err})") from None

    def _one(self, network: Any, crop: Frame) -> float:
        import numpy

        blob = self._cv2.dnn.blobFromImage(crop, 1.0, (self._side, self._side), (0, 0, 0), swapRB=False)
        try:
            network.setInput(blob)
            values = [float(value) for value in numpy.asarray(network.forward()).reshape(-1)]
        except self._cv2.error as error:
            raise ModelFault(f"the passive network gave nothing ({error.err})") from None
        if len(values) != 3 or not all(map(math.isfinite, values)):
            raise ModelFault("the passive network gave something else than three numbers")
        highest = max(values)
        shares = [math.exp(value - highest) for value in values]
        return shares[self._place] / sum(shares)


def _checked(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b""
    except OSError as error:
        raise ConfigurationFault(f"passive liveness {path}: cannot be read ({error.strerror})") from None
    if hashlib.sha256(content).hexdigest() != sha256.lower():
        raise ConfigurationFault(f"passive liveness {path}: is not the configured file (its sha256 differs)")
    return content


def _pair(path: Path, content: bytes) -> list[tuple[bytes, float]]:
    try:
        named = [(str(one["name"]), str(one["sha256"]), float(one["scale"])) for one in json.loads(content)["files"]]
    except (ValueError, KeyError, TypeError):
        raise ConfigurationFault(f"passive liveness {path}: is no list of files with name, sha256 and scale") from None
    if not named or any("/" in name or not 1 <= scale <= 6 for name, _, scale in named):
        raise ConfigurationFault(f"passive liveness {path}: names no files beside it, or scales outside 1 to 6")
    return [(_checked(path.parent / name, sha256), scale) for name, sha256, scale in named]


def _scale(frame: Frame, face: Detection, wanted: float) -> float:
    return float(min((frame.shape[0] - 1) / face.height, (frame.shape[1] - 1) / face.width, wanted))


def _crop(frame: Frame, face: Detection, wanted: float) -> Frame:
    """The face's box, enlarged about its middle and pushed back into the frame, as both networks were fed when they were trained."""
    scale = _scale(frame, face, wanted)
    width, height = int(face.width * scale), int(face.height * scale)
    left = min(max(0, int(face.centre.x - width / 2)), frame.shape[1] - width)
    top = min(max(0, int(face.centre.y - height / 2)), frame.shape[0] - height)
    return frame[top : top + height, left : left + width]
