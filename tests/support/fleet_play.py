"""An agent with its attendant on a real store, in virtual time; devices, page and link are played. A restart keeps the disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from contract import message_fault
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from drivers.transports.memory import VirtualClock
from simulators.bank.centre import Centre
from terminal.adapters import link_events as link
from terminal.adapters.journal import Entry
from terminal.adapters.store import Store
from terminal.adapters.trace import NoTrace
from terminal.agent import Agent
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device, State
from terminal.core.recovery import CHECKPOINTS, recover
from terminal.fleet import desired_file
from terminal.fleet.attendant import Attendant
from terminal.fleet.build import attendant_of
from terminal.fleet.health import Depth
from terminal.fleet.order_book import Outcome
from terminal.ports import Ports

BASE = "bank/v1/B001/T0001"
BEGAN = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
CENTRE = Centre(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
KEYS = {CENTRE.key_id: CENTRE._private.public_key()}


TERMINAL = """
[terminal]
id = "T0001"
branch = "B001"
store = "t.sqlite"

[bank]
url = "mqtt://127.0.0.1:1883"
public_key = "bank.pub"

[cash]
presets_minor = [10000, 20000, 50000]
limit_minor = 300000
"""
UNITS = "".join(
    f'[[cash.unit]]\nunit = "{number}"\ndenomination_minor = {minor}\ninitial = 100\n'
    for number, minor in enumerate((10_000, 5_000, 2_000, 1_000), 1)
)
DEVICES = """
[dispenser]
port = "d"
[card]
ca_keys = "c"
[pin_pad]
port = "p"
[printer]
port = "r"
[face]
camera = "0"
from_minor = 100000
"""


class World:
    """What outlives the agent: time and disk."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "terminal.toml"
        self.file.write_text(TERMINAL + UNITS + DEVICES, encoding="utf-8")
        self.clock = VirtualClock(100.0)

    def wall(self) -> datetime:
        return BEGAN + timedelta(seconds=self.clock.now() - 100.0)


class PlayedWorker:
    def __init__(self) -> None:
        self.commands: list[c.DeviceCommand] = []

    def send(self, command: c.DeviceCommand) -> None:
        self.commands.append(command)

    def tick(self) -> None:
        """Nothing is due."""

    def next_deadline(self) -> float | None:
        return None

    def close(self, grace_s: float) -> None:
        """Nothing is open."""


class PlayedPage(PlayedWorker):
    def show(self, view: Mapping[str, Any]) -> None:
        """Nobody looks."""


class PlayedLink:
    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.published: list[tuple[str, dict[str, Any]]] = []

    def request(self, type: str, data: dict[str, Any], timeout_s: float) -> str:
        return "request"

    def notify(self) -> None:
        """The outbox is read by the test."""

    def report(self, data: Mapping[str, Any]) -> None:
        self.retain("state", "ATMDeviceReport", {**data, "state": "online"})

    def retain(self, leaf: str, type_: str, data: Mapping[str, Any]) -> None:
        self.documents[leaf] = dict(data)
        self.published.append((leaf, dict(data)))
        message = {
            "specversion": "1.0", "id": "1", "source": BASE, "type": type_, "time": "2026-11-22T08:00:00.000Z",
            "datacontenttype": "application/json", "dataschema": f"smart-branch:{type_}:1", "data": dict(data),
        }  # fmt: skip
        assert message_fault(message) == ""


class Around:
    """terminal.fleet.post.Surroundings, set by the test."""

    def __init__(self) -> None:
        self.free: int | None = 10 << 30
        self.offset: int | None = 0
        self.days: int | None = None
        self.rows = 0

    def page(self) -> str:
        return "online"

    def restarts(self) -> Mapping[str, int]:
        return {}

    def outbox(self) -> Mapping[str, Depth]:
        return {"audit": Depth(self.rows, 100, 0)}

    def disk_free_bytes(self) -> int | None:
        return self.free

    def clock_offset_ms(self) -> int | None:
        return self.offset

    def certificate_days_left(self) -> int | None:
        return self.days


