"""Keys from files, and the card data sealed for the bank (docs/bank-messages.md, Sealed box).

A private key or a symmetric key must be readable by its owner only. An error names the file and what is wrong with it, never
what stands in it.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from drivers.secret import Secret
from terminal.sealed_box import public_bytes, seal

MAX_KEY_FILE_BYTES = 65_536


class KeyFileError(ValueError):
    """`path` and a sentence."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


def read_key(path: Path | str, length: int) -> Secret[bytes]:
    """A symmetric key of `length` bytes, written as hex digits (spaces and line ends between them do not matter)."""
    path = Path(path)
    text = _text(path, private=True)
    try:
        key = bytes.fromhex("".join(text.split()))
    except ValueError:
        raise KeyFileError(path, "it must hold hex digits and nothing else") from None
    if len(key) != length:
        raise KeyFileError(path, f"the key has {len(key)} bytes, {length} are needed")
    return Secret(key)


def read_private_key(path: Path | str) -> ec.EllipticCurvePrivateKey:
    """A P-256 private key in PEM (PKCS #8 or SEC 1), not encrypted."""
    path = Path(path)
    text = _text(path, private=True)
    try:
        key = load_pem_private_key(text.encode(), None)
    except TypeError:
        raise KeyFileError(path, "the key is encrypted; a terminal starts without anybody to type a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFileError(path, "it is not a private key in PEM") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyFileError(path, "the key must be of curve P-256")
    return key


def read_public_key(path: Path | str) -> bytes:
    """A P-256 public key, as uncompressed point (65 bytes). The file holds PEM, or the point in hex."""
    path = Path(path)
    text = _text(path, private=False)
    if "-----BEGIN" not in text:
        try:
            return public_point("".join(text.split()))
        except ValueError as error:
            raise KeyFileError(path, str(error)) from None
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFileError(path, "it is not a public key in PEM") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyFileError(path, "the key must be of curve P-256")
    return public_bytes(key)


def read_centre_key(path: Path | str) -> Ed25519PublicKey:
    """A public key of the operations centre: Ed25519, PEM or 32 bytes in hex."""
    path = Path(path)
    text = _text(path, private=False)
    try:
        key = load_pem_public_key(text.encode()) if "-----BEGIN" in text else Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFileError(path, "it is neither PEM nor 32 bytes in hex") from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(path, "the key must be an Ed25519 key")
    return key


def public_point(hex_: str) -> bytes:
    """An uncompressed P-256 point in hex, checked to be on the curve. ValueError with a sentence."""
    try:
        point = bytes.fromhex(hex_)
    except ValueError:
        raise ValueError("a public key must be hex digits") from None
    if len(point) != 65 or point[0] != 4:
        raise ValueError(f"a public key must be an uncompressed P-256 point: 65 bytes that begin with 04, not {len(point)} bytes")
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise ValueError("the public key is not a point of P-256") from None
    return point


def _text(path: Path, private: bool) -> str:
    try:
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with open(number, "rb") as file:
            status = os.fstat(number)
            data = file.read(MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        raise KeyFileError(path, error.strerror or "it cannot be read") from None
    if private and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(status.st_mode)
        raise KeyFileError(path, f"others may read or change it (mode {mode:03o}); make it 600")
    if len(data) > MAX_KEY_FILE_BYTES:
        raise KeyFileError(path, "it is too long to be a key")
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise KeyFileError(path, "it is not text (a key in DER? PEM or hex is needed)") from None


class CardDataSealer:
    """Seals card data for the bank's key. ValueError for a key that is not a P-256 point."""

    def __init__(self, bank_public_key_hex: str, kid: str) -> None:
        self._public_key = public_point(bank_public_key_hex)
        self.public_key = self._public_key.hex()
        self.key_id = kid

    def seal(self, pan: Secret[str], track2: Secret[str], pan_sequence: int, transaction_id: str) -> dict[str, str]:
        """`protectedCardData`: bound to this transaction, readable by the bank alone."""
        card = {"pan": pan.reveal(), "track2": track2.reveal(), "panSequence": pan_sequence}
        return seal(self._public_key, json.dumps(card, separators=(",", ":")).encode(), transaction_id.encode(), self.key_id)
