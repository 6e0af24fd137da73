"""The keystore: every private key and data key of a terminal in one file, closed under one key-encryption key.

The file is JSON: what opens it (`lock`, see keystore_locks.py), `iv` and `ciphertext` (AES-256-GCM). The associated data is the
format, the terminal's id and the lock, so a file of another terminal or with another lock's parameters does not open. It is replaced
whole (written beside, fsynced, renamed), under a lock file: after a power cut it is the old one or the new one. An agent reads it again
when it changes.

Certificates stand beside their keys: installing one, making it the active one and dropping its predecessor are one replacement each.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from drivers.secret import Secret
from terminal.adapters.sealing import KEY_BYTES, DataKeys

FORMAT = "smart-branch-keystore/1"
IV_BYTES = 12
MAX_FILE_BYTES = 1_048_576


class KeystoreError(Exception):
    """`path` and a sentence, which quotes nothing that is in the file."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


class LockRefused(Exception):
    """The passphrase or token does not open it; a sentence."""


class KeystoreLock(Protocol):
    """What holds the key-encryption key: a passphrase, or a token that the key never leaves. LockRefused with a sentence."""

    def new(self) -> tuple[dict[str, Any], Secret[bytes]]:
        """A fresh key-encryption key (32 bytes), and the public fields from which `open` finds it again."""

    def open(self, fields: Mapping[str, Any]) -> Secret[bytes]: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """A TLS key of this terminal. `state`: requested (no certificate yet), installed (no connection with it yet), active, replaced."""

    name: str
    state: str
    created: str
    key: Secret[bytes]
    """PKCS #8, DER."""
    csr: str
    chain: str = ""
    """PEM, the terminal's own certificate first."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a keystore. `data_key`: the generation that seals; 0 when there is none."""

    terminal_id: str
    identities: tuple[Identity, ...] = ()
    head_key: Secret[bytes] | None = None
    data_key: int = 0
    data_keys: Mapping[int, Secret[bytes]] = dataclasses.field(default_factory=dict)

    @property
    def sealing(self) -> DataKeys | None:
        return DataKeys(self.data_key, self.data_keys) if self.data_key else None

    def in_state(self, *states: str) -> tuple[Identity, ...]:
        return tuple(one for one in self.identities if one.state in states)

    def with_identity(self, changed: Identity) -> Contents:
        """The identity of that name replaced, or added behind the others."""
        others = tuple(one for one in self.identities if one.name != changed.name)
        return dataclasses.replace(self, identities=(*others, changed))


