"""The sealed box of docs/bank-messages.md: a few bytes that only the holder of one private key can read.

ECDH on P-256 with an ephemeral key (NIST SP 800-56A rev. 3, one-pass), HKDF-SHA256 (RFC 5869) with no salt, AES-256-GCM
(NIST SP 800-38D). Every box has a key of its own, so the random 96-bit `iv` is never used twice with one key.
It has one home: the bank link seals card data with it, the face worker opens its template with it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ALGORITHM = "ECDH-ES+HKDF-SHA256+A256GCM"
INFO = b"smart-branch/sealed-box/v1"
IV_BYTES = 12
TAG_BYTES = 16
POINT_BYTES = 65
MAX_PLAINTEXT_BYTES = 64 * 1024


class SealedBoxError(ValueError):
    """The box (or the key it is for) cannot be used; the sentence says why and quotes none of its content."""


def public_bytes(key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) -> bytes:
    """The uncompressed point (SEC 1, 65 bytes): what `seal` and `recipientKey` want."""
    public = key.public_key() if isinstance(key, ec.EllipticCurvePrivateKey) else key
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def seal(public_key: bytes, plaintext: bytes, aad: bytes, kid: str) -> dict[str, str]:
    """Close `plaintext` for the holder of `public_key` (uncompressed P-256 point), bound to `aad`; `kid` is that key's name.

    SealedBoxError when the point is not on P-256 or the plaintext is over 64 KiB.
    """
    if len(plaintext) > MAX_PLAINTEXT_BYTES:
        raise SealedBoxError(f"a sealed box takes at most {MAX_PLAINTEXT_BYTES} bytes, these are {len(plaintext)}")
    recipient = _point(public_key, "the recipient's key")
    ephemeral = ec.generate_private_key(ec.SECP256R1())
    iv = os.urandom(IV_BYTES)
    ciphertext = AESGCM(_key(ephemeral, recipient)).encrypt(iv, plaintext, aad)
    return {"alg": ALGORITHM, "kid": kid, "epk": public_bytes(ephemeral).hex(), "iv": iv.hex(), "ciphertext": ciphertext.hex()}


def open_box(private_key: ec.EllipticCurvePrivateKey, box: Mapping[str, object], aad: bytes) -> bytes:
    """The plaintext of `box`. SealedBoxError when a field is missing or malformed, or the box was made for another key or `aad`."""
    if box.get("alg") != ALGORITHM:
        raise SealedBoxError(f"alg must be {ALGORITHM}")
    ephemeral = _point(_hex(box, "epk", POINT_BYTES, POINT_BYTES), "epk")
    iv = _hex(box, "iv", IV_BYTES, IV_BYTES)
    ciphertext = _hex(box, "ciphertext", TAG_BYTES, MAX_PLAINTEXT_BYTES + TAG_BYTES)
    try:
        return AESGCM(_key(private_key, ephemeral)).decrypt(iv, ciphertext, aad)
    except InvalidTag:
        raise SealedBoxError("the box does not open: it was made for another key or other associated data, or was changed") from None


def _key(private: ec.EllipticCurvePrivateKey, public: ec.EllipticCurvePublicKey) -> bytes:
    shared = private.exchange(ec.ECDH(), public)
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=INFO).derive(shared)


def _point(data: bytes, what: str) -> ec.EllipticCurvePublicKey:
    if len(data) != POINT_BYTES or data[0] != 4:
        raise SealedBoxError(f"{what} must be an uncompressed P-256 point of {POINT_BYTES} bytes")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), data)
    except ValueError:
        raise SealedBoxError(f"{what} is not a point of P-256") from None


def _hex(box: Mapping[str, object], field: str, least: int, most: int) -> bytes:
    text = box.get(field)
    if not isinstance(text, str):
        raise SealedBoxError(f"{field} must be a string of hex digits")
    try:
        data = bytes.fromhex(text) if len(text) <= 2 * most else b""
    except ValueError:
        data = b""
    if not least <= len(data) <= most:
        size = f"{least} bytes" if least == most else f"{least} to {most} bytes"
        raise SealedBoxError(f"{field} must be {size} in hex")
    return data
