"""The configuration's `[face]` section, and what types alone cannot say about it. Scores are cosines (docs/face.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from drivers.errors import ConfigurationFault
from terminal.face.bands import BANDS, bands_of

SOCKET_PATH_BYTES = 107


@dataclass(frozen=True, slots=True)
class FaceSection:
    """Absent section: no face step-up, no face services, and no amounts that need a face. A threshold left out is the backend's own.

    `high_security_from_minor`: from this amount on `high_security_accept` counts. `passive_model`: a file of the bank's choice, known by
    its sha256. `mirror`: Unix socket between camera and page. `controller`: who answers for the data, as the consent names it.
    """

    camera: str
    from_minor: int
    backend: str = "sface"
    width: int = 640
    height: int = 480
    fps: int = 15
    accept: float | None = None
    ask_again: float | None = None
    high_security_accept: float | None = None
    high_security_from_minor: int | None = None
    attempts: int = 3
    challenge_turns: int = 2
    passive_model: Path | None = None
    passive_sha256: str = ""
    passive_format: str = "minifasnet"
    passive_threshold: float = 0.7
    controller: str = ""
    retention_months: int = 12
    mirror: Path = Path("face-mirror.sock")


def refusals(face: FaceSection) -> list[tuple[bool, str]]:
    """(refused, sentence) of each rule."""
    return [*_thresholds(face), *_policy(face), *_camera(face)]


def _thresholds(face: FaceSection) -> list[tuple[bool, str]]:
    if face.backend not in BANDS:
        return [(True, f"face.backend must be one of {', '.join(BANDS)}")]
    try:
        bands = bands_of(face.backend, face.accept, face.ask_again)
    except ConfigurationFault as fault:
        return [(True, f"face: {fault}")]
    strict, strict_from = face.high_security_accept, face.high_security_from_minor
    return [
        (strict is not None and not bands.accept <= strict < 1.0, "face.high_security_accept must be face.accept or more, and below 1"),
        ((strict is None) != (strict_from is None), "face.high_security_accept and face.high_security_from_minor belong together"),
        (strict_from is not None and strict_from < face.from_minor, "face.high_security_from_minor must not be below face.from_minor"),
    ]


def _policy(face: FaceSection) -> list[tuple[bool, str]]:
    return [
        (face.from_minor <= 0, "face.from_minor is above 0"),
        (not 1 <= face.attempts <= 5, "face.attempts must be 1 to 5"),
        (not 1 <= face.challenge_turns <= 4, "face.challenge_turns must be 1 to 4"),
        (not 1 <= face.retention_months <= 60, "face.retention_months must be 1 to 60"),
        (len(face.controller) > 80 or not face.controller.isprintable(), "face.controller must be a name of at most 80 characters"),
    ]


def _camera(face: FaceSection) -> list[tuple[bool, str]]:
    sha256_needed = face.passive_model is not None and not re.fullmatch("[0-9a-f]{64}", face.passive_sha256)
    return [
        (not face.camera, "face.camera must name a device or a recording"),
        (not (160 <= face.width <= 1920 and 120 <= face.height <= 1080), "face.width and face.height must be 160 x 120 to 1920 x 1080"),
        (not 5 <= face.fps <= 60, "face.fps must be 5 to 60"),
        (face.passive_format not in ("minifasnet", "faceplugin"), 'face.passive_format must be "minifasnet" or "faceplugin"'),
        (not 0.0 < face.passive_threshold < 1.0, "face.passive_threshold must be above 0 and below 1"),
        (sha256_needed, "face.passive_sha256 must be the sha256 of face.passive_model, 64 lower-case hex digits"),
        (face.passive_model is None and bool(face.passive_sha256), "face.passive_sha256 is given without face.passive_model"),
        (len(str(face.mirror).encode()) > SOCKET_PATH_BYTES, f"face.mirror must be a path of at most {SOCKET_PATH_BYTES} bytes"),
    ]
