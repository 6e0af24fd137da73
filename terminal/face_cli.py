"""`branch-terminal face pad record|report`: a bank's own people and its own attack instruments before the terminal's own camera.

The agent must not be running while it is recorded: a camera has one owner.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from pathlib import Path

from drivers.devices.camera import Camera
from drivers.transports.base import MonotonicClock
from terminal.config import Config, ConfigError
from terminal.config_face import FaceSection
from terminal.face.backend import load_backend
from terminal.face.pad.picture import as_svg
from terminal.face.pad.recorder import Refused, check_names, confirm, record
from terminal.face.pad.recording import RecordingError, recordings
from terminal.face.pad.report import Judge, as_text, rows
from terminal.face.passive import Passive, PassiveConfig
from terminal.face.verifier import FaceConfig


def pad_record(
    config: Config, folder: Path, species: str, subject: str, consent: str, times: int, ask: Callable[[str], str] = input
) -> int:
    """`times` presentations. 0: recorded; 1: not confirmed, or the camera failed (DeviceError is the caller's)."""
    face = _face(config)
    try:
        check_names(species, subject, consent)
        confirm(ask, subject, consent)
    except (Refused, RecordingError) as error:
        sys.stderr.write(f"branch-terminal: {error}\n")
        return 1
    settings = face_config(face)
    clock, backend = MonotonicClock(), load_backend(settings.backend, settings.pipeline)
    camera = Camera(settings.camera, clock, settings.width, settings.height, settings.fps)
    for number in range(1, times + 1):
        ask(f"{number} of {times}: {species}, {subject}. Press enter when ready: ")
        came = record(
            folder,
            species,
            subject,
            consent,
            config=settings,
            camera=camera,
            backend=backend,
            clock=clock,
            random_below=secrets.randbelow,
            tell=lambda text: print(f"  {text}", flush=True),
        )
        print(f"  recorded ({came})", flush=True)
    return 0


def pad_report(config: Config, folder: Path, picture: Path | None) -> int:
    """The table on standard output; the picture (SVG) where asked."""
    settings = face_config(_face(config))
    backend = load_backend(settings.backend, settings.pipeline)
    passive = Passive(settings.passive) if settings.passive is not None else None
    try:
        table = rows(Judge(settings, backend, passive).judge(recordings(folder)))
    except RecordingError as error:
        sys.stderr.write(f"branch-terminal: {error}\n")
        return 1
    print(as_text(table, passive is not None))
    if picture is not None:
        picture.write_text(as_svg(table, f"Presentation attacks: {backend.name}"), encoding="utf-8")
    return 0


def face_config(face: FaceSection) -> FaceConfig:
    """What the face worker would be given."""
    passive = None
    if face.passive_model is not None:
        passive = PassiveConfig(face.passive_model, face.passive_sha256, face.passive_format, face.passive_threshold)
    return FaceConfig(
        camera=face.camera,
        width=face.width,
        height=face.height,
        fps=face.fps,
        backend=face.backend,
        accept=face.accept,
        ask_again=face.ask_again,
        high_accept=face.high_security_accept,
        turns=face.challenge_turns,
        passive=passive,
    )


def _face(config: Config) -> FaceSection:
    if config.face is None:
        raise ConfigError("there is no [face] section: this terminal has no camera")
    return config.face
