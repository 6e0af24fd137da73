"""A ByteStream without a wire, and a clock without time: a driver and a simulated device in one thread, reproducible to the byte.

`read` moves the clock forward, to the device's next event or to the deadline. Nothing ever waits.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Protocol

from drivers.errors import LinkError
from drivers.transports.base import Deadline


class MemoryDevice(Protocol):
    """The sans-I/O side of a simulated device. `now` is monotonic seconds."""

    def feed(self, data: bytes, now: float) -> None:
        """Bytes from the host."""
        ...

    def take_output(self, now: float) -> bytes:
        """Bytes for the host that are due by `now`; moves the mechanics forward to `now`."""
        ...

    def next_wakeup(self) -> float | None:
        """The next moment at which `take_output` may have something to do."""
        ...


class VirtualClock:
    """Monotonic seconds that pass only when somebody waits. What is planned with `call_at` happens on the way."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._planned: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self.advance_to(self._now + seconds)

    def call_at(self, at: float, action: Callable[[], object]) -> None:
        """Plan the hand of a person, or a power cut. Actions of the same moment keep their order."""
        heapq.heappush(self._planned, (at, next(self._order), action))

    def next_action(self) -> float | None:
        return self._planned[0][0] if self._planned else None

    def advance_to(self, at: float) -> None:
        """Never backwards. Every planned action up to `at` happens at its own moment."""
        while self._planned and self._planned[0][0] <= at:
            moment, _, action = heapq.heappop(self._planned)
            self._now = max(self._now, moment)
            action()
        self._now = max(self._now, at)


class MemoryStream:
    """A line to `device`. What a planned action changes (a cut, a key press) is seen at its moment, not at the deadline."""

    def __init__(self, device: MemoryDevice, clock: VirtualClock) -> None:
        self._device = device
        self._clock = clock
        self._open = True

    def write(self, data: bytes, deadline: Deadline) -> None:
        self._check_open()
        self._device.feed(data, self._clock.now())

    def read(self, deadline: Deadline) -> bytes:
        self._check_open()
        while True:
            now = self._clock.now()
            data = self._device.take_output(now)
            if data or now >= deadline.at:
                return data
            moments = (self._device.next_wakeup(), self._clock.next_action(), deadline.at)
            # A wake-up that is not in the future would stop the clock for ever: the device has just been run up to `now`.
            self._clock.advance_to(min(moment for moment in moments if moment is not None and moment > now))

    def discard_input(self) -> bytes:
        self._check_open()
        return self._device.take_output(self._clock.now())

    def close(self) -> None:
        self._open = False

    def _check_open(self) -> None:
        if not self._open:
            raise LinkError("the memory stream is closed")
