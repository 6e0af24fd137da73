"""The bank link against a real mosquitto: killed, restarted, deaf, with and without a bank behind it."""

from __future__ import annotations

import json
import queue
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from terminal.adapters.bank_link import BankLink
from terminal.adapters.journal import Entry
from terminal.adapters.link_config import LinkConfig
from terminal.adapters.link_events import BadMessage, LateResponse, LinkDown, LinkEvent, LinkUp, OutboxAlarm, RequestFailed, ResponseArrived
from terminal.adapters.link_tls import TlsFiles
from terminal.adapters.outbox import Bounds, OutboxClass, Outgoing
from terminal.adapters.outbox_sender import Outbox
from terminal.adapters.shipper import ShippingPolicy
from terminal.adapters.store import Store

pytestmark = [pytest.mark.wire, pytest.mark.placeholders]
ROOT = Path(__file__).resolve().parents[2]
BASE = "bank/v1/B001/T0001"
PATIENCE_S = 20.0
QUICK = ShippingPolicy(resend_s=0.3, resend_max_s=1.0, drain_per_s=200.0)
LEAF = {"txn": "txn", "audit": "event", "alarm": "alarm", "telemetry": "telemetry"}
E = TypeVar("E")


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


class Mosquitto:
    """A broker of our own, ended by its process id."""

    def __init__(self, folder: Path, port: int, extra: str = "") -> None:
        self.port = port
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\n"
            f"log_dest stderr\nlog_type information\nlog_type error\n{extra}"
        )
        self.start()

    def start(self) -> None:
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        if program is None:
            pytest.skip("mosquitto is not installed")
        self._process = subprocess.Popen([program, "-c", str(self._config)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self._process.stdout is not None
        said = ""
        for line in self._process.stdout:
            said += line
            if "running" in line:
                return
        raise AssertionError(f"mosquitto did not start: {said}")

    def end(self, number: int = signal.SIGTERM) -> None:
        self._process.send_signal(number)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Bank:
    """A consumer of its own: paho with its own thread, everything that arrives in a queue."""

    def __init__(self, port: int, *topics: str) -> None:
        self.arrived: queue.Queue[MQTTMessage] = queue.Queue()
        ready: queue.Queue[bool] = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = lambda client, userdata, message: self.arrived.put(message)
        self._client.on_subscribe = lambda *_: ready.put(True)
        self._client.on_socket_open = lambda client, userdata, sock: sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client.connect("127.0.0.1", port)
        self._client.subscribe([(f"{BASE}/{topic}", 1) for topic in topics])
        self._client.loop_start()
        ready.get(timeout=PATIENCE_S)

    def next(self) -> tuple[str, dict[str, Any], MQTTMessage]:
        message = self.arrived.get(timeout=PATIENCE_S)
        return message.topic.removeprefix(f"{BASE}/"), json.loads(message.payload), message

    def publish(self, leaf: str, payload: bytes, correlation: bytes | None = None) -> None:
        properties = Properties(PacketTypes.PUBLISH)
        if correlation is not None:
            properties.CorrelationData = correlation
        self._client.publish(f"{BASE}/{leaf}", payload, 1, properties=properties)

    def answer(self, request: MQTTMessage, **data: Any) -> None:
        payload = envelope({"inResponseTo": json.loads(request.payload)["id"], **data})
        properties = Properties(PacketTypes.PUBLISH)
        properties.CorrelationData = request.properties.CorrelationData  # type: ignore[union-attr]
        self._client.publish(request.properties.ResponseTopic, payload, 1, properties=properties)  # type: ignore[union-attr]

    def acknowledge(self, klass: str, epoch: int, upto: int) -> None:
        self.publish("ack", envelope({"class": klass, "epoch": epoch, "upto": upto}))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def envelope(data: Any) -> bytes:
    fields = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": BASE,
        "type": "ATMWithdrawalResponse",
        "time": "2026-11-22T08:00:00.123Z",
    }
    return json.dumps({**fields, "datacontenttype": "application/json", "data": data}).encode()


class Terminal:
    """Store and link, as the agent has them."""

    def __init__(self, folder: Path, url: str, **config: Any) -> None:
        self.path = folder / "t.sqlite"
        self.inbox: queue.Queue[LinkEvent] = queue.Queue()
        bounds = config.get("bounds", Bounds())
        self.store = Store.open(self.path, "T0001", "B001", bounds=bounds)
        options = {"boot_spread_s": 0.0, "base_backoff_s": 0.05, "max_backoff_s": 0.2, "shipping": QUICK, **config}
        self.link = BankLink(LinkConfig(url, "T0001", "B001", **options), self.path, self.inbox.put)
        self.link.start()

    def event(self, kind: type[E]) -> E:
        while True:
            event = self.inbox.get(timeout=PATIENCE_S)
            if isinstance(event, kind):
                return event

    def put(self, klass: OutboxClass, **data: Any) -> None:
        self.store.append([Entry("e", None, {})], [Outgoing(klass, LEAF[klass], "A", data)])
        self.link.notify()

    def wait_empty(self, klass: OutboxClass) -> None:
        with closing(Outbox(self.path)) as outbox:
            until = time.monotonic() + PATIENCE_S
            while outbox.levels()[klass].rows:
                assert time.monotonic() < until, "the outbox never emptied"

    def close(self) -> None:
        assert self.link.close()
        self.store.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    mosquitto = Mosquitto(tmp_path, free_port())
    yield mosquitto
    mosquitto.end()


@pytest.fixture
def terminal(tmp_path: Path, broker: Mosquitto) -> Iterator[Terminal]:
    (tmp_path / "t").mkdir()
    terminal = Terminal(tmp_path / "t", f"mqtt://127.0.0.1:{broker.port}")
    terminal.event(LinkUp)
    yield terminal
    terminal.close()


@pytest.fixture
def bank(broker: Mosquitto) -> Iterator[Bank]:
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


def test_a_broker_killed_and_restarted_loses_nothing(broker: Mosquitto, terminal: Terminal) -> None:
    for number in range(5):
        terminal.put("txn", number=number)  # PUBACKed, and gone with the broker: nobody is subscribed
    broker.end(signal.SIGKILL)
    assert terminal.event(LinkDown).reason
    for number in range(5, 8):
        terminal.put("txn", number=number)
    request_id = terminal.link.request("ATMWithdrawalRequest", {}, 5.0)
    assert terminal.event(RequestFailed) == RequestFailed(request_id, "offline")
    broker.start()
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


def test_a_killed_terminal_is_offline_at_once(broker: Mosquitto, tmp_path: Path) -> None:
    watcher = Bank(broker.port, "state")
    command = [sys.executable, "-c", CHILD, f"mqtt://127.0.0.1:{broker.port}", str(tmp_path / "t.sqlite")]
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


def test_closing_says_offline_and_a_report_changes_the_state(broker: Mosquitto, tmp_path: Path) -> None:
    watcher = Bank(broker.port, "state")
    terminal = Terminal(tmp_path, f"mqtt://127.0.0.1:{broker.port}")
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


def test_a_class_that_fills_up_raises_an_alarm_and_takes_it_back(broker: Mosquitto, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, f"mqtt://127.0.0.1:{broker.port}", bounds=Bounds(txn=10))
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


def certificate(folder: Path, name: str, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None) -> Any:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer[0].subject if issuer else subject).public_key(key.public_key())
    )
    builder = (
        builder.serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    made = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    (folder / f"{name}.crt").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made, key


def test_mutual_tls(tmp_path: Path) -> None:
    authority = certificate(tmp_path, "ca", None)
    certificate(tmp_path, "localhost", authority)
    certificate(tmp_path, "T0001", authority)
    certificate(tmp_path, "stranger", None)
    for file in tmp_path.iterdir():
        file.chmod(0o644)  # mosquitto drops root before it reads them
    tmp_path.chmod(0o755)
    here = tmp_path
    tls = f"cafile {here}/ca.crt\ncertfile {here}/localhost.crt\nkeyfile {here}/localhost.key\nrequire_certificate true\nuser root\n"
    broker = Mosquitto(tmp_path, free_port(), tls)
    url = f"mqtts://localhost:{broker.port}"
    files = TlsFiles(tmp_path / "ca.crt", tmp_path / "T0001.crt", tmp_path / "T0001.key")
    (tmp_path / "a").mkdir()
    terminal = Terminal(tmp_path / "a", url, tls=files)
    terminal.event(LinkUp)
    for _ in range(30):
        terminal.put("telemetry", text="x" * 5000)
    terminal.wait_empty("telemetry")
    assert isinstance(terminal.link._loop._session._client.socket(), ssl.SSLSocket)  # type: ignore[union-attr]
    terminal.close()
    for folder, wrong, expected in (("b", TlsFiles(tmp_path / "stranger.crt"), "TLS"), ("c", TlsFiles(tmp_path / "ca.crt"), "")):
        (tmp_path / folder).mkdir()
        stranger = Terminal(tmp_path / folder, url, tls=wrong)
        assert expected in stranger.event(LinkDown).reason
        assert not stranger.link.up
        stranger.close()
    broker.end()
