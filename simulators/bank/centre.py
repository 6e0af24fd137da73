"""The operations centre's pen: orders and desired configurations, signed (docs/bank-messages.md).

Canonical JSON: keys sorted, separators "," and ":", UTF-8, integers only; behind a prefix that says what it is; Ed25519. The key pair lies
beside the bank's store.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key

from simulators.bank.keys import KeyFileError, write_private
from simulators.bank.messages import Message, outgoing, utc_text

KEY_ID = "centre-2026"
KEY_FILE = "centre-private-key.pem"
PREFIXES = {"ATMDeviceControl": b"smart-branch/command/v1\n", "ConfigurationDesired": b"smart-branch/desired/v1\n"}
HOLDS_S = 300


def canonical(value: Any) -> bytes:
    """ValueError for a number with a fraction: two programs do not write it alike."""
    _no_fractions(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _no_fractions(value: Any) -> None:
    if isinstance(value, float):
        raise ValueError("a signed message holds whole numbers only")
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        _no_fractions(item)


class Centre:
    """`private` is the centre's key; several centres may sign for one terminal, each with its own `key_id`."""

    def __init__(self, private: Ed25519PrivateKey, key_id: str = KEY_ID) -> None:
        self._private, self.key_id = private, key_id

    @property
    def public_hex(self) -> str:
        return self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    def signed(self, type_: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """`data` with keyId and signature."""
        said = {**data, "keyId": self.key_id}
        return {**said, "signature": self._private.sign(PREFIXES[type_] + canonical(said)).hex()}

    def order(
        self,
        base: str,
        command: str,
        parameters: Mapping[str, Any],
        now: datetime,
        *,
        by: str = "operator-1",
        role: str = "operator",
        approved_by: str | None = None,
        reason: str = "",
        holds_s: int = HOLDS_S,
        command_id: str | None = None,
    ) -> Message:
        """A message for ``{base}/cmd``."""
        identity = command_id or str(uuid.uuid4())
        data = {
            "commandId": identity,
            "terminal": base.rsplit("/", 1)[1],
            "command": command,
            "parameters": dict(parameters),
            "issuedAt": utc_text(now),
            "notBefore": utc_text(now),
            "expiresAt": utc_text(now + timedelta(seconds=holds_s)),
            "issuedBy": by,
            "role": role,
            "approvedBy": approved_by,
            "reason": reason,
        }
        return outgoing("ATMDeviceControl", base, identity, self.signed("ATMDeviceControl", data), now)

    def desired(self, base: str, version: int, configuration: Mapping[str, Any], now: datetime, *, by: str = "operator-1") -> Message:
        """A retained message for ``{base}/desired``."""
        data = {
            "terminal": base.rsplit("/", 1)[1],
            "version": version,
            "configuration": dict(configuration),
            "issuedAt": utc_text(now),
            "issuedBy": by,
        }
        return outgoing("ConfigurationDesired", base, str(version), self.signed("ConfigurationDesired", data), now)


def load_or_create_centre(folder: Path) -> Centre:
    """The centre of `folder`, made there at the first start."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / KEY_FILE
    if not path.exists():
        made = Ed25519PrivateKey.generate()
        write_private(path, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    try:
        private = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise KeyFileError(f"{path}: damaged ({type(error).__name__})") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyFileError(f"{path}: must be an Ed25519 key")
    return Centre(private)
