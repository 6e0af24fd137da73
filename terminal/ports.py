"""What the agent stands on, as it sees it: devices, journal, bank link, page, attendant, inbox. `compose` builds it; so do the benches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from drivers.transports.base import Clock
from terminal.adapters import link_events as link
from terminal.adapters.bank_messages import Sealer
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device, State

Item = e.Event | Callable[[], None]


class WorkerPort(Protocol):
    """A device as the agent sees it: a process, or a service in the same thread."""

    def send(self, command: c.DeviceCommand) -> None: ...
    def tick(self) -> None: ...
    def next_deadline(self) -> float | None: ...
    def close(self, grace_s: float) -> None: ...


class PagePort(Protocol):
    """The kiosk page's process."""

    def show(self, view: Mapping[str, Any]) -> None: ...
    def tick(self) -> None: ...
    def next_deadline(self) -> float | None: ...
    def close(self, grace_s: float) -> None: ...


class JournalPort(Protocol):
    def append(self, entries: Any, outgoing: Any = (), kept: Any = ()) -> Any: ...


class LinkPort(Protocol):
    def request(self, type: str, data: dict[str, Any], timeout_s: float) -> str: ...
    def notify(self) -> None: ...
    def report(self, data: Mapping[str, Any]) -> None: ...
    def retain(self, leaf: str, type_: str, data: Mapping[str, Any]) -> None: ...


class AttendantPort(Protocol):
    """Looks after the terminal beside its customers: health, alarms, the centre's orders (terminal/fleet)."""

    def sent(self, command: c.Command) -> None:
        """A command to a device or a question to the bank has left."""
        ...

    def saw(self, event: e.Event, before: State) -> None:
        """An event was handled; the agent's state is what came of it."""
        ...

    def heard(self, event: link.LinkEvent) -> None:
        """From the bank link, what is not the core's."""
        ...

    def tick(self) -> None: ...
    def next_deadline(self) -> float | None: ...


class Inbox(Protocol):
    """Where everything comes together: a queue between threads, or one in virtual time. `get` raises queue.Empty."""

    def put(self, item: Item) -> None: ...
    def get(self, block: bool = True, timeout: float | None = None) -> Item: ...


class Trace(Protocol):
    """Names and times, never contents: for stories and measurements."""

    def note(self, kind: str, name: str, phase: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside of the core, built by `compose`."""

    clock: Clock
    wall_clock: Callable[[], datetime]
    journal: JournalPort
    link: LinkPort
    sealer: Sealer
    workers: Mapping[Device, WorkerPort]
    page: PagePort
    trace: Trace
