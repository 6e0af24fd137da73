"""What the person sees of themselves: small pictures to the kiosk page's process, over a Unix socket, never by way of the agent.

Each message: its length in four bytes (big-endian), then a JPEG of at most 480 x 360. Length 0: the camera is closed, the mirror goes dark;
so does the end of the connection. Nothing waits: a socket that is full drops the picture. Pictures are mirrored, as people know themselves.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from drivers.devices.camera import Frame

WIDTH, HEIGHT = 480, 360
EVERY_S = 0.09
JPEG_QUALITY = 75


class Mirror(Protocol):
    def show(self, at: float, frame: Frame) -> None:
        """At most about ten a second are sent."""
        ...

    def close(self) -> None:
        """Idempotent."""
        ...


class NoMirror:
    """A terminal without a page, and the recorder."""

    def show(self, at: float, frame: Frame) -> None:
        """Nobody looks."""

    def close(self) -> None:
        """Nothing is open."""


class SocketMirror:
    """Connects at the first picture. A page that is not there is no fault of the verification."""

    def __init__(self, path: Path | str) -> None:
        self._path = str(path)
        self._socket: socket.socket | None = None
        self._tried = False
        self._last = float("-inf")
        self._rest = b""

    def show(self, at: float, frame: Frame) -> None:
        if at - self._last < EVERY_S:
            return
        self._last = at
        if self._connected() and self._flush():
            self._rest = _message(_jpeg(frame))
            self._flush()

    def close(self) -> None:
        """Dark, then the end: a message that is half sent cannot be followed by another, so then only the end."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                if self._flush():
                    self._socket.send(_message(b""))
            with contextlib.suppress(OSError):
                self._socket.close()
        self._socket, self._rest, self._tried, self._last = None, b"", False, float("-inf")

    def _connected(self) -> bool:
        if self._socket is None and not self._tried:
            self._tried = True
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                client.settimeout(0.2)
                client.connect(self._path)
                client.setblocking(False)
                self._socket = client
            except OSError:
                client.close()
        return self._socket is not None

    def _flush(self) -> bool:
        """True when nothing is left to send."""
        while self._rest and self._socket is not None:
            try:
                sent = self._socket.send(self._rest)
            except BlockingIOError:
                return False
            except OSError:
                self._socket.close()
                self._socket, self._rest = None, b""
                return False
            self._rest = self._rest[sent:]
        return self._socket is not None


def _message(picture: bytes) -> bytes:
    return struct.pack(">I", len(picture)) + picture


def _jpeg(frame: Frame) -> bytes:
    import cv2

    scale = min(WIDTH / frame.shape[1], HEIGHT / frame.shape[0], 1.0)
    small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    good, data = cv2.imencode(".jpg", cv2.flip(small, 1), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(data.tobytes()) if good else b""
