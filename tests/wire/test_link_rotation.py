"""A certificate is rotated under load against the production broker: nothing is lost, the old one serves until the new one has stood."""

from __future__ import annotations

import json
import queue
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from link_rig import E, next_of
from monitor_outbox import until
from production_broker import PATIENCE_S, Client, Production, make, make_all

from drivers.secret import Secret
from terminal.adapters import certificates
from terminal.adapters.bank_link import BankLink
from terminal.adapters.journal import Entry
from terminal.adapters.keystore import Contents, Keystore, new_key
from terminal.adapters.keystore_locks import PassphraseLock
from terminal.adapters.link_config import LinkConfig
from terminal.adapters.link_events import BadMessage, LinkDown, LinkEvent, LinkUp
from terminal.adapters.link_tls import TlsCredentials, TlsFiles, TlsIdentity
from terminal.adapters.mqtt import MqttAbsent, MqttOptions, MqttSession, MqttUnreachable
from terminal.adapters.outbox import Outgoing
from terminal.adapters.shipper import ShippingPolicy
from terminal.adapters.store import Store

pytestmark = [
    pytest.mark.wire,
    pytest.mark.placeholders,
    pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificates"),
]
BASE = "bank/v1/B001/T0001"
QUICK = ShippingPolicy(resend_s=0.5, resend_max_s=1.0, drain_per_s=500.0)
PASSPHRASE = Secret(b"correct horse battery")


class Terminal:
    """Keystore, sealed store and link, as `compose` puts them together."""

    def __init__(self, broker: Production, folder: Path) -> None:
        self.broker, self.folder = broker, folder
        self.keystore = Keystore(folder / "keys.json", "T0001", PassphraseLock(PASSPHRASE))
        self.keystore.create(Contents("T0001", data_key=1, data_keys={1: new_key()}))
        self.store = Store.open(folder / "t.sqlite", "T0001", "B001", data_keys=self.keystore.read().sealing)
        self.events: queue.Queue[LinkEvent] = queue.Queue()
        self.link: BankLink | None = None
        self.sent = 0

    def rotate(self) -> str:
        """`provision request`, the authority's answer, `provision install`; the new key's name."""
        now = datetime.now(UTC)
        identity = certificates.request("T0001", now)
        self.keystore.change(lambda known: known.with_identity(identity))
        csr = self.folder / "request.csr"
        csr.write_text(identity.csr)
        make(self.broker.pki / "terminals", "sign", "T0001", str(csr))
        chain = (self.broker.pki / "terminals" / "T0001.crt").read_bytes()
        self.keystore.change(lambda known: certificates.install(known, chain, self.broker.etc / "ca.crt", now))
        return identity.name

    def start(self, credentials: TlsCredentials | None = None) -> None:
        self.begin(credentials or TlsIdentity(self.broker.etc / "ca.crt", self.keystore), self.folder / "t.sqlite")
        self.until(LinkUp)

    def begin(self, tls: TlsCredentials, outbox: Path) -> None:
        url = f"mqtts://localhost:{self.broker.port}"
        config = LinkConfig(url, "T0001", "B001", tls=tls, boot_spread_s=0, base_backoff_s=0.05, max_backoff_s=0.2, shipping=QUICK)
        self.link = BankLink(config, outbox, self.events.put, sealer=self.store.sealer)
        self.link.start()

    def until(self, kind: type[E]) -> E:
        return next_of(self.events, kind)

    def send(self) -> None:
        self.sent += 1
        transaction = f"T0001-{self.sent:08d}"
        advice = Outgoing("txn", "txn", "ATMWithdrawalCompletionAdvice", {"transactionId": transaction})
        self.store.append([Entry("transactionSettled", transaction, {"minor": self.sent})], [advice])
        assert self.link is not None
        self.link.notify()

    def states(self) -> dict[str, str]:
        return {one.name: one.state for one in self.keystore.read().identities}

    def close(self) -> None:
        if self.link is not None:
            self.link.close()
        self.store.close()


