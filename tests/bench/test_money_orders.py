"""Money first: customers, faults and power cuts as in the money bench, and the centre gives orders at any moment in between."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fleet_play import CENTRE, KEYS
from money import ending
from money.play import play
from money.pool import schedule_of, setting
from money.world import World

from terminal.adapters.link_events import OrderArrived

BASE = "bank/v1/B001/T0001"
SEEDS = range(1, 201)
ORDERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("leaveService", {}),
    ("enterService", {}),
    ("restartAgent", {}),
    *(("restartWorker", {"device": device}) for device in ("cashDispenser", "cardReader", "pinPad", "printer")),
    *(("selfTest", {"device": device}) for device in ("cashDispenser", "cardReader", "pinPad", "printer")),
    ("status", {}),
    ("journalRange", {"from": 1, "to": 200}),
    ("dispense", {}),
)


class Centre:
    """Gives `orders` orders within the first minutes of every schedule; opens the terminal again in the end."""

    def __init__(self) -> None:
        self.results: Counter[str] = Counter()
        self._opened_at = -1.0

    def begin(self, world: World) -> None:
        chance, self._opened_at = random.Random(f"orders-{world.schedule.seed}"), -1.0
        for _ in range(chance.randrange(2, 7)):
            command, parameters = chance.choice(ORDERS)
            world.time.later(chance.uniform(1.0, 60.0), self._later(world, command, parameters))

    def _later(self, world: World, command: str, parameters: dict[str, Any]) -> Callable[[], None]:
        return lambda: self.give(world, command, parameters)

    def give(self, world: World, command: str, parameters: dict[str, Any]) -> None:
        agent = world.life.agent
        if world.life.alive and agent is not None:
            world.tell("centre", f"orders {command} {parameters}")
            people = {"role": "supervisor", "approved_by": "operator-2"}
            order = CENTRE.order(BASE, command, parameters, world.wall(), holds_s=100_000, **people)
            agent.from_link(OrderArrived(order["data"]))

    def opens(self, world: World) -> bool:
        """Every few seconds, until it is open."""
        closed = world.life.alive and world.life.agent is not None and world.state.closed_by_operator
        if closed and world.now > self._opened_at + 10.0:
            self._opened_at = world.now
            self.give(world, "enterService", {})
        return closed

    def count(self, world: World) -> None:
        for row in world.bank.host.store.rows("SELECT data FROM inbox WHERE type = 'ATMDeviceControlResult'"):
            data = json.loads(row["data"])
            self.results[f"{data['command']} {data['state']}"] += 1


def test_orders_at_any_moment_change_nothing_about_money(monkeypatch: pytest.MonkeyPatch) -> None:
    centre, unrest, course = Centre(), ending.unrest, World.play

    def quiet(world: World) -> str:
        closed = centre.opens(world)
        return unrest(world) or ("closed by the centre" if closed else "")

    def played(world: World) -> None:
        centre.begin(world)
        course(world)
        centre.count(world)

    monkeypatch.setattr(World, "centre_keys", KEYS)
    monkeypatch.setattr(ending, "unrest", quiet)
    monkeypatch.setattr(World, "play", played)
    wrong = {seed: outcome.wrong for seed in SEEDS if (outcome := play(replace(schedule_of(seed), attended=True), setting())).wrong}
    assert wrong == {}
    results = centre.results
    assert results["dispense refused"] and not any(name.startswith("dispense") and "refused" not in name for name in results)
    for done in ("leaveService", "enterService", "restartAgent", "restartWorker", "selfTest", "status", "journalRange"):
        assert results[f"{done} succeeded"] > 3, (done, results)
    assert results["leaveService waiting"] and results["restartWorker waiting"], "some came while a customer was served"
