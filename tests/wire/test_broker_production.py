"""The broker configuration of deploy/ on a real mosquitto under attack: other topics, other names, and certificates of every wrong kind."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from production_broker import DEPLOY, PATIENCE_S, Production, make, make_all

from simulators.bank.probe import Probe
from simulators.control import Control

pytestmark = [pytest.mark.wire, pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificates")]
NOT_AUTHORISED = 0x87
REFUSED = 0x80
FROM_TERMINALS = ("state", "auth", "txn", "event", "alarm", "telemetry", "cmd/resp", "reported")
TO_TERMINALS = ("auth/resp", "ack", "cmd", "desired")
READS = {
    "bank-host": {"state", "auth", "txn"},
    "branch-monitor": {"state", "txn", "event", "alarm", "telemetry", "cmd/resp", "reported"},
}
WRITES = {"bank-host": {"auth/resp", "ack"}, "branch-monitor": {"ack", "cmd", "desired"}}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_all(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def broker(pki: Path, tmp_path: Path) -> Iterator[Production]:
    found = Production(pki, tmp_path)
    yield found
    found.end()


def test_certificates_are_p256_with_the_terminal_id_as_name(pki: Path) -> None:
    folder = pki / "terminals"
    certificate = x509.load_pem_x509_certificate((folder / "T0001.crt").read_bytes())
    assert certificate.subject.rfc4514_string() == "CN=T0001"
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1"
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]
    assert (folder / "T0001.key").stat().st_mode & 0o077 == 0
    again = subprocess.run([DEPLOY / "certificates", folder, "client", "T0001"], capture_output=True, text=True, timeout=60)
    assert again.returncode == 1 and "exists already" in again.stderr
    for wrong in ("T+1", "a/b", "#"):
        for command in (["client", wrong], ["sign", wrong, "request"]):
            assert subprocess.run([DEPLOY / "certificates", folder, *command], capture_output=True, timeout=60).returncode == 2


# --- topics


def test_a_terminal_speaks_under_its_own_id_only(broker: Production) -> None:
    with broker.connect("T0001") as terminal, broker.connect("bank-host") as bank, broker.connect("branch-monitor") as monitor:
        for leaf in FROM_TERMINALS:
            bank.subscribe(f"bank/v1/+/+/{leaf}")
            monitor.subscribe(f"bank/v1/+/+/{leaf}")
        for leaf in FROM_TERMINALS:
            assert terminal.publish(f"bank/v1/B001/T0001/{leaf}", leaf.encode()) < REFUSED
            assert terminal.publish(f"bank/v1/B001/T0002/{leaf}") == NOT_AUTHORISED
            assert terminal.publish(f"bank/v1/B001/T0002/{leaf}", retain=True) == NOT_AUTHORISED
        for leaf in (*TO_TERMINALS, "jobs", "ota", "cmd/resp/more"):
            assert terminal.publish(f"bank/v1/B001/T0001/{leaf}") == NOT_AUTHORISED, leaf
        for topic in ("elsewhere", "$SYS/broker/uptime", "bank/v1/T0001/state", "bank/v1/B001/x/T0001/state", "bank/v2/B001/T0001/state"):
            assert terminal.publish(topic) == NOT_AUTHORISED, topic
        assert {heard.decode() for heard in bank.everything()} == READS["bank-host"]
        assert {heard.decode() for heard in monitor.everything()} == READS["branch-monitor"]


def test_bank_host_and_monitor_have_rights_of_their_own(broker: Production) -> None:
    with broker.connect("bank-host") as bank, broker.connect("branch-monitor") as monitor, broker.connect("T0001") as terminal:
        for leaf in TO_TERMINALS:
            terminal.subscribe(f"bank/v1/B001/T0001/{leaf}")
        for name, client in (("bank-host", bank), ("branch-monitor", monitor)):
            for leaf in (*FROM_TERMINALS, *TO_TERMINALS):
                said = client.publish(f"bank/v1/B001/T0001/{leaf}", f"{name} {leaf}".encode())
                assert (said < REFUSED) == (leaf in WRITES[name]), f"{name} on {leaf}: {said}"
        heard = sorted(one.decode() for one in terminal.everything())
        assert heard == sorted(f"{name} {leaf}" for name, leaves in WRITES.items() for leaf in leaves)


@pytest.mark.parametrize("name", ["bank-host", "branch-monitor"])
def test_the_name_of_the_bank_means_nothing_at_the_terminals_door(broker: Production, name: str) -> None:
    """The terminals' authority was made to sign a certificate of the bank's name."""
    make(broker.pki / "terminals", "client", name)
    folder = broker.pki / "terminals"
    assert broker.connect(name, folder=folder, door="bank").is_turned_away()
    with broker.connect(name, folder=folder, door="terminals") as impostor, broker.connect("T0001") as terminal:
        for leaf in TO_TERMINALS:
            terminal.subscribe(f"bank/v1/B001/T0001/{leaf}")
            assert impostor.publish(f"bank/v1/B001/T0001/{leaf}") == NOT_AUTHORISED
        impostor.subscribe("bank/v1/+/+/txn")
        assert terminal.publish("bank/v1/B001/T0001/txn") < REFUSED
        assert impostor.everything() == [] == terminal.everything()


def test_a_terminal_does_not_get_in_by_the_banks_door(broker: Production) -> None:
    assert broker.connect("T0001", door="bank").is_turned_away()
    assert broker.connect("bank-host", door="terminals").is_turned_away()


@pytest.mark.parametrize(
    "listening", ["#", "bank/#", "bank/v1/+/+/+", "bank/v1/B001/T0002/#", "+/+/+/+/+", "$share/any/bank/v1/B001/T0002/+"]
)
def test_a_terminal_hears_nothing_of_another(broker: Production, listening: str) -> None:
    """mosquitto grants the subscription; what it then delivers is what counts. Retained messages too."""
    with broker.connect("T0002") as other, broker.connect("bank-host") as bank, broker.connect("branch-monitor") as monitor:
        assert other.publish("bank/v1/B001/T0002/state", b"old", retain=True) < REFUSED
        with broker.connect("T0001") as curious:
            curious.subscribe(listening)
            for leaf in FROM_TERMINALS:
                assert other.publish(f"bank/v1/B001/T0002/{leaf}") < REFUSED
            for leaf in WRITES["bank-host"]:
                assert bank.publish(f"bank/v1/B001/T0002/{leaf}") < REFUSED
            for leaf in WRITES["branch-monitor"]:
                assert monitor.publish(f"bank/v1/B001/T0002/{leaf}") < REFUSED
            assert curious.everything() == []
            if not listening.startswith("$share") and "T0002" not in listening:
                bank.publish("bank/v1/B001/T0001/ack", b"mine")
                assert curious.everything() == [b"mine"], "it does hear what is for it"


def test_a_terminal_hears_nothing_of_the_broker(broker: Production) -> None:
    with broker.connect("T0001") as curious:
        curious.subscribe("$SYS/#")
        assert curious.everything() == []


def test_who_guesses_a_shared_group_takes_messages_out_of_it(broker: Production) -> None:
    """A limit of mosquitto's access lists, which do not look at subscriptions: the broker deals a share of the group's messages to the
    stranger and then may not deliver it. So the group's name is a secret of the monitor (docs/security.md), and this test says why.
    """
    with broker.connect("branch-monitor") as monitor, broker.connect("T0001") as terminal, broker.connect("T0002") as thief:
        thief.subscribe("$share/guessed/bank/v1/+/+/event")
        monitor.subscribe("$share/not-to-be-guessed/bank/v1/+/+/event")
        for number in range(20):
            terminal.publish("bank/v1/B001/T0001/event", b"%d" % number)
        assert monitor.everything() == [b"%d" % number for number in range(20)], "another group's members take nothing away"
        monitor.subscribe("$share/guessed/bank/v1/+/+/event")
        for number in range(20):
            terminal.publish("bank/v1/B001/T0001/event", b"%d" % number)
        heard = monitor.everything()
        assert len(heard) == 20 + 10, "its own group's all, the guessed one's half"
        assert thief.everything() == []


# --- certificates


def test_without_a_certificate_of_ours_there_is_no_connection(broker: Production, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    make(stranger, "ca")
    make(stranger, "client", "T0001")
    for door in ("terminals", "bank"):
        assert broker.connect("T0001", certificate=False, door=door).is_turned_away()
        assert broker.connect("T0001", folder=stranger, door=door).is_turned_away()


@pytest.mark.parametrize("door", ["port", "bank_port"])
def test_there_is_no_plain_door(broker: Production, door: str) -> None:
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", getattr(broker, door)), 5) as plain:
        plain.settimeout(PATIENCE_S)
        plain.sendall(b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x02ab")
        if not plain.recv(1):
            raise ConnectionResetError("closed without a CONNACK")
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", 1883), 5):
        pass


@pytest.mark.parametrize("door", ["port", "bank_port"])
def test_old_tls_is_refused(broker: Production, door: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", getattr(broker, door)), 5) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain)


def signed(broker: Production, name: str, start: timedelta, end: timedelta) -> Path:
    """A certificate of the terminals' own authority, for the key of T0001."""
    pki, now = broker.pki / "terminals", datetime.now(UTC)
    authority = x509.load_pem_x509_certificate((pki / "ca.crt").read_bytes())
    key, own = (load_pem_private_key((pki / f"{one}.key").read_bytes(), None) for one in ("ca", "T0001"))
    assert isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(own, ec.EllipticCurvePrivateKey)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(authority.subject).public_key(own.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now + start).not_valid_after(now + end)
    folder = broker.folder / "made"
    folder.mkdir(exist_ok=True)
    (folder / "T0001.crt").write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))
    shutil.copy(pki / "T0001.key", folder)
    return folder


