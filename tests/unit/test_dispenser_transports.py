"""Memory stream and virtual clock, the tap, and what the serial port says when it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.errors import ConfigurationFault, LinkError
from drivers.transports.base import Deadline, MonotonicClock
from drivers.transports.memory import MemoryStream, VirtualClock
from drivers.transports.serial_port import SerialPort
from drivers.transports.tap import Direction, Tap, TapRecord


class Echo:
    """Says back what it hears, `delay` seconds later."""

    def __init__(self, delay: float = 1.0) -> None:
        self.delay = delay
        self.due: list[tuple[float, bytes]] = []

    def feed(self, data: bytes, now: float) -> None:
        self.due.append((now + self.delay, data))

    def take_output(self, now: float) -> bytes:
        ready = b"".join(data for at, data in self.due if at <= now)
        self.due = [item for item in self.due if item[0] > now]
        return ready

    def next_wakeup(self) -> float | None:
        return min((at for at, _ in self.due), default=None)


def test_reading_moves_the_clock_to_the_bytes_or_to_the_deadline() -> None:
    clock = VirtualClock(100.0)
    stream = MemoryStream(Echo(), clock)
    stream.write(b"hello", Deadline.after(clock, 0))
    assert stream.read(Deadline.after(clock, 0.5)) == b""
    assert clock.now() == 100.5
    assert stream.read(Deadline.after(clock, 5)) == b"hello"
    assert clock.now() == 101.0
    assert stream.read(Deadline.after(clock, 5)) == b""
    assert clock.now() == 106.0


def test_a_device_that_is_always_about_to_speak_does_not_stop_time() -> None:
    class Restless(Echo):
        def next_wakeup(self) -> float | None:
            return 0.0

    clock = VirtualClock()
    assert MemoryStream(Restless(), clock).read(Deadline.after(clock, 3)) == b""
    assert clock.now() == 3.0


def test_planned_actions_happen_at_their_moment_also_while_a_driver_waits() -> None:
    clock, device = VirtualClock(), Echo(0.25)
    stream = MemoryStream(device, clock)
    moments: list[float] = []
    clock.call_at(2.0, lambda: moments.append(clock.now()))
    clock.call_at(1.0, lambda: device.feed(b"late", clock.now()))
    clock.call_at(1.0, lambda: moments.append(clock.now()))
    assert stream.read(Deadline.after(clock, 10)) == b"late"
    assert clock.now() == 1.25
    clock.sleep(5)
    clock.sleep(-1)
    clock.advance_to(0)
    assert (moments, clock.now(), clock.next_action()) == ([1.0, 2.0], 6.25, None)


def test_discarded_input_is_returned_and_gone_and_a_closed_stream_says_so() -> None:
    clock = VirtualClock()
    stream = MemoryStream(Echo(0), clock)
    stream.write(b"x", Deadline.after(clock, 1))
    assert stream.discard_input() == b"x"
    assert stream.read(Deadline.after(clock, 1)) == b""
    stream.close()
    stream.close()
    for use in (stream.discard_input, lambda: stream.read(Deadline.after(clock, 1)), lambda: stream.write(b"", Deadline.after(clock, 1))):
        with pytest.raises(LinkError, match="closed"):
            use()


def test_tap_records_what_passes_with_its_moment_and_hides_what_the_mask_hides() -> None:
    clock, records = VirtualClock(), list[TapRecord]()

    def mask(direction: Direction, data: bytes) -> bytes:
        return data.replace(b"1234", b"****") if direction is not Direction.DISCARDED else b""

    tap = Tap(MemoryStream(Echo(), clock), records.append, clock, mask)
    tap.write(b"PIN 1234", Deadline.after(clock, 1))
    assert tap.read(Deadline.after(clock, 2)) == b"PIN 1234"  # the driver sees the truth
    assert tap.read(Deadline.after(clock, 2)) == b""
    tap.write(b"x", Deadline.after(clock, 1))
    clock.sleep(2)
    assert tap.discard_input() == b"x"
    tap.close()
    assert records == [
        TapRecord(0.0, Direction.TO_DEVICE, b"PIN ****"),
        TapRecord(1.0, Direction.FROM_DEVICE, b"PIN ****"),
        TapRecord(3.0, Direction.TO_DEVICE, b"x"),
    ]
    with pytest.raises(LinkError):
        tap.write(b"y", Deadline.after(clock, 1))


def test_tap_without_a_mask_records_discarded_bytes_too() -> None:
    clock, records = VirtualClock(), list[TapRecord]()
    tap = Tap(MemoryStream(Echo(0), clock), records.append, clock)
    tap.write(b"x", Deadline.after(clock, 1))
    tap.discard_input()
    assert [record.direction for record in records] == [Direction.TO_DEVICE, Direction.DISCARDED]


def test_a_port_that_is_not_there_or_is_no_port_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "ttyNone")
    with pytest.raises(LinkError, match="ttyNone cannot be opened"):
        SerialPort(missing, clock=MonotonicClock())
    (tmp_path / "file").write_text("")
    with pytest.raises(LinkError, match="file cannot be opened"):
        SerialPort(str(tmp_path / "file"), clock=MonotonicClock())
    with pytest.raises(ConfigurationFault, match="parity"):
        SerialPort(missing, parity="Z", clock=MonotonicClock())
