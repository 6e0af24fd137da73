"""`branch-terminal provision`, as a technician has it: keys made here, a request out, a chain in, old and new beside each other."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from technician import AUTHORITY, NOW, ROOT, Technician, authority, needs_openssl

from drivers.secret import Secret
from terminal import __main__ as program
from terminal.adapters.certificates import days_left, request
from terminal.adapters.journal import Entry
from terminal.adapters.keystore import Contents, Identity
from terminal.adapters.link_tls import LinkConfigError, TlsIdentity, promoted
from terminal.adapters.outbox import Outgoing
from terminal.adapters.store import Store

pytestmark = needs_openssl


@pytest.fixture
def here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Technician:
    return Technician(tmp_path, capsys)


def test_from_nothing_to_a_certificate(here: Technician) -> None:
    here.types("init")
    status = here.status(1)
    assert status["certificateDaysLeft"] is None and status["dataKey"] == 1 and status["headKey"] is True
    assert "provision request" in status["attention"][0]
    out = here.folder / "T0001.csr"
    here.types("request", "--out", out)
    csr = x509.load_pem_x509_csr(out.read_bytes())
    assert csr.subject.rfc4514_string() == "CN=T0001" and csr.is_signature_valid
    assert here.types("request") == out.read_text(), "asked again it is the same one"
    authority(here.folder / "pki", "sign", "T0001", str(out))
    said = here.types("install", here.folder / "pki" / "T0001.crt")
    assert "good for 396 days" in said
    status = here.status(0)
    assert status["certificateDaysLeft"] == 396 and [one["state"] for one in status["identities"]] == ["installed"]
    assert "until" in here.types("status")
    for file in here.folder.rglob("*"):
        if file.is_file() and file.name != "ca.key":
            assert b"PRIVATE KEY" not in file.read_bytes(), f"{file}: the key never leaves the keystore"
    context = TlsIdentity(here.folder / "pki" / "ca.crt", here.keys()).context()
    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname


def test_a_new_key_and_request_stand_beside_the_old(here: Technician) -> None:
    here.types("init")
    request_and_install(here)
    assert "nothing to request" in here.types("request", "--within-days", "60")
    first = here.status(0)["identities"][0]["name"]
    here.types("request", "--out", here.folder / "new.csr", "--within-days", "500")
    assert [(one["state"]) for one in here.status(0)["identities"]] == ["installed", "requested"]
    waiting = (here.folder / "new.csr").read_text()
    assert here.types("request", "--anew") != waiting
    authority(here.folder / "pki", "sign", "T0001", str(here.folder / "new.csr"))
    assert "its key is none that this terminal has made" in here.types("install", here.folder / "pki" / "T0001.crt", code=2)
    request_and_install(here)
    names = [one["name"] for one in here.status(0)["identities"]]
    assert len(names) == 2 and names[0] == first


def test_what_the_timer_does_may_be_done_every_day_and_by_nobody(here: Technician) -> None:
    unit = (ROOT / "deploy" / "systemd" / "branch-terminal-rotate.service").read_text(encoding="utf-8")
    [start] = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    paths = {"/etc/smart-branch/terminal.toml": here.config, "/var/lib/branch-terminal/request.csr": here.folder / "request.csr"}
    words = [str(paths.get(word, word)) for word in start.split()[1:]]
    assert set(paths) < set(start.split())

    def a_day() -> str:
        assert program.main(words) == 0
        return (here.folder / "request.csr").read_text()

    here.types("init")
    first = a_day()
    assert first.startswith("-----BEGIN CERTIFICATE REQUEST") and a_day() == first, "the same one, until it is answered"
    sign_and_install(here, here.folder / "request.csr")
    assert a_day() == first and "nothing to request" in here.capsys.readouterr().out
    assert [one["state"] for one in here.status(0)["identities"]] == ["installed"]


def request_and_install(here: Technician) -> None:
    here.types("request", "--out", here.folder / "T0001.csr")
    sign_and_install(here, here.folder / "T0001.csr")


def sign_and_install(here: Technician, csr: Path) -> None:
    authority(here.folder / "pki", "sign", "T0001", str(csr))
    here.types("install", here.folder / "pki" / "T0001.crt")


def test_the_authority_signs_for_the_name_it_was_told(here: Technician) -> None:
    here.types("init")
    here.types("request", "--out", here.folder / "T0001.csr")
    for name, file in (("T0002", "T0001.csr"), ("T0001", "bank.pub"), ("T0001", "none")):
        done = subprocess.run(
            [AUTHORITY, here.folder / "pki", "sign", name, here.folder / file], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 1 and "it asks for a certificate of" in done.stderr
        assert not (here.folder / "pki" / f"{name}.crt").exists()
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "T0001")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, SHA256())
    (here.folder / "p384.csr").write_bytes(csr.public_bytes(Encoding.PEM))
    done = subprocess.run([AUTHORITY, here.folder / "pki", "sign", "T0001", here.folder / "p384.csr"], capture_output=True, text=True)
    assert done.returncode == 1 and "its key is not of curve P-256" in done.stderr


# --- which one is shown


def identities(here: Technician, *states: str) -> tuple[TlsIdentity, list[str]]:
    """A keystore with certificates in these states, oldest first."""
    made: list[Identity] = []
    for state in states:
        one = request("T0001", NOW)
        (here.folder / "T0001.csr").write_text(one.csr)
        authority(here.folder / "pki", "sign", "T0001", str(here.folder / "T0001.csr"))
        chain = (here.folder / "pki" / "T0001.crt").read_text() if state != "requested" else ""
        made.append(Identity(one.name, state, one.created, one.key, one.csr, chain))
    here.keys().create(Contents("T0001", tuple(made)))
    return TlsIdentity(here.folder / "pki" / "ca.crt", here.keys()), [one.name for one in made]


def shown(tls: TlsIdentity) -> str:
    tls.context()
    assert tls._shown is not None
    return tls._shown.name


def test_the_old_certificate_is_kept_until_the_new_one_has_stood(here: Technician) -> None:
    tls, (old, new) = identities(here, "active", "installed")
    assert shown(tls) == new
    tls.failed()
    assert shown(tls) == old, "every other attempt is with the old one"
    tls.stood()
    assert [one.name for one in here.keys().read().identities] == [old, new], "the old one standing proves nothing of the new one"
    assert shown(tls) == new
    tls.failed()
    assert shown(tls) == old
    tls.failed()
    assert shown(tls) == new
    tls.stood()
    ((name, state),) = [(one.name, one.state) for one in here.keys().read().identities]
    assert (name, state) == (new, "active")
    assert shown(tls) == new


def test_every_certificate_has_its_turn(here: Technician) -> None:
    """Two that were installed and do not work do not keep the active one from being tried."""
    tls, (old, second, third) = identities(here, "active", "installed", "installed")
    turns = []
    for _ in range(6):
        turns.append(shown(tls))
        tls.failed()
    assert turns == [third, second, old] * 2


def test_a_request_that_waits_outlives_a_rotation(here: Technician) -> None:
    tls, (_, new, waiting) = identities(here, "active", "installed", "requested")
    assert shown(tls) == new
    tls.stood()
    assert [one.name for one in here.keys().read().identities] == [new, waiting]
    known = here.keys().read()
    assert promoted(known, new) == known


def test_a_keystore_without_a_certificate_cannot_connect(here: Technician) -> None:
    tls, _ = identities(here, "requested")
    with pytest.raises(LinkConfigError, match=r"there is no certificate of this terminal in it \(branch-terminal provision\)"):
        tls.context()
    assert days_left(here.keys().read(), NOW) is None


# --- data keys, the passphrase, files of before


def test_files_of_before_are_taken_in(here: Technician) -> None:
    """Certificate, key and head key that the configuration named as files."""
    authority(here.folder / "pki", "client", "T0001")
    (here.folder / "head.key").write_text("ab" * 32)
    (here.folder / "head.key").chmod(0o600)
    files = {"terminal": 'head_key = "head.key"', "bank": 'certificate = "pki/T0001.crt"\nprivate_key = "pki/T0001.key"'}
    here.write(**files)
    store = Store.open(here.folder / "t.sqlite", "T0001", "B001", head_key=Secret(bytes.fromhex("ab" * 32)))
    store.append([Entry("checkpoint", None, {})])
    store.close()
    said = here.types("init")
    assert "remove them, and then the files: terminal.head_key; bank.certificate, bank.private_key" in said
    contents = here.keys().read()
    assert contents.head_key == Secret(bytes.fromhex("ab" * 32)) and contents.identities[0].state == "active"
    assert "bank.certificate: the keystore holds the terminal's certificate" in here.types("verify", command="journal", code=2)
    here.write()
    assert "its head's seal fits" in here.types("verify", command="journal")
    here.write(terminal='head_key = "other.key"')
    (here.folder / "other.key").write_text("cd" * 32)
    (here.folder / "other.key").chmod(0o600)
    assert "terminal.head_key is another key" in here.types("verify", command="journal", code=2)


def fill(here: Technician) -> None:
    contents = here.keys().read()
    store = Store.open(here.folder / "t.sqlite", "T0001", "B001", head_key=contents.head_key, data_keys=contents.sealing)
    advice = Outgoing("txn", "txn", "ATMWithdrawalCompletionAdvice", {"transactionId": "T0001-00000001"})
    store.append([Entry("transactionSettled", "T0001-00000001", {"minor": 100})], [advice])
    store.close()


def test_a_new_data_key_from_rotation_to_retirement(here: Technician) -> None:
    here.types("init")
    request_and_install(here)
    fill(here)
    assert "generation 2 seals from the next start" in here.types("data-key")
    fill(here)
    status = here.status(1)
    assert status["rows"] == {"journal": {"1": 1, "2": 1}, "outbox": {"1": 1, "2": 1}}
    assert "2 rows are sealed with older data keys: provision reseal" in status["attention"]
    assert "1 journal entries, 1 messages" in here.types("reseal", "--retire")
    assert here.status(0)["dataKeys"] == [2]
    assert "minor=100" in here.types("show", command="journal")
    assert "its head's seal fits." in here.types("verify", command="journal")


def test_the_journal_says_what_is_missing(here: Technician) -> None:
    here.types("init")
    fill(here)
    (here.folder / "passphrase").write_text("another passphrase\n")
    here.capsys.readouterr()
    assert program.main(["journal", "show", "--config", str(here.config)]) == 0
    said = here.capsys.readouterr()
    assert "sealed with data key generation 1" in said.out and "minor" not in said.out
    assert "sealed entries stay closed" in said.err and "wrong passphrase" in said.err
    assert program.main(["journal", "verify", "--config", str(here.config)]) == 0
    assert "1 sealed entries were not looked into" in here.capsys.readouterr().out


def test_the_passphrase_is_changed(here: Technician) -> None:
    here.types("init")
    (here.folder / "new").write_text("tomorrow's passphrase\n")
    (here.folder / "new").chmod(0o600)
    here.types("relock", "--new-passphrase", here.folder / "new")
    assert "wrong passphrase" in here.types("status", code=2)
    (here.folder / "new").rename(here.folder / "passphrase")
    here.status(1)


def test_what_cannot_be_done_is_said_in_a_sentence(here: Technician) -> None:
    assert "keystore.json: No such file" in here.types("status", code=2)
    here.types("init")
    assert "there is a keystore already" in here.types("init", code=2)
    assert "none.pem" in here.types("install", here.folder / "none.pem", code=2)
    here.write(keystore="")
    assert "there is no [keystore] section" in here.types("status", code=2)
    for wrong in ('file = "k"', 'file = "k"\npassphrase = "credential:x"\npassphrase_file = "p"'):
        here.write(keystore=wrong)
        assert "passphrase or passphrase_file, one of the two" in here.types("status", code=2)
    here.write(keystore='file = "k"\npassphrase = "secret"')
    assert 'keystore.passphrase must be "credential:NAME" or "fd:NUMBER"' in here.types("status", code=2)
    here.write(keystore='file = "k"\npassphrase_file = "passphrase"\npkcs11_token = "t"')
    assert "pkcs11_module and pkcs11_token go together" in here.types("status", code=2)
