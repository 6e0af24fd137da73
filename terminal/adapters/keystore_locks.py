"""What opens a keystore: a passphrase (scrypt, RFC 7914), and where the passphrase comes from."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from drivers.secret import Secret
from terminal.adapters.keystore import LockRefused

# 32 MiB and three passes: about 0.3 s on a small machine, once at the start
COST, BLOCK, PASSES = 2**15, 8, 3
MOST_COST, MOST_BLOCK, MOST_PASSES = 2**18, 16, 8
SALT_BYTES = 16
LEAST_CHARACTERS = 12
MAX_PASSPHRASE_BYTES = 1024


class PassphraseLock:
    """The key-encryption key is scrypt of the passphrase and a random salt."""

    def __init__(self, passphrase: Secret[bytes]) -> None:
        if len(passphrase.reveal()) < LEAST_CHARACTERS:
            raise LockRefused(f"a passphrase has at least {LEAST_CHARACTERS} characters")
        self._passphrase = passphrase

    def new(self) -> tuple[dict[str, Any], Secret[bytes]]:
        fields = {"kind": "passphrase", "kdf": "scrypt", "n": COST, "r": BLOCK, "p": PASSES, "salt": os.urandom(SALT_BYTES).hex()}
        return fields, self._derive(fields)

    def open(self, fields: Mapping[str, Any]) -> Secret[bytes]:
        if fields.get("kind") != "passphrase":
            raise LockRefused("it is not locked with a passphrase; check the [keystore] section")
        return self._derive(fields)

    def _derive(self, fields: Mapping[str, Any]) -> Secret[bytes]:
        try:
            n, r, p, salt = fields["n"], fields["r"], fields["p"], bytes.fromhex(fields["salt"])
            if fields["kdf"] != "scrypt" or not (2**14 <= n <= MOST_COST and 1 <= r <= MOST_BLOCK and 1 <= p <= MOST_PASSES):
                raise LockRefused("its key derivation is not one that this program uses")
            return Secret(Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(self._passphrase.reveal()))
        except (KeyError, TypeError, ValueError):
            raise LockRefused("its key derivation is not one that this program uses") from None


def read_passphrase(source: str | Path) -> Secret[bytes]:
    """``credential:NAME`` (systemd's LoadCredential), ``fd:N`` (read to its end and closed), or the path of a file with mode 600.

    The last line end is not part of it. LockRefused with a sentence that names the source.
    """
    if isinstance(source, Path):
        return _from_file(source, str(source))
    kind, colon, rest = source.partition(":")
    if kind == "fd" and colon:
        return _from_descriptor(source, rest)
    if kind != "credential" or not colon or "/" in rest or rest in ("", ".", ".."):
        raise LockRefused(f"{source!r} is neither credential:NAME nor fd:NUMBER")
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise LockRefused(f"{source}: systemd handed over no credentials (LoadCredential= in the unit)")
    return _from_file(Path(folder) / rest, source, guarded=True)


def _from_descriptor(source: str, number: str) -> Secret[bytes]:
    try:
        with open(int(number), "rb") as file:
            return _checked(source, file.read(MAX_PASSPHRASE_BYTES + 1))
    except (OSError, ValueError):
        raise LockRefused(f"{source}: this descriptor cannot be read") from None


def _from_file(path: Path, source: str, guarded: bool = False) -> Secret[bytes]:
    """`guarded`: systemd guards the folder; its access list shows in the file's mode as a readable group."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with open(number, "rb") as file:
            mode = stat.S_IMODE(os.fstat(number).st_mode)
            data = file.read(MAX_PASSPHRASE_BYTES + 1)
    except OSError as error:
        raise LockRefused(f"{source}: the passphrase cannot be read ({error.strerror})") from None
    if mode & 0o077 and not guarded:
        raise LockRefused(f"{source}: others may read the passphrase (mode {mode:03o}); make it 600")
    return _checked(source, data)


def _checked(source: str, data: bytes) -> Secret[bytes]:
    passphrase = data.removesuffix(b"\n").removesuffix(b"\r")
    if not passphrase or len(data) > MAX_PASSPHRASE_BYTES:
        raise LockRefused(f"{source}: a passphrase is one line of at most {MAX_PASSPHRASE_BYTES} bytes")
    return Secret(passphrase)
