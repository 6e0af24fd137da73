"""The PIN pad's service: core commands -> verbs of the SZZT ZT588. What passes here is masks, function keys and encrypted blocks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from drivers.devices.szzt_zt588 import FORMATS, SzztZt588
from drivers.errors import ConfigurationFault, DeviceFault, LinkError, ProtocolError
from drivers.secret import Secret
from drivers.transports.base import Clock, Deadline, MonotonicClock
from terminal.core.commands import CheckPinPad, DeviceCommand, MakePinBlock, StartAmountEntry, StartPinEntry, StopEntry
from terminal.core.events import CommandDone, Event, KeyPressed, PinBlockMade, SelfCheckDone
from terminal.core.model import Device, PinBlock
from terminal.workers.ports import OpenStream, serial_opener

OPEN_S = 8.0
WATCH_S = 5.0
LISTEN_S = 0.01  # for one key; a command waits no longer than that
ENTRY_LIMIT_S = 600  # the core's own, shorter time limits end an entry; this one is for a pad that is left alone


class PinPadService:
    """`key_blocks`: TR-31 blocks by slot name, loaded at each opening."""

    device = Device.PIN_PAD

    def __init__(self, open_stream: OpenStream, clock: Clock, key_blocks: Mapping[str, Secret[str]], format: str) -> None:
        self._open_stream = open_stream
        self._clock = clock
        self._key_blocks = key_blocks
        self._slot = FORMATS[format][1]
        self._driver: SzztZt588 | None = None
        self._listening = False
        self._next_look = 0.0

    def open(self) -> Iterable[Event]:
        """Who are you, and the key that this terminal uses."""
        self.close()
        self._driver = SzztZt588(self._open_stream(), self._clock)
        deadline = self._deadline(OPEN_S)
        self._driver.initialise(deadline)
        if not any(key.slot == self._slot for key in self._driver.status(deadline).keys):
            self._driver.load_key_block(self._slot, self._key_blocks[self._slot], deadline)
        self._listening = False
        self._looked()
        return []

    def close(self) -> None:
        if self._driver is not None:
            self._driver.close()
            self._driver = None

    @property
    def poll_interval_s(self) -> float:
        return 0.0 if self._listening else max(0.0, self._next_look - self._clock.now())

    def poll(self) -> Iterable[Event]:
        """Keys while an entry is on; the pad's health now and then."""
        if self._listening:
            return self._keys()
        if self._clock.now() >= self._next_look:
            status = self._pad.status(self._deadline(OPEN_S))
            self._looked()
            if status.tampered:
                raise DeviceFault("the PIN pad says that it was tampered with", code=0, name="tampered")
        return []

    def handle(self, command: DeviceCommand) -> Iterable[Event]:
        deadline = self._deadline(command.deadline_s)
        match command:
            case StartPinEntry(minimum=minimum, maximum=maximum):
                self._pad.start_pin_entry(minimum, maximum, deadline, limit_s=ENTRY_LIMIT_S)
                self._listening = True
            case StartAmountEntry():
                self._pad.start_clear_entry(deadline, limit_s=ENTRY_LIMIT_S)
                self._listening = True
            case StopEntry():
                self._listening = False
                self._pad.stop_entry(deadline)
            case MakePinBlock(pan=pan, format=format):
                self._listening = False
                made = self._pad.get_pin_block(pan, format, deadline)
                block = PinBlock(made.format, Secret(made.block.reveal().hex()), made.ksn.hex())
                return [PinBlockMade(command.command_id, block)]
            case CheckPinPad():
                status = self._pad.status(deadline)
                keys = ",".join(sorted(key.slot for key in status.keys))
                return [SelfCheckDone(command.command_id, self.device, {"tampered": status.tampered, "keys": keys})]
            case _:
                raise ProtocolError(f"{type(command).__name__} is no command of a PIN pad")
        return [CommandDone(command.command_id, self.device)]

    def _keys(self) -> Iterable[Event]:
        """All that are there now."""
        events: list[Event] = []
        try:
            while (key := self._pad.next_key(self._deadline(LISTEN_S))) is not None:
                for name in [key.function] if key.function else list(key.digit or "") or ["digit"]:
                    events.append(KeyPressed(name))
        except DeviceFault as fault:
            if fault.name != "entryTimeout":
                raise
            self._listening = False
        return events

    def _looked(self) -> None:
        self._next_look = self._clock.now() + WATCH_S

    def _deadline(self, seconds: float) -> Deadline:
        return Deadline.after(self._clock, seconds)

    @property
    def _pad(self) -> SzztZt588:
        if self._driver is None:
            raise LinkError("the PIN pad's port is not open")
        return self._driver


def read_key_blocks(path: Path) -> dict[str, Secret[str]]:
    """``{"pin-aes": "D0112...", ...}``. ConfigurationFault names the file, never what is in it."""
    try:
        blocks = json.loads(path.read_text(encoding="ascii"))
        return {str(slot): Secret(block) for slot, block in blocks.items() if isinstance(block, str)}
    except (OSError, ValueError, AttributeError):
        raise ConfigurationFault(f"{path}: no JSON object of key blocks by slot name") from None


def build(settings: Mapping[str, Any]) -> PinPadService:
    clock = MonotonicClock()
    blocks = read_key_blocks(Path(settings["key_blocks"]))
    slot = FORMATS[settings["format"]][1]
    if slot not in blocks:
        raise ConfigurationFault(f"{settings['key_blocks']}: no key block for {slot}")
    return PinPadService(serial_opener(settings, clock), clock, blocks, settings["format"])
