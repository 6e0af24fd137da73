"""RSA test keys of the simulated cards and the signatures EMV makes with them (EMV 4.3 Book 2, sections 5, 6 and annex A2.1).

A signature here gives its message back: header 6A, the message's recoverable part, its SHA-1, trailer BC, as one RSA number.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa


@dataclass(frozen=True, slots=True)
class RsaKey:
    """A test key. `n` and `e` are public."""

    n: int
    e: int
    d: int = field(repr=False)

    @property
    def length(self) -> int:
        """Modulus length in bytes."""
        return (self.n.bit_length() + 7) // 8

    @property
    def modulus(self) -> bytes:
        return self.n.to_bytes(self.length, "big")

    @property
    def exponent(self) -> bytes:
        return self.e.to_bytes((self.e.bit_length() + 7) // 8, "big")

    def sign(self, recoverable: bytes, rest: bytes = b"") -> bytes:
        """Signature over `recoverable` (which fills the block exactly) and `rest` (which the verifier has from elsewhere)."""
        block = b"\x6a" + recoverable + hashlib.sha1(recoverable + rest).digest() + b"\xbc"
        if len(block) != self.length:
            raise ValueError(f"the recoverable part has {len(recoverable)} bytes, {self.length - 22} fit")
        return _power(self, int.from_bytes(block, "big")).to_bytes(self.length, "big")


def _power(key: RsaKey, base: int) -> int:
    """`base` to the private exponent, by the Chinese remainder theorem: about a third of the work (PKCS #1, RFC 8017, 5.1.2)."""
    p, q, dp, dq, q_inverse = _factors(key)
    first, second = pow(base, dp, p), pow(base, dq, q)
    return second + (first - second) * q_inverse % p * q


@functools.cache
def _factors(key: RsaKey) -> tuple[int, int, int, int, int]:
    p, q = rsa.rsa_recover_prime_factors(key.n, key.e, key.d)
    return p, q, key.d % (p - 1), key.d % (q - 1), pow(q, -1, p)


@dataclass(frozen=True, slots=True)
class CardKeys:
    """CA, issuer and card key of the test cards; `rid` and `index` name the CA key to a terminal (8F)."""

    rid: bytes
    index: int
    ca: RsaKey
    issuer: RsaKey
    icc: RsaKey


def load_card_keys(path: Path | None = None) -> CardKeys:
    """ValueError names what the key file lacks."""
    path = path or Path(__file__).parent / "test_keys.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    try:
        ca, issuer, icc = (RsaKey(*(int(found[name][part], 16) for part in "ned")) for name in ("ca", "issuer", "icc"))
        return CardKeys(bytes.fromhex(found["rid"]), int(found["index"], 16), ca, issuer, icc)
    except KeyError as error:
        raise ValueError(f"{path}: no {error}") from error


def issuer_certificate(keys: CardKeys, pan: str) -> tuple[bytes, bytes]:
    """(90, 92): the issuer's key signed by the CA, and what of its modulus did not fit (Book 2, table 2)."""
    identifier = bytes.fromhex(pan[:8])
    head = b"\x02" + identifier + bytes.fromhex("1249") + bytes.fromhex("000001") + b"\x01\x01"
    head += bytes([keys.issuer.length, len(keys.issuer.exponent)])
    room = keys.ca.length - 36
    left, remainder = keys.issuer.modulus[:room].ljust(room, b"\xbb"), keys.issuer.modulus[room:]
    return keys.ca.sign(head + left, remainder + keys.issuer.exponent), remainder


def icc_certificate(keys: CardKeys, pan: str, static_data: bytes) -> tuple[bytes, bytes]:
    """(9F46, 9F48): the card's key and its static data signed by the issuer (Book 2, table 10)."""
    head = b"\x04" + bytes.fromhex(pan.ljust(20, "F")) + bytes.fromhex("1249") + bytes.fromhex("000002") + b"\x01\x01"
    head += bytes([keys.icc.length, len(keys.icc.exponent)])
    room = keys.issuer.length - 42
    left, remainder = keys.icc.modulus[:room].ljust(room, b"\xbb"), keys.icc.modulus[room:]
    return keys.issuer.sign(head + left, remainder + keys.icc.exponent + static_data), remainder


def signed_static_data(keys: CardKeys, static_data: bytes) -> bytes:
    """93: data authentication code and padding, hashed with the static data (Book 2, table 3)."""
    recoverable = b"\x03\x01" + bytes.fromhex("DAC1")
    return keys.issuer.sign(recoverable.ljust(keys.issuer.length - 22, b"\xbb"), static_data)


def signed_dynamic_data(keys: CardKeys, dynamic_data: bytes, rest: bytes) -> bytes:
    """9F4B: the card's answer to INTERNAL AUTHENTICATE or, for CDA, to GENERATE AC (Book 2, tables 14 and 17)."""
    recoverable = b"\x05\x01" + bytes([len(dynamic_data)]) + dynamic_data
    return keys.icc.sign(recoverable.ljust(keys.icc.length - 22, b"\xbb"), rest)
