"""The card's side of the vpcd wire: a TCP client. Connected means inserted, closed means pulled.

Frame: two bytes of length, big-endian, then the bytes. From the reader a frame of one byte is a control: 00 power off, 01 power on,
02 reset, 04 send the answer to reset; anything longer is an APDU. Without TCP_QUICKACK before every receive each APDU waits some
40 ms for a delayed acknowledgement.
"""

from __future__ import annotations

import socket
from enum import IntEnum, unique

MAX_FRAME = 65535


@unique
class Control(IntEnum):
    """What a reader asks of the slot itself."""

    OFF = 0
    ON = 1
    RESET = 2
    ATR = 4


class VpcdLink:
    """One insertion. Raises OSError when the reader is not there (yet)."""

    def __init__(self, host: str, port: int, timeout_s: float = 2.0) -> None:
        self.socket = socket.create_connection((host, port), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def fileno(self) -> int:
        return self.socket.fileno()

    def read(self) -> list[bytes] | None:
        """Whole frames that have come (maybe none yet); None when the reader closed. Call when the socket is readable."""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        try:
            data = self.socket.recv(65536)
        except OSError:
            return None
        if not data:
            return None
        self._rest += data
        frames = []
        while len(self._rest) >= 2 and len(self._rest) >= 2 + (size := int.from_bytes(self._rest[:2], "big")):
            frames.append(self._rest[2 : 2 + size])
            self._rest = self._rest[2 + size :]
        return frames

    def send(self, frame: bytes) -> None:
        if len(frame) > MAX_FRAME:
            raise ValueError(f"a frame of {len(frame)} bytes does not fit the vpcd wire")
        self.socket.sendall(len(frame).to_bytes(2, "big") + frame)

    def close(self) -> None:
        self.socket.close()
