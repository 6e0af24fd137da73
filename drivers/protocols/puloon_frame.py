"""Link layer of the Puloon LCDM cash dispensers: frames, single control bytes, recovery from noise. Sans-I/O.

Source: the vendor's "LCDM interface specification" (frame, BCC, ACK/NAK, times) and three independent drivers that agree with it.

host -> device    EOT ID STX CMD data... ETX BCC      BCC = XOR of everything from EOT/SOH to ETX
device -> host    SOH ID STX CMD data... ETX BCC      between them the single bytes ACK, NAK, and EOT (the device closes an exchange)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, unique
from functools import reduce
from operator import xor

SOH, STX, ETX, EOT = 0x01, 0x02, 0x03, 0x04
ID_LCDM4000 = 0x30
MAX_FRAME = 64  # the longest documented frame has 29 bytes; more than this without an end is not a frame
OVERHEAD = 6  # SOH ID STX CMD ... ETX BCC


@unique
class Control(IntEnum):
    """Single bytes between frames."""

    EOT = 0x04
    ACK = 0x06
    NAK = 0x15


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame whose BCC was right."""

    header: int
    command: int
    data: bytes


@dataclass(frozen=True, slots=True)
class BadFrame:
    """Something that began like a frame. `reason`: bcc, length, truncated."""

    reason: str
    size: int


@dataclass(frozen=True, slots=True)
class Garbage:
    """Bytes that belong to nothing."""

    size: int


Item = Frame | BadFrame | Garbage | Control


def bcc(data: bytes) -> int:
    return reduce(xor, data, 0)


def build(header: int, command: int, data: bytes = b"") -> bytes:
    """A whole frame."""
    body = bytes((header, ID_LCDM4000, STX, command)) + data + bytes((ETX,))
    return body + bytes((bcc(body),))


class Parser:
    """Bytes in, items out. One direction of the line: `header` is SOH for what a device sends, EOT for what a host sends.

    `lengths` gives the number of data bytes by command where it is fixed: a data byte may then have the value of ETX (the
    sensor byte of STATUS can). Other commands end at the first ETX. A bare error (one data byte where more are due) is
    recognised when the line falls silent: see `abandon`. The buffer never holds more than MAX_FRAME bytes after `feed`.
    """

    def __init__(self, header: int, lengths: Mapping[int, int]) -> None:
        self._prefix = bytes((header, ID_LCDM4000, STX))
        self._lengths = lengths
        self._controls = {int(c) for c in Control} - {header}
        self._buffer = bytearray()

    @property
    def pending(self) -> bool:
        """A frame has begun and has not ended. When nothing follows for 200 ms, call `abandon`."""
        return bool(self._buffer)

    def reset(self) -> None:
        self._buffer.clear()

    def feed(self, data: bytes) -> list[Item]:
        self._buffer += data
        items: list[Item] = []
        while self._buffer:
            item = self._next()
            if item is None:
                break
            _append(items, item)
        return items

    def abandon(self) -> list[Item]:
        """The line fell silent inside a frame (the specification allows 200 ms for a whole frame)."""
        items: list[Item] = []
        while self._buffer:
            item: Item | None = self._next()
            if item is None:
                item = self._short_frame() or self._begun()
            _append(items, item)
        return items

    def _next(self) -> Item | None:
        """The item at the start of the buffer, or None when it takes more bytes to tell."""
        buffer, prefix = self._buffer, self._prefix
        if not buffer.startswith(prefix[: len(buffer)]):
            first = buffer.pop(0)
            return Control(first) if first in self._controls else Garbage(1)
        if len(buffer) < OVERHEAD:
            return None
        length = self._lengths.get(buffer[3])
        if length is None:
            end = buffer.find(ETX, 4, MAX_FRAME - 1)
            if end < 0:
                return self._drop("length", MAX_FRAME) if len(buffer) >= MAX_FRAME else None
        else:
            end = 4 + length
        if len(buffer) < end + 2:
            return None
        return self._frame_ending_at(end) or self._short_frame() or self._drop("bcc" if buffer[end] == ETX else "length", end + 2)

    def _frame_ending_at(self, end: int) -> Frame | None:
        body = bytes(self._buffer[: end + 1])
        if body[end] != ETX or self._buffer[end + 1] != bcc(body):
            return None
        del self._buffer[: end + 2]
        return Frame(body[0], body[3], body[4:end])

    def _short_frame(self) -> Frame | None:
        """A bare error: one data byte where more were due.

        No other short length is taken: losing two equal bytes leaves the XOR as it was, so the length is the better witness.
        """
        return self._frame_ending_at(5) if len(self._buffer) >= 7 else None

    def _begun(self) -> BadFrame | Garbage:
        """Without even a command byte it is noise that looked like a beginning, not an answer to ask for again."""
        bad = self._drop("truncated", len(self._buffer))
        return bad if bad.size > len(self._prefix) else Garbage(bad.size)

    def _drop(self, reason: str, size: int) -> BadFrame:
        """Give the frame up to where another one may begin inside it. What is dropped is never read as ACK, NAK or EOT."""
        begin = self._buffer.find(self._prefix, 1, size + len(self._prefix) - 1)
        if 0 < begin < size:
            size = begin
        del self._buffer[:size]
        return BadFrame(reason, size)


def _append(items: list[Item], item: Item) -> None:
    if isinstance(item, Garbage) and items and isinstance(items[-1], Garbage):
        items[-1] = Garbage(items[-1].size + item.size)
    else:
        items.append(item)
