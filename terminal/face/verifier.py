"""Is the person before the camera the one the card was issued to, alive and present? The loop around camera, networks and session.

Fails closed: whatever is missing, damaged, odd or late ends in a decision that is not "accepted". Accepted needs all of: one face all the
time, the challenge passed, the passive network (when one is configured) content, and the best frame before AND the best one after the
challenge alike enough (the lower score decides). Only decision, figures and codes leave; images never, templates only sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from drivers.devices.camera import Camera, CameraState, Shot
from drivers.errors import ConfigurationFault, LinkError
from drivers.transports.base import Clock, Deadline
from terminal.core.model import FaceEvidence
from terminal.face.backend import Backend, BackendConfig, load_backend
from terminal.face.bands import Band, Bands, bands_of
from terminal.face.challenge import Challenge, RandomBelow, draw_turns
from terminal.face.liveness import FrameWatch
from terminal.face.mirror import Mirror, NoMirror
from terminal.face.passive import Passive, PassiveConfig
from terminal.face.quality import QualityLimits
from terminal.face.scores import LEAST_FRAMES, NotAlike, cosine, mean_template
from terminal.face.session import Kept, Session, SessionRules
from terminal.face.template import OneTimeKey, TemplateRefused, open_template, seal_template, wipe
from terminal.face.values import Decision, Detection, FrameRefused, Hint, ModelFault, Stage

if TYPE_CHECKING:
    from drivers.devices.camera import Frame
    from terminal.face.values import Embedding

COMPARE_RESERVE_S = 0.5
HINT_EVERY_S = 0.4
DECISIONS: Mapping[Band, Decision] = {"accept": "accepted", "askAgain": "askAgain", "refuse": "rejected"}


@dataclass(frozen=True, slots=True)
class FaceConfig:
    """Thresholds of None are the backend's own. `turns` 0: no challenge (for measuring only). `high_accept`: of a high-security step."""

    camera: str | int
    width: int = 640
    height: int = 480
    fps: float = 15.0
    backend: str = "sface"
    models: Path | None = None
    accept: float | None = None
    ask_again: float | None = None
    high_accept: float | None = None
    limits: QualityLimits = field(default_factory=QualityLimits)
    turns: int = 2
    passive: PassiveConfig | None = None

    def __post_init__(self) -> None:
        bands_of(self.backend, self.accept, self.ask_again)
        if not 0 <= self.turns <= 5:
            raise ConfigurationFault("the challenge has 1 to 5 turns")

    @property
    def pipeline(self) -> BackendConfig:
        return BackendConfig(self.models, self.accept, self.ask_again)


@dataclass(frozen=True, slots=True)
class Progress:
    """What the person is asked for now; `done` of `of` turns (or frames)."""

    stage: Stage
    hint: Hint
    done: int
    of: int


@dataclass(frozen=True, slots=True)
class FaceResult:
    """`template`: of an enrolment that was accepted, sealed, JSON text. `camera`: what the picture said last. `gone`: the camera is."""

    decision: Decision | Literal["stopped"]
    evidence: FaceEvidence = field(default_factory=FaceEvidence)
    template: str = field(default="", repr=False)
    camera: CameraState = CameraState.WELL
    gone: LinkError | None = None


@dataclass(frozen=True, slots=True)
class Recipient:
    """For whom an enrolment is sealed. `key`: the bank's P-256 point, uncompressed."""

    key: bytes = field(repr=False)
    key_id: str
    transaction_id: str
    consent_id: str


class FrameSource(Protocol):
    def frames(self, deadline: Deadline) -> Iterable[Shot]:
        """LinkError when there is no camera."""
        ...

    def check(self, deadline: Deadline) -> CameraState:
        """A short look between two persons."""
        ...


Told = Progress | FaceResult
"""Any number of Progress, then one FaceResult."""


