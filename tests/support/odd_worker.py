"""A worker process that does what it is told to do wrong: the real loop around a service whose verbs misbehave on demand.

`PrepareDispense.quantities` names the deed; `settings` may hold `open` (what opening does) and `mute` (a poll that never returns).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from drivers.errors import DeviceFault, LinkError
from terminal.core.cash import DispenserResult
from terminal.core.commands import DeviceCommand, PrepareDispense
from terminal.core.events import DispenserPrepared, Event
from terminal.core.model import Device
from terminal.workers.worker import Pipe, Worker

DEEDS = ("answer", "hang", "crash", "garbage", "raise", "lose", "print", "refuse", "foreign")
RESULT = DispenserResult("none", 0, "", 0, ())


def forever() -> None:
    while True:
        time.sleep(3600)


class OddService:
    device = Device.DISPENSER

    def __init__(self, settings: Mapping[str, Any], events: int) -> None:
        self.settings = settings
        self.events = events
        self.poll_interval_s = 0.02 if settings.get("mute") else 60.0

    def open(self) -> Iterable[Event]:
        if self.settings.get("open") == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.settings.get("open") == "fail":
            raise LinkError("nobody there")
        return []

    def close(self) -> None:
        """Nothing is open."""

    def poll(self) -> Iterable[Event]:
        if self.settings.get("mute"):
            forever()
        return []

    def handle(self, command: DeviceCommand) -> Iterable[Event]:
        assert isinstance(command, PrepareDispense)
        deed = DEEDS[command.quantities[0]]
        if deed == "hang":
            forever()
        elif deed == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        elif deed == "garbage":
            os.write(self.events, b"\xff not a message\n")
        elif deed == "foreign":
            os.write(self.events, b'{"type": "DeviceLost", "device": "printer", "reason": "x"}\n')
        elif deed == "raise":
            raise ValueError("with a secret in it: 6228480000000015")
        elif deed == "lose":
            raise LinkError("the port is gone")
        elif deed == "refuse":
            raise DeviceFault("no", code=1, name="cassetteEmpty")
        elif deed == "print":
            print("a library that prints", flush=True)
        return [DispenserPrepared(command.command_id, RESULT, (1, 2, 3, 4))]


def main() -> None:
    events = os.dup(1)
    os.dup2(2, 1)
    start = json.loads(sys.stdin.buffer.raw.readline())
    Worker(OddService(start["settings"], events), Pipe(0, events)).run()


if __name__ == "__main__":
    main()
