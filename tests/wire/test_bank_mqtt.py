"""The bank process on a real mosquitto, asked by paho: request and response, acknowledgements, kill -9, a broker that restarts."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from simulators.bank.probe import Probe
from simulators.broker.start import Broker, start_broker
from simulators.control import Control, ControlError

pytestmark = pytest.mark.wire
PATIENCE_S = 20.0


def now() -> datetime:
    return datetime.now(UTC)


def until(condition: Callable[[], bool]) -> None:
    """Ask until it holds; the bank's answers pace this."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"


class Bank:
    """The process, started again on the same store after a kill."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self.store = folder / "bank.db"
        self.command = [sys.executable, "-m", "simulators.bank", "--stdin-eof", "--broker", broker.url, "--store", str(self.store)]
        self.socket = folder / "bank.sock"
        self.command += ["--control", str(self.socket)]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout and self.process.stdout.readline() == b"ready\n"
        self.control = Control(self.socket, PATIENCE_S)

    def end(self) -> None:
        self.control.close()
        self.process.terminate()
        self.process.communicate(timeout=PATIENCE_S)

    def wait_killed(self) -> None:
        """Its input stays open until then: at its end the bank would leave by itself."""
        self.process.wait(timeout=PATIENCE_S)
        self.control.close()
        self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == -9


class Terminal:
    """A paho client that publishes for a probe and queues what the bank sends."""

    def __init__(self, broker: Broker, probe: Probe) -> None:
        self.probe = probe
        self.heard: SimpleQueue[tuple[str, dict[str, Any], bytes | None]] = SimpleQueue()
        ready: SimpleQueue[bool] = SimpleQueue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, f"terminal-{probe.terminal}", protocol=mqtt.MQTTv5)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_socket_open = self._no_delay
        self.client.on_connect = lambda client, *_: client.subscribe([(f"{probe.base}/ack", 1), (f"{probe.base}/auth/resp", 1)])
        self.client.on_subscribe = lambda *_: ready.put(True)
        self.client.on_message = self._hear
        self.client.connect(broker.host, broker.port, clean_start=False)
        self.client.loop_start()
        ready.get(timeout=PATIENCE_S)
        self.ready = ready

    @staticmethod
    def _no_delay(_client: mqtt.Client, _data: Any, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _hear(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        correlation = getattr(message.properties, "CorrelationData", None)
        self.heard.put((message.topic.rsplit("/", 1)[1], json.loads(message.payload)["data"], correlation))

    def send(self, leaf: str, message: Any, correlation: bytes | None = None, response_topic: str = "") -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if correlation:
            properties.CorrelationData = correlation
            properties.ResponseTopic = response_topic or f"{self.probe.base}/auth/resp"
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.client.publish(f"{self.probe.base}/{leaf}", payload, qos=1, properties=properties).wait_for_publish(PATIENCE_S)

    def hear(self, leaf: str) -> tuple[dict[str, Any], bytes | None]:
        """The next message on this topic."""
        while True:
            found, data, correlation = self.heard.get(timeout=PATIENCE_S)
            if found == leaf:
                return data, correlation

    def quiet(self) -> bool:
        try:
            self.heard.get(timeout=0.2)
        except Empty:
            return True
        return False

    def withdraw(self, number: int, minor: int = 100_00) -> dict[str, Any]:
        self.send("auth", self.probe.withdrawal("everyday", minor, number, now()), b"c%d" % number)
        data, correlation = self.hear("resp")
        assert correlation == b"c%d" % number
        return data

    def advise(self, number: int, seq: int, status: str = "SCSS") -> Any:
        message = self.probe.advice(number, status, seq, now(), requested_minor=100_00)
        self.send("txn", message)
        return message

    def end(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with start_broker(tmp_path / "broker", kind="mosquitto") as found:
        yield found


@pytest.fixture
def bank(broker: Broker, tmp_path: Path) -> Iterator[Bank]:
    found = Bank(broker, tmp_path / "bank")
    yield found
    found.end()


@pytest.fixture
def terminal(broker: Broker, bank: Bank) -> Iterator[Terminal]:
    found = Terminal(broker, Probe.for_bank(bank.control.call("public_key")))
    yield found
    found.end()


def test_a_withdrawal_over_the_wire(bank: Bank, terminal: Terminal) -> None:
    for number in range(1, 21):
        assert terminal.withdraw(number)["response"] == "APPR"
        terminal.advise(number, number)
        assert terminal.hear("ack")[0] == {"class": "txn", "epoch": 1, "upto": number}
    account = bank.control.call("account", name="everyday")
    assert (account["balance_minor"], account["held_minor"]) == (500_000 - 20 * 100_00, 0)
    state = bank.control.call("state")
    assert state["unbalanced"] == [] and state["discrepancies"] == []
    assert state["own_time_ms"]["n"] == 20


def test_the_answer_goes_to_no_other_terminals_topic(bank: Bank, terminal: Terminal) -> None:
    terminal.send("auth", terminal.probe.withdrawal("everyday", 100_00, 1, now()), b"x", "bank/v1/B001/T0002/auth/resp")
    assert terminal.hear("resp")[0]["response"] == "APPR"


def test_rubbish_does_not_stop_the_bank(bank: Bank, terminal: Terminal) -> None:
    for payload in (b"", b"\xff\x00", b"{}", b"[[", b"x" * 300_000):
        terminal.send("auth", payload, b"rubbish")
        data, correlation = terminal.hear("resp")
        assert (data["response"], correlation) == ("TECH", b"rubbish")
        terminal.send("txn", payload)
    assert terminal.withdraw(1)["response"] == "APPR"


def test_killed_between_commit_and_acknowledgement_nothing_is_lost_or_booked_twice(bank: Bank, terminal: Terminal) -> None:
    terminal.withdraw(1)
    bank.control.call("fault", kind="crash_before_ack")
    advice = terminal.advise(1, 1)
    bank.wait_killed()
    assert terminal.quiet(), "no acknowledgement left the bank"
    bank.start()
    assert bank.control.call("account", name="everyday")["balance_minor"] == 490_000, "committed before the power went"
    terminal.send("txn", advice)
    assert terminal.hear("ack")[0]["upto"] == 1
    account = bank.control.call("account", name="everyday")
    assert (account["balance_minor"], account["held_minor"]) == (490_000, 0)
    assert bank.control.call("state")["unbalanced"] == []


def test_a_bank_killed_at_any_time_answers_a_repeated_request_from_its_store(bank: Bank, terminal: Terminal) -> None:
    message = terminal.probe.withdrawal("everyday", 100_00, 1, now())
    terminal.send("auth", message, b"one")
    first, _ = terminal.hear("resp")
    bank.process.kill()
    bank.wait_killed()
    bank.start()
    terminal.send("auth", message, b"two")
    assert terminal.hear("resp") == (first, b"two")
    assert bank.control.call("account", name="everyday")["held_minor"] == 100_00


def test_the_broker_is_killed_and_comes_back(broker: Broker, bank: Bank, terminal: Terminal) -> None:
    terminal.withdraw(1)
    broker.kill()
    broker.restart()
    terminal.ready.get(timeout=PATIENCE_S)

    def settled() -> bool:
        """As a terminal's outbox does: send again until the bank itself has acknowledged."""
        terminal.advise(1, 1)
        return not terminal.quiet()

    until(settled)
    account = bank.control.call("account", name="everyday")
    assert (account["balance_minor"], account["held_minor"]) == (490_000, 0)


