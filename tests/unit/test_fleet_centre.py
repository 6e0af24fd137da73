"""The real centre's pen and the real terminal: what branch-monitor stores and signs, the agent verifies and does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fleet_play import FleetBench, World
from monitor_database import new_database, rows, take
from monitor_says import Terminal

from kiosk_ui.monitor import commands, desired
from kiosk_ui.monitor.audit import Who
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.schema import COMMAND, DESIRED
from kiosk_ui.monitor.signing import Signer
from terminal.adapters import link_events as link
from terminal.core.model import Phase
from terminal.fleet.order_desk import RESTART_EXIT

OLGA, OTTO, SAM = Who("olga", "operator"), Who("otto", "operator"), Who("sam", "supervisor")
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PARAMETERS: dict[str, dict[str, Any]] = {
    "restartWorker": {"device": "printer"},
    "selfTest": {"device": "cardReader"},
    "picture": {"device": "cashDispenser"},
    "journalRange": {"from": 1, "to": 200},
    "cancel": {"commandId": "00000000-0000-4000-8000-000000000001"},
}


@dataclass
class Both:
    """`ahead`: the centre's clock before the terminal's."""

    database: Database
    bench: FleetBench
    signer: Signer
    ahead: timedelta = timedelta(0)

    def now(self) -> int:
        return int((self.bench.world.wall() + self.ahead).timestamp() * 1000)

    def order(self, command: str, who: Who = OLGA) -> str:
        ordered = commands.Ordered("T0001", command, PARAMETERS.get(command, {}), "a test of it", 600)
        with self.database.write() as connection:
            return commands.order(connection, ordered, who, self.signer, self.now())

    def approve(self, identity: str, who: Who) -> None:
        with self.database.write() as connection:
            commands.approve(connection, identity, who, self.signer, self.now())

    def signed(self, identity: str) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(next(row["signed"] for row in rows(self.database, COMMAND) if row["command_id"] == identity))
        return data

    def deliver(self, identity: str) -> tuple[str, str | None, str]:
        """What the terminal said last."""
        self.bench.hear(link.OrderArrived(self.signed(identity)))
        return self.bench.results(identity)[-1]


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    with new_database("sqlite", tmp_path) as database:
        take(database, [Terminal("T0001").state()])
        yield Both(database, FleetBench(World(tmp_path), keys={"centre": PRIVATE.public_key()}), Signer(PRIVATE, "centre"))


@pytest.mark.parametrize("ahead_s", [0.0, 0.001, 29.0])
def test_what_the_centre_offers_the_terminal_takes(both: Both, ahead_s: float) -> None:
    both.ahead = timedelta(seconds=ahead_s)
    for command in commands.CATALOGUE:
        identity = both.order(command)
        if command in commands.TWO_PEOPLE:
            both.approve(identity, SAM)
        state, _, reason = both.deliver(identity)
        assert state != "refused", (command, reason)


@pytest.mark.parametrize(("first", "second"), [(OLGA, SAM), (SAM, OLGA)])
def test_two_people_take_a_terminal_out_of_service(both: Both, first: Who, second: Who) -> None:
    identity = both.order("leaveService", first)
    assert rows(both.database, COMMAND)[0]["signed"] is None
    both.approve(identity, second)
    assert both.deliver(identity) == ("succeeded", "SUCC", "") and both.bench.agent.state.phase is Phase.OUT_OF_SERVICE


def test_a_centre_that_forgets_its_rule_is_refused(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hole in the centre, or whoever has its key and only one name."""
    monkeypatch.setattr(commands, "TWO_PEOPLE", ())
    assert both.deliver(both.order("leaveService", SAM)) == ("refused", "SECR", "wrongRole")
    assert not both.bench.agent.state.closed_by_operator


def test_what_the_centre_desires_the_terminal_tries(both: Both) -> None:
    with both.database.write() as connection:
        version = desired.desire(connection, "T0001", {"cash": {"limit_minor": 100_000}}, "a trial", SAM, both.signer, both.now())
    both.bench.hear(link.DesiredArrived(json.loads(rows(both.database, DESIRED)[0]["signed"])))
    assert both.bench.agent.exit_code == RESTART_EXIT
    assert both.bench.link.documents["reported"].items() >= {"version": version, "state": "pending", "active": version}.items()
