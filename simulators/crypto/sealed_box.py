"""The sealed box of docs/bank-messages.md: ECIES with P-256, HKDF-SHA256 (RFC 5869) and AES-256-GCM (NIST SP 800-38D).

The bank's reading of the format: it opens what a terminal sealed for it, and seals face templates for a face worker.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ALGORITHM = "ECDH-ES+HKDF-SHA256+A256GCM"
INFO = b"smart-branch/sealed-box/v1"
CURVE = ec.SECP256R1()
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256 (SEC 2, 2.4.2)
POINT_BYTES = 65
IV_BYTES = 12
TAG_BYTES = 16

RandomBytes = Callable[[int], bytes]


class SealedBoxError(ValueError):
    """The box cannot be opened or is not one. The text never carries what was inside."""


def public_bytes(key: ec.EllipticCurvePublicKey) -> bytes:
    """The uncompressed point: 04 x y."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def public_from_hex(text: object, name: str) -> ec.EllipticCurvePublicKey:
    """A P-256 point in hex; SealedBoxError names the field `name`. The library checks that it is on the curve."""
    data = _bytes(text, name)
    if len(data) != POINT_BYTES or data[0] != 4:
        raise SealedBoxError(f"{name}: not an uncompressed P-256 point of {POINT_BYTES} bytes")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(CURVE, data)
    except ValueError:
        raise SealedBoxError(f"{name}: the point is not on the curve P-256") from None


def _bytes(text: object, name: str) -> bytes:
    if not isinstance(text, str):
        raise SealedBoxError(f"{name}: must be hex")
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise SealedBoxError(f"{name}: must be hex") from None


def _content_key(private: ec.EllipticCurvePrivateKey, peer: ec.EllipticCurvePublicKey) -> bytes:
    shared = private.exchange(ec.ECDH(), peer)
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=INFO).derive(shared)


def seal(
    plain: bytes, recipient: ec.EllipticCurvePublicKey, associated: bytes, kid: str, random_bytes: RandomBytes = secrets.token_bytes
) -> dict[str, str]:
    """A box that only the holder of the private key opens, and only with the same `associated` data."""
    number = int.from_bytes(random_bytes(40), "big") % (ORDER - 1) + 1  # 64 bits more than the order: no bias (FIPS 186-5, A.2.1)
    ephemeral = ec.derive_private_key(number, CURVE)
    iv = random_bytes(IV_BYTES)
    ciphertext = AESGCM(_content_key(ephemeral, recipient)).encrypt(iv, plain, associated)
    return {
        "alg": ALGORITHM,
        "kid": kid,
        "epk": public_bytes(ephemeral.public_key()).hex(),
        "iv": iv.hex(),
        "ciphertext": ciphertext.hex(),
    }


def open_box(box: object, private: ec.EllipticCurvePrivateKey, associated: bytes) -> bytes:
    """What was sealed. SealedBoxError for another algorithm, a wrong key, other associated data, or any changed bit."""
    if not isinstance(box, Mapping):
        raise SealedBoxError("the sealed box is not an object")
    fields: Mapping[str, Any] = box
    if fields.get("alg") != ALGORITHM:
        raise SealedBoxError(f"alg: must be {ALGORITHM}")
    peer = public_from_hex(fields.get("epk"), "epk")
    iv = _bytes(fields.get("iv"), "iv")
    ciphertext = _bytes(fields.get("ciphertext"), "ciphertext")
    if len(iv) != IV_BYTES or len(ciphertext) < TAG_BYTES:
        raise SealedBoxError("iv or ciphertext has a wrong length")
    try:
        return AESGCM(_content_key(private, peer)).decrypt(iv, ciphertext, associated)
    except InvalidTag:
        raise SealedBoxError("the box does not open: sealed for another key, for another transaction, or changed") from None
