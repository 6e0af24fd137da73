"""SZZT ZT588 encrypting PIN pad: the serial frame and the key presses between frames.

Source: no vendor manual is public. This follows an independent open implementation (smartkiosk/smartware, MIT:
`szzt_connection.rb`); nothing here was seen on real hardware. The texts inside the frames: `szzt_zt588_commands` (the vendor's)
and `szzt_zt588_extension` (our own: TR-31 key blocks and DUKPT).

Frame, both ways: STX, length of the text in three decimal digits, text, ETX, two hex digits: XOR of length, text and ETX.
A key press is one byte outside any frame.
"""

from __future__ import annotations

from dataclasses import dataclass

STX = 0x02
ETX = 0x03
MAX_TEXT = 999
_OVERHEAD = 7  # STX, three digits, ETX, two digits


@dataclass(frozen=True, slots=True)
class Frame:
    """A text whose length and checksum are right. It may hold a PAN or a key block: not shown."""

    text: bytes

    def __repr__(self) -> str:
        return f"<frame of {len(self.text)} bytes>"


@dataclass(frozen=True, slots=True)
class KeyPress:
    """One byte outside a frame. In clear entry it is a digit that the customer typed: not shown."""

    code: int

    def __repr__(self) -> str:
        return "<key press>"


@dataclass(frozen=True, slots=True)
class Noise:
    """Bytes that belong to no frame and are no key press either; they are gone."""

    count: int


Item = Frame | KeyPress | Noise


def checksum(data: bytes) -> int:
    """XOR of length digits, text and ETX."""
    value = 0
    for byte in data:
        value ^= byte
    return value


def encode(text: bytes) -> bytes:
    """The frame of `text`."""
    if not 0 < len(text) <= MAX_TEXT:
        raise ValueError(f"a text has 1 to {MAX_TEXT} bytes, not {len(text)}")
    body = b"%03d%b%c" % (len(text), text, ETX)
    return b"%c%b%02X" % (STX, body, checksum(body))


class Parser:
    """Bytes in pieces of any size -> frames, key presses, noise. Holds at most one unfinished frame (1,006 bytes).

    A damaged frame is dropped whole, up to the next STX or its announced end: its bytes must never pass for key presses.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending(self) -> bool:
        """A frame has begun and is not complete."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[Item]:
        items: list[Item] = []
        self._buffer += data
        while self._buffer:
            item = self._frame() if self._buffer[0] == STX else self._between()
            if item is None:
                break
            items.append(item)
        return items

    def abandon(self) -> int:
        """Give up an unfinished frame after a silence; how many bytes went with it."""
        count = len(self._buffer)
        self._buffer.clear()
        return count

    def _between(self) -> Item:
        code = self._buffer.pop(0)
        return Noise(1) if code == ETX else KeyPress(code)  # an ETX without its STX: the tail of a damaged frame

    def _frame(self) -> Item | None:
        digits = bytes(self._buffer[1:4])
        for at, digit in enumerate(digits, 1):
            if not 0x30 <= digit <= 0x39:
                return self._drop(at if digit == STX else at + 1)
        if len(digits) < 3:
            return None
        size = int(digits) + _OVERHEAD
        again = self._buffer.find(STX, 1, size)  # no text holds an STX: here the next frame begins
        if again > 0:
            return self._drop(again)
        if len(self._buffer) < size:
            return None
        whole = bytes(self._buffer[:size])
        if whole[-3] != ETX or whole[-2:].upper() != b"%02X" % checksum(whole[1:-2]):
            return self._drop(size)
        del self._buffer[:size]
        return Frame(whole[4:-3])

    def _drop(self, count: int) -> Noise:
        del self._buffer[:count]
        return Noise(count)
