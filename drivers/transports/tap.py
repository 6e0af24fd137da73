"""A ByteStream that tells a sink what passes through it, in both directions, for traces and for the technician.

The sink gets copies: what it does cannot change what the driver and the device say to each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, unique

from drivers.transports.base import ByteStream, Clock, Deadline


@unique
class Direction(Enum):
    TO_DEVICE = "toDevice"
    FROM_DEVICE = "fromDevice"
    DISCARDED = "discarded"  # came from the device and was thrown away before a new command


@dataclass(frozen=True, slots=True)
class TapRecord:
    """`at` is the clock's monotonic second: of the write's beginning, of the read's end."""

    at: float
    direction: Direction
    data: bytes


Mask = Callable[[Direction, bytes], bytes]
Sink = Callable[[TapRecord], object]


class Tap:
    """`mask` sees the bytes before the sink does and returns what may be recorded (nothing is recorded for b"").

    A line that carries a PIN, a card number or a key must be tapped with a mask, or not at all.
    """

    def __init__(self, stream: ByteStream, sink: Sink, clock: Clock, mask: Mask | None = None) -> None:
        self._stream = stream
        self._sink = sink
        self._clock = clock
        self._mask = mask

    def write(self, data: bytes, deadline: Deadline) -> None:
        self._record(Direction.TO_DEVICE, data)  # before: what failed half-way was still sent in part
        self._stream.write(data, deadline)

    def read(self, deadline: Deadline) -> bytes:
        data = self._stream.read(deadline)
        self._record(Direction.FROM_DEVICE, data)
        return data

    def discard_input(self) -> bytes:
        data = self._stream.discard_input()
        self._record(Direction.DISCARDED, data)
        return data

    def close(self) -> None:
        self._stream.close()

    def _record(self, direction: Direction, data: bytes) -> None:
        shown = self._mask(direction, data) if self._mask else data
        if shown:
            self._sink(TapRecord(self._clock.now(), direction, shown))