def test_an_expired_certificate_is_turned_away(broker: Production) -> None:
    good = signed(broker, "T0001", timedelta(days=-2), timedelta(days=2))
    with broker.connect("T0001", folder=good):
        pass
    for start, end in ((timedelta(days=-2), timedelta(minutes=-1)), (timedelta(days=1), timedelta(days=2))):
        assert broker.connect("T0001", folder=signed(broker, "T0001", start, end)).is_turned_away()


@pytest.mark.parametrize("name", ["T0002", "T+1", "#", "+", "T0001/state", "%u", "", "t0001"])
def test_another_name_in_the_certificate_gives_no_rights_of_the_first(broker: Production, name: str) -> None:
    """Whatever the CN says: what is spoken and heard under T0001 is not for it."""
    folder = signed(broker, name, timedelta(days=-2), timedelta(days=2)) if name else broker.folder
    if not name or broker.connect("T0001", folder=folder).is_turned_away():
        return  # mosquitto does not take this name at all
    with broker.connect("T0001", folder=folder) as impostor, broker.connect("bank-host") as bank:
        impostor.subscribe("bank/v1/+/T0001/#")
        assert impostor.publish("bank/v1/B001/T0001/txn") == NOT_AUTHORISED
        bank.publish("bank/v1/B001/T0001/ack")
        assert impostor.everything() == []