class FleetBench:
    """One life of the agent."""

    def __init__(self, world: World, *, keys: Any = KEYS, well: bool = True) -> None:
        self.world = world
        self.start = desired_file.start(world.file)
        path = self.start.config.terminal.store
        self.store = Store.open(path, "T0001", "B001", wall_clock=world.wall, first_transaction_number=1)
        self.workers = {device: PlayedWorker() for device in Device}
        self.link, self.around = PlayedLink(), Around()
        self.restarted: list[Device] = []
        self.pictured: list[Any] = []
        self.said: list[str] = []
        self.agent = Agent(State(self.start.config.core()))
        journal: Any = self.store
        self.agent.plug(Ports(world.clock, world.wall, journal, self.link, _Box(), self.workers, PlayedPage(), NoTrace()))
        self.attendant: Attendant = attendant_of(
            self.start.config, self.agent, self.store, self.around, restart_worker=self.restarted.append, picture=self._picture, keys=keys,
            start=self.start, say=self.said.append,
        )  # fmt: skip
        self.agent.attend(self.attendant)
        checkpoints = [entry.seq for kind in CHECKPOINTS if (entry := self.store.last(kind)) is not None]
        self.agent.take(e.Started(recover(self.store.entries(after_seq=max(checkpoints, default=1) - 1))))
        self.drain()
        if well:
            self.open()

    def _picture(self, device: Device, done: Any) -> bool:
        if device is not Device.DISPENSER:
            return False
        self.pictured.append(done)
        return True

    def open(self) -> FleetBench:
        """Everything is well: in service."""
        for device in Device:
            self.agent.take(e.DeviceOnline(device))
        self.hear(link.LinkUp())
        self.agent.take(e.DispenserInitialised(self.workers[Device.DISPENSER].commands[-1].command_id, ""))
        self.pass_s(2.0)
        return self

    def open_without_dispenser(self) -> FleetBench:
        """Latched: everything else is well."""
        for device in Device:
            self.agent.take(e.DeviceOnline(device))
        self.hear(link.LinkUp())
        self.pass_s(2.0)
        return self

    def pass_s(self, seconds: float) -> None:
        """Time passes, in small steps, with everything that falls due in it."""
        until = self.world.clock.now() + seconds
        self.drain()
        while (now := self.world.clock.now()) < until:
            due = self.attendant.next_deadline()
            self.world.clock.sleep(min(until, max(due if due is not None else until, now + 0.01)) - now)
            self.drain()

    def drain(self) -> None:
        for _ in range(30):
            self.agent.run_once(0.0)

    def hear(self, event: link.LinkEvent) -> None:
        self.agent.from_link(event)
        self.drain()

    def order(self, command: str, /, parameters: Mapping[str, Any] | None = None, **how: Any) -> str:
        """Sign and hand over; the order's id."""
        message = CENTRE.order(BASE, command, parameters or {}, self.world.wall(), **how)
        self.hear(link.OrderArrived(message["data"]))
        return str(message["data"]["commandId"])

    def restart(self, **how: Any) -> FleetBench:
        """This life ends here; the next one begins on the same disk."""
        self.store.close()
        return FleetBench(self.world, **how)

    # --- what is on the disk for the bank

    def messages(self, klass: str = "") -> list[dict[str, Any]]:
        """The outbox: every message that was stored, checked against the contract."""
        found = []
        for database in (self.store._database, self.store._telemetry._database):
            for name, payload in database.execute("SELECT class, payload FROM outbox ORDER BY epoch, seq"):
                message = json.loads(payload)
                assert message_fault(message) == ""
                if klass in ("", name):
                    found.append(message)
        return found

    def datas(self, type_: str) -> list[dict[str, Any]]:
        return [one["data"] for one in self.messages() if one["type"] == type_]

    def results(self, command_id: str) -> list[tuple[str, str | None, str]]:
        """State, result, reason: everything that was reported of an order."""
        found = [one for one in self.datas("ATMDeviceControlResult") if one["commandId"] == command_id]
        return [(one["state"], one["result"], one["reason"]) for one in found]

    def result(self, command_id: str) -> dict[str, Any]:
        return next(one for one in reversed(self.datas("ATMDeviceControlResult")) if one["commandId"] == command_id)

    def alarms(self) -> list[tuple[str, str, str | None]]:
        """Code, state, device."""
        return [(one["alarm"], one["state"], one["device"]) for one in self.datas("ATMExceptionAdvice")]

    @property
    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.store.entries()]


class _Box:
    def seal(self, *_: Any) -> Mapping[str, Any]:
        return {}


__all__ = ["BASE", "CENTRE", "Entry", "FleetBench", "Outcome", "World"]