def test_a_broker_that_stops_in_order_delivers_what_the_bank_missed(broker: Broker, bank: Bank, terminal: Terminal) -> None:
    terminal.withdraw(1)
    bank.process.kill()
    bank.wait_killed()
    terminal.advise(1, 1)
    broker.stop()
    broker.restart()
    terminal.ready.get(timeout=PATIENCE_S)
    bank.start()
    assert terminal.hear("ack")[0]["upto"] == 1


def test_online_and_the_will_of_a_terminal_that_vanished(broker: Broker, bank: Bank, terminal: Terminal) -> None:
    probe = Probe.for_bank(bank.control.call("public_key"), "T0099")
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "terminal-T0099", protocol=mqtt.MQTTv5, reconnect_on_failure=False)
    will = probe.message("ATMDeviceReport", {"state": "offline"}, now())
    client.will_set(f"{probe.base}/state", json.dumps(will), qos=1, retain=True)
    client.connect(broker.host, broker.port)
    client.loop_start()
    online = json.dumps(probe.message("ATMDeviceReport", {"state": "online"}, now()))
    client.publish(f"{probe.base}/state", online, qos=1, retain=True).wait_for_publish(PATIENCE_S)

    def state() -> str | None:
        terminals = {row["base"]: row["state"] for row in bank.control.call("state")["terminals"]}
        return terminals.get(probe.base)

    until(lambda: state() == "online")
    sock: Any = client.socket()
    sock.shutdown(socket.SHUT_RDWR)
    until(lambda: state() == "offline")
    client.loop_stop()


