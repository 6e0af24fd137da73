"""The bank's keys, beside its store: a P-256 pair for the sealed box, one secret for card tokens and PIN verification values.

Issuer master keys and the base derivation keys of PIN pads are the simulators' published test keys.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from simulators.crypto.emv import IssuerKeys
from simulators.crypto.sealed_box import CURVE, public_bytes

KEY_ID = "bank-2026"
PRIVATE_KEY_FILE = "bank-private-key.pem"
SECRET_FILE = "bank-secret.hex"
SECRET_BYTES = 32

PinOf = Callable[[str, bytes, bytes, str], str]
"""(format, PIN block, KSN, PAN) -> the digits; ValueError, without a digit, when the block does not decrypt to a PIN block."""


@dataclass(frozen=True, slots=True)
class BankKeys:
    private: ec.EllipticCurvePrivateKey = field(repr=False)
    secret: bytes = field(repr=False)
    issuer: IssuerKeys = field(repr=False)
    pin_of: PinOf = field(repr=False)

    @property
    def public_hex(self) -> str:
        """What a terminal's configuration names as the bank's key."""
        return public_bytes(self.private.public_key()).hex()

    def _mac(self, use: str, *parts: str) -> bytes:
        return hmac.new(self.secret, "\x00".join((use, *parts)).encode(), hashlib.sha256).digest()

    def card_token(self, pan: str) -> str:
        """Stands for the card number wherever something is stored."""
        return self._mac("card", pan).hex()[:32]

    def pin_value(self, pan: str, pin: str) -> bytes:
        """PIN verification value: the bank compares this, and keeps no PIN."""
        return self._mac("pin", pan, pin)

    def authorisation_code(self, transaction_id: str, attempt: int) -> str:
        number = int.from_bytes(self._mac("authorisation", transaction_id, str(attempt))[:8], "big")
        return f"{number % 1_000_000:06d}"


class KeyFileError(Exception):
    """A key file exists and cannot be used."""


def write_private(path: Path, data: bytes) -> None:
    """Whole or not at all, readable by nobody else."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def load_or_create(folder: Path, issuer: IssuerKeys, pin_of: PinOf) -> BankKeys:
    """The keys in `folder`, made there at the first start."""
    folder.mkdir(parents=True, exist_ok=True)
    pem, secret = folder / PRIVATE_KEY_FILE, folder / SECRET_FILE
    if not pem.exists():
        made = ec.generate_private_key(CURVE)
        write_private(pem, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    if not secret.exists():
        write_private(secret, secrets.token_hex(SECRET_BYTES).encode())
    try:
        private = load_pem_private_key(pem.read_bytes(), None)
        value = bytes.fromhex(secret.read_text(encoding="ascii"))
    except (ValueError, TypeError) as error:
        raise KeyFileError(f"{folder}: {PRIVATE_KEY_FILE} or {SECRET_FILE} is damaged ({type(error).__name__})") from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != CURVE.name or len(value) != SECRET_BYTES:
        raise KeyFileError(f"{folder}: {PRIVATE_KEY_FILE} must be a P-256 key and {SECRET_FILE} {SECRET_BYTES} bytes in hex")
    return BankKeys(private, value, issuer, pin_of)
