"""Choosing, starting, killing and restarting a broker: a configured one, mosquitto, iotcore."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from pathlib import Path
from queue import SimpleQueue

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from simulators.broker import start
from simulators.broker.configuration import Security, mosquitto_configuration
from simulators.broker.start import Broker, BrokerError, start_broker

pytestmark = pytest.mark.wire
PATIENCE_S = 20.0
KINDS = ["mosquitto", pytest.param("iotcore", marks=pytest.mark.skipif(not importlib.util.find_spec("iotcore"), reason="no iotcore"))]


class Client:
    """One MQTT 5 client with a session that outlives its connection."""

    def __init__(self, broker: Broker, name: str) -> None:
        self.heard: SimpleQueue[tuple[bytes, bytes | None]] = SimpleQueue()
        events: SimpleQueue[str] = SimpleQueue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, name, protocol=mqtt.MQTTv5, reconnect_on_failure=False)
        self.client.on_connect = lambda *_: events.put("connected")
        self.client.on_subscribe = lambda *_: events.put("subscribed")
        self.client.on_message = lambda _c, _d, m: self.heard.put((bytes(m.payload), getattr(m.properties, "CorrelationData", None)))
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 600
        self.client.connect(broker.host, broker.port, clean_start=False, properties=properties)
        self.client.loop_start()
        assert events.get(timeout=PATIENCE_S) == "connected"
        self.client.subscribe("a/#", 1)
        assert events.get(timeout=PATIENCE_S) == "subscribed"

    def publish(self, payload: bytes) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.CorrelationData = b"c"
        self.client.publish("a/b", payload, qos=1, properties=properties).wait_for_publish(PATIENCE_S)

    def end(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_speaks_mqtt_5_and_comes_back_on_its_port(kind: str, tmp_path: Path) -> None:
    with start_broker(tmp_path, kind=kind) as broker:
        url = broker.url
        for force in (False, True):
            client = Client(broker, "one")
            client.publish(b"hello")
            assert client.heard.get(timeout=PATIENCE_S) == (b"hello", b"c")
            client.end()
            process = broker.process
            assert process
            broker.kill() if force else broker.stop()
            assert process.poll() is not None
            broker.restart()
            assert broker.url == url
    with pytest.raises(OSError):
        socket.create_connection((broker.host, broker.port), 1).close()


def test_mosquitto_keeps_sessions_over_an_orderly_restart(tmp_path: Path) -> None:
    with start_broker(tmp_path, kind="mosquitto") as broker:
        Client(broker, "away").end()
        sender = Client(broker, "sender")
        for number in range(1100):  # more than mosquitto's default queue of 1000
            sender.client.publish("a/b", b"%d" % number, qos=1)
        sender.publish(b"last")
        sender.end()
        broker.restart()
        back = Client(broker, "away")
        heard = [back.heard.get(timeout=PATIENCE_S)[0] for _ in range(1101)]
        assert heard == [b"%d" % number for number in range(1100)] + [b"last"]
        back.end()


def test_a_configured_broker_wins_and_is_not_ours_to_restart(tmp_path: Path) -> None:
    with start_broker(tmp_path / "own", kind="mosquitto") as running:
        found = start_broker(tmp_path / "other", url=running.url)
        assert (found.kind, found.url, found.process) == ("configured", running.url, None)
        with pytest.raises(BrokerError, match="configured"):
            found.restart()
        found.stop()
        Client(found, "still-there").end()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with start_broker(tmp_path / "one", kind="mosquitto") as running, pytest.raises(BrokerError, match="is taken"):
        start_broker(tmp_path / "two", port=running.port, kind="mosquitto")


def test_a_broker_that_cannot_run_says_what_its_log_says(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"mosquitto ended with status .*acl"):
        start_broker(tmp_path, port=start.free_port(), kind="mosquitto", security=Security(acl=tmp_path / "missing-acl"))


def test_no_broker_at_all_is_said_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_mosquitto", lambda: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BrokerError, match="apt-get install mosquitto"):
        start_broker(tmp_path)
    with pytest.raises(BrokerError, match="unknown kind"):
        start_broker(tmp_path, kind="amqtt")
    with pytest.raises(BrokerError, match="enforces neither"):
        start_broker(tmp_path, kind="iotcore", security=Security(acl=tmp_path))


def test_without_mosquitto_it_is_iotcore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not importlib.util.find_spec("iotcore"):
        pytest.skip("no iotcore")
    monkeypatch.setattr(start, "_mosquitto", lambda: None)
    with start_broker(tmp_path) as broker:
        assert broker.kind == "iotcore"


def test_passwords_and_access_lists(tmp_path: Path) -> None:
    passwords, acl = tmp_path / "passwords", tmp_path / "acl"
    passwords.touch(0o600)
    subprocess.run(["mosquitto_passwd", "-b", passwords, "T0001", "sesame"], check=True, capture_output=True, timeout=PATIENCE_S)
    acl.write_text("pattern readwrite bank/v1/+/%u/#\n")
    acl.chmod(0o600)
    with start_broker(tmp_path / "b", security=Security(passwords=passwords, acl=acl)) as broker:
        reasons: SimpleQueue[int] = SimpleQueue()
        for password, code in (("sesame", 0), ("wrong", 0x87)):
            client = mqtt.Client(CallbackAPIVersion.VERSION2, "c", protocol=mqtt.MQTTv5, reconnect_on_failure=False)
            client.username_pw_set("T0001", password)
            client.on_connect = lambda _c, _d, _f, reason, _p: reasons.put(reason.value)
            client.connect(broker.host, broker.port)
            client.loop_start()
            assert reasons.get(timeout=PATIENCE_S) == code
            client.disconnect()
            client.loop_stop()


def test_the_broker_does_not_outlive_who_started_it(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, os, signal\n"
        "from simulators.broker.start import start_broker\n"
        "b = start_broker(pathlib.Path(sys.argv[1]), kind=sys.argv[2])\n"
        "print(b.port, b.process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for kind in ("mosquitto", *(["iotcore"] if importlib.util.find_spec("iotcore") else [])):
        done = subprocess.run([sys.executable, "-c", code, tmp_path / kind, kind], capture_output=True, text=True, timeout=PATIENCE_S)
        port = int(done.stdout.split()[0])
        with pytest.raises(OSError):
            while True:  # each connection that is still accepted asks again
                with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as probe:
                    probe.settimeout(PATIENCE_S)
                    assert probe.recv(1) == b""


def test_the_configuration_for_security_names_every_file(tmp_path: Path) -> None:
    security = Security(Path("/ca"), Path("/crt"), Path("/key"), acl=Path("/acl"))
    text = mosquitto_configuration(tmp_path, 1883, security)
    for line in ("cafile /ca", "certfile /crt", "keyfile /key", "require_certificate true", "acl_file /acl", "allow_anonymous false"):
        assert line in text.splitlines()
