"""The printer's simulator as a process behind a pty, and our driver on the real serial transport."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.devices.escpos_printer import EscPosPrinter, Paper, PrintFault, Receipt, ReceiptLine
from drivers.errors import LinkError
from drivers.transports.base import Deadline, MonotonicClock
from drivers.transports.serial_port import SerialPort
from simulators.control import Control

pytestmark = pytest.mark.wire
CLOCK = MonotonicClock()


class Simulator:
    def __init__(self, folder: Path) -> None:
        self.link, control = folder / "printer", folder / "printer.ctl"
        command = [sys.executable, "-m", "simulators.devices.printer", "--link", str(self.link), "--control", str(control)]
        command += ["--pictures", str(folder / "pictures"), "--bytes-per-s", "20000"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None and self.process.stdout.readline() == "ready\n"
        self.control = Control(control)

    def close(self) -> None:
        self.control.close()
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        assert self.process.wait(10) == 0
        self.process.stdout.close()


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    simulator = Simulator(tmp_path)
    yield simulator
    simulator.close()


def test_a_receipt_over_the_wire_with_its_picture_then_paper_out(simulator: Simulator) -> None:
    port = SerialPort(str(simulator.link), clock=CLOCK)
    printer = EscPosPrinter(port, CLOCK)
    receipt = Receipt((ReceiptLine("智慧银行 Smart Branch", align="center", bold=True), ReceiptLine("金额 CNY 100.00")))
    assert printer.print_receipt(receipt, Deadline.after(CLOCK, 20)).paper is Paper.FULL
    taken = simulator.control.call("take_receipt")
    assert taken["lines"] == ["智慧银行 Smart Branch", "金额 CNY 100.00"]
    assert Path(taken["picture"]).read_bytes().startswith(b"\x89PNG")
    simulator.control.call("paper", level="out")
    with pytest.raises(PrintFault) as fault:
        printer.print_receipt(receipt, Deadline.after(CLOCK, 20))
    assert fault.value.name == "paperOut"
    port.close()


def test_an_unplugged_printer_is_a_link_error(tmp_path: Path) -> None:
    simulator = Simulator(tmp_path)
    port = SerialPort(str(simulator.link), clock=CLOCK)
    printer = EscPosPrinter(port, CLOCK)
    assert printer.status(Deadline.after(CLOCK, 5)).device == "online"
    simulator.close()
    with pytest.raises(LinkError):
        printer.status(Deadline.after(CLOCK, 5))
    port.close()
    assert not os.path.lexists(simulator.link)
