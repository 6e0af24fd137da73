"""A broker that acknowledges and loses, duplicates and reorders; a bank that is deaf for a while; links that break at any point,
an agent that is killed: each stored event takes effect at the bank exactly once, and only then leaves the outbox.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terminal.adapters.journal import Entry
from terminal.adapters.outbox import ACKNOWLEDGED, CLASSES, OutboxClass, OutboxRow, Outgoing
from terminal.adapters.outbox_sender import Outbox
from terminal.adapters.shipper import Shipper, ShippingPolicy
from terminal.adapters.store import Store

LEAF = {"txn": "txn", "audit": "event", "alarm": "alarm", "telemetry": "telemetry"}
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
POLICY = ShippingPolicy(resend_s=10, resend_max_s=40, drain_per_s=5, ack_window=4)


class Bank:
    """The consumer's rule of docs/bank-messages.md: a key once, then the cumulative acknowledgement."""

    def __init__(self) -> None:
        self.effects: Counter[str] = Counter()
        self.seen: dict[tuple[str, int], set[int]] = {}

    def receive(self, payload: bytes) -> tuple[str, int, int] | None:
        message = json.loads(payload)
        _, klass, epoch, seq = message["id"].split("/")
        seen = self.seen.setdefault((klass, int(epoch)), set())
        if int(seq) not in seen:
            seen.add(int(seq))
            self.effects[message["id"]] += 1
        upto = 0
        while upto + 1 in seen:
            upto += 1
        return (klass, int(epoch), upto) if klass != "telemetry" and upto else None


