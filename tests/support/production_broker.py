"""The broker configuration of deploy/ on a real mosquitto, certificates made by deploy/certificates, and clients that try things."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from simulators.broker.start import free_port, start_broker

DEPLOY = Path(__file__).parents[2] / "deploy"
PATIENCE_S = 20.0
AT_THE_BANK = ("bank-host", "branch-monitor")


def make(folder: Path, *what: str, **environment: str) -> None:
    done = subprocess.run(
        [DEPLOY / "certificates", folder, *what], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr


def make_all(folder: Path) -> Path:
    """Two authorities: `terminals` (also signs the broker) and `bank`."""
    for what in (["ca"], ["broker", "localhost", "127.0.0.1"], ["client", "T0001"], ["client", "T0002"]):
        make(folder / "terminals", *what)
    for what in (["ca"], *(["client", name] for name in AT_THE_BANK)):
        make(folder / "bank", *what)
    return folder


class Production:
    """mosquitto with the shipped configuration; only paths and ports are of this test."""

    def __init__(self, pki: Path, folder: Path) -> None:
        self.port, self.bank_port = free_port(), free_port()
        self.folder = folder
        self.pki = folder / "pki"
        shutil.copytree(pki, self.pki)
        self.etc = folder / "smart-branch"
        self.etc.mkdir()
        self.put_files()
        text = (DEPLOY / "mosquitto" / "mosquitto.conf").read_text()
        for theirs, ours in (
            ("listener 8883", f"listener {self.port} 127.0.0.1"),
            ("listener 8884", f"listener {self.bank_port} 127.0.0.1"),
            ("/etc/mosquitto/smart-branch", str(self.etc)),
            ("/var/lib/mosquitto/", f"{folder}/"),
            ("log_dest syslog", f"log_dest file {folder}/log"),
        ):
            assert theirs in text
            text = text.replace(theirs, ours)
        if os.geteuid() == 0:
            text += "user root\n"
        (folder / "mosquitto.conf").write_text(text)
        self.start()

    def put_files(self) -> None:
        """As deploy/README.md says."""
        for name in ("ca.crt", "ca.crl", "broker.crt", "broker.key"):
            shutil.copy(self.pki / "terminals" / name, self.etc)
        shutil.copy(self.pki / "bank" / "ca.crt", self.etc / "bank-ca.crt")
        shutil.copy(self.pki / "bank" / "ca.crl", self.etc / "bank-ca.crl")
        for name in ("acl", "acl-bank"):
            shutil.copy(DEPLOY / "mosquitto" / name, self.etc)

    def start(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self.process = subprocess.Popen([program, "-c", self.folder / "mosquitto.conf"], stderr=subprocess.DEVNULL)
        for port in (self.port, self.bank_port):
            start_broker(self.folder, url=f"mqtts://127.0.0.1:{port}")  # returns once it listens

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def connect(self, name: str, **how: Any) -> Client:
        return Client(self, name, **how)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_S)

    def restart(self) -> None:
        self.end()
        self.put_files()
        self.start()


class Client:
    """`folder`: where NAME.crt and NAME.key are. `door`: "terminals" or "bank"."""

    def __init__(
        self,
        broker: Production,
        name: str,
        *,
        folder: Path | None = None,
        certificate: bool = True,
        client_id: str | None = None,
        door: str | None = None,
    ) -> None:
        side = "bank" if name in AT_THE_BANK else "terminals"
        folder = folder or broker.pki / side
        self.connected: SimpleQueue[bool] = SimpleQueue()
        self.said: SimpleQueue[int] = SimpleQueue()
        self.subscribed: SimpleQueue[list[int]] = SimpleQueue()
        self.heard: SimpleQueue[bytes] = SimpleQueue()
        self.ended: SimpleQueue[int] = SimpleQueue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id or name, protocol=mqtt.MQTTv5, reconnect_on_failure=False)
        crt, key = (str(folder / f"{name}.crt"), str(folder / f"{name}.key")) if certificate else (None, None)
        self.client.tls_set(str(broker.etc / "ca.crt"), crt, key)
        self.client.on_connect = lambda _c, _d, _f, reason, _p: self.connected.put(not reason.is_failure)
        self.client.on_disconnect = self._on_disconnect
        self.client.on_publish = lambda _c, _d, _m, reason, _p: self.said.put(reason.value)
        self.client.on_subscribe = lambda _c, _d, _m, reasons, _p: self.subscribed.put([reason.value for reason in reasons])
        self.client.on_message = lambda _c, _d, message: self.heard.put(bytes(message.payload))
        self.port = broker.bank_port if (door or side) == "bank" else broker.port

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self.connected.put(False)
        self.ended.put(reason.value)

    def __enter__(self) -> Client:
        self.client.connect("127.0.0.1", self.port)
        self.client.loop_start()
        assert self.connected.get(timeout=PATIENCE_S)
        return self

    def __exit__(self, *_: Any) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        self.client._reset_sockets()  # its waking pair, which paho itself leaves to the garbage collector

    def publish(self, topic: str, payload: bytes = b"{}", retain: bool = False) -> int:
        """The reason code of the PUBACK."""
        self.client.publish(topic, payload, qos=1, retain=retain)
        return self.said.get(timeout=PATIENCE_S)

    def subscribe(self, topic: str) -> int:
        self.client.subscribe(topic, 1)
        return self.subscribed.get(timeout=PATIENCE_S)[0]

    def everything(self) -> list[bytes]:
        """What was heard; a round trip to the broker first, so that nothing is still on its way."""
        self.subscribe("no/such/topic")
        heard = []
        while True:
            try:
                heard.append(self.heard.get(block=False))
            except Empty:
                return heard

    def is_turned_away(self) -> bool:
        """The handshake fails, or (TLS 1.3 tells the client late) the connection ends without a CONNACK."""
        try:
            self.client.connect("127.0.0.1", self.port)
            self.client.loop_start()
            return not self.connected.get(timeout=PATIENCE_S)
        except OSError:
            return True
        finally:
            self.client.loop_stop()
            self.client._reset_sockets()
