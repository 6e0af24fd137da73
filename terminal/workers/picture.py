"""One picture of a device by an inspection camera: ``python -m terminal.workers.picture SOURCE`` writes a JPEG to standard output.

A process of its own, because a camera may hang and OpenCV may crash. SOURCE is a JPEG file that a camera keeps fresh, or a number, file or
address that OpenCV opens. The picture is made small enough for one message.
"""

from __future__ import annotations

import sys
from pathlib import Path

MOST_BYTES = 40_000
JPEG = b"\xff\xd8\xff"
SIZES = ((1280, 80), (960, 70), (640, 70), (640, 50), (320, 50))
"""Widths and JPEG qualities, tried in this order."""


def picture_of(source: str) -> bytes:
    """OSError or ValueError when there is none."""
    path = Path(source)
    if path.is_file():
        data = path.read_bytes()
        if data.startswith(JPEG) and len(data) <= MOST_BYTES:
            return data
    return _captured(source)


def _captured(source: str) -> bytes:
    import cv2

    camera = cv2.VideoCapture(int(source) if source.isdecimal() else source)
    try:
        read, frame = camera.read()
    finally:
        camera.release()
    if not read:
        raise ValueError("the camera gives no picture")
    for width, quality in SIZES:
        scale = min(1.0, width / frame.shape[1])
        small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        made, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if made and len(encoded) <= MOST_BYTES:
            return bytes(encoded)
    raise ValueError("the picture does not become small enough")


def main() -> int:
    try:
        data = picture_of(sys.argv[1])
    except (OSError, ValueError, ImportError) as error:
        sys.stderr.write(f"picture: {error}\n")
        return 1
    sys.stdout.buffer.write(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
