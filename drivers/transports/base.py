"""What a driver needs of the world: a clock, deadlines, a stream of bytes, a card's channel. Five methods at most each.

A driver gets these injected and never opens a port. The same driver runs against a serial port, a pty, or, in one thread and
in virtual time, against a simulator in memory: there `read` moves the clock forward until bytes or the deadline come.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Monotonic seconds. Virtual in the deterministic bench."""

    def now(self) -> float:
        """Monotonic seconds since some fixed moment."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; returns at once for 0 or less."""
        ...


class MonotonicClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            time.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on a clock that is handed down through every level; nobody adds time of their own."""

    clock: Clock
    at: float

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> Deadline:
        return cls(clock, clock.now() + seconds)

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - self.clock.now())

    @property
    def expired(self) -> bool:
        return self.clock.now() >= self.at

    def sooner(self, seconds: float) -> Deadline:
        """The earlier of this deadline and `seconds` from now: for one step of a longer exchange."""
        return Deadline(self.clock, min(self.at, self.clock.now() + seconds))


class ByteStream(Protocol):
    """A serial line, or what behaves like one."""

    def write(self, data: bytes, deadline: Deadline) -> None:
        """All of `data`, or LinkError."""
        ...

    def read(self, deadline: Deadline) -> bytes:
        """At least one byte as soon as there is one; b"" when the deadline passes. LinkError when the port is gone."""
        ...

    def discard_input(self) -> bytes:
        """Throw away (and return, for the trace) what has already arrived: a late answer must not answer the next question."""
        ...

    def close(self) -> None:
        """Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class CardPresence:
    """What the reader sees. `atr` is empty when no card is there. `generation` grows with every insertion the reader saw."""

    present: bool
    atr: bytes
    generation: int


class CardChannel(Protocol):
    """A powered card: one APDU out, one answer back."""

    def transmit(self, apdu: bytes, deadline: Deadline) -> bytes:
        """Response data followed by SW1 SW2. LinkError when the card is gone or does not answer; never retried here."""
        ...

    def close(self) -> None:
        """Power the card off. Idempotent."""
        ...


class CardReader(Protocol):
    """A card slot. Implementations: PC/SC (pyscard), the reader's side of the vpcd wire, memory."""

    def wait_change(self, last: CardPresence | None, deadline: Deadline) -> CardPresence:
        """The present state, as soon as it differs from `last` or the deadline passes. LinkError when the reader is gone."""
        ...

    def connect(self) -> CardChannel:
        """Power up and reset the card that is there. LinkError(…) when there is none or it is mute."""
        ...

    def close(self) -> None:
        """Idempotent."""
        ...
