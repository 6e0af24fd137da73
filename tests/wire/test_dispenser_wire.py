"""Our driver over a real pty against the simulator as a process: the same code as in virtual time, with other ports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.devices.puloon_lcdm4000 import PuloonLcdm4000, paid_by_type
from drivers.errors import LinkError, OutcomeUnknown
from drivers.transports.base import Deadline, MonotonicClock
from drivers.transports.serial_port import SerialPort
from simulators.control import Control, ControlError

pytestmark = pytest.mark.wire
CLOCK = MonotonicClock()


class Process:
    """The simulator, started and awaited."""

    def __init__(self, folder: Path, *extra: str) -> None:
        self.port = str(folder / "dispenser")
        command = [sys.executable, "-m", "simulators.devices.dispenser", "--link", self.port, "--control", str(folder / "control")]
        command += ["--speed", "20", "--state", str(folder / "state.json"), *extra]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"
        self.control = Control(folder / "control")

    def kill(self) -> None:
        self.control.close()
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def unit(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    yield process
    process.kill()


def within(seconds: float = 30.0) -> Deadline:
    return Deadline.after(CLOCK, seconds)


def test_a_dispense_over_a_symbolic_link_to_a_pty(unit: Process) -> None:
    assert Path(unit.port).is_symlink()
    driver = PuloonLcdm4000(SerialPort(unit.port, clock=CLOCK), CLOCK)
    try:
        assert driver.reset(within()).status.error.ok
        assert paid_by_type(driver.dispense((3, 2, 0, 0), within())) == (3, 2, 0, 0)
        assert driver.last_status(within()).last_command == 0x52
        assert unit.control.call("take_notes") == [[1, 3], [2, 2]]
        assert unit.control.call("history")["totals"]["52"] == 1
        with pytest.raises(ControlError, match="one of chk"):
            unit.control.call("jam", where="roof")
    finally:
        driver.close()
        driver.close()


def test_one_port_belongs_to_one_process(unit: Process) -> None:
    first = SerialPort(unit.port, clock=CLOCK)
    with pytest.raises(LinkError, match="cannot be opened"):
        SerialPort(unit.port, clock=CLOCK)
    first.close()
    with pytest.raises(LinkError, match="is gone"):
        first.read(within(1))
    with pytest.raises(LinkError):
        first.write(b"x", within(1))
    SerialPort(unit.port, 19200, "E", 2, clock=CLOCK).close()


def test_late_bytes_are_discarded_and_returned(unit: Process) -> None:
    port = SerialPort(unit.port, clock=CLOCK)
    port.write(bytes.fromhex("04 30 02 50 03 65"), within(5))
    heard = b""
    while len(heard) < 1 + 24:
        heard += port.read(within(5))
    port.write(b"\x15", within(5))  # once more, please
    assert port.read(within(5))[:1] == b"\x01"
    port.discard_input()
    assert port.discard_input() == b""
    with pytest.raises(LinkError, match="no time left"):
        port.write(b"x", within(0))
    assert port.read(within(0)) == b""
    port.close()


def test_killed_while_dispensing_the_notes_stay_where_they_are(tmp_path: Path) -> None:
    unit = Process(tmp_path)
    stream = SerialPort(unit.port, clock=CLOCK)
    driver = PuloonLcdm4000(stream, CLOCK)
    try:
        driver.status(within())
        unit.control.call("jam", where="ejt", after_notes=2)
        assert driver.dispense((3, 0, 0, 0), within()).error.name == "jamEjtExit"
        unit.kill()
        with pytest.raises(LinkError):
            driver.status(within(5))
    finally:
        driver.close()
        unit.kill()
    unit = Process(tmp_path)
    driver = PuloonLcdm4000(SerialPort(unit.port, clock=CLOCK), CLOCK)
    try:
        truth = unit.control.call("state")
        assert (truth["outlet"], truth["path"]) == ([[1, 2]], [{"cassette": 1, "place": "ejt"}])
        assert driver.status(within()).sensors.ejt
        assert driver.dispense((1, 0, 0, 0), within()).error.name == "notesOnPathBeforePick"
    finally:
        driver.close()
        unit.kill()


def test_a_power_cut_under_the_driver_is_outcome_unknown(tmp_path: Path) -> None:
    unit = Process(tmp_path)
    driver = PuloonLcdm4000(SerialPort(unit.port, clock=CLOCK), CLOCK)
    try:
        driver.status(within())
        unit.control.call("power", cut_after_notes=1)
        with pytest.raises(OutcomeUnknown):
            driver.dispense((3, 0, 0, 0), within(2))
        assert unit.control.call("state")["outlet"] == [[1, 1]]
    finally:
        driver.close()
        unit.kill()
