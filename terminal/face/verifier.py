"""Is the person before the camera the one the card was issued to? One comparison, in a process of its own.

The thresholds come from the project's measurement of this pipeline (HOG, dlib ResNet) on the whole of LFW, all 29.6 million impostor
pairs: distance .445 with the mean of three enrolment images is a false accept rate of 1 in 10,000 at a false reject rate of 9.3 %; the
0.6 that `face_recognition` proposes is 1 in 178 and is refused here. LFW is photographs from the web: expect worse between people of the
same sex and age, and measure again on the kiosk's own camera. There is no liveness check yet: a photograph held before the camera can
pass, so a face is only ever asked for beside card and PIN.

Fails closed: whatever is missing, damaged or late ends in a decision that is not "accepted". Only decision and score leave.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from drivers.devices.camera import Camera
from drivers.errors import ConfigurationFault, LinkError
from drivers.transports.base import Clock, Deadline
from terminal.face.encoder import DlibEncoder, Encoder, Face, find_models
from terminal.face.template import TemplateRefused, open_template
from terminal.sealed_box import public_bytes

if TYPE_CHECKING:
    from drivers.devices.camera import Frame

Decision = Literal["accepted", "rejected", "noFace", "poorQuality", "severalFaces", "cameraFault", "templateRefused", "modelFault"]
Hint = Literal["", "comeCloser", "holdStill", "moreLight", "lessLight", "stepToTheMiddle"]

LOOSEST_THRESHOLD = 0.5
SIMILAR_AREA = 0.5
"""A second face of at least this share of the largest one's area: whose account is it?"""
SEVERAL_FRAMES = 5
"""Half a second: somebody who only walks past does not count."""
ENCODE_RESERVE_S = 1.0


@dataclass(frozen=True, slots=True)
class FaceConfig:
    """`threshold` is a distance: smaller is stricter. `good_frames` are collected, the best of them is compared (once)."""

    camera: str | int
    width: int = 640
    height: int = 480
    models: Path | None = None
    threshold: float = 0.445
    min_eye_distance_px: float = 40.0
    min_sharpness: float = 60.0
    min_brightness: float = 50.0
    max_brightness: float = 215.0
    good_frames: int = 4
    max_frames: int = 80

    def __post_init__(self) -> None:
        if not 0.2 <= self.threshold <= LOOSEST_THRESHOLD:
            raise ConfigurationFault(f"the face threshold must be 0.2 to {LOOSEST_THRESHOLD}: at 0.6 one stranger in 178 passes")
        if not 1 <= self.good_frames <= self.max_frames:
            raise ConfigurationFault("good_frames must be 1 to max_frames")


@dataclass(frozen=True, slots=True)
class FaceResult:
    """`score` is 1 - distance (0..1, larger is more alike), only when a comparison was made. `hint`: what the person could do."""

    decision: Decision
    score: float | None = None
    frames: int = 0
    hint: Hint = ""


class FrameSource(Protocol):
    def frames(self, deadline: Deadline) -> Iterable[Frame]:
        """LinkError when there is no camera."""
        ...


class FaceVerifier:
    """Cheap to make; `load` (or the first `verify`) loads the models. Single-threaded."""

    def __init__(self, config: FaceConfig, clock: Clock, camera: FrameSource | None = None, encoder: Encoder | None = None) -> None:
        self._config = config
        self._clock = clock
        self._camera: FrameSource = camera or Camera(config.camera, clock, config.width, config.height)
        self._encoder = encoder
        self._key: ec.EllipticCurvePrivateKey | None = None

    def load(self) -> Encoder:
        """Load the models now (about a second, 80 MiB). ConfigurationFault says what is missing or not the tested file."""
        if self._encoder is None:
            files = find_models(self._config.models)
            try:
                self._encoder = DlibEncoder(files)
            except (ImportError, RuntimeError) as error:
                raise ConfigurationFault(f"face models: dlib or OpenCV cannot be loaded ({type(error).__name__})") from None
        return self._encoder

    def public_key(self) -> bytes:
        """A new key for one template (P-256, uncompressed point). Its private half lives in this process until the next `verify`."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        return public_bytes(self._key)

    def verify(self, template: str | Mapping[str, object], deadline: Deadline) -> FaceResult:
        """Compare the person with `template` (the bank's JSON text or object), sealed for the last `public_key`. Never raises DeviceError.

        The key is used up, whatever the decision: a recorded template opens nothing later.
        """
        key, self._key = self._key, None
        try:
            encoder = self.load()
        except ConfigurationFault:
            return FaceResult("modelFault")
        try:
            if key is None:
                raise TemplateRefused("no key was made for it")
            enrolled = open_template(template, key, encoder.model_sha256)
        except TemplateRefused:
            return FaceResult("templateRefused")
        try:
            return self._compare(encoder, enrolled, deadline)
        except LinkError:
            return FaceResult("cameraFault")
        finally:
            enrolled[:] = [0.0] * len(enrolled)

    def _compare(self, encoder: Encoder, enrolled: list[float], deadline: Deadline) -> FaceResult:
        gate = _Gate(self._config)
        collecting = Deadline(self._clock, deadline.at - ENCODE_RESERVE_S)
        for frame in self._camera.frames(collecting):
            gate.look(frame, encoder.faces(frame))
            if gate.enough:
                break
        if gate.several >= SEVERAL_FRAMES:
            return FaceResult("severalFaces", frames=gate.frames)
        if gate.best is None:
            seen: Decision = "poorQuality" if gate.hint or gate.several else "noFace"
            return FaceResult(seen, frames=gate.frames, hint=gate.hint)
        probe = encoder.encode(*gate.best)
        distance = math.dist(probe, enrolled)
        probe[:] = [0.0] * len(probe)
        if not math.isfinite(distance) or deadline.expired:
            return FaceResult("poorQuality", frames=gate.frames)
        decision: Decision = "accepted" if distance <= self._config.threshold else "rejected"
        return FaceResult(decision, round(max(0.0, 1 - distance), 3), gate.frames)


class _Gate:
    """Keeps the best frame of those that are good enough, and remembers why the others were not."""

    def __init__(self, config: FaceConfig) -> None:
        self._config = config
        self.frames = self.good = self.several = 0
        self.best: tuple[Frame, Face] | None = None
        self._best_quality = 0.0
        self.hint: Hint = ""

    @property
    def enough(self) -> bool:
        return self.good >= self._config.good_frames or self.several >= SEVERAL_FRAMES or self.frames >= self._config.max_frames

    def look(self, frame: Frame, faces: list[Face]) -> None:
        self.frames += 1
        if not faces:
            return
        largest, *others = sorted(faces, key=lambda face: face.area, reverse=True)
        if any(other.area >= SIMILAR_AREA * largest.area for other in others):
            self.several += 1
            return
        self.hint = self._wanting(largest, frame.shape[1])
        if self.hint:
            return
        self.good += 1
        quality = largest.sharpness * largest.eye_distance_px
        if quality > self._best_quality:
            self.best, self._best_quality = (frame.copy(), largest), quality

    def _wanting(self, face: Face, width: int) -> Hint:
        """What the person could do for a better picture; motion and distance cost most (false rejects), so they are gated."""
        config = self._config
        if not 0.2 * width <= face.centre_x <= 0.8 * width:
            return "stepToTheMiddle"
        if face.brightness < config.min_brightness:
            return "moreLight"
        if face.brightness > config.max_brightness:
            return "lessLight"
        if face.eye_distance_px < config.min_eye_distance_px:
            return "comeCloser"
        return "holdStill" if face.sharpness < config.min_sharpness else ""
