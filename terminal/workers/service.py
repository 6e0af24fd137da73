"""What a worker process runs: a service turns commands into driver verbs and driver results into events.

A service owns one device, is single-threaded and may block up to a command's deadline: the supervisor kills the process after that.
The same object also runs inside one thread, in virtual time, for the deterministic bench.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from drivers.errors import ConfigurationFault, DeviceError, DeviceFault, LinkError, OutcomeUnknown, ProtocolError
from terminal.core.commands import DeviceCommand
from terminal.core.events import CommandFailed, Event
from terminal.core.model import Device


class Service(Protocol):
    """`open` talks with the device and raises DeviceError when it is not there; afterwards `handle` and `poll`."""

    device: Device

    def open(self) -> Iterable[Event]:
        """Open the port, ask the device who it is. What is worth knowing at once comes as events."""
        ...

    def handle(self, command: DeviceCommand) -> Iterable[Event]:
        """Do it, or raise DeviceError."""
        ...

    def poll(self) -> Iterable[Event]:
        """Between commands: what happened by itself. Short."""
        ...

    @property
    def poll_interval_s(self) -> float:
        """How long the worker may sleep between two polls."""
        ...

    def close(self) -> None:
        """Idempotent."""
        ...


def failed(command: DeviceCommand, error: DeviceError) -> CommandFailed:
    """The error of a verb as an event."""
    kinds = ((OutcomeUnknown, "outcomeUnknown"), (DeviceFault, "deviceFault"), (ProtocolError, "protocolError"), (LinkError, "linkError"))
    kind = next((name for kind, name in kinds if isinstance(error, kind)), "configuration")
    name = error.name if isinstance(error, DeviceFault) else kind
    return CommandFailed(command.command_id, command.device, kind, name)


def reason_of(error: DeviceError) -> str:
    """A code for people who monitor."""
    if isinstance(error, DeviceFault):
        return error.name
    if isinstance(error, ConfigurationFault):
        return "configuration"
    return "noAnswer" if isinstance(error, LinkError) else "protocol"
