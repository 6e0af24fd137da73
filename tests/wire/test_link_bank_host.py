"""The terminal's durable side against the bank host of the simulators, over a real mosquitto: two readings of docs/bank-messages.md."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from core_ways import config

from simulators.broker.start import start_broker
from simulators.control import Control
from terminal.adapters.bank_link import BankLink
from terminal.adapters.journal import Entry
from terminal.adapters.link_config import LinkConfig
from terminal.adapters.link_events import BadMessage, LinkEvent, LinkUp, ResponseArrived
from terminal.adapters.outbox import Outgoing
from terminal.adapters.shipper import ShippingPolicy
from terminal.adapters.store import Store
from terminal.core.model import State
from terminal.fleet.counts import Counts
from terminal.fleet.health import Facts, agent, health

pytestmark = pytest.mark.wire
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 20.0


@contextmanager
def running(command: list[str], said: str) -> Iterator[subprocess.Popen[str]]:
    """A process of our own, ready when it says so, ended by its id."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        heard = ""
        for line in process.stdout:
            heard += line
            if said in line:
                break
        else:
            raise AssertionError(f"{command[0]} did not start: {heard}")
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with start_broker(tmp_path / "broker", kind="mosquitto") as broker:
        yield broker.url


ALARM = {
    "alarmId": "T0001/hostUnreachable/-/1",
    "alarm": "hostUnreachable",
    "device": None,
    "severity": "major",
    "state": "raised",
    "at": "2026-11-22T08:00:00.000Z",
    "cause": None,
    "suppressed": False,
    "evidence": {},
}


NO_CARD = {
    "inquiry": "faceTemplate",
    "protectedCardData": {"alg": "ECDH-ES+HKDF-SHA256+A256GCM", "kid": "bank-2026", "epk": "04", "iv": "00", "ciphertext": "00"},
    "recipientKey": "04",
}


def advice(number: int) -> Outgoing:
    data = {
        "transactionId": f"T0001-{number:08d}",
        "transactionStatus": "FAIL",
        "presented": "NONE",
        "requestedAmount": {"minor": 10000, "currency": "CNY"},
        "presentedAmount": {"minor": 0, "currency": "CNY"},
        "notes": [],
        "failureReason": "TIMO",
        "reconciles": False,
    }
    return Outgoing("txn", "txn", "ATMWithdrawalCompletionAdvice", data)


def test_the_bank_host_takes_each_message_once_and_empties_the_outbox(tmp_path: Path, url: str) -> None:
    store = Store.open(tmp_path / "t.sqlite", "T0001", "B001")
    inbox: queue.Queue[LinkEvent] = queue.Queue()
    policy = ShippingPolicy(resend_s=0.3, drain_per_s=500)
    link = BankLink(LinkConfig(url, "T0001", "B001", boot_spread_s=0.0, shipping=policy), tmp_path / "t.sqlite", inbox.put)
    state = State(config())
    facts = Facts("1", "2026-11-22T08:00:00.000Z")
    link.report(health(state, facts, "2026-11-22T08:00:00.000Z"))
    link.start()
    assert inbox.get(timeout=PATIENCE_S) == LinkUp()
    for number in range(1, 31):  # the bank is not there yet: the broker says "no subscriber", the rows stay
        store.append([Entry("failed", f"T0001-{number:08d}", {})], [advice(number)])
        link.notify()
    store.append([], [Outgoing("audit", "event", "GlobalStatusChanged", {"globalStatus": "INSV", "reasons": []})])
    store.append([], [Outgoing("alarm", "alarm", "ATMExceptionAdvice", ALARM)])
    counted, timed, refused = Counts().take()
    report = {"period_s": 60.0, "counts": counted, "timings_ms": timed, "refused": refused, "agent": agent(facts)}
    store.append([], [Outgoing("telemetry", "telemetry", "TelemetryReport", report)])
    link.notify()
    control = tmp_path / "bank.control"
    command = [
        sys.executable,
        "-m",
        "simulators.bank",
        "--broker",
        url,
        "--store",
        str(tmp_path / "bank.sqlite"),
        "--control",
        str(control),
    ]
    with running(command, "ready"):
        until = time.monotonic() + PATIENCE_S
        while any(level.rows for level in store.outbox_levels().values()):
            assert time.monotonic() < until, store.outbox_levels()
        bank = Control(control)
        for number in (1, 30):
            assert bank.call("transaction", identity=f"T0001-{number:08d}")
        assert bank.call("refusals") == []
        bank.close()
        asked = link.request("ATMInquiryRequest", {"transactionId": "T0001-00000031", **NO_CARD}, PATIENCE_S)
        answer = inbox.get(timeout=PATIENCE_S)
        assert isinstance(answer, ResponseArrived), answer
        assert (answer.request_id, answer.type, answer.data["reason"]) == (asked, "ATMInquiryResponse", "malformed")
    assert not [event for event in inbox.queue if isinstance(event, BadMessage)]
    assert link.close()
    store.close()
