"""The receipt printer's service. The agent sends finished lines; the driver makes ESC/POS of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from drivers.devices.escpos_printer import EscPosPrinter, Receipt, ReceiptLine
from drivers.errors import DeviceFault, LinkError, ProtocolError
from drivers.transports.base import Clock, Deadline, MonotonicClock
from terminal.core.commands import CheckPrinter, DeviceCommand, PrintReceipt
from terminal.core.events import DeviceNoted, Event, ReceiptPrinted, SelfCheckDone
from terminal.core.model import Device
from terminal.workers.ports import OpenStream, serial_opener

STATUS_S = 3.0
WATCH_S = 5.0


class PrinterService:
    """Out of paper is a lost printer until paper is in: no receipt is offered meanwhile."""

    device = Device.PRINTER

    def __init__(self, open_stream: OpenStream, clock: Clock, columns: int, confirms: bool) -> None:
        self._open_stream = open_stream
        self._clock = clock
        self._columns = columns
        self._confirms = confirms
        self._driver: EscPosPrinter | None = None
        self._noted = ""
        self._next_look = 0.0

    def open(self) -> Iterable[Event]:
        self.close()
        self._driver = EscPosPrinter(self._open_stream(), self._clock, self._columns, confirms=self._confirms)
        self._noted = ""
        return self._look()

    def close(self) -> None:
        if self._driver is not None:
            self._driver.close()
            self._driver = None

    @property
    def poll_interval_s(self) -> float:
        return max(0.0, self._next_look - self._clock.now())

    def poll(self) -> Iterable[Event]:
        return self._look() if self._clock.now() >= self._next_look else []

    def handle(self, command: DeviceCommand) -> Iterable[Event]:
        if isinstance(command, CheckPrinter):
            status = self._printer.status(Deadline.after(self._clock, command.deadline_s))
            findings = {"device": status.device, "paper": status.paper.value, "coverOpen": status.cover_open}
            return [SelfCheckDone(command.command_id, self.device, findings)]
        if not isinstance(command, PrintReceipt):
            raise ProtocolError(f"{type(command).__name__} is no command of a printer")
        lines = tuple(ReceiptLine(line.text, align=line.align, bold=line.bold, size=line.size) for line in command.lines)
        self._printer.print_receipt(Receipt(lines, command.language), Deadline.after(self._clock, command.deadline_s))
        self._next_look = self._clock.now() + 0.5  # the paper may have become low: look soon, tell the customer first
        return [ReceiptPrinted(command.command_id)]

    def _look(self) -> list[Event]:
        self._next_look = self._clock.now() + WATCH_S
        status = self._printer.status(Deadline.after(self._clock, STATUS_S))
        if status.device != "online" or status.paper.value in ("out", "jammed"):
            name = {"out": "paperOut", "jammed": "paperJam"}.get(status.paper.value, "coverOpen" if status.cover_open else status.device)
            raise DeviceFault(f"the printer cannot print: {name}", code=0, name=name)
        noted = "paperLow" if status.paper.value == "low" else ""
        changed, self._noted = noted != self._noted, noted
        return [DeviceNoted(self.device, noted)] if changed else []

    @property
    def _printer(self) -> EscPosPrinter:
        if self._driver is None:
            raise LinkError("the printer's port is not open")
        return self._driver


def build(settings: Mapping[str, Any]) -> PrinterService:
    clock = MonotonicClock()
    return PrinterService(serial_opener(settings, clock), clock, settings["columns"], settings["confirms"])