def test_a_copied_certificate_shows(broker: Production) -> None:
    """The second connection takes the first one's place, under whatever client id it comes: the first ends, and the log tells why."""
    with broker.connect("T0001") as terminal:
        with broker.connect("T0001", client_id="somebody-else") as copy:
            terminal.ended.get(timeout=PATIENCE_S)
            assert copy.publish("bank/v1/B001/T0001/state") < REFUSED
        assert "Client T0001 already connected, closing old connection" in broker.log()


def test_a_client_id_of_another_takes_nothing_over(broker: Production) -> None:
    with broker.connect("T0001") as terminal:
        with broker.connect("T0002", client_id="T0001") as other:
            assert other.publish("bank/v1/B001/T0002/state") < REFUSED
        assert terminal.publish("bank/v1/B001/T0001/state") < REFUSED and terminal.ended.empty()
        assert "already connected" not in broker.log()


def test_workers_of_the_monitor_share_a_certificate_and_not_a_session(broker: Production) -> None:
    with broker.connect("branch-monitor", client_id="monitor-1") as one, broker.connect("branch-monitor", client_id="monitor-2") as two:
        assert one.publish("bank/v1/B001/T0001/ack") < REFUSED and two.publish("bank/v1/B001/T0001/ack") < REFUSED


def test_a_withdrawn_certificate_is_turned_away_after_a_restart(broker: Production) -> None:
    with broker.connect("T0002"), broker.connect("bank-host"):
        pass
    make(broker.pki / "terminals", "revoke", "T0002")
    make(broker.pki / "bank", "revoke", "bank-host")
    broker.restart()
    with broker.connect("T0001"), broker.connect("branch-monitor"):
        assert broker.connect("T0002").is_turned_away()
        assert broker.connect("bank-host").is_turned_away()


def test_the_bank_serves_terminals_through_it(broker: Production, tmp_path: Path) -> None:
    bank = broker.pki / "bank"
    files = {"--ca": broker.etc / "ca.crt", "--cert": bank / "bank-host.crt", "--key": bank / "bank-host.key"}
    tls = [part for option, file in files.items() for part in (option, str(file))]
    control = tmp_path / "bank.sock"
    command = [sys.executable, "-m", "simulators.bank", "--stdin-eof", "--broker", f"mqtts://127.0.0.1:{broker.bank_port}"]
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
            assert terminal.publish(f"{probe.base}/auth", json.dumps(request).encode()) < REFUSED
            assert json.loads(terminal.heard.get(timeout=PATIENCE_S))["data"]["response"] == "APPR"
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
