"""The pad's end of the ZT588 wire: frames in, frames out. Written from docs/pinpad-extensions.md, not from the driver.

STX, three decimal digits of length, text, ETX, XOR of length, text and ETX as two hex digits. A frame that is not right is not
answered; bytes between frames are ignored.
"""

from __future__ import annotations

from functools import reduce
from operator import xor

MAX_BUFFER = 2048


def frame(text: bytes) -> bytes:
    counted = f"{len(text):03d}".encode() + text + b"\x03"
    return b"\x02" + counted + f"{reduce(xor, counted):02X}".encode()


class FrameReader:
    """`feed` gives the texts of the whole and undamaged frames."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[bytes]:
        texts = []
        self._held = (self._held + data)[-MAX_BUFFER:]
        while (start := self._held.find(b"\x02")) >= 0:
            self._held = self._held[start:]
            length = self._held[1:4]
            if length and not length.isdigit():
                self._held = self._held[1:]
                continue
            end = 7 + int(length or b"0")
            if len(length) < 3 or len(self._held) < end:
                break
            candidate = self._held[:end]
            if candidate == frame(candidate[4:-3]):
                texts.append(candidate[4:-3])
                self._held = self._held[end:]
            else:
                self._held = self._held[1:]
        else:
            self._held = b""
        return texts

    def forget(self) -> None:
        self._held = b""
