"""The keystore opens with its passphrase or token and no other, says why when it does not, and is never half an old one."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from drivers.secret import Secret
from terminal.adapters.keystore import Contents, Identity, Keystore, KeystoreError, LockRefused, new_key
from terminal.adapters.keystore_locks import PassphraseLock, read_passphrase
from terminal.adapters.keystore_token import TokenLock

RIGHT = Secret(b"correct horse battery")
SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")


def keystore(folder: Path, passphrase: Secret[bytes] = RIGHT, terminal_id: str = "T0001") -> Keystore:
    return Keystore(folder / "keys.json", terminal_id, PassphraseLock(passphrase))


def full() -> Contents:
    one = Identity("ab12", "active", "2026-11-22T08:00:00.000Z", Secret(b"the key in DER"), "csr", "chain")
    return Contents("T0001", (one,), new_key(), 2, {1: new_key(), 2: new_key()})


def test_what_is_put_in_comes_out_and_stands_nowhere_in_clear(tmp_path: Path) -> None:
    contents = full()
    keystore(tmp_path).create(contents)
    assert keystore(tmp_path).read() == contents
    raw = (tmp_path / "keys.json").read_bytes()
    secrets = [contents.identities[0].key, contents.head_key, *contents.data_keys.values()]
    for secret in secrets:
        assert secret is not None and secret.reveal() not in raw and secret.reveal().hex().encode() not in raw
        assert secret.reveal().hex() not in repr(contents)
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeystoreError, match="there is a keystore already; it is not replaced"):
        keystore(tmp_path).create(contents)


def edited(path: Path, **fields: Any) -> None:
    body = json.loads(path.read_text())
    body["lock"].update(fields.pop("lock", {}))
    path.write_text(json.dumps({**body, **fields}))


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"lock": {"n": 2**14}}, "it does not open: wrong passphrase or token"),
        ({"lock": {"n": 2**30}}, "its key derivation is not one that this program uses"),
        ({"lock": {"n": 3 * 2**14}}, "its key derivation is not one"),
        ({"lock": {"n": "x"}}, "its key derivation is not one"),
        ({"lock": {"kdf": "md5"}}, "its key derivation is not one"),
        ({"lock": {"kind": "pkcs11"}}, "it is not locked with a passphrase"),
        ({"lock": {"more": 1}}, "it does not open"),
        ({"iv": "00" * 12}, "it does not open"),
        ({"iv": "xx"}, "it is not a keystore of this program"),
        ({"ciphertext": "00" * 16}, "it is not a keystore"),
        ({"ciphertext": "00" * 64}, "it does not open"),
        ({"format": "smart-branch-keystore/2"}, "it is not a keystore of this program"),
        ({"lock": {"salt": "00" * 16}}, "it does not open"),
    ],
)
def test_a_keystore_that_was_touched_does_not_open(tmp_path: Path, how: dict[str, Any], why: str) -> None:
    keystore(tmp_path).create(full())
    edited(tmp_path / "keys.json", **how)
    with pytest.raises(KeystoreError, match=f"keys.json: {why}"):
        keystore(tmp_path).read()


def test_it_opens_for_nobody_else(tmp_path: Path) -> None:
    keystore(tmp_path).create(full())
    with pytest.raises(KeystoreError, match="wrong passphrase or token, another terminal's, or changed"):
        keystore(tmp_path, Secret(b"correct horse batterx")).read()
    with pytest.raises(KeystoreError, match="another terminal's"):
        keystore(tmp_path, terminal_id="T0002").read()
    with pytest.raises(LockRefused, match="at least 12"):
        PassphraseLock(Secret(b"short"))


def test_files_that_are_no_keystore_are_named(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with pytest.raises(KeystoreError, match=r"keys\.json: No such file"):
        keystore(tmp_path).read()
    for rubbish in (b"", b"\xff", b"[]", b"{}", b'{"format": 1, "lock": 2, "iv": "", "ciphertext": ""}', b"[" * 100_000):
        path.write_bytes(rubbish)
        path.chmod(0o600)
        with pytest.raises(KeystoreError, match="it is not a keystore of this program"):
            keystore(tmp_path).read()
    path.chmod(0o640)
    with pytest.raises(KeystoreError, match=r"others may read or change it \(mode 640\); make it 600"):
        keystore(tmp_path).read()


def test_an_agent_reads_what_somebody_else_changed(tmp_path: Path) -> None:
    keystore(tmp_path).create(full())
    agent, technician = keystore(tmp_path), keystore(tmp_path)
    agent.read()
    before = agent.version()
    technician.change(lambda known: dataclasses.replace(known, data_key=1))
    assert agent.version() != before and agent.read().data_key == 1


CHANGER = """
import dataclasses, sys
from pathlib import Path
from drivers.secret import Secret
from terminal.adapters.keystore import Keystore, new_key
from terminal.adapters.keystore_locks import PassphraseLock
store = Keystore(Path(sys.argv[1]), "T0001", PassphraseLock(Secret(b"correct horse battery")))
for _ in range(int(sys.argv[2])):
    store.change(lambda known: dataclasses.replace(known, data_keys={**known.data_keys, len(known.data_keys) + 1: new_key()}))
    print("done", flush=True)
