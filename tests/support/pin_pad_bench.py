"""A simulated PIN pad, its driver and the customer's hand on one line, in virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from drivers.devices.szzt_zt588 import Key, SzztZt588
from drivers.errors import DeviceFault
from drivers.secret import Secret
from drivers.transports.base import ByteStream, Deadline
from drivers.transports.memory import MemoryStream, VirtualClock
from simulators.crypto.host_pin import HostPinKeys, decrypt_pin, key_blocks_for
from simulators.devices.pinpad_device import PinPad
from simulators.devices.pinpad_vault import Vault, VolatileMemory

KEYS = HostPinKeys.load()
PAN = "6228480000000015"
PIN = "135790"
MASK = Key(None)


class Bench:
    """Pad, line, driver, and the customer's hand."""

    def __init__(self, memory: VolatileMemory | None = None, wrapped: Callable[[ByteStream], ByteStream] = lambda stream: stream) -> None:
        self.clock = VirtualClock()
        self.memory = memory or VolatileMemory()
        self.pad = PinPad(Vault(KEYS.kbpk, self.memory, random.Random(1).randbytes))
        self.driver = SzztZt588(wrapped(MemoryStream(self.pad, self.clock)), self.clock)

    def soon(self, seconds: float = 10.0) -> Deadline:
        return Deadline.after(self.clock, seconds)

    def hand(self, do: str, **arguments: Any) -> Any:
        return self.pad.control(do, arguments, self.clock.now())

    def load(self) -> None:
        blocks = key_blocks_for("ZT588SIM00000001", KEYS)
        for name, block in blocks.items():
            self.driver.load_key_block(name, Secret(block), self.soon())

    def ready(self) -> Bench:
        self.driver.initialise(self.soon())
        self.load()
        return self

    def keys(self, count: int) -> list[Key | None]:
        return [self.driver.next_key(self.soon(1)) for _ in range(count)]

    def enter(self, pin: str = PIN) -> None:
        """Start an entry, type, press enter."""
        self.driver.start_pin_entry(4, 12, self.soon())
        self.hand("type", digits=pin)
        self.hand("press", key="enter")
        assert self.keys(len(pin) + 1) == [MASK] * len(pin) + [Key("enter")]

    def block(self, format: str = "iso9564-4") -> str:
        made = self.driver.get_pin_block(Secret(PAN), format, self.soon())
        return decrypt_pin(made.format, made.block.reveal(), made.ksn, PAN, KEYS)


def refused(name: str, call: Callable[[], object]) -> None:
    with pytest.raises(DeviceFault) as caught:
        call()
    assert caught.value.name == name
