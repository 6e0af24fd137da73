"""A worker's service, its simulated device and the hands of people, in one thread and in virtual time."""

from __future__ import annotations

import random
from typing import Any

from pin_pad_bench import KEYS

from drivers.secret import Secret
from drivers.transports.memory import MemoryDevice, MemoryStream, VirtualClock
from simulators.crypto.host_pin import key_blocks_for
from simulators.devices.dispenser import Dispenser, Options
from simulators.devices.dispenser_store import default_cassettes
from simulators.devices.pinpad_device import PinPad
from simulators.devices.pinpad_vault import Vault, VolatileMemory
from simulators.devices.printer import Printer
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.cash import DispenserResult
from terminal.workers.service import Service
from terminal.workers.services.dispenser import DispenserService
from terminal.workers.services.pin_pad import PinPadService
from terminal.workers.services.printer import PrinterService


class Rig:
    """A service, its device, the line between, and the hands of people. `do` numbers commands as the core does."""

    def __init__(self, device: Any) -> None:
        self.clock = VirtualClock()
        self.device = device
        self.opened = 0
        self.number = 0
        self.service: Service = self.make()

    def make(self) -> Service:
        raise NotImplementedError

    def stream(self) -> MemoryStream:
        self.opened += 1
        device: MemoryDevice = self.device
        return MemoryStream(device, self.clock)

    def hand(self, do: str, **arguments: Any) -> Any:
        return self.device.control(do, arguments, self.clock.now())

    def open(self) -> list[e.Event]:
        return list(self.service.open())

    def do(self, kind: type[c.DeviceCommand], deadline_s: float = 10.0, **fields: Any) -> list[e.Event]:
        self.number += 1
        return list(self.service.handle(kind(command_id=self.number, deadline_s=deadline_s, **fields)))

    def watch(self, seconds: float) -> list[e.Event]:
        """Poll as a worker does, for so long."""
        found: list[e.Event] = []
        end = self.clock.now() + seconds
        while self.clock.now() < end:
            self.clock.sleep(max(0.01, min(self.service.poll_interval_s, end - self.clock.now())))
            found += self.service.poll()
        return found


class DispenserRig(Rig):
    def __init__(self, options: Options | None = None) -> None:
        super().__init__(Dispenser(default_cassettes(), options))
        self.cassettes: tuple[int, ...] = (1, 2, 3, 4)

    def make(self) -> Service:
        return DispenserService(self.stream, self.clock, max_notes=40)

    def sent(self, code: str) -> int:
        return int(self.hand("history")["totals"].get(code, 0))

    def prepare(self, *quantities: int) -> DispenserResult:
        (event,) = self.do(c.PrepareDispense, quantities=quantities)
        assert isinstance(event, e.DispenserPrepared)
        self.cassettes = event.cassettes
        return event.baseline

    def dispense(self, *quantities: int) -> e.Event:
        (event,) = self.do(c.Dispense, 75.0, quantities=quantities, cassettes=self.cassettes)
        return event

    def last_status(self) -> DispenserResult:
        (event,) = self.do(c.AskLastStatus, 30.0, cassettes=self.cassettes)
        assert isinstance(event, e.LastStatusRead)
        return event.result

    def initialise(self) -> str:
        (event,) = self.do(c.InitialiseDispenser, 30.0)
        assert isinstance(event, e.DispenserInitialised)
        return event.fault


class PinPadRig(Rig):
    def __init__(self, format: str = "iso9564-4") -> None:
        self.format = format
        self.blocks = {slot: Secret(block) for slot, block in key_blocks_for("ZT588SIM00000001", KEYS).items()}
        super().__init__(PinPad(Vault(KEYS.kbpk, VolatileMemory(), random.Random(1).randbytes)))

    def make(self) -> Service:
        return PinPadService(self.stream, self.clock, self.blocks, self.format)

    def typed(self, digits: str, *keys: str) -> list[str]:
        self.hand("type", digits=digits)
        for key in keys:
            self.hand("press", key=key)
        return [event.key for event in self.watch(0.5) if isinstance(event, e.KeyPressed)]


class PrinterRig(Rig):
    def __init__(self) -> None:
        super().__init__(Printer())

    def make(self) -> Service:
        return PrinterService(self.stream, self.clock, columns=42, confirms=True)

    def print(self) -> list[e.Event]:
        lines = (c.ReceiptText("凭条", align="center", bold=True, size="double"), c.ReceiptText("¥200"))
        return self.do(c.PrintReceipt, 30.0, language="zh", fields={}, lines=lines)
