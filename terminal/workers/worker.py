"""The loop of a worker process: commands in on standard input, events out on standard output, one JSON line each.

First line in: ``{"device": "cashDispenser", "settings": {...}}``. While idle a heartbeat (an empty object) goes out each second.
A device that is not there is tried again every two seconds; only a crash or a hang ends the process.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, cast

from drivers.errors import DeviceError, LinkError, LinkTimeout
from drivers.transports.base import Clock, MonotonicClock
from terminal.core.commands import DeviceCommand
from terminal.core.events import CommandFailed, DeviceLost, DeviceOnline, Event
from terminal.core.model import Device
from terminal.workers.service import Service, failed, reason_of
from terminal.workers.wire import MAX_LINE, WireError, decode, encode

HEARTBEAT_S = 1.0
REOPEN_S = 2.0

SERVICES: Mapping[Device, str] = {
    Device.CARD_READER: "terminal.workers.services.card",
    Device.PIN_PAD: "terminal.workers.services.pin_pad",
    Device.DISPENSER: "terminal.workers.services.dispenser",
    Device.PRINTER: "terminal.workers.services.printer",
    Device.FACE: "terminal.workers.services.face",
}


class PipePort(Protocol):
    """The worker's end of the wire to its agent."""

    def wait(self, timeout_s: float) -> bytes | None:
        """What has come, as soon as something has; b"" when the time is up; None when the agent has gone."""
        ...

    def write(self, data: bytes) -> None:
        """All of it."""
        ...


class Pipe:
    """Two descriptors."""

    def __init__(self, commands: int, events: int) -> None:
        self._commands = commands
        self._events = events

    def wait(self, timeout_s: float) -> bytes | None:
        if not select.select([self._commands], [], [], timeout_s)[0]:
            return b""
        return os.read(self._commands, 65536) or None

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._events, data) :]


class Interruptible(Protocol):
    """A service whose long verb may be ended early by the next command."""

    def interrupted_by(self, waiting: Callable[[], bool]) -> None:
        """`waiting()`: has another command come, or has the agent gone? Cheap."""
        ...


class Worker:
    """Owns one service. In the deterministic bench pipe and clock are of memory."""

    def __init__(self, service: Service, pipe: PipePort, clock: Clock | None = None, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._service = service
        self._pipe = pipe
        self._clock = clock or MonotonicClock()
        self._heartbeat_s = heartbeat_s
        self._rest = b""
        self._lines: deque[bytes] = deque()
        self._gone = False
        if hasattr(service, "interrupted_by"):
            cast(Interruptible, service).interrupted_by(self._waiting)
        self._open = False
        self._told_lost = False
        self._reopen_at = 0.0
        self._beat_at = 0.0

    def run(self) -> None:
        """Until the agent has gone."""
        while True:
            now = self._clock.now()
            if not self._open and now >= self._reopen_at:
                self._try_open()
            if now >= self._beat_at:
                self._pipe.write(b"{}\n")
                self._beat_at = now + self._heartbeat_s
            wait = self._service.poll_interval_s if self._open else max(0.0, self._reopen_at - self._clock.now())
            data = self._pipe.wait(min(wait, self._heartbeat_s))
            self._take(data)
            if self._gone:
                self._service.close()
                return
            if self._open:
                self._poll()

    def _take(self, data: bytes | None) -> None:
        self._read(data)
        while self._lines and not self._gone:
            command = decode(self._lines.popleft())
            if not isinstance(command, DeviceCommand) or command.device is not self._service.device:
                raise WireError(f"{type(command).__name__} is not for {self._service.device.value}")
            self._do(command)

    def _read(self, data: bytes | None) -> None:
        if data is None:
            self._gone = True
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise WireError("a command line without an end")
        self._lines.extend(lines)

    def _waiting(self) -> bool:
        if not self._lines and not self._gone:
            self._read(self._pipe.wait(0.0))
        return bool(self._lines) or self._gone

    def _do(self, command: DeviceCommand) -> None:
        if not self._open:
            self.send([CommandFailed(command.command_id, command.device, "linkError", "noAnswer")])
            return
        try:
            self.send(self._service.handle(command))
        except DeviceError as error:
            self.send([failed(command, error)])
            if isinstance(error, LinkError) and not isinstance(error, LinkTimeout):
                self._lost(error)
        except Exception as error:  # noqa: BLE001 - the worker loop: a defect of one verb must not hide its outcome
            self._report(error)
            self.send([CommandFailed(command.command_id, command.device, "unexpected", type(error).__name__)])

    def _poll(self) -> None:
        try:
            self.send(self._service.poll())
        except DeviceError as error:
            self._lost(error)

    def _try_open(self) -> None:
        self._reopen_at = self._clock.now() + REOPEN_S
        try:
            events = list(self._service.open())
        except DeviceError as error:
            self._lost(error)
            return
        self._open, self._told_lost = True, False
        self.send([DeviceOnline(self._service.device), *events])

    def _lost(self, error: DeviceError) -> None:
        self._open = False
        self._reopen_at = self._clock.now() + REOPEN_S
        self._service.close()
        if not self._told_lost:
            self._told_lost = True
            sys.stderr.write(f"{self._service.device.value}: {error}\n")
            self.send([DeviceLost(self._service.device, reason_of(error))])

    def _report(self, error: Exception) -> None:
        """Where, not what: the text of a foreign exception might carry data."""
        frame = traceback.extract_tb(error.__traceback__)[-1]
        sys.stderr.write(f"{self._service.device.value}: {type(error).__name__} at {frame.filename}:{frame.lineno}\n")

    def send(self, events: Iterable[Event]) -> None:
        for event in events:
            self._pipe.write(encode(event))


def build_service(device: Device, settings: Mapping[str, Any]) -> Service:
    """Imports only what this device needs: a worker stays small."""
    service: Service = importlib.import_module(SERVICES[device]).build(settings)
    return service


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the agent, which closes our input
    events = os.dup(1)
    os.dup2(2, 1)  # a library that prints must not break the wire
    first = b""
    while not first.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return 0
        first += byte
    start = json.loads(first)
    service = _built(Device(start["device"]), start["settings"], events)
    if service is not None:
        Worker(service, Pipe(0, events)).run()
    return 0


def _built(device: Device, settings: Mapping[str, Any], events: int) -> Service | None:
    """A file that is missing may be put there: said once, tried again, no restart spent. None when the agent has gone."""
    told = False
    while True:
        try:
            return build_service(device, settings)
        except DeviceError as error:
            if not told:
                told = True
                sys.stderr.write(f"{device.value}: {error}\n")
                os.write(events, encode(DeviceLost(device, reason_of(error))))
        os.write(events, b"{}\n")
        if select.select([0], [], [], REOPEN_S)[0] and not _refuse_commands(events):
            return None


def _refuse_commands(events: int) -> bool:
    """What is asked of a device that cannot be built fails at once. False at the end of input."""
    data = os.read(0, 65536)
    for line in data.splitlines():
        command = decode(line)
        os.write(events, encode(CommandFailed(command.command_id, command.device, "linkError", "configuration")))
    return bool(data)


if __name__ == "__main__":
    sys.exit(main())
