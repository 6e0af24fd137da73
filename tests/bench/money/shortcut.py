"""All schedules but one of thirty-two leave out what only carries: objects go over the workers' pipes without becoming JSON, views reach
people directly, idle devices are looked at less often, the file for telemetry (the core has none) is not opened, store and sender share
one connection, which locks its file once for all.

That one (`Schedule.whole`) takes the long way, on a store whose rows are sealed. Schedules that are not drawn (`explore`) are short.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import terminal.adapters.link_loop as link_loop
import terminal.adapters.outbox_sender as outbox_sender
import terminal.adapters.sealing as sealing
import terminal.adapters.store as store
import terminal.adapters.store_file as store_file
import terminal.workers.supervisor as supervisor
import terminal.workers.worker as worker
from money.disk import UNSEEN
from money.stops import PAGE_S
from terminal.adapters.outbox import ACKNOWLEDGED, Bounds, Level, OutboxClass, OutboxRow, Outgoing, Stamp, levels
from terminal.adapters.outbox_sender import Outbox
from terminal.adapters.outbox_sender import _connect as connect_sender
from terminal.adapters.telemetry import TelemetryFile
from terminal.workers.services import dispenser, pin_pad, printer
from terminal.workers.wire import decode, encode

if TYPE_CHECKING:
    from money.world import World


SELDOM_S = 15.0
WATCHING = (dispenser, pin_pad, printer)
WATCH = "WATCH_S"
AS_SHIPPED = {service: getattr(service, WATCH) for service in WATCHING}


class ShortWire:
    """In the place of `terminal.workers.wire` at both ends: a ticket instead of the line, while `on`."""

    def __init__(self) -> None:
        self.on = False
        self._held: dict[bytes, Any] = {}
        for end in (worker, supervisor):
            end.encode, end.decode = self.encode, self.decode  # type: ignore[attr-defined]

    def begin(self, *, on: bool, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self.on = on
        setattr(sealing, "os", SimpleNamespace(urandom=random_bytes))  # noqa: B010 - a module that the checker does not see through
        self._held.clear()
        for service in WATCHING:  # how often a worker looks at a device that nobody asks for anything
            setattr(service, WATCH, SELDOM_S if on else AS_SHIPPED[service])
        store.TelemetryFile = NoTelemetry if on else TelemetryFile  # type: ignore[assignment, attr-defined]
        setattr(store_file, "sqlite3", AloneSqlite() if on else sqlite3)  # noqa: B010 - likewise
        outbox_sender._connect = SharedConnection if on else connect_sender  # type: ignore[assignment]
        SHARED.clear()
        link_loop.Outbox = OneFileOutbox if on else SyncedOutbox  # type: ignore[attr-defined]

    def encode(self, message: Any) -> bytes:
        if not self.on:
            return encode(message)
        ticket = b"@%d" % len(self._held)
        self._held[ticket] = message
        return ticket + b"\n"

    def decode(self, line: bytes) -> Any:
        return self._held[line] if line.startswith(b"@") else decode(line)


SHARED: dict[Path, sqlite3.Connection] = {}
"""The store's connections, by path."""


class AloneSqlite:
    """In the place of the store's `sqlite3`: no lock is taken and given back at every statement, no index of the log lies beside it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3, name)

    def connect(self, path: Path, **given: Any) -> sqlite3.Connection:
        database: sqlite3.Connection = sqlite3.connect(path, **given)
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        SHARED[path] = database
        return database


class SharedConnection:
    """The sender's half of the store's connection. What it deletes is synced no sooner than its own would be: `Disk` counts as synced
    what an append leaves behind."""

    def __init__(self, path: Path) -> None:
        self.execute: Callable[..., sqlite3.Cursor] = SHARED[path].execute

    def close(self) -> None:
        """It is the store's; but nothing comes through here any more."""
        self.execute = _closed


def _closed(*statement: Any) -> sqlite3.Cursor:
    raise sqlite3.ProgrammingError("Cannot operate on a closed database.")


class NoTelemetry:
    """In the place of `terminal.adapters.telemetry.TelemetryFile`: everything is lost, as telemetry may be. The long way carries it."""

    warnings: tuple[str, ...] = ()

    def __init__(self, path: Path, bounds: Bounds, now: datetime) -> None:
        self._level = Level(0, bounds.telemetry, 0)
        self.lost = 0

    def append(self, messages: Sequence[Outgoing], stamp: Stamp) -> None:
        self.lost += len(messages)

    def level(self) -> Level:
        return self._level

    def close(self) -> None:
        """Nothing is open."""


class SyncedOutbox(Outbox):
    """`terminal.adapters.outbox_sender.Outbox`, and of what could not be synced it sees nothing."""

    def pending(self, klass: OutboxClass, after: tuple[int, int], limit: int) -> list[OutboxRow]:
        return [row for row in super().pending(klass, after, limit) if (row.klass, *row.position) not in UNSEEN]

    def row(self, klass: OutboxClass, position: tuple[int, int]) -> OutboxRow | None:
        return None if (klass, *position) in UNSEEN else super().row(klass, position)


class OneFileOutbox(SyncedOutbox):
    """Where nobody stores telemetry."""

    def _connect_telemetry(self, path: Path) -> sqlite3.Connection:
        return self._main

    def pending(self, klass: OutboxClass, after: tuple[int, int], limit: int) -> list[OutboxRow]:
        return [] if klass == "telemetry" else super().pending(klass, after, limit)

    def levels(self) -> dict[OutboxClass, Level]:
        return {**levels(self._main, ACKNOWLEDGED, self._bounds), "telemetry": Level(0, self._bounds.telemetry, 0)}


class DirectPage:
    """terminal.ports.PagePort without a process."""

    DARK_S = 0.3

    def __init__(self, world: World) -> None:
        self._world = world
        self._last: Mapping[str, Any] = {"screen": "dark"}
        self._held: list[Callable[[], None]] | None = None

    def show(self, view: Mapping[str, Any]) -> None:
        self._last = view
        if self._held is None:
            self._world.look_at(view)

    def pressed(self, press: Callable[[], None]) -> None:
        if self._held is None:
            press()
        else:
            self._held.append(press)

    def stop(self, seconds: float | None) -> None:
        """It hangs: an old view, and presses that go nowhere, until it goes on or was killed for its silence."""
        self._held = []
        killed = seconds is None or seconds > PAGE_S
        self._world.time.later(min(seconds or PAGE_S, PAGE_S), self.restart if killed else self._go_on)

    def _go_on(self) -> None:
        held, self._held = self._held or [], None
        for press in held:
            press()
        self._world.look_at(self._last)

    def restart(self) -> None:
        """As after a kill: dark, then the last view again."""
        self._held = None
        self._world.look_at({"screen": "dark"})
        self._world.time.later(self.DARK_S, lambda: self._world.look_at(self._last))

    def tick(self) -> None:
        """Nothing to watch."""

    def next_deadline(self) -> float | None:
        return None

    def close(self, grace_s: float) -> None:
        """Nothing is open."""
