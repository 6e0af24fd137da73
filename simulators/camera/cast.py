"""The two people of the scenes as heads that can be turned, from the fetched photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from simulators.camera.encode import SFaceDesk, read_photograph
from simulators.camera.head import Head, Points

PEOPLE = {"customer": "obama.jpg", "other": "biden.jpg"}


def head_of(rgb: Any, desk: SFaceDesk) -> Head:
    """EncodingFailed: no face in the picture."""
    eye_left, eye_right, nose, *_ = desk.points(rgb)
    return Head(rgb[:, :, ::-1], Points(eye_left, eye_right, nose))


def heads(photographs: Path) -> dict[str, Head]:
    """By the name of the enrolled customer. EncodingFailed: a photograph or the models are missing."""
    desk = SFaceDesk()
    return {name: head_of(read_photograph(photographs / file), desk) for name, file in PEOPLE.items()}
