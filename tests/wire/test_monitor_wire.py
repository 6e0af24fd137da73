"""branch-monitor with a real mosquitto: several workers, one of them killed now and then, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract import Listener, Recorder
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from monitor_database import counters, picture, rows
from monitor_outbox import WITHIN_S, Outboxes, Wire, until
from monitor_process import Browserless, MonitorProcess, add_people, cli, configuration
from monitor_says import Terminal
from postgres import Postgres, binaries

from kiosk_ui.monitor.config import load_config
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.log import now_ms
from kiosk_ui.monitor.schema import ALARM, CASH_HOUR, COMMAND, CUSTOMER_HOUR, EVENT, REFUSAL, TERMINAL
from simulators.broker.start import Broker, start_broker

pytestmark = [
    pytest.mark.wire,
    pytest.mark.skipif(not shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin"), reason="no mosquitto"),
]
SAID_BY_A_CENTRE = ("ack", "cmd", "desired")
KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.skipif(not binaries(), reason="no postgresql"))]


@pytest.fixture
def lonely_broker(tmp_path: Path) -> Iterator[Broker]:
    with start_broker(tmp_path / "broker", kind="mosquitto") as found:
        yield found


@pytest.fixture
def broker(lonely_broker: Broker, contract_kept: Recorder) -> Iterator[Broker]:
    """What the monitor says on it is held against the contract."""
    listener = Listener(lonely_broker.url, contract_kept, SAID_BY_A_CENTRE)
    assert listener.listens.wait(WITHIN_S)
    yield lonely_broker
    listener.close()


class Centre:
    def __init__(self, folder: Path, broker: Broker, url: str = "sqlite:monitor.sqlite") -> None:
        key = cli("key", "new", str(folder / "centre.pem"))
        self.public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.split()[-1]))
        self.config = configuration(folder, broker.url, database=url, more='[signing]\nkey = "centre.pem"\n')
        self.process = MonitorProcess(self.config, "--workers", "3")
        self.database = Database(load_config(self.config).database, folder)
        self.process.wait_subscribed(3)

    def close(self) -> None:
        self.process.stop()
        self.database.close()


@pytest.fixture(params=KINDS)
def centre(request: pytest.FixtureRequest, tmp_path: Path, broker: Broker) -> Iterator[Centre]:
    server = Postgres() if request.param == "postgresql" else None
    found = Centre(tmp_path, broker, server.new("monitor") if server else "sqlite:monitor.sqlite")
    yield found
    found.close()
    if server:
        server.stop()


@pytest.fixture
def small(tmp_path: Path, broker: Broker) -> Iterator[Centre]:
    found = Centre(tmp_path, broker)
    yield found
    found.close()


@pytest.fixture
def wire(broker: Broker) -> Iterator[Wire]:
    found = Wire(broker.url)
    yield found
    found.close()


def test_every_effect_once_while_workers_are_killed(centre: Centre, wire: Wire) -> None:
    chance, now = random.Random(11), now_ms()
    terminals = [Terminal(f"T{number:04}", f"B{number % 4:03}", now=now) for number in range(30)]
    outboxes = Outboxes(wire)
    killed: list[int] = []

    def kill_one() -> None:
        if chance.random() < 0.06 and len(killed) < 8 and (pids := centre.process.worker_pids()):
            killed.append(chance.choice(pids))
            os.kill(killed[-1], signal.SIGKILL)

    for number in range(40):
        for terminal in terminals:
            outboxes.add(terminal.cash("1", 200 - number))
            if number % 8 == 0:
                outboxes.add(terminal.alarm("consumableLow", n=number))
                outboxes.add(terminal.advice(notes=2))
        outboxes.hear(0.001)
        kill_one()
    outboxes.deliver(kill_one)
    until(lambda: sum(row["transactions"] for row in rows(centre.database, CUSTOMER_HOUR)) >= 150)
    assert killed, "at least one worker died in the middle"
    audit = [(row["terminal"], row["seq"]) for row in rows(centre.database, EVENT) if row["class"] == "audit"]
    assert sorted(audit) == sorted((terminal.name, seq) for terminal in terminals for seq in range(1, 41))
    assert len(rows(centre.database, ALARM)) == 150
    assert sum(row["transactions"] for row in rows(centre.database, CUSTOMER_HOUR)) == 150
    assert sum(row["notes"] for row in rows(centre.database, CASH_HOUR)) == 150 * 3
    assert {picture(centre.database, terminal.name)["units"]["1"]["count"] for terminal in terminals} == {161}
    assert rows(centre.database, REFUSAL) == []


def test_a_monitor_that_comes_late_learns_the_retained_states(tmp_path: Path, broker: Broker, wire: Wire) -> None:
    now = now_ms()
    fleet = [Terminal(f"T{number:04}", now=now) for number in range(20)]
    for terminal in fleet:
        wire.publish(terminal.state(), retain=True)
    wire.publish(fleet[3].offline(), retain=True)
    until(lambda: not wire.client._out_messages)
    centre = Centre(tmp_path, broker)
    try:
        until(lambda: len(rows(centre.database, TERMINAL)) == 20)
        until(lambda: picture(centre.database, "T0003")["link"] == "offline")
        assert picture(centre.database, "T0007")["link"] == "online"
    finally:
        centre.close()


def test_bad_messages_stop_no_worker(small: Centre, wire: Wire) -> None:
    terminal = Terminal(now=now_ms())
    pids = set(until(small.process.worker_pids))
    bad = [b"", b"\xff" * 100, b"{}", b"[" * 50_000, b"{" * 200_000, json.dumps({"specversion": "9"}).encode()]
    for leaf in ("state", "telemetry", "event", "alarm", "txn", "cmd/resp", "reported"):
        for payload in bad:
            wire.publish((f"{terminal.base}/{leaf}", payload))
            wire.publish((f"{terminal.base}/{leaf}", payload), qos=0)
    outboxes = Outboxes(wire)
    outboxes.add(terminal.cash("1", 5))
    outboxes.deliver()
    until(lambda: counters(small.database)["received"] >= 7 * len(bad) * 2 + 1)
    assert set(small.process.worker_pids()) == pids
    assert sum(n for name, n in counters(small.database).items() if name.startswith("refused.")) >= 7 * len(bad) * 2
    assert picture(small.database)["units"]["1"]["count"] == 5


def test_a_command_goes_out_signed_and_its_result_comes_back(small: Centre, wire: Wire, contract_kept: Recorder) -> None:
    add_people(small.config)
    terminal = Terminal(now=now_ms())
    wire.publish(terminal.state())
    until(lambda: rows(small.database, TERMINAL))
    olga = Browserless(small.process.url, "olga")
    until(lambda: olga.get("terminals")["total"] == 1)
    status, found = olga.post("commands", {"terminal": "T0001", "command": "status", "reason": "what is it doing?"})
    assert status == 201
    topic, message = wire.heard.get(timeout=60)
    data = message["data"]
    assert topic == "bank/v1/B001/T0001/cmd" and message["type"] == "ATMDeviceControl" and data["commandId"] == found["commandId"]
    signed = {name: value for name, value in data.items() if name != "signature"}
    text = json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    small.public.verify(bytes.fromhex(data["signature"]), b"smart-branch/command/v1\n" + text)

    def state() -> str:
        return str(olga.get("commands?terminal=T0001")["commands"][0]["state"])

    until(lambda: state() == "sent")
    outboxes = Outboxes(wire)
    outboxes.add(terminal.result(data["commandId"], "executing"))
    until(lambda: state() == "delivered")
    outboxes.add(terminal.result(data["commandId"], "succeeded", result="SUCC", data={"service": "inService", "reasons": []}))
    until(lambda: state() == "succeeded")
    outboxes.deliver()
    until(lambda: {"cmd ATMDeviceControl", "ack ATMCompletionAcknowledgement"} <= contract_kept.seen.keys())


def test_a_desired_configuration_is_kept_by_the_broker_for_a_terminal_that_is_away(
    small: Centre, broker: Broker, wire: Wire, contract_kept: Recorder
) -> None:
    add_people(small.config)
    wire.publish(Terminal(now=now_ms()).state())
    until(lambda: rows(small.database, TERMINAL))
    sam = Browserless(small.process.url, "sam")
    until(lambda: sam.get("terminals")["total"] == 1)
    body = {"configuration": {"fleet": {"telemetry_s": 30}}, "reason": "a trial"}
    assert sam.post("terminals/T0001/configuration", body)[0] == 201
    until(lambda: sam.get("terminals/T0001")["desired"]["publishedAt"])
    late = Wire(broker.url, "late")
    late.client.subscribe("bank/v1/B001/T0001/desired", 1)
    topic, message = late.heard.get(timeout=60)
    late.close()
    assert topic.endswith("/desired") and message["type"] == "ConfigurationDesired" and message["data"]["version"] == 2
    signed = {name: value for name, value in message["data"].items() if name != "signature"}
    text = json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    small.public.verify(bytes.fromhex(message["data"]["signature"]), b"smart-branch/desired/v1\n" + text)
    until(lambda: contract_kept.seen["desired ConfigurationDesired"])


def test_a_command_for_a_terminal_that_is_not_there_waits_and_expires(tmp_path: Path, lonely_broker: Broker) -> None:
    """The broker says that nobody listens."""
    centre = Centre(tmp_path, lonely_broker)
    try:
        add_people(centre.config)
        wire = Wire(lonely_broker.url)
        terminal = Terminal(now=now_ms())
        wire.publish(terminal.state())
        until(lambda: rows(centre.database, TERMINAL))
        wire.close()
        sam = Browserless(centre.process.url, "sam")
        until(lambda: sam.get("terminals")["total"] == 1)
        identity = sam.post("commands", {"terminal": "T0001", "command": "status", "reason": "nobody hears", "lifeS": 30})[1]["commandId"]
        with centre.database.write() as connection:
            connection.execute(COMMAND.update().where(COMMAND.c.command_id == identity).values(expires_at=now_ms() + 2000))
        until(lambda: rows(centre.database, COMMAND)[0]["state"] == "expired")
    finally:
        centre.close()


def test_the_broker_may_go_and_come(small: Centre, wire: Wire, broker: Broker) -> None:
    terminal = Terminal(now=now_ms())
    outboxes = Outboxes(wire)
    outboxes.add(terminal.cash("1", 5))
    outboxes.deliver()
    broker.kill()
    broker.restart()
    outboxes.add(terminal.cash("1", 4))
    outboxes.deliver()
    assert picture(small.database)["units"]["1"]["count"] == 4


def test_fewer_workers_leave_no_share_of_the_messages_behind(tmp_path: Path, broker: Broker) -> None:
    centre, wire = Centre(tmp_path, broker), Wire(broker.url)
    terminal = Terminal(now=now_ms())
    try:
        outboxes = Outboxes(wire)
        for number in range(60):
            outboxes.add(terminal.cash("1", number))
        outboxes.deliver()
        until(lambda: len(set(_worker_counts(centre))) == 3)
        centre.process.stop()
        centre.process = MonitorProcess(centre.config, "--workers", "1")
        for _ in range(60):
            wire.publish(terminal.telemetry())
        until(lambda: counters(centre.database)["taken.telemetry"] == 60)
    finally:
        wire.close()
        centre.close()


def _worker_counts(centre: Centre) -> dict[int, int]:
    from kiosk_ui.monitor.schema import COUNTER

    return {row["worker"]: row["value"] for row in rows(centre.database, COUNTER) if row["name"] == "received"}


def test_a_database_that_is_away_costs_nothing_but_time(tmp_path: Path, broker: Broker, wire: Wire) -> None:
    if not binaries():
        pytest.skip("no postgresql")
    server = Postgres()
    centre = Centre(tmp_path, broker, server.new("monitor"))
    try:
        terminal = Terminal(now=now_ms())
        outboxes = Outboxes(wire)
        outboxes.add(terminal.cash("1", 9))
        outboxes.deliver()
        server.kill()
        for number in range(8, 0, -1):
            outboxes.add(terminal.cash("1", number))
        until(lambda: any("the database" in line for line in centre.process.log))
        server.start()
        outboxes.deliver()
        assert server.sql("monitor", "SELECT count(*), count(DISTINCT seq) FROM event") == "9|9"
    finally:
        centre.close()
        server.stop()


def test_sqlite_is_durable_before_the_acknowledgement(small: Centre, wire: Wire) -> None:
    """What was acknowledged is in the file, read by another connection, the moment the acknowledgement is heard."""
    terminal = Terminal(now=now_ms())
    path = small.config.parent / "monitor.sqlite"
    for number in range(1, 21):
        wire.publish(terminal.cash("1", number))
        topic, message = wire.heard.get(timeout=60)
        assert topic.endswith("/ack")
        with sqlite3.connect(path) as connection:
            stored: Any = connection.execute("SELECT count(*) FROM event").fetchone()[0]
        connection.close()
        assert stored >= message["data"]["upto"] == number
