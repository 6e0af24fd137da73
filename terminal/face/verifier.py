"""Is the person before the camera the one the card was issued to? One comparison, in a process of its own.

Fails closed: whatever is missing, damaged or late ends in a decision that is not "accepted". Only decision and score leave. Thresholds:
`bands`; a face is only ever asked for beside card and PIN.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from drivers.devices.camera import Camera
from drivers.errors import ConfigurationFault, LinkError
from drivers.transports.base import Clock, Deadline
from terminal.face.backend import Backend, BackendConfig, load_backend
from terminal.face.bands import Band, bands_of
from terminal.face.quality import QualityLimits, gate, measure
from terminal.face.scores import cosine
from terminal.face.template import OneTimeKey, TemplateRefused, open_template, wipe
from terminal.face.values import Decision, Detection, FrameRefused, Hint, ModelFault

if TYPE_CHECKING:
    from drivers.devices.camera import Frame
    from terminal.face.values import Embedding

SIMILAR_AREA = 0.5
"""A second face of at least this share of the largest one's area: whose account is it?"""
SEVERAL_FRAMES = 5
"""Half a second: somebody who only walks past does not count."""
ENCODE_RESERVE_S = 1.0
DECISIONS: Mapping[Band, Decision] = {"accept": "accepted", "askAgain": "askAgain", "refuse": "rejected"}


@dataclass(frozen=True, slots=True)
class FaceConfig:
    """Thresholds of None are the backend's own. `good_frames` are collected, the best of them is compared (once)."""

    camera: str | int
    width: int = 640
    height: int = 480
    backend: str = "sface"
    models: Path | None = None
    accept: float | None = None
    ask_again: float | None = None
    limits: QualityLimits = field(default_factory=QualityLimits)
    good_frames: int = 4
    max_frames: int = 80

    def __post_init__(self) -> None:
        bands_of(self.backend, self.accept, self.ask_again)
        if not 1 <= self.good_frames <= self.max_frames:
            raise ConfigurationFault("good_frames must be 1 to max_frames")

    @property
    def pipeline(self) -> BackendConfig:
        return BackendConfig(self.models, self.accept, self.ask_again)


@dataclass(frozen=True, slots=True)
class FaceResult:
    """`score` is the cosine (larger is more alike), only when a comparison was made. `hint`: what the person could do."""

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

    def __init__(self, config: FaceConfig, clock: Clock, camera: FrameSource | None = None, backend: Backend | None = None) -> None:
        self._config = config
        self._clock = clock
        self._camera: FrameSource = camera or Camera(config.camera, clock, config.width, config.height)
        self._backend = backend
        self._key = OneTimeKey()

    def load(self) -> Backend:
        """Load the models now. ConfigurationFault says what is missing or not the tested file."""
        if self._backend is None:
            self._backend = load_backend(self._config.backend, self._config.pipeline)
        return self._backend

    def public_key(self) -> bytes:
        """A new key for one template (P-256, uncompressed point). Its private half lives in this process until the next `verify`."""
        return self._key.make()

    def verify(self, template: str | Mapping[str, object], deadline: Deadline) -> FaceResult:
        """Compare the person with `template` (the bank's JSON text or object), sealed for the last `public_key`. Never raises DeviceError.

        The key is used up, whatever the decision: a recorded template opens nothing later.
        """
        try:
            key = self._key.take()
            backend = self.load()
            enrolled = open_template(template, key, backend.model_sha256)
        except ConfigurationFault:
            return FaceResult("modelFault")
        except TemplateRefused:
            return FaceResult("templateRefused")
        try:
            return self._compare(backend, enrolled, deadline)
        except LinkError:
            return FaceResult("cameraFault")
        except ModelFault:
            return FaceResult("modelFault")
        finally:
            wipe(enrolled)

    def _compare(self, backend: Backend, enrolled: Embedding, deadline: Deadline) -> FaceResult:
        best = _Best(self._config)
        collecting = Deadline(self._clock, deadline.at - ENCODE_RESERVE_S)
        for frame in self._camera.frames(collecting):
            best.look(frame, backend.detector.detect(frame))
            if best.enough:
                break
        if best.several >= SEVERAL_FRAMES:
            return FaceResult("severalFaces", frames=best.frames)
        if best.found is None:
            seen: Decision = "poorQuality" if best.hint or best.several else "noFace"
            return FaceResult(seen, frames=best.frames, hint=best.hint)
        probe = backend.embedder.embed(*best.found)
        score = cosine(probe, enrolled)
        wipe(probe)
        if deadline.expired:
            return FaceResult("poorQuality", frames=best.frames)
        return FaceResult(DECISIONS[backend.bands.decide(score)], round(score, 3), best.frames)


class _Best:
    """Keeps the best frame of those that are good enough, and remembers why the others were not."""

    def __init__(self, config: FaceConfig) -> None:
        self._config = config
        self.frames = self.good = self.several = 0
        self.found: tuple[Frame, Detection] | None = None
        self._best_quality = 0.0
        self.hint: Hint = ""

    @property
    def enough(self) -> bool:
        return self.good >= self._config.good_frames or self.several >= SEVERAL_FRAMES or self.frames >= self._config.max_frames

    def look(self, frame: Frame, faces: list[Detection]) -> None:
        self.frames += 1
        if not faces:
            return
        largest, *others = sorted(faces, key=lambda face: face.area, reverse=True)
        if any(other.area >= SIMILAR_AREA * largest.area for other in others):
            self.several += 1
            return
        try:
            quality = measure(frame, largest)
        except FrameRefused:
            return
        self.hint = gate(quality, self._config.limits)
        if self.hint:
            return
        self.good += 1
        if quality.sharpness * quality.eye_distance_px > self._best_quality:
            self.found, self._best_quality = (frame.copy(), largest), quality.sharpness * quality.eye_distance_px
