"""The centre's Ed25519 key and what it signs: commands and desired configurations (docs/bank-messages.md).

Signed is the canonical JSON of the data without its signature (keys sorted, no spaces, UTF-8, no floats), after a prefix that names
what it is, so that one kind of document never passes for another.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key

from kiosk_ui.monitor.config import ConfigError, SigningSection

COMMAND = b"smart-branch/command/v1\n"
DESIRED = b"smart-branch/desired/v1\n"


class Signer:
    def __init__(self, key: Ed25519PrivateKey, key_id: str = "") -> None:
        self._key = key
        self.public_hex = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
        self.key_id = key_id or hashlib.sha256(bytes.fromhex(self.public_hex)).hexdigest()[:16]

    def sign(self, prefix: bytes, data: Mapping[str, Any]) -> dict[str, Any]:
        """The data with `keyId` and `signature`."""
        signed = {**data, "keyId": self.key_id}
        return {**signed, "signature": self._key.sign(prefix + canonical(signed)).hex()}


def canonical(data: Mapping[str, Any]) -> bytes:
    """ValueError for a float: two programs may write it differently."""
    _no_floats(data)
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _no_floats(value: object) -> None:
    if isinstance(value, float):
        raise ValueError("a signed document has whole numbers only")
    for one in value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ():
        _no_floats(one)


def load_signer(section: SigningSection) -> Signer:
    path = section.key
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"signing.key: {path} can be read by others; chmod 600 it")
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"signing.key: {path}: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"signing.key: {path} is no Ed25519 key; branch-monitor key new FILE makes one")
    return Signer(key, section.key_id)


def new_key(path: Path) -> Signer:
    """A key file (PEM, mode 600) that was not there before."""
    key = Ed25519PrivateKey.generate()
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Signer(key)
