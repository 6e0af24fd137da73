"""The rendered presentations of `./run bench face --attacks N`: genuine turns and attacks by species, against challenge and matcher.

Mostly in virtual time: frames are rendered for the moment at which the verifier looks, so that thousands of seconds of camera take minutes.
A few genuine steps run through OpenCV's capture in real time, for their duration. Rendered attacks are not a certification of
presentation-attack detection (ISO/IEC 30107-3): they show that the challenge does what it is meant to, and where it does not.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from drivers.devices.camera import CameraState, Shot
from drivers.transports.base import Deadline
from drivers.transports.memory import VirtualClock
from simulators.camera.presentations import Presentation
from simulators.crypto.sealed_box import seal
from terminal.face.backend import Backend
from terminal.face.rotation import rotate
from terminal.face.verifier import FaceConfig, FaceResult, FaceVerifier, Progress

FPS = 15.0
STEP_S = 20.0
JITTER_S = 0.004
PAGE_S = 0.12
"""From the verifier's word to what the person sees: page and eyes."""


@dataclass(slots=True)
class Outcome:
    """One presentation's end."""

    species: str
    seed: int
    decision: str
    reason: str
    score: float | None
    seconds: float
    turns: int


@dataclass(slots=True)
class StagedCamera:
    """A presentation in virtual time, at the camera's rate. What the kiosk asks reaches the person a little later."""

    presentation: Presentation
    clock: VirtualClock
    seed: int
    cues: list[tuple[float, str]] = field(default_factory=list)

    def frames(self, deadline: Deadline) -> Iterator[Shot]:
        jitter, began = random.Random(self.seed), self.clock.now()
        while not deadline.expired:
            self.clock.sleep(1 / FPS + jitter.uniform(-JITTER_S, JITTER_S))
            at = self.clock.now()
            while self.cues and self.cues[0][0] <= at:
                since, stage = self.cues.pop(0)
                self.presentation.cue(stage, since - began)
            yield Shot(at, self.presentation.frame(at - began))

    def check(self, deadline: Deadline) -> CameraState:
        return CameraState.WELL


class Bank:
    """Seals one enrolled customer's template for whoever asks."""

    def __init__(self, values: Any, model: str) -> None:
        self._values, self._model = values, model

    def template(self, public_key: bytes) -> dict[str, Any]:
        seed = bytes(range(32))
        plain = seed + rotate(seed, self._values).astype("<f4").tobytes()
        recipient = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key)
        box = seal(plain, recipient, f"c|t|{self._model}|2".encode(), "bench")
        return {"templateId": "t", "model": self._model, "customer": "c", "schema": 2, "box": box}


def bank_of(cache: Path, customer: str = "customer") -> Bank:
    import numpy

    content = json.loads((cache / "templates.json").read_text())
    values = numpy.array(struct.unpack("<128f", bytes.fromhex(content["templates"][customer]["encoding"])), dtype=numpy.float32)
    return Bank(values, content["model"])


def present(species: str, seed: int, presentation: Presentation, bank: Bank, backend: Backend) -> Outcome:
    """One whole verification in virtual time."""
    clock = VirtualClock()
    camera = StagedCamera(presentation, clock, seed)
    chance = random.Random(seed * 7919 + 13)
    verifier = FaceVerifier(FaceConfig("staged", fps=FPS), clock, chance.randrange, camera=camera, backend=backend)
    result, stage = FaceResult("noFace"), ""
    for told in verifier.verify(bank.template(verifier.public_key()), Deadline.after(clock, STEP_S)):
        if isinstance(told, Progress):
            if told.stage != stage:
                stage = told.stage
                camera.cues.append((clock.now() + PAGE_S, stage))
        else:
            result = told
    evidence = result.evidence
    return Outcome(species, seed, result.decision, evidence.liveness, evidence.score, evidence.seconds, evidence.challenge.count("turn"))