class FaceVerifier:
    """Cheap to make; `load` (or the first use) loads the models. Single-threaded. `random_below`: secrets.randbelow."""

    def __init__(
        self,
        config: FaceConfig,
        clock: Clock,
        random_below: RandomBelow,
        *,
        camera: FrameSource | None = None,
        backend: Backend | None = None,
        mirror: Mirror | None = None,
    ) -> None:
        self._config, self._clock, self._random_below = config, clock, random_below
        self.camera: FrameSource = camera or Camera(config.camera, clock, config.width, config.height, config.fps)
        self._backend = backend
        self._passive: Passive | None = None
        self._mirror = mirror or NoMirror()
        self._key = OneTimeKey()
        self.interrupted: Callable[[], bool] = lambda: False

    def load(self) -> Backend:
        """Load the models now. ConfigurationFault says what is missing or not the tested file."""
        if self._backend is None:
            self._backend = load_backend(self._config.backend, self._config.pipeline)
        if self._passive is None and self._config.passive is not None:
            self._passive = Passive(self._config.passive)
        return self._backend

    def public_key(self) -> bytes:
        """A new key for one template (P-256, uncompressed point). Its private half lives in this process until the next `verify`."""
        return self._key.make()

    def verify(self, template: str | Mapping[str, object], deadline: Deadline, *, high_security: bool = False) -> Iterator[Told]:
        """Compare the person with `template`, sealed for the last `public_key`, which is used up. DeviceErrors become decisions."""
        try:
            key = self._key.take()
            backend = self.load()
            enrolled = open_template(template, key, backend.model_sha256)
        except ConfigurationFault:
            yield FaceResult("modelFault")
            return
        except TemplateRefused:
            yield FaceResult("templateRefused")
            return
        try:
            strict = self._config.high_accept if high_security else None
            bands = backend.bands if strict is None else replace(backend.bands, accept=max(strict, backend.bands.accept))
            yield from self._step(backend, deadline, lambda session: self._compare(session, enrolled, bands), bands)
        finally:
            wipe(enrolled)

    def enrol(self, recipient: Recipient, deadline: Deadline) -> Iterator[Told]:
        """The same step; the frames before and after, at least three that agree with each other, become the template."""
        try:
            backend = self.load()
        except ConfigurationFault:
            yield FaceResult("modelFault")
            return
        yield from self._step(backend, deadline, lambda session: self._enrol(session, recipient, backend), backend.bands)

    # --- the step

    def _step(self, backend: Backend, deadline: Deadline, conclude: Callable[[Session], FaceResult], bands: Bands) -> Iterator[Told]:
        began = self._clock.now()
        session = self._new_session(backend)
        looked = FaceEvidence(backend.name, backend.model_sha256, accept_at=bands.accept, ask_again_at=bands.ask_again)
        stopped, result = False, FaceResult("noFace")
        try:
            for told in self._look(session, backend, Deadline(self._clock, deadline.at - COMPARE_RESERVE_S)):
                stopped = told is None
                if told is not None:
                    yield told
            result = FaceResult("stopped") if stopped else self._judge(session, conclude)
        except LinkError as error:
            result = FaceResult("cameraFault", gone=error)
        except ModelFault:
            result = FaceResult("modelFault")
        finally:
            self._mirror.close()
            for kept in (*session.before, *session.after):
                wipe(kept.embedding)
        if deadline.expired and result.decision == "accepted":
            result = FaceResult("poorQuality")
        told_by = result.evidence
        evidence = replace(
            looked,
            **{name: getattr(told_by, name) for name in ("band", "score", "sharpness", "brightness", "eye_distance_px", "yaw")},
            liveness=session.reason or ("notAsked" if session.challenge is None else "noResponse" if session.begun else "notBegun"),
            challenge=",".join(session.challenge.turns) if session.challenge is not None else "",
            passive=told_by.passive or ("notConfigured" if self._passive is None else ""),
            frames=session.frames,
            seconds=round(self._clock.now() - began, 3),
        )
        yield replace(result, evidence=evidence, camera=session.camera)

    def _new_session(self, backend: Backend) -> Session:
        turns = self._config.turns
        challenge = Challenge(draw_turns(self._random_below, turns), self._random_below) if turns else None
        session = Session(SessionRules(self._config.limits), challenge, FrameWatch(self._config.fps), backend.embedder.embed)
        if self._passive is not None:
            session.room = self._passive.room
        return session

    def _look(self, session: Session, backend: Backend, deadline: Deadline) -> Iterator[Progress | None]:
        """Progress when it changes; None when the person (or the agent) wants no more."""
        last, last_at = Progress("look", "", 0, session.of), self._clock.now()
        yield last
        for shot in self.camera.frames(deadline):
            if self.interrupted():
                yield None
                return
            self._mirror.show(shot.at, shot.frame)
            session.see(shot.at, shot.frame, _faces(backend, shot.frame))
            now = Progress(session.stage, session.hint, session.done, session.of)
            if now != last and (replace(now, hint=last.hint) != last or shot.at - last_at >= HINT_EVERY_S):
                last, last_at = now, shot.at
                yield now
            if session.ending:
                return

    def _judge(self, session: Session, conclude: Callable[[Session], FaceResult]) -> FaceResult:
        if session.ending == "done":
            return conclude(session)
        if session.ending:
            return FaceResult(session.ending)
        if session.begun:
            return FaceResult("notLive")
        if session.camera is CameraState.DARK:
            return FaceResult("poorQuality")
        return FaceResult("poorQuality" if session.faces_seen else "noFace")

    # --- conclusions

    def _compare(self, session: Session, enrolled: Embedding, bands: Bands) -> FaceResult:
        sides = [max(side, key=lambda one: one.worth) for side in (session.before, session.after) if side]
        passive = self._passive_says(sides)
        score, weakest = min(((cosine(kept.embedding, enrolled), kept) for kept in sides), key=lambda pair: pair[0])
        band = bands.decide(score)
        evidence = replace(_of(weakest), score=round(score, 4), band=band, passive=passive)
        return FaceResult("notLive" if passive == "failed" else DECISIONS[band], evidence)

    def _enrol(self, session: Session, recipient: Recipient, backend: Backend) -> FaceResult:
        kept = [*session.before, *session.after]
        passive = self._passive_says(kept)
        evidence = replace(_of(max(kept, key=lambda one: one.worth)), passive=passive)
        if passive == "failed":
            return FaceResult("notLive", evidence)
        if len(kept) < LEAST_FRAMES:
            return FaceResult("poorQuality", evidence)
        try:
            template = mean_template([one.embedding for one in kept], backend.bands.accept)
        except NotAlike:
            return FaceResult("poorQuality", evidence)
        try:
            sealed = seal_template(
                template,
                recipient.key,
                transaction_id=recipient.transaction_id,
                consent_id=recipient.consent_id,
                model_sha256=backend.model_sha256,
                kid=recipient.key_id,
            )
        except TemplateRefused:
            return FaceResult("templateRefused", evidence)
        finally:
            wipe(template)
        return FaceResult("accepted", evidence, sealed)

    def _passive_says(self, frames: Iterable[Kept]) -> str:
        if self._passive is None:
            return "notConfigured"
        return "passed" if all(self._passive.live(kept.frame, kept.face) for kept in frames) else "failed"


def _faces(backend: Backend, frame: Frame) -> list[Detection]:
    """A frame that no detector takes shows nobody."""
    try:
        return backend.detector.detect(frame)
    except FrameRefused:
        return []


def _of(kept: Kept) -> FaceEvidence:
    quality = kept.quality
    return FaceEvidence(
        sharpness=round(quality.sharpness, 1),
        brightness=round(quality.brightness, 1),
        eye_distance_px=round(quality.eye_distance_px, 1),
        yaw=round(quality.yaw5, 3),
    )
