"""The broker configuration of deploy/ on a real mosquitto, with certificates made by deploy/certificates."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from paho.mqtt.enums import CallbackAPIVersion

from simulators.bank.probe import Probe
from simulators.broker.start import free_port, start_broker
from simulators.control import Control

pytestmark = [pytest.mark.wire, pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificates")]
DEPLOY = Path(__file__).parents[2] / "deploy"
PATIENCE_S = 20.0
NOT_AUTHORISED = 0x87


def make(folder: Path, *what: str) -> None:
    done = subprocess.run([DEPLOY / "certificates", folder, *what], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    for what in (["ca"], ["broker", "localhost", "127.0.0.1"], ["client", "bank-host"], ["client", "T0001"], ["client", "T0002"]):
        make(folder, *what)
    return folder


class Production:
    """mosquitto with the shipped configuration; only paths and port are of this test."""

    def __init__(self, pki: Path, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.pki = folder / "smart-branch"
        shutil.copytree(pki, self.pki)
        shutil.copy(DEPLOY / "mosquitto" / "acl", self.pki / "acl")
        text = (DEPLOY / "mosquitto" / "mosquitto.conf").read_text()
        text = text.replace("listener 8883", f"listener {self.port} 127.0.0.1").replace("/etc/mosquitto/smart-branch", str(self.pki))
        text = (
            text.replace("/var/lib/mosquitto/", f"{folder}/").replace("log_dest syslog", "log_dest stderr").replace("# crlfile", "crlfile")
        )
        if os.geteuid() == 0:
            text += "user root\n"
        (folder / "mosquitto.conf").write_text(text)
        self.start()

    def start(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self.process = subprocess.Popen([program, "-c", self.folder / "mosquitto.conf"], stderr=subprocess.PIPE)
        start_broker(self.folder, url=f"mqtts://127.0.0.1:{self.port}")  # returns once it listens

    def connect(self, name: str, *, folder: Path | None = None, certificate: bool = True) -> Client:
        return Client(self, name, folder or self.pki, certificate)

    def end(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=PATIENCE_S)


class Client:
    def __init__(self, broker: Production, name: str, folder: Path, certificate: bool) -> None:
        self.connected: SimpleQueue[bool] = SimpleQueue()
        self.said: SimpleQueue[int] = SimpleQueue()
        self.subscribed: SimpleQueue[list[int]] = SimpleQueue()
        self.heard: SimpleQueue[bytes] = SimpleQueue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, f"client-{name}", protocol=mqtt.MQTTv5, reconnect_on_failure=False)
        crt, key = (str(folder / f"{name}.crt"), str(folder / f"{name}.key")) if certificate else (None, None)
        self.client.tls_set(str(broker.pki / "ca.crt"), crt, key)
        self.client.on_connect = lambda _c, _d, _f, reason, _p: self.connected.put(not reason.is_failure)
        self.client.on_disconnect = lambda *_: self.connected.put(False)
        self.client.on_publish = lambda _c, _d, _m, reason, _p: self.said.put(reason.value)
        self.client.on_subscribe = lambda _c, _d, _m, reasons, _p: self.subscribed.put([reason.value for reason in reasons])
        self.client.on_message = lambda _c, _d, message: self.heard.put(bytes(message.payload))
        self.port = broker.port

    def __enter__(self) -> Client:
        self.client.connect("127.0.0.1", self.port)
        self.client.loop_start()
        assert self.connected.get(timeout=PATIENCE_S)
        return self

    def __exit__(self, *_: Any) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def publish(self, topic: str, payload: bytes = b"{}") -> int:
        """The reason code of the PUBACK."""
        self.client.publish(topic, payload, qos=1)
        return self.said.get(timeout=PATIENCE_S)

    def subscribe(self, topic: str) -> int:
        self.client.subscribe(topic, 1)
        return self.subscribed.get(timeout=PATIENCE_S)[0]

    def is_turned_away(self) -> bool:
        """The handshake fails, or (TLS 1.3 tells the client late) the connection ends without a CONNACK."""
        try:
            self.client.connect("127.0.0.1", self.port)
        except OSError:
            return True
        self.client.loop_start()
        accepted = self.connected.get(timeout=PATIENCE_S)
        self.client.loop_stop()
        return not accepted


@pytest.fixture
def broker(pki: Path, tmp_path: Path) -> Iterator[Production]:
    found = Production(pki, tmp_path)
    yield found
    found.end()


def test_certificates_are_p256_with_the_terminal_id_as_name(pki: Path) -> None:
    certificate = x509.load_pem_x509_certificate((pki / "T0001.crt").read_bytes())
    assert certificate.subject.rfc4514_string() == "CN=T0001"
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1"
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]
    assert (pki / "T0001.key").stat().st_mode & 0o077 == 0
    again = subprocess.run([DEPLOY / "certificates", pki, "client", "T0001"], capture_output=True, text=True, timeout=60)
    assert again.returncode == 1 and "exists already" in again.stderr
    for wrong in ("T+1", "a/b", "#"):
        assert subprocess.run([DEPLOY / "certificates", pki, "client", wrong], capture_output=True, timeout=60).returncode == 2


def test_a_terminal_speaks_and_hears_under_its_own_id_only(broker: Production) -> None:
    with broker.connect("T0001") as terminal, broker.connect("bank-host") as bank:
        for leaf in ("state", "auth", "txn", "event", "alarm", "telemetry"):
            assert bank.subscribe(f"bank/v1/+/+/{leaf}") == 1
            assert terminal.publish(f"bank/v1/B001/T0001/{leaf}", leaf.encode()) == 0
            assert bank.heard.get(timeout=PATIENCE_S) == leaf.encode()
            assert terminal.publish(f"bank/v1/B001/T0002/{leaf}") == NOT_AUTHORISED
        assert terminal.publish("bank/v1/B001/T0001/ack") == NOT_AUTHORISED
        assert terminal.publish("bank/v1/B001/T0001/auth/resp") == NOT_AUTHORISED
        assert terminal.publish("elsewhere") == NOT_AUTHORISED
        assert bank.publish("bank/v1/B001/T0001/txn") == NOT_AUTHORISED


def test_an_acknowledgement_reaches_its_terminal_and_no_other(broker: Production) -> None:
    with broker.connect("T0001") as one, broker.connect("T0002") as two, broker.connect("bank-host") as bank:
        for terminal in (one, two):
            terminal.subscribe("bank/v1/+/+/ack")
            terminal.subscribe("bank/v1/B001/T0001/ack")
        bank.publish("bank/v1/B001/T0002/ack", b"for two")
        bank.publish("bank/v1/B001/T0001/ack", b"for one")
        heard = {one.heard.get(timeout=PATIENCE_S), one.heard.get(timeout=PATIENCE_S)}
        assert heard == {b"for one"}, "twice, by two subscriptions; never another's"
        assert two.heard.get(timeout=PATIENCE_S) == b"for two" and two.heard.empty()


def test_without_a_certificate_of_ours_there_is_no_connection(broker: Production, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    make(stranger, "ca")
    make(stranger, "client", "T0001")
    assert broker.connect("T0001", certificate=False).is_turned_away()
    assert broker.connect("T0001", folder=stranger).is_turned_away()
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", broker.port), 5) as plain:
        plain.settimeout(PATIENCE_S)
        plain.sendall(b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x02ab")
        if not plain.recv(1):
            raise ConnectionResetError("closed without a CONNACK")


def test_a_withdrawn_certificate_is_turned_away_after_a_restart(broker: Production) -> None:
    with broker.connect("T0002"):
        pass
    make(broker.pki, "revoke", "T0002")
    broker.end()
    broker.start()
    with broker.connect("T0001"):
        assert broker.connect("T0002").is_turned_away()


def test_the_bank_serves_terminals_through_it(broker: Production, tmp_path: Path) -> None:
    names = {"--ca": "ca.crt", "--cert": "bank-host.crt", "--key": "bank-host.key"}
    tls = [part for option, name in names.items() for part in (option, str(broker.pki / name))]
    control = tmp_path / "bank.sock"
    command = [sys.executable, "-m", "simulators.bank", "--stdin-eof", "--broker", f"mqtts://127.0.0.1:{broker.port}"]
    command += ["--store", str(tmp_path / "bank.db"), "--control", str(control), *tls]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        wire = Control(control)
        probe = Probe.for_bank(wire.call("public_key"))
        wire.close()
        with broker.connect("T0001") as terminal:
            assert terminal.subscribe(f"{probe.base}/auth/resp") == 1
            request = probe.withdrawal("everyday", 100_00, 1, datetime.now(UTC))
            assert terminal.publish(f"{probe.base}/auth", json.dumps(request).encode()) == 0
            assert json.loads(terminal.heard.get(timeout=PATIENCE_S))["data"]["response"] == "APPR"
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
