"""The agent's ports with a witness in each: a point before and after every effect, and what must be true at that very moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from terminal.adapters.store import Store
from terminal.core import commands as c
from terminal.fleet.health import Depth

if TYPE_CHECKING:
    from money.life import Life


class TappedJournal:
    def __init__(self, life: Life, store: Store) -> None:
        self._life, self._store = life, store

    def append(self, entries: Any, outgoing: Any = (), kept: Any = ()) -> Any:
        life, disk = self._life, self._life.world.disk
        name = ",".join(entry.kind for entry in entries) or ",".join(message.type for message in outgoing)
        life.point(f"journal<{name}")
        disk.before_append(self._store)
        numbers = self._store.append(entries, outgoing, kept)
        told = life.world.perhaps_told if disk.lies else life.world.told
        told.update(message.klass for message in outgoing)
        disk.after_append(self._store)
        life.world.witness.recorded(entries)
        life.point(f"journal>{name}")
        return numbers


class _Child:
    """A supervised child as the agent sees it."""

    def __init__(self, life: Life, port: Any) -> None:
        self._life, self._port = life, port
        self.tick: Callable[[], None] = port.tick
        self.next_deadline: Callable[[], float | None] = port.next_deadline
        self.close: Callable[[float], None] = port.close


class TappedWorker(_Child):
    def send(self, command: c.DeviceCommand) -> None:
        name = type(command).__name__
        self._life.point(f"send<{name}")
        self._life.world.witness.ordered(command)
        if command.has_answer:
            self._life.deadlines.asked(command.command_id, f"{name} of {command.device.value}", command.deadline_s)
        self._port.send(command)
        self._life.point(f"send>{name}")


class TappedPage(_Child):
    def show(self, view: Mapping[str, Any]) -> None:
        self._life.point(f"show {view['screen']}")
        self._port.show(view)


class TappedLink:
    def __init__(self, life: Life, port: Any) -> None:
        self._life, self._port = life, port

    def request(self, type: str, data: dict[str, Any], timeout_s: float) -> str:
        self._life.point(f"request<{type}")
        request_id: str = self._port.request(type, data, timeout_s)
        self._life.deadlines.asked(request_id, type, timeout_s)
        self._life.point(f"request>{type}")
        return request_id

    def notify(self) -> None:
        self._port.notify()

    def report(self, data: Mapping[str, Any]) -> None:
        self._port.report(data)

    def retain(self, leaf: str, type_: str, data: Mapping[str, Any]) -> None:
        self._port.retain(leaf, type_, data)


class Surroundings:
    """terminal.fleet.post.Surroundings: what is not looked at here is not known."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def page(self) -> str:
        return "online"

    def restarts(self) -> Mapping[str, int]:
        return {}

    def outbox(self) -> Mapping[str, Depth]:
        return {}

    def disk_free_bytes(self) -> int | None:
        return None

    def clock_offset_ms(self) -> int | None:
        return self._life.link.clock_offset_ms if self._life.link is not None else None

    def certificate_days_left(self) -> int | None:
        return None


class TappedTrace:
    """terminal.ports.Trace: coverage and the story."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._first = ("", "")

    def note(self, kind: str, name: str, phase: str) -> None:
        """A row of the table is taken when its event was not ignored."""
        world = self._life.world
        if kind == "event":
            self._life.deadlines.event(phase, name)
            row = (phase, name)
            self._first = ("", "") if row in world.taken else row
            world.taken.add(row)
            world.tell("agent", f"{phase} <- {name}")
            self._life.point(f"event {name}")
        elif name == "Ignore":
            world.taken.discard(self._first)
            self._life.deadlines.ignored()
        elif kind != "view":
            world.tell("agent", f"{phase} -> {name}")
