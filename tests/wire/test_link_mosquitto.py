"""The bank link against a real mosquitto: killed, restarted, deaf, with and without a bank behind it."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from link_rig import BASE, Bank, Terminal, envelope

from simulators.broker.start import Broker, start_broker
from terminal.adapters.link_events import BadMessage, LateResponse, LinkDown, LinkUp, OutboxAlarm, RequestFailed, ResponseArrived
from terminal.adapters.outbox import Bounds

pytestmark = [pytest.mark.wire, pytest.mark.placeholders]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with start_broker(tmp_path / "broker", kind="mosquitto") as broker:
        yield broker


@pytest.fixture
def terminal(tmp_path: Path, broker: Broker) -> Iterator[Terminal]:
    (tmp_path / "t").mkdir()
    terminal = Terminal(tmp_path / "t", broker.url)
    terminal.event(LinkUp)
    yield terminal
    terminal.close()


@pytest.fixture
def bank(broker: Broker) -> Iterator[Bank]:
    bank = Bank(broker.port, "auth", "txn", "event", "alarm", "telemetry")
    yield bank
    bank.close()


def test_requests_are_answered(terminal: Terminal, bank: Bank, record_property: Any) -> None:
    times = []
    for index in range(200):
        begun = time.perf_counter()
        request_id = terminal.link.request("ATMWithdrawalRequest", {"transactionId": "T0001-00000001", "attempt": index}, 5.0)
        topic, message, raw = bank.next()
        assert (topic, message["id"], message["data"]["attempt"]) == ("auth", request_id, index)
        assert raw.properties.ResponseTopic == f"{BASE}/auth/resp"  # type: ignore[union-attr]
        assert 0 < raw.properties.MessageExpiryInterval <= 5  # type: ignore[union-attr]
        bank.answer(raw, response="APPR", attempt=index)
        answer = terminal.event(ResponseArrived)
        times.append(time.perf_counter() - begun)
        assert (answer.request_id, answer.type, answer.data["attempt"]) == (request_id, "ATMWithdrawalResponse", index)
    record_property("round_trip_p50_ms", statistics.median(times) * 1000)
    print(f"round trip p50 {statistics.median(times) * 1000:.2f} ms")


def test_what_the_broker_took_but_the_bank_never_acknowledged_comes_again_with_the_same_key(terminal: Terminal, bank: Bank) -> None:
    terminal.put("txn", number=1)
    key = f"T0001/txn/{terminal.store.epoch}/1"
    for _ in range(3):
        topic, message, raw = bank.next()
        assert (topic, message["id"]) == ("txn", key)
        assert dict(raw.properties.UserProperty) == {"key": key}  # type: ignore[union-attr]
    assert terminal.store.outbox_levels()["txn"].rows == 1
    bank.acknowledge("txn", terminal.store.epoch, 1)
    terminal.wait_empty("txn")


def test_all_classes_arrive_and_telemetry_needs_no_acknowledgement(terminal: Terminal, bank: Bank) -> None:
    for klass in ("audit", "alarm", "telemetry"):
        terminal.put(klass)  # type: ignore[arg-type]
    found = {bank.next()[0] for _ in range(3)}
    assert found == {"event", "alarm", "telemetry"}
    terminal.wait_empty("telemetry")
    levels = terminal.store.outbox_levels()
    assert (levels["audit"].rows, levels["alarm"].rows) == (1, 1)


def test_a_broker_killed_and_restarted_loses_nothing(broker: Broker, terminal: Terminal) -> None:
    for number in range(5):
        terminal.put("txn", number=number)  # PUBACKed, and gone with the broker: nobody is subscribed
    broker.kill()
    assert terminal.event(LinkDown).reason
    for number in range(5, 8):
        terminal.put("txn", number=number)
    request_id = terminal.link.request("ATMWithdrawalRequest", {}, 5.0)
    assert terminal.event(RequestFailed) == RequestFailed(request_id, "offline")
    broker.restart()
    bank = Bank(broker.port, "txn")
    terminal.event(LinkUp)
    numbers: set[int] = set()
    while len(numbers) < 8:
        numbers.add(bank.next()[1]["data"]["number"])
    bank.acknowledge("txn", terminal.store.epoch, 8)
    terminal.wait_empty("txn")
    bank.close()


CHILD = """
import sys
from terminal.adapters.bank_link import BankLink
from terminal.adapters.link_config import LinkConfig
from terminal.adapters.store import Store
store = Store.open(sys.argv[2], "T0001", "B001")
link = BankLink(LinkConfig(sys.argv[1], "T0001", "B001", boot_spread_s=0.0), sys.argv[2], lambda event: None)
link.report({"version": "1.2"})
link.start()
sys.stdin.read()
"""


def test_a_killed_terminal_is_offline_at_once(broker: Broker, tmp_path: Path) -> None:
    watcher = Bank(broker.port, "state")
    command = [sys.executable, "-c", CHILD, broker.url, str(tmp_path / "t.sqlite")]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as child:
        _, online, _ = watcher.next()
        assert online["data"] == {"state": "online", "version": "1.2"}
        assert online["type"] == "ATMDeviceReport"
        child.kill()
    assert watcher.next()[1]["data"] == {"state": "offline"}
    late = Bank(broker.port, "state")
    _, kept, raw = late.next()
    assert raw.retain
    assert kept["data"] == {"state": "offline"}
    late.close()
    watcher.close()


def test_closing_says_offline_and_a_report_changes_the_state(broker: Broker, tmp_path: Path) -> None:
    watcher = Bank(broker.port, "state")
    terminal = Terminal(tmp_path, broker.url)
    assert watcher.next()[1]["data"]["state"] == "online"
    terminal.link.report({"service": "OUTS"})
    assert watcher.next()[1]["data"] == {"state": "online", "service": "OUTS"}
    terminal.close()
    assert watcher.next()[1]["data"] == {"state": "offline"}
    watcher.close()


def test_a_request_that_nobody_reads_fails_at_once(terminal: Terminal) -> None:
    request_id = terminal.link.request("ATMWithdrawalRequest", {}, 3600.0)
    assert terminal.event(RequestFailed) == RequestFailed(request_id, "offline")


def test_a_late_answer_is_late_and_a_second_answer_is_none(terminal: Terminal, bank: Bank) -> None:
    request_id = terminal.link.request("ATMWithdrawalRequest", {}, 0.2)
    _, _, raw = bank.next()
    assert terminal.event(RequestFailed) == RequestFailed(request_id, "timeout")
    bank.answer(raw, response="APPR")
    late = terminal.event(LateResponse)
    assert (late.request_id, late.data["response"]) == (request_id, "APPR")
    bank.answer(raw, response="APPR")
    assert "answered before" in terminal.event(BadMessage).why
    other = terminal.link.request("ATMWithdrawalRequest", {}, 5.0)
    _, _, raw = bank.next()
    bank.answer(raw, response="DECL")
    bank.answer(raw, response="APPR")
    assert terminal.event(ResponseArrived).data["response"] == "DECL"
    assert "answered before" in terminal.event(BadMessage).why
    assert bank.arrived.empty(), f"{other} was published once"


def test_what_cannot_be_used_is_reported_and_hurts_nobody(terminal: Terminal, bank: Bank) -> None:
    good = json.loads(envelope({}))
    epoch = terminal.store.epoch
    bad = [
        ("auth/resp", b"not json", b"x"),
        ("auth/resp", b"\xff\xfe", None),
        ("auth/resp", b"[" * 30_000, None),
        ("auth/resp", b"[]", None),
        ("auth/resp", b'{"specversion": "1.0", "id": "1", "source": "x", "type": "y", "data": {"inResponseTo": NaN}}', None),
        ("auth/resp", json.dumps({**good, "specversion": "0.3"}).encode(), None),
        ("auth/resp", json.dumps({**good, "data": 5}).encode(), None),
        ("auth/resp", envelope({}), None),
        ("auth/resp", envelope({"inResponseTo": "a"}), b"b"),
        ("auth/resp", envelope({"inResponseTo": "a", "x": "y" * 70_000}), b"a"),
        ("ack", envelope({"class": "txn", "epoch": "1", "upto": 1}), None),
        ("ack", envelope({"class": "txn", "epoch": True, "upto": 1}), None),
        ("ack", envelope({"class": "txn", "epoch": 1, "upto": 2**80}), None),
        ("ack", envelope({"class": "txn", "epoch": epoch + 1, "upto": 1}), None),
        ("ack", envelope({"class": "telemetry", "epoch": epoch, "upto": 1}), None),
    ]
    terminal.put("txn")
    assert bank.next()[0] == "txn"
    bank.acknowledge("txn", epoch, 2)
    assert "only 1 were sent" in terminal.event(BadMessage).why
    for leaf, payload, correlation in bad:
        bank.publish(leaf, payload, correlation)
        event = terminal.event(BadMessage)
        assert event.topic == f"{BASE}/{leaf}", payload[:80]
        assert event.why
    assert terminal.store.outbox_levels()["txn"].rows == 1
    bank.acknowledge("txn", epoch, 1)
    terminal.wait_empty("txn")
    assert terminal.link.up


def test_a_class_that_fills_up_raises_an_alarm_and_takes_it_back(broker: Broker, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, broker.url, bounds=Bounds(txn=10))
    terminal.event(LinkUp)
    for _ in range(8):
        terminal.put("txn")
    alarm = terminal.event(OutboxAlarm)
    assert (alarm.klass, alarm.raised, alarm.capacity) == ("txn", True, 10)
    bank = Bank(broker.port, "txn")
    while bank.next()[1]["seq"] != 8:
        pass
    bank.acknowledge("txn", terminal.store.epoch, 8)
    assert not terminal.event(OutboxAlarm).raised
    bank.close()
    terminal.close()
