"""`branch-terminal face pad record`: one presentation after the other before the terminal's own camera, with the terminal's own challenge.

Nothing opens the camera before the operator has confirmed, in so many words, that the person's written consent is at hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from drivers.transports.base import Clock, Deadline
from terminal.face.backend import Backend
from terminal.face.challenge import Challenge, RandomBelow, draw_turns
from terminal.face.liveness import FrameWatch
from terminal.face.pad.recording import Meta, Writer
from terminal.face.session import Session, SessionRules
from terminal.face.verifier import FaceConfig, FrameSource

CONFIRMATION = "the consent is signed"
STEP_S = 25.0
TAIL_S = 1.0
SHOWN = {
    "look": "look at the camera",
    "turnLeft": "TURN LEFT",
    "turnRight": "TURN RIGHT",
    "lookStraight": "look straight",
    "compare": "done",
}


class Refused(Exception):
    """The operator did not confirm."""


def confirm(ask: Callable[[str], str], subject: str, consent: str) -> None:
    """Refused unless the sentence is typed."""
    said = ask(f"Recording face images of {subject} under consent {consent}. Type '{CONFIRMATION}' to go on: ")
    if said.strip().casefold() != CONFIRMATION:
        raise Refused("not confirmed: nothing was recorded, the camera was not opened")


class _Noted:
    """The random numbers, kept for the report."""

    def __init__(self, random_below: RandomBelow) -> None:
        self._random_below = random_below
        self.draws: list[int] = []

    def __call__(self, below: int) -> int:
        self.draws.append(self._random_below(below))
        return self.draws[-1]


def record(
    folder: Path,
    species: str,
    subject: str,
    consent: str,
    *,
    config: FaceConfig,
    camera: FrameSource,
    backend: Backend,
    clock: Clock,
    random_below: RandomBelow,
    tell: Callable[[str], object],
) -> str:
    """One presentation; returns what came of it, in a word. LinkError: the camera. RecordingError: a name that cannot be one."""
    chance = _Noted(random_below)
    turns = draw_turns(chance, config.turns)
    challenge = Challenge(turns, chance)
    session = Session(SessionRules(config.limits), challenge, FrameWatch(config.fps), backend.embedder.embed)
    now = datetime.now(UTC)
    meta = Meta(species, subject, consent, now.isoformat(timespec="seconds"), turns, tuple(chance.draws), config.fps)
    name = f"{now:%Y%m%dT%H%M%S}-{time.monotonic_ns() % 1_000_000:06d}-{species}-{subject}"
    writer, stage, ended_at = Writer(folder / name), "", float("inf")
    tell(SHOWN["look"])
    for shot in camera.frames(Deadline.after(clock, STEP_S)):
        seen = writer.add(shot.at, shot.frame)
        session.see(shot.at, seen, backend.detector.detect(seen))
        if session.stage != stage:
            stage = session.stage
            tell(SHOWN[stage])
        ended_at = min(ended_at, shot.at) if session.ending else ended_at
        if shot.at - ended_at > TAIL_S:
            break
    writer.close(meta)
    return session.reason or "noResponse"


def check_names(species: str, subject: str, consent: str) -> None:
    """RecordingError before anything is opened."""
    Meta(species, subject, consent, "", (), (), 15.0)
