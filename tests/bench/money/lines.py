"""A serial line between a driver and a simulated device, in virtual time, with what can go wrong on a wire.

The driver's end is a `ByteStream`. A line has one owner at a time, as a port opened exclusively: an orphaned worker keeps it until it ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from drivers.errors import LinkError
from drivers.transports.base import Deadline
from money.sched import Scheduler, Task

WIRE_FAULTS = ("lose", "loseByte", "corrupt", "duplicate", "split", "delay", "flood", "swallow")
"""A chunk lost; one byte of it lost; one byte changed; sent twice; byte by byte; late; noise before it; the line dead for a while."""
SPLIT_BYTES = 64
"""So many of a split chunk come one by one, what is behind them at once: no line is slow for minutes, whatever floods it."""
BYTE_S = 0.001
FLOOD_BYTES = 400


class Device(Protocol):
    def feed(self, data: bytes, now: float) -> None: ...
    def take_output(self, now: float) -> bytes: ...
    def next_wakeup(self) -> float | None: ...
    def control(self, do: str, arguments: dict[str, Any], now: float) -> Any: ...


@dataclass(slots=True)
class WireFault:
    """For the next chunk in one direction: "toDevice" or "toHost"."""

    kind: str
    direction: str
    seconds: float = 0.5
    used: bool = False


class Line:
    """`pass_` is told of every chunk that leaves an end: (direction, data)."""

    def __init__(self, schedule: Scheduler, name: str, device: Device, chance: Random, pass_: Callable[[str, str, bytes], None]) -> None:
        self.name = name
        self.device = device
        self.armed: list[WireFault] = []
        self.cut_until = 0.0
        self.received = bytearray()
        self.on_received: Callable[[], None] = lambda: None
        self._schedule = schedule
        self._chance = chance
        self._pass = pass_
        self._due: float | None = None
        self._reader: Task | None = None
        self._owner: LineStream | None = None
        self._under_way: dict[str, deque[tuple[float, bytes]]] = {"toDevice": deque(), "toHost": deque()}

    # --- the device's end

    def hand(self, do: str, **arguments: Any) -> Any:
        """What a person or a fault does to the device; what follows from it comes over the line."""
        result = self.device.control(do, arguments, self._schedule.now)
        self._plan()
        return result

    def _plan(self) -> None:
        at = self.device.next_wakeup()
        if at is None:
            return
        at = max(at, self._schedule.now)
        if self._due is None or at < self._due:
            self._due = at
            self._schedule.call_at(at, lambda: self._pump(at))

    def _pump(self, at: float) -> None:
        if self._due != at:
            return
        self._due = None
        data = self.device.take_output(self._schedule.now)
        if data:
            self._send("toHost", data)
        self._plan()

    # --- the wire

    def _send(self, direction: str, data: bytes) -> None:
        self._pass(self.name, direction, data)
        if self._schedule.now < self.cut_until:
            return
        fault = next((one for one in self.armed if one.direction == direction), None)
        chunks = [(0.0, data)]
        if fault is not None:
            self.armed.remove(fault)
            fault.used = True
            chunks = self._spoiled(fault, data)
        for delay, chunk in chunks:
            self._carry(direction, delay, chunk)

    def _carry(self, direction: str, delay: float, chunk: bytes) -> None:
        """What is late holds up what comes behind it: no wire changes the order of its bytes."""
        under_way, now = self._under_way[direction], self._schedule.now
        at = max(now + delay, under_way[-1][0] if under_way else now)
        if at <= now and not under_way:
            self._arrive(direction, chunk)
            return
        under_way.append((at, chunk))
        self._schedule.call_at(at, lambda: self._arrive(direction, under_way.popleft()[1]))

    def _spoiled(self, fault: WireFault, data: bytes) -> list[tuple[float, bytes]]:
        at = self._chance.randrange(len(data))
        match fault.kind:
            case "lose":
                return []
            case "swallow":
                self.cut_until = self._schedule.now + fault.seconds
                return []
            case "loseByte":
                return [(0.0, data[:at] + data[at + 1 :])]
            case "corrupt":
                other = (data[at] + self._chance.randrange(1, 256)) % 256
                return [(0.0, data[:at] + bytes((other,)) + data[at + 1 :])]
            case "duplicate":
                return [(0.0, data), (BYTE_S, data)]
            case "split":
                single = [(BYTE_S * 5 * number, data[number : number + 1]) for number in range(min(len(data), SPLIT_BYTES))]
                return [*single, (BYTE_S * 5 * SPLIT_BYTES, data[SPLIT_BYTES:])] if len(data) > SPLIT_BYTES else single
            case "delay":
                return [(fault.seconds, data)]
        return [(0.0, self._chance.randbytes(FLOOD_BYTES)), (BYTE_S, data)]

    def _arrive(self, direction: str, data: bytes) -> None:
        if not data:
            return
        if direction == "toHost":
            self.received += data
            self._schedule.poke(self._reader)
            self.on_received()
        else:
            self.device.feed(data, self._schedule.now)
            self._plan()

    # --- the driver's end

    def open(self) -> LineStream:
        """LinkError while another process has the port."""
        if self._owner is not None:
            raise LinkError(f"{self.name}: the port is in use")
        self.received.clear()
        self._owner = LineStream(self)
        return self._owner

    def release(self, stream: LineStream) -> None:
        if self._owner is stream:
            self._owner = self._reader = None

    def read(self, stream: LineStream, deadline: Deadline) -> bytes:
        while True:
            stream.check()
            if self.received:
                return self.take()
            if self._schedule.now >= deadline.at:
                return b""
            self._reader = self._schedule.current
            self._schedule.wait(deadline.at)

    def take(self) -> bytes:
        data = bytes(self.received)
        self.received.clear()
        return data


class LineStream:
    """drivers.transports.base.ByteStream."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._open = True

    def write(self, data: bytes, deadline: Deadline) -> None:
        self.check()
        self._line._send("toDevice", data)

    def read(self, deadline: Deadline) -> bytes:
        return self._line.read(self, deadline)

    def discard_input(self) -> bytes:
        self.check()
        return self._line.take()

    def close(self) -> None:
        self._open = False
        self._line.release(self)

    def check(self) -> None:
        if not self._open:
            raise LinkError(f"{self._line.name}: the port is closed")
