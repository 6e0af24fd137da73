"""Pictures for the mirror that need no person: the left half blue, the right half red, as a worker has mirrored them."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import cv2
import numpy

RED, BLUE = (40, 40, 220), (220, 60, 40)  # BGR


def halves(width: int = 480, height: int = 360) -> bytes:
    """A JPEG: blue on the left and red on the right of the screen."""
    frame = numpy.zeros((height, width, 3), numpy.uint8)
    frame[:, : width // 2] = BLUE
    frame[:, width // 2 :] = RED
    done, data = cv2.imencode(".jpg", frame)
    assert done
    return bytes(data)


def framed(picture: bytes) -> bytes:
    """As it goes over the socket."""
    return struct.pack(">I", len(picture)) + picture


DARK = struct.pack(">I", 0)


class Camera:
    """The face worker's end of the mirror."""

    def __init__(self, path: Path | str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))

    def send(self, picture: bytes) -> None:
        self._socket.sendall(framed(picture))

    def send_raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def dark(self) -> None:
        self._socket.sendall(DARK)

    def ended(self, within_s: float = 10.0) -> bool:
        """The other end hung up; so do we."""
        self._socket.settimeout(within_s)
        try:
            return self._socket.recv(1) == b""
        except ConnectionError:
            return True
        finally:
            self._socket.close()

    def close(self) -> None:
        self._socket.close()