def test_faults_as_a_terminal_sees_them(bank: Bank, terminal: Terminal) -> None:
    def fault(kind: str, **more: Any) -> Any:
        return bank.control.call("fault", kind=kind, **more)

    fault("silent", n=1)
    lost = terminal.probe.withdrawal("everyday", 100_00, 1, now())
    terminal.send("auth", lost, b"lost")
    terminal.send("auth", terminal.probe.withdrawal("everyday", 100_00, 2, now()), b"heard")
    assert terminal.hear("resp")[1] == b"heard"
    assert bank.control.call("transaction", identity="T0001-00000001")["status"] == "authorised", "it worked, and said nothing"
    fault("ack_silent", n=1)
    terminal.advise(1, 1)
    terminal.advise(2, 2)
    assert terminal.hear("ack")[0]["upto"] == 2
    fault("duplicate_responses", n=1)
    assert terminal.withdraw(3) == terminal.hear("resp")[0]
    fault("late", seconds=0.3)
    terminal.send("auth", terminal.probe.withdrawal("everyday", 100_00, 4, now()), b"late")
    terminal.send("auth", terminal.probe.withdrawal("everyday", 100_00, 5, now()), b"next")
    assert [terminal.hear("resp")[1], terminal.hear("resp")[1]] == [b"next", b"late"]
    fault("down")
    terminal.advise(3, 3)
    assert terminal.quiet()
    fault("up")
    terminal.advise(3, 3)
    assert terminal.hear("ack")[0]["upto"] == 3
    fault("decline_next", reason="systemError")
    assert terminal.withdraw(6)["response"] == "TECH"
    for wrong in ({"kind": "nonsense"}, {"kind": "slow", "seconds": "long"}, {"kind": "silent", "m": 3}):
        with pytest.raises(ControlError):
            bank.control.call("fault", **wrong)


@pytest.mark.skipif(not importlib.util.find_spec("iotcore"), reason="no iotcore")
def test_it_works_on_the_broker_of_a_demonstration_too(tmp_path: Path) -> None:
    with start_broker(tmp_path / "broker", kind="iotcore") as broker:
        bank = Bank(broker, tmp_path / "bank")
        terminal = Terminal(broker, Probe.for_bank(bank.control.call("public_key")))
        assert terminal.withdraw(1)["response"] == "APPR"
        terminal.advise(1, 1)
        assert terminal.hear("ack")[0]["upto"] == 1
        terminal.end()
        bank.end()


def test_the_control_wire_names_what_is_wrong(bank: Bank) -> None:
    for verb, more, why in (
        ("account", {"name": "nobody"}, "no account nobody"),
        ("transaction", {"identity": "T0001-9"}, "no transaction"),
        ("set_balance", {"name": "suspense", "minor": 1}, "not a customer"),
        ("dance", {}, "known are"),
    ):
        with pytest.raises(ControlError, match=why):
            bank.control.call(verb, **more)
    assert bank.control.call("set_balance", name="everyday", minor=700_00)["available_minor"] == 700_00
    reset = bank.control.call("reset")
    assert {row["name"]: row["balance_minor"] for row in reset["accounts"]}["everyday"] == 500_000


def test_the_public_key_stays_the_same(bank: Bank, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simulators.bank", "--store", str(bank.store), "--print-public-key"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout.strip()
    assert printed == bank.control.call("public_key") and len(printed) == 130
    (tmp_path / "bank" / "bank-secret.hex").write_text("short")
    found = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert found.returncode == 2 and "bank-secret.hex" in found.stderr and "Traceback" not in found.stderr