class Keystore:
    """Opens with `lock`; the key-encryption key is kept while its public fields stay the same."""

    def __init__(self, path: Path, terminal_id: str, lock: KeystoreLock) -> None:
        self.path = path
        self._terminal_id = terminal_id
        self._lock = lock
        self._known: tuple[str, Secret[bytes]] | None = None

    def exists(self) -> bool:
        return self.path.exists()

    def version(self) -> str:
        """Another text when the file was replaced; empty when it is not there."""
        try:
            status = self.path.stat()
        except OSError:
            return ""
        return f"{status.st_ino} {status.st_mtime_ns} {status.st_size}"

    def create(self, contents: Contents) -> None:
        """KeystoreError when there is one already."""
        with self._alone():
            if self.path.exists():
                raise KeystoreError(self.path, "there is a keystore already; it is not replaced")
            fields, key = self._lock_answers(self._lock.new)
            self._save(fields, key, contents)

    def read(self) -> Contents:
        """KeystoreError when it cannot be read, does not open, or is another terminal's."""
        fields, key, box = self._opened()
        about = self._about(fields)
        try:
            text = AESGCM(key.reveal()).decrypt(box[:IV_BYTES], box[IV_BYTES:], about)
        except InvalidTag:
            raise KeystoreError(self.path, "it does not open: wrong passphrase or token, another terminal's, or changed") from None
        return _contents(json.loads(text), self._terminal_id)

    def change(self, change: Callable[[Contents], Contents]) -> Contents:
        """Read, change, replace, with nobody else between."""
        with self._alone():
            contents = change(self.read())
            fields, key, _ = self._opened()
            self._save(fields, key, contents)
        return contents

    def relock(self, lock: KeystoreLock) -> None:
        """Another passphrase or token opens it from now on, under a new key-encryption key."""
        with self._alone():
            contents = self.read()
            fields, key = self._lock_answers(lock.new)
            self._lock, self._known = lock, None
            self._save(fields, key, contents)

    def _opened(self) -> tuple[dict[str, Any], Secret[bytes], bytes]:
        try:
            number = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            with open(number, "rb") as file:
                mode = stat.S_IMODE(os.fstat(number).st_mode)
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise KeystoreError(self.path, error.strerror or "it cannot be read") from None
        if mode & 0o077:
            raise KeystoreError(self.path, f"others may read or change it (mode {mode:03o}); make it 600")
        try:
            file_ = json.loads(data)
            fields, box = file_["lock"], bytes.fromhex(file_["iv"]) + bytes.fromhex(file_["ciphertext"])
            known = file_["format"] == FORMAT and isinstance(fields, dict) and len(box) > IV_BYTES + 16
        except (ValueError, KeyError, TypeError, RecursionError):
            known = False
        if not known:
            raise KeystoreError(self.path, f"it is not a keystore of this program ({FORMAT})")
        text = json.dumps(fields, sort_keys=True)
        if self._known is None or self._known[0] != text:
            self._known = (text, self._lock_answers(lambda: self._lock.open(fields)))
        return fields, self._known[1], box

    def _lock_answers(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except LockRefused as error:
            raise KeystoreError(self.path, str(error)) from None

    def _about(self, fields: Mapping[str, Any]) -> bytes:
        return json.dumps([FORMAT, self._terminal_id, fields], sort_keys=True, separators=(",", ":")).encode()

    def _save(self, fields: Mapping[str, Any], key: Secret[bytes], contents: Contents) -> None:
        iv = os.urandom(IV_BYTES)
        box = AESGCM(key.reveal()).encrypt(iv, json.dumps(_json(contents)).encode(), self._about(fields))
        text = json.dumps({"format": FORMAT, "lock": fields, "iv": iv.hex(), "ciphertext": box.hex()}, indent=1)
        replace_file(self.path, f"{text}\n".encode())

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            number = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise KeystoreError(self.path, error.strerror or "it cannot be changed") from None
        try:
            fcntl.flock(number, fcntl.LOCK_EX)
            yield
        except OSError as error:
            raise KeystoreError(self.path, error.strerror or "it cannot be changed") from error
        finally:
            os.close(number)


def replace_file(path: Path, content: bytes) -> None:
    """Mode 600; on disk when it returns, and never half. OSError."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    number = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(number)
        fresh.rename(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _json(contents: Contents) -> dict[str, Any]:
    return {
        "terminal": contents.terminal_id,
        "headKey": None if contents.head_key is None else contents.head_key.reveal().hex(),
        "dataKey": contents.data_key,
        "dataKeys": {str(generation): key.reveal().hex() for generation, key in contents.data_keys.items()},
        "identities": [
            {
                "name": one.name, "state": one.state, "created": one.created, "key": one.key.reveal().hex(),
                "csr": one.csr, "chain": one.chain,
            }
            for one in contents.identities
        ],
    }  # fmt: skip


def _contents(body: Mapping[str, Any], terminal_id: str) -> Contents:
    """Authenticated before it comes here: it is as `_json` wrote it."""
    identities = tuple(Identity(**{**one, "key": Secret(bytes.fromhex(one["key"]))}) for one in body["identities"])
    head_key = None if body["headKey"] is None else Secret(bytes.fromhex(body["headKey"]))
    keys = {int(generation): Secret(bytes.fromhex(key)) for generation, key in body["dataKeys"].items()}
    return Contents(terminal_id, identities, head_key, body["dataKey"], keys)


def new_key() -> Secret[bytes]:
    return Secret(os.urandom(KEY_BYTES))