class World:
    """One terminal, one lossy broker, one bank; one clock."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.path = folder / "t.sqlite"
        self.now, self.faulty = 1000.0, True
        self.bank = Bank()
        self.broker: list[bytes] = []
        self.acks: list[tuple[str, int, int]] = []
        self.in_flight: list[OutboxRow] = []
        self.stored: Counter[str] = Counter()
        self.start()

    def start(self) -> None:
        self.store = Store.open(self.path, "T0001", "B001", wall_clock=lambda: NOON)
        self.outbox = Outbox(self.path)
        self.shipper = Shipper(self.outbox, POLICY)
        self.shipper.connected(self.now)

    def kill(self) -> None:
        self.in_flight.clear()
        self.outbox.close()
        self.store.close()
        self.start()

    def store_event(self, klass: OutboxClass) -> None:
        self.store.append([Entry("e", None, {})], [Outgoing(klass, LEAF[klass], "A", {})])
        if klass != "telemetry":
            self.stored[klass] += 1
        self.shipper.notify()

    def send(self) -> None:
        for row in self.shipper.take(self.now, NOON.timestamp(), 3 - len(self.in_flight)):
            self.in_flight.append(row)
            for _ in range(self.chance.choice([0, 1, 1, 2]) if self.faulty else 1):  # lost, once, once, twice
                self.broker.append(row.payload)

    def broker_answers(self) -> None:
        while self.in_flight:
            row = self.in_flight.pop(self.chance.randrange(len(self.in_flight)) if self.faulty else 0)
            self.shipper.puback(row, self.chance.choice([0, 0, 0x10, 0x97]) if self.faulty else 0, self.now)

    def bank_reads(self) -> None:
        if self.faulty:
            self.chance.shuffle(self.broker)
        keep = self.chance.randrange(len(self.broker) + 1) if self.faulty else 0
        for payload in self.broker[keep:]:
            ack = self.bank.receive(payload)
            if ack is not None and not (self.faulty and self.chance.random() < 0.3):
                self.acks.append(ack)
        del self.broker[keep:]

    def acks_arrive(self) -> None:
        if self.faulty:
            self.chance.shuffle(self.acks)
        for ack in self.acks:
            assert self.shipper.acknowledge(*ack) == ""
        self.acks.clear()

    def break_link(self) -> None:
        self.in_flight.clear()
        self.shipper.disconnected()
        assert self.shipper.take(self.now, NOON.timestamp(), 9) == []
        self.shipper.connected(self.now)

    def wait(self) -> None:
        self.now += self.chance.choice([0.1, 1.0, 15.0])

    def check_nothing_left_early(self) -> None:
        for klass in ACKNOWLEDGED:
            kept = {row.position for row in self.outbox.pending(klass, (0, 0), 10_000)}
            for seq in range(1, self.stored[klass] + 1):
                applied = self.bank.effects[f"T0001/{klass}/{self.store.epoch}/{seq}"] == 1
                assert applied or (self.store.epoch, seq) in kept, "left the outbox before the bank had it"

    def calm_down(self) -> None:
        self.faulty = False
        for _ in range(600):
            self.send()
            self.broker_answers()
            self.bank_reads()
            self.acks_arrive()
            self.now += 1.0
            if all(level.rows == 0 for level in self.outbox.levels().values()):
                return
        raise AssertionError(f"the outbox never emptied: {self.outbox.levels()}")


STEPS = ("send", "send", "broker_answers", "broker_answers", "bank_reads", "acks_arrive", "break_link", "wait", "kill")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), steps=st.lists(st.sampled_from((*STEPS, *CLASSES)), max_size=60))
def test_each_event_takes_effect_exactly_once(seed: int, steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), seed)
        for step in steps:
            if step in CLASSES:
                world.store_event(step)  # type: ignore[arg-type]
            else:
                getattr(world, step)()
            world.check_nothing_left_early()
        world.calm_down()
        expected = {f"T0001/{k}/{world.store.epoch}/{n}" for k in ACKNOWLEDGED for n in range(1, world.stored[k] + 1)}
        took_effect = {key for key in world.bank.effects if "/telemetry/" not in key}
        assert took_effect == expected
        assert set(world.bank.effects.values()) <= {1}
        world.outbox.close()
        world.store.close()


class Rows:
    """An outbox in memory: rows as they are, nothing else."""

    def __init__(self, number: int, klass: OutboxClass = "txn") -> None:
        self.rows = [OutboxRow(klass, 1, seq, "t", b"", None) for seq in range(1, number + 1)]
        self.high = number

    def add(self, klass: OutboxClass = "txn", expires: float | None = None) -> None:
        self.high += 1
        self.rows.append(OutboxRow(klass, 1, self.high, "t", b"", expires))

    def pending(self, klass: OutboxClass, after: tuple[int, int], limit: int) -> list[OutboxRow]:
        return [row for row in self.rows if row.klass == klass and row.position > after][:limit]

    def row(self, klass: OutboxClass, position: tuple[int, int]) -> OutboxRow | None:
        return next((row for row in self.rows if row.klass == klass and row.position == position), None)

    def newest(self, klass: OutboxClass) -> tuple[int, int]:
        return max((row.position for row in self.rows if row.klass == klass), default=(0, 0))

    def assigned(self, klass: OutboxClass) -> dict[int, int]:
        return {1: self.high} if self.high else {}

    def settle(self, klass: OutboxClass, epoch: int, upto: int) -> int:
        before = len(self.rows)
        self.rows = [row for row in self.rows if row.klass != klass or row.epoch != epoch or row.seq > upto]
        return before - len(self.rows)

    def forget(self, klass: OutboxClass, position: tuple[int, int]) -> None:
        self.rows = [row for row in self.rows if row.klass != klass or row.position != position]


def seqs(rows: list[OutboxRow]) -> list[int]:
    return [row.seq for row in rows]


def test_backlog_is_throttled_live_rows_are_not() -> None:
    rows = Rows(50)
    shipper = Shipper(rows, ShippingPolicy(drain_per_s=10, ack_window=1000))
    shipper.connected(0.0)
    sent = shipper.take(0.0, 0.0, 99)
    assert seqs(sent) == list(range(1, 11)), "one second's worth at once"
    assert shipper.take(0.05, 0.0, 99) == []
    assert shipper.next_wakeup(0.05) == pytest.approx(0.1)
    now, count = 0.0, 10
    while count < 50:
        now += 0.1
        got = len(shipper.take(now, 0.0, 99))
        assert got <= 2
        count += got
    assert now == pytest.approx(4.0, abs=0.11), "the other forty at ten a second"
    for index in range(30):
        rows.add()
        shipper.notify()
        assert seqs(shipper.take(now, 0.0, 99)) == [51 + index], "the live path does not wait"


def test_what_gathers_behind_a_full_window_is_backlog_too() -> None:
    rows = Rows(0)
    shipper = Shipper(rows, ShippingPolicy(drain_per_s=2, ack_window=3))
    shipper.connected(0.0)
    for _ in range(20):
        rows.add()
    shipper.notify()
    for row in shipper.take(0.0, 0.0, 99):
        shipper.puback(row, 0, 0.0)
    assert shipper.take(0.0, 0.0, 99) == []
    assert shipper.acknowledge("txn", 1, 3) == ""
    assert seqs(shipper.take(0.0, 0.0, 99)) == [4, 5], "two a second, not the whole window"


def test_unacknowledged_rows_come_again_with_growing_patience_and_never_without_the_brokers_answer() -> None:
    rows = Rows(1)
    shipper = Shipper(rows, ShippingPolicy(resend_s=10, resend_max_s=35, drain_per_s=100))
    shipper.connected(0.0)
    (row,) = shipper.take(0.0, 0.0, 9)
    assert shipper.take(1000.0, 0.0, 9) == [], "MQTT 5 resends nothing on a living connection"
    now, waits = 1000.0, []
    for _ in range(5):
        shipper.puback(row, 0x10, now)
        wakeup = shipper.next_wakeup(now)
        assert wakeup is not None
        waits.append(wakeup - now)
        assert shipper.take(wakeup - 0.01, 0.0, 9) == []
        now = wakeup
        assert shipper.take(now, 0.0, 9) == [row]
    assert waits == [10, 20, 35, 35, 35]


def test_an_impossible_acknowledgement_deletes_nothing() -> None:
    rows = Rows(0)
    shipper = Shipper(rows, ShippingPolicy())
    shipper.connected(0.0)
    for _ in range(5):
        rows.add()
    shipper.notify()
    shipper.take(0.0, 0.0, 3)
    for klass, epoch, upto, why in (
        ("txn", 1, 4, "only 3 were sent"),
        ("txn", 2, 1, "never used"),
        ("telemetry", 1, 1, "class"),
        ("nonsense", 1, 1, "class"),
    ):
        assert why in shipper.acknowledge(klass, epoch, upto)
    assert len(rows.rows) == 5
    assert shipper.acknowledge("txn", 1, 3) == ""
    assert shipper.acknowledge("txn", 1, 2) == "", "an older acknowledgement is no fault"
    assert len(rows.rows) == 2


def test_an_acknowledgement_for_what_an_earlier_run_sent_is_taken() -> None:
    rows = Rows(5)
    shipper = Shipper(rows, ShippingPolicy())
    shipper.connected(0.0)
    assert shipper.acknowledge("txn", 1, 5) == ""
    assert rows.rows == []


def test_telemetry_goes_on_puback_stays_when_refused_and_expires() -> None:
    rows = Rows(2, "telemetry")
    shipper = Shipper(rows, ShippingPolicy(resend_s=10))
    shipper.connected(0.0)
    first, second = shipper.take(0.0, 0.0, 9)
    shipper.puback(first, 0x10, 0.0)
    shipper.puback(second, 0x87, 0.0)
    assert seqs(rows.rows) == [2]
    assert shipper.take(10.0, 0.0, 9) == [second]
    rows.add("telemetry", expires=50.0)
    rows.add("telemetry", expires=150.0)
    shipper.notify()
    assert seqs(shipper.take(10.0, 100.0, 9)) == [4]
    assert seqs(rows.rows) == [2, 4]
