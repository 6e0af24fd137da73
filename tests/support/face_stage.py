"""Rendered presentations before the real verifier and its real models, in virtual time: a camera of fifteen frames a second, however busy
the machine is."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
from face_sealing import sealed_template

from drivers.devices.camera import CameraState, Shot
from drivers.transports.base import Deadline
from drivers.transports.memory import VirtualClock
from simulators.camera.presentations import Presentation
from terminal.face.backend import Backend
from terminal.face.verifier import FaceConfig, FaceResult, FaceVerifier, Progress

FPS = 15.0
STEP_S = 20.0
JITTER_S = 0.004
PAGE_S = 0.12
"""From the verifier's word to what the person sees: page and eyes."""


@dataclass(slots=True)
class Outcome:
    """One presentation's end. `seconds`: from the first "look at the camera" to the decision, of the camera's time."""

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

    def asks(self, stage: str) -> None:
        if not self.cues or self.cues[-1][1] != stage:
            self.cues.append((self.clock.now() + PAGE_S, stage))

    def frames(self, deadline: Deadline) -> Iterator[Shot]:
        jitter, began, heard = random.Random(self.seed), self.clock.now(), 0
        while not deadline.expired:
            self.clock.sleep(1 / FPS + jitter.uniform(-JITTER_S, JITTER_S))
            at = self.clock.now()
            while heard < len(self.cues) and self.cues[heard][0] <= at:
                since, stage = self.cues[heard]
                self.presentation.cue(stage, since - began)
                heard += 1
            yield Shot(at, self.presentation.frame(at - began))

    def check(self, deadline: Deadline) -> CameraState:
        return CameraState.WELL


class EnrolledCustomer:
    """Somebody's template from the simulated bank's desk, sealed for whoever asks."""

    def __init__(self, templates: Path, customer: str = "customer") -> None:
        content = json.loads(templates.read_text())
        self.model: str = content["model"]
        self.values = numpy.array(struct.unpack("<128f", bytes.fromhex(content["templates"][customer]["encoding"])))

    def template(self, public_key: bytes) -> dict[str, Any]:
        return sealed_template(list(self.values), public_key, self.model)


def present(species: str, seed: int, presentation: Presentation, customer: EnrolledCustomer, backend: Backend, **config: Any) -> Outcome:
    """One whole verification in virtual time."""
    clock = VirtualClock()
    camera = StagedCamera(presentation, clock, seed)
    chance = random.Random(seed * 7919 + 13)
    verifier = FaceVerifier(FaceConfig("staged", fps=FPS, **config), clock, chance.randrange, camera=camera, backend=backend)
    result = FaceResult("noFace")
    for told in verifier.verify(customer.template(verifier.public_key()), Deadline.after(clock, STEP_S)):
        if isinstance(told, Progress):
            camera.asks(told.stage)
        else:
            result = told
    evidence = result.evidence
    return Outcome(species, seed, result.decision, evidence.liveness, evidence.score, evidence.seconds, evidence.challenge.count("turn"))