"""


def test_two_who_change_it_at_once_lose_nothing_and_a_kill_leaves_a_whole_one(tmp_path: Path) -> None:
    keystore(tmp_path).create(full())
    path = str(tmp_path / "keys.json")
    both = [subprocess.Popen([sys.executable, "-c", CHANGER, path, "15"], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [one.wait(60) for one in both] == [0, 0]
    assert len(keystore(tmp_path).read().data_keys) == 32
    with subprocess.Popen([sys.executable, "-c", CHANGER, path, "100000"], stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        for _ in range(20):
            killed.stdout.readline()
        killed.kill()
        done = 20 + killed.stdout.read().count(b"done")
    found = len(keystore(tmp_path).read().data_keys)
    assert 32 + done <= found <= 32 + done + 1


def test_another_passphrase_means_another_key(tmp_path: Path) -> None:
    contents = full()
    keystore(tmp_path).create(contents)
    keystore(tmp_path).relock(PassphraseLock(Secret(b"a new passphrase")))
    with pytest.raises(KeystoreError, match="it does not open"):
        keystore(tmp_path).read()
    assert keystore(tmp_path, Secret(b"a new passphrase")).read() == contents


# --- where passphrases come from


def test_a_passphrase_is_read_from_where_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "passphrase"
    file.write_bytes(RIGHT.reveal() + b"\n")
    file.chmod(0o600)
    assert read_passphrase(file) == RIGHT
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    file.chmod(0o440)  # as systemd's access list shows in the mode
    assert read_passphrase("credential:passphrase") == RIGHT
    reading, writing = os.pipe()
    os.write(writing, RIGHT.reveal())
    os.close(writing)
    assert read_passphrase(f"fd:{reading}") == RIGHT
    with pytest.raises(LockRefused, match="this descriptor cannot be read"):
        read_passphrase(f"fd:{reading}")
    with pytest.raises(LockRefused, match=r"others may read the passphrase \(mode 440\); make it 600"):
        read_passphrase(file)
    for wrong, why in (
        (tmp_path / "none", "No such file"),
        ("credential:none", "No such file"),
        ("credential:../x", "neither credential:NAME nor fd:NUMBER"),
        ("credential:", "neither"),
        ("secret", "neither"),
        ("fd:x", "cannot be read"),
    ):
        with pytest.raises(LockRefused, match=why):
            read_passphrase(wrong)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(LockRefused, match="systemd handed over no credentials"):
        read_passphrase("credential:passphrase")
    for content in (b"", b"\n", b"x" * 1025):
        file.chmod(0o600)
        file.write_bytes(content)
        with pytest.raises(LockRefused, match="one line of at most 1024 bytes"):
            read_passphrase(file)


# --- a token: SoftHSM plays it


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenLock:
    pytest.importorskip("pkcs11", reason="extra hsm")
    program = shutil.which("softhsm2-util")
    if program is None or not SOFTHSM.exists():
        pytest.skip("softhsm2 is not installed")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    make = [program, "--init-token", "--free", "--label", "T0001", "--pin", "1234", "--so-pin", "12345678"]
    subprocess.run(make, check=True, capture_output=True, timeout=60)
    return TokenLock(SOFTHSM, "T0001", Secret(b"1234"))


SESSION = """
import json, sys
from pathlib import Path
from drivers.secret import Secret
from terminal.adapters.keystore import Contents, Keystore, KeystoreError, new_key
from terminal.adapters.keystore_token import TokenLock
path, module, todo = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
for what, label, pin in todo:
    store = Keystore(path, "T0001", TokenLock(module, label, Secret(pin.encode())))
    try:
        if what == "create":
            store.create(Contents("T0001", (), None, 1, {1: Secret(bytes(32))}))
        print("read", store.read().data_keys == {1: Secret(bytes(32))})
    except KeystoreError as error:
        print(error)
"""


def test_a_token_opens_a_keystore_and_keeps_its_key(tmp_path: Path, token: TokenLock) -> None:
    """In a process of its own: a PKCS #11 library reads its configuration once."""
    path = tmp_path / "keys.json"
    todo = [["create", "T0001", "1234"], ["read", "T0001", "1234"], ["read", "T0001", "4321"], ["read", "other", "1234"]]
    ran = subprocess.run(
        [sys.executable, "-c", SESSION, str(path), str(SOFTHSM), json.dumps(todo)], capture_output=True, text=True, check=True, timeout=120
    )
    first, again, pin, label = ran.stdout.splitlines()
    assert first == again == "read True"
    assert "PinIncorrect" in pin and "NoSuchToken" in label
    lock = json.loads(path.read_text())["lock"]
    assert lock["kind"] == "pkcs11" and set(lock) == {"kind", "token", "key", "iv", "wrapped"}
    edited(path, lock={"wrapped": "00" * 48})
    ran = subprocess.run(
        [sys.executable, "-c", SESSION, str(path), str(SOFTHSM), json.dumps(todo[1:2])],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "read" not in ran.stdout and "keys.json" in ran.stdout
    with pytest.raises(KeystoreError, match="it is not locked with a passphrase"):
        keystore(tmp_path).read()