class Bank:
    """Acknowledges what came without a gap; counts everything."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.came: dict[int, int] = {}
        client.subscribe(f"{BASE}/txn")

    def listen(self) -> int:
        """The next message's number."""
        message = json.loads(self.client.heard.get(timeout=PATIENCE_S))
        seq = int(message["seq"])
        assert message["data"]["transactionId"] == f"T0001-{seq:08d}", "opened on the way out"
        self.came[seq] = self.came.get(seq, 0) + 1
        upto = 0
        while upto + 1 in self.came:
            upto += 1
        data = {"class": "txn", "epoch": message["epoch"], "upto": upto}
        envelope = {"specversion": "1.0", "id": f"ack-{upto}", "source": "bank/v1", "type": "ATMCompletionAcknowledgement", "data": data}
        self.client.publish(f"{BASE}/ack", json.dumps(envelope).encode())
        return seq


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_all(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def broker(pki: Path, tmp_path: Path) -> Iterator[Production]:
    found = Production(pki, tmp_path)
    yield found
    found.end()


@pytest.fixture
def terminal(broker: Production, tmp_path: Path) -> Iterator[Terminal]:
    found = Terminal(broker, tmp_path)
    yield found
    found.close()


def serve_until(terminal: Terminal, bank: Bank, enough: Callable[[], bool]) -> None:
    """One message after the other, and something may change in between."""
    for _ in range(5_000):
        terminal.send()
        while bank.listen() != terminal.sent:
            pass
        if enough():
            return
    raise AssertionError("it never happened")


def test_a_rotation_under_load_loses_nothing(broker: Production, terminal: Terminal) -> None:
    old = terminal.rotate()
    terminal.start()
    assert terminal.states() == {old: "active"}
    assert terminal.link is not None and terminal.link.certificate_ends == certificates.expires(terminal.keystore.read().identities[0])
    with broker.connect("bank-host") as client:
        bank = Bank(client)
        serve_until(terminal, bank, lambda: terminal.sent >= 20)
        new = terminal.rotate()
        serve_until(terminal, bank, lambda: terminal.states() == {new: "active"})
        serve_until(terminal, bank, lambda: terminal.sent % 20 == 0)
        assert sorted(bank.came) == list(range(1, terminal.sent + 1)), "0 lost"
    told = []
    while not terminal.events.empty():
        told.append(terminal.events.get())
    assert [one for one in told if isinstance(one, LinkDown | BadMessage)] == [], "nobody had to be told"
    assert terminal.store.verify().ok


def test_a_certificate_that_the_broker_refuses_costs_no_service(broker: Production, terminal: Terminal) -> None:
    """The new one was withdrawn before it was ever used: the old one goes on, and stays."""
    old = terminal.rotate()
    terminal.start()
    new = terminal.rotate()
    make(broker.pki / "terminals", "revoke", "T0001")
    broker.restart()
    terminal.until(LinkDown)
    terminal.until(LinkUp)
    with broker.connect("bank-host") as client:
        bank = Bank(client)
        serve_until(terminal, bank, lambda: terminal.sent >= 5)
    assert terminal.states() == {old: "active", new: "installed"}
    newest = terminal.rotate()
    broker.restart()
    terminal.until(LinkDown)
    terminal.until(LinkUp)
    assert terminal.states() == {newest: "active"}


class Counted(TlsIdentity):
    """How often it was asked for a certificate, and how often it heard that one had failed."""

    asked = failures = 0

    def context(self) -> ssl.SSLContext:
        self.asked += 1
        return super().context()

    def failed(self) -> None:
        self.failures += 1
        super().failed()


def test_a_broker_that_is_away_has_refused_no_certificate(broker: Production, terminal: Terminal) -> None:
    """Rotated while the line was down: the new one is the first to be shown, however often nobody was there to see it."""
    terminal.rotate()
    identity = Counted(broker.etc / "ca.crt", terminal.keystore)
    terminal.start(identity)
    broker.end()
    terminal.until(LinkDown)
    new = terminal.rotate()
    attempts, failures = identity.asked + 3, identity.failures
    until(lambda: identity.asked >= attempts)
    assert identity.failures == failures
    broker.start()
    terminal.until(LinkUp)
    assert terminal.states() == {new: "active"}


def test_an_outbox_that_cannot_be_read_has_refused_no_certificate(broker: Production, terminal: Terminal) -> None:
    new = terminal.rotate()
    place = terminal.folder / "place"
    place.mkdir()
    (place / "t.sqlite").write_bytes(b"this is no database" * 100)
    identity = Counted(broker.etc / "ca.crt", terminal.keystore)
    terminal.begin(identity, place / "t.sqlite")
    assert "the outbox cannot be read (file is not a database)" in str(terminal.until(LinkDown))
    place.rename(terminal.folder / "another")
    place.symlink_to(terminal.folder)
    terminal.until(LinkUp)
    assert identity.failures == 0 and terminal.states() == {new: "active"}


def options(port: int, context: ssl.SSLContext, host: str = "localhost") -> MqttOptions:
    return MqttOptions(host, port, "T0001", context, None, None, 60, 0.5, 10, True, f"{BASE}/state", b"")


def test_who_took_the_connection_and_says_nothing_is_not_away(broker: Production) -> None:
    """A certificate that is shown in a handshake without an end may be the reason; one that nobody was shown is not."""
    context = TlsFiles(broker.etc / "ca.crt").context()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(MqttUnreachable, match="no answer in the TLS handshake") as told:
            MqttSession(options(port, context)).connect()
    assert not isinstance(told.value, MqttAbsent)
    for host in ("localhost", "no-such-host.invalid"):
        with pytest.raises(MqttAbsent):
            MqttSession(options(port, context, host)).connect()


def test_withdrawn_is_refused_until_there_is_another(broker: Production, terminal: Terminal) -> None:
    terminal.rotate()
    terminal.start()
    make(broker.pki / "terminals", "revoke", "T0001")
    broker.restart()
    terminal.until(LinkDown)
    terminal.send()
    refused = terminal.until(LinkDown)
    while isinstance(refused, LinkDown) and "did not accept" not in refused.reason:  # the broker was not up again yet
        refused = terminal.until(LinkDown)
    assert terminal.link is not None and not terminal.link.up
    new = terminal.rotate()
    terminal.until(LinkUp)
    assert terminal.states() == {new: "active"}
    with broker.connect("bank-host") as client:
        assert Bank(client).listen() == 1, "what waited is not lost"


def test_files_that_were_replaced_are_taken_without_a_restart(broker: Production, terminal: Terminal, tmp_path: Path) -> None:
    """Without a keystore: certificate and key as files, replaced by whoever renews them."""
    pki = broker.pki / "terminals"
    files = TlsFiles(broker.etc / "ca.crt", tmp_path / "own.crt", tmp_path / "own.key")
    for suffix in ("crt", "key"):
        shutil.copy(pki / f"T0001.{suffix}", tmp_path / f"own.{suffix}")
    terminal.start(files)
    assert terminal.link is not None and terminal.link.certificate_ends is not None
    (tmp_path / "own.key").write_text("half a k")  # caught in the middle of being replaced
    with broker.connect("bank-host") as client:
        bank = Bank(client)
        told: list[LinkEvent] = []
        serve_until(terminal, bank, lambda: heard(terminal, told, BadMessage))
        bad = next(one for one in told if isinstance(one, BadMessage))
        assert bad.topic == "certificate" and "own.crt: not usable PEM" in bad.why
        shutil.copy(pki / "T0001.key", tmp_path / "own.key")
        serve_until(terminal, bank, lambda: terminal.sent % 50 == 0)
        assert sorted(bank.came) == list(range(1, terminal.sent + 1))


def heard(terminal: Terminal, told: list[LinkEvent], kind: type[LinkEvent]) -> bool:
    while not terminal.events.empty():
        told.append(terminal.events.get())
    return any(isinstance(one, kind) for one in told)
