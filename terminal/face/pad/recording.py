"""One recorded presentation: a folder with what was shown to the camera, frame by frame, and what was asked meanwhile.

``meta.json`` says who or what it was (`species`: "live", or the bank's own name of an attack instrument; `subject`: whose face), under
which written consent, with which challenge. ``frames.bin`` holds each frame as its moment (double, seconds), its length (four bytes) and a
JPEG.
The recorder judged the decoded JPEGs, so whoever reads them again sees exactly the same.

These are face images. They are written only here, only after an operator confirmed the person's written consent, mode 0600 in a folder of
mode 0700, and it is the bank's to delete them.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drivers.devices.camera import Frame

LIVE = "live"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
HEAD = struct.Struct(">dI")
MAX_JPEG = 4 * 1024 * 1024
QUALITY = 95


class RecordingError(ValueError):
    """A sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Meta:
    """`consent`: the reference of the signed form. `turns`, `draws`: the challenge, and the random numbers behind it."""

    species: str
    subject: str
    consent: str
    recorded_at: str
    turns: tuple[str, ...]
    draws: tuple[int, ...]
    fps: float

    def __post_init__(self) -> None:
        for what, value in (("species", self.species), ("subject", self.subject)):
            if not NAME.fullmatch(value):
                raise RecordingError(f"{what} must be 1 to 40 letters, digits, '-' or '_'")
        if not self.consent.strip():
            raise RecordingError("a recording needs the reference of the person's written consent")


class Writer:
    """Creates the folder; `add` gives back the frame as a reader will see it. `close` writes the meta data, without which it is none."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, mode=0o700)
        self.folder = folder
        self._file = os.fdopen(os.open(folder / "frames.bin", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def add(self, at: float, frame: Frame) -> Any:
        import cv2

        _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        self._file.write(HEAD.pack(at, len(data)) + data.tobytes())
        return cv2.imdecode(data, cv2.IMREAD_COLOR)

    def close(self, meta: Meta) -> None:
        self._file.close()
        path = self.folder / "meta.json"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(meta), file, indent=1)


@dataclass(frozen=True, slots=True)
class Recording:
    folder: Path
    meta: Meta

    def frames(self) -> Iterator[tuple[float, Any]]:
        """Moment and frame. RecordingError: cut, or no picture."""
        import cv2
        import numpy

        with (self.folder / "frames.bin").open("rb") as file:
            while head := file.read(HEAD.size):
                if len(head) < HEAD.size:
                    raise RecordingError(f"{self.folder.name}: frames.bin is cut")
                at, length = HEAD.unpack(head)
                data = file.read(length) if length <= MAX_JPEG else b""
                frame = cv2.imdecode(numpy.frombuffer(data, numpy.uint8), cv2.IMREAD_COLOR) if len(data) == length > 0 else None
                if frame is None:
                    raise RecordingError(f"{self.folder.name}: frames.bin has a frame that is no picture")
                yield at, frame


def recordings(folder: Path) -> list[Recording]:
    """Those that were finished, in the order of their names. RecordingError: none, or meta data that is none."""
    found = []
    for path in sorted(folder.glob("*/meta.json")):
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            fields["turns"], fields["draws"] = tuple(fields["turns"]), tuple(fields["draws"])
            found.append(Recording(path.parent, Meta(**fields)))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RecordingError(f"{path}: is no recording's meta data ({error})") from None
    if not found:
        raise RecordingError(f"{folder}: there is no finished recording")
    return found
