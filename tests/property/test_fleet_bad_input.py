"""Bad input on every topic that a terminal listens to: nothing raises, nothing is done, every refusal is counted by its reason."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fleet_play import BASE, CENTRE, FleetBench, World
from hypothesis import given, settings
from hypothesis import strategies as st

from terminal.adapters.clock import utc_now
from terminal.adapters.envelope import MAX_MESSAGE_BYTES
from terminal.adapters.link_events import BadMessage, DesiredArrived, LinkEvent, OrderArrived
from terminal.adapters.link_inbound import SUBSCRIBED, Inbound
from terminal.adapters.mqtt import Arrived
from terminal.adapters.outbox import OutboxClass, OutboxRow
from terminal.adapters.requests_pending import OpenRequest, PendingRequests
from terminal.adapters.shipper import Shipper, ShippingPolicy

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
TYPES = ("ATMDeviceControl", "ConfigurationDesired", "ATMCompletionAcknowledgement", "ATMWithdrawalResponse", "Rumour")


class Rows:
    """An outbox of one class with three numbers given out."""

    settled: tuple[str, int, int] | None = None

    def pending(self, klass: OutboxClass, after: tuple[int, int], limit: int) -> list[OutboxRow]:
        return []

    def row(self, klass: OutboxClass, position: tuple[int, int]) -> OutboxRow | None:
        return None

    def newest(self, klass: OutboxClass) -> tuple[int, int]:
        return (1, 3)

    def assigned(self, klass: OutboxClass) -> dict[int, int]:
        return {1: 3} if klass == "txn" else {}

    def settle(self, klass: OutboxClass, epoch: int, upto: int) -> int:
        assert (klass, epoch) == ("txn", 1) and upto <= 3
        self.settled = (klass, epoch, upto)
        return 0

    def forget(self, klass: OutboxClass, position: tuple[int, int]) -> None:
        raise AssertionError("nothing is forgotten because of what comes in")


@contextmanager
def bench() -> Iterator[FleetBench]:
    with tempfile.TemporaryDirectory() as folder:
        found = FleetBench(World(Path(folder)))
        try:
            yield found
        finally:
            found.store.close()


def inbound(told: Callable[[LinkEvent], None]) -> tuple[Inbound, Rows]:
    pending, rows = PendingRequests(), Rows()
    pending.add(OpenRequest("request-1", b"", 10.0, published=True))
    return Inbound(BASE, Shipper(rows, ShippingPolicy()), pending, told, utc_now), rows


def envelopes() -> st.SearchStrategy[bytes]:
    """From rubbish to a message that is right but for something."""
    right = st.fixed_dictionaries(
        {"specversion": st.just("1.0"), "id": st.just("1"), "source": st.just("bank/v1"), "type": st.sampled_from(TYPES), "data": JSON},
        optional={"time": st.text(max_size=30) | st.just("2026-11-22T08:00:00.000Z"), "dataschema": JSON, "colour": JSON},
    )
    as_bytes = lambda value: json.dumps(value).encode()  # noqa: E731
    return st.binary(max_size=200) | JSON.map(as_bytes) | right.map(as_bytes)


@given(st.sampled_from((*SUBSCRIBED, "elsewhere")), envelopes(), st.binary(max_size=12))
def test_nothing_that_arrives_raises(leaf: str, payload: bytes, correlation: bytes) -> None:
    told: list[LinkEvent] = []
    inlet, rows = inbound(told.append)
    inlet.arrived(Arrived(f"{BASE}/{leaf}", payload, correlation))
    inlet.settle()
    assert len(told) == 1 or (not told and leaf == "ack"), "used or reported, and once"
    for event in told:
        if isinstance(event, BadMessage):
            assert event.topic == f"{BASE}/{leaf}" and event.reason in ("malformed", "impossible")
    assert rows.settled is None or leaf == "ack"


def test_what_is_too_large_or_too_deep_or_of_another_version() -> None:
    told: list[LinkEvent] = []
    inlet, _ = inbound(told.append)
    right = {"specversion": "1.0", "id": "1", "source": "bank/v1", "type": "ATMDeviceControl", "data": {}}
    for payload in (
        b"{" + b" " * MAX_MESSAGE_BYTES + b"}",
        b"[" * 30_000 + b"]" * 30_000,
        json.dumps({**right, "dataschema": "smart-branch:ATMDeviceControl:2"}).encode(),
        json.dumps({**right, "specversion": "2.0"}).encode(),
    ):
        inlet.arrived(Arrived(f"{BASE}/cmd", payload, b""))
    assert [type(event) for event in told] == [BadMessage] * 4
    inlet.arrived(Arrived(f"{BASE}/cmd", json.dumps(right).encode(), b""))
    assert not isinstance(told[-1], BadMessage)


ORDERS = ("status", "leaveService", "restartWorker", "journalRange", "selfTest", "dispense", "cancel")


def spoiled(chance: random.Random, data: dict[str, Any], values: list[Any]) -> dict[str, Any]:
    """One thing about it is not as it was signed."""
    data = dict(data)
    name = chance.choice(sorted(data))
    if chance.random() < 0.2:
        del data[name]
    elif chance.random() < 0.2:
        data[chance.choice(("colour", "Command", ""))] = chance.choice(values)
    else:
        data[name] = chance.choice(values)
    return data


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.lists(JSON, min_size=3, max_size=10), st.lists(st.sampled_from(ORDERS), min_size=1, max_size=12))
def test_an_order_with_anything_spoiled_is_refused(seed: int, values: list[Any], commands: list[str]) -> None:
    chance = random.Random(seed)
    with bench() as terminal:
        devices = [len(worker.commands) for worker in terminal.workers.values()]
        sent = 0
        for command in commands:
            right = CENTRE.order(BASE, command, {}, terminal.world.wall(), role="supervisor")["data"]
            wrong = spoiled(chance, right, values)
            if wrong != right:
                sent += 1
                terminal.hear(OrderArrived(wrong))
        assert not any(one["state"] != "refused" for one in terminal.datas("ATMDeviceControlResult"))
        refused = terminal.attendant._reporter.counts.refused
        assert sum(refused.values()) == sent, "each is counted"
        assert {key.split("/")[0] for key in refused} <= {"cmd"}
        assert [len(worker.commands) for worker in terminal.workers.values()] == devices and terminal.restarted == []
        assert not terminal.agent.state.closed_by_operator and terminal.agent.exit_code == 0


@settings(max_examples=40)
@given(st.lists(JSON.filter(lambda value: isinstance(value, dict)), min_size=1, max_size=12))
def test_a_desired_configuration_of_rubbish_is_refused(rubbish: list[Any]) -> None:
    with bench() as terminal:
        for data in rubbish:
            terminal.hear(DesiredArrived(data))
        assert sum(terminal.attendant._reporter.counts.refused.values()) == len(rubbish)
        assert terminal.link.documents["reported"]["state"] == "applied" and terminal.agent.exit_code == 0


@settings(max_examples=40)
@given(JSON.filter(lambda value: isinstance(value, dict)), st.integers(1, 2**53 - 1))
def test_a_signed_configuration_of_rubbish_is_rejected_and_the_terminal_goes_on(rubbish: Any, version: int) -> None:
    """Even the centre may be wrong."""
    with bench() as terminal:
        try:
            data = CENTRE.desired(BASE, version, rubbish, terminal.world.wall())["data"]
        except ValueError:  # the centre itself does not sign fractions
            return
        terminal.hear(DesiredArrived(data))
        assert terminal.link.documents["reported"]["state"] in ("applied", "rejected") and terminal.agent.exit_code == 0
