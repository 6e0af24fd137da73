"""Offline data authentication (EMV 4.3 Book 2, sections 5 and 6): RSA with message recovery, SHA-1. Public keys only, so plain `pow`.

`OdaFailure` is a finding, not an error of the terminal: it becomes bits in the TVR, and issuer and terminal action codes say what
follows from them.
"""

from __future__ import annotations

import calendar
import datetime
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from drivers.emv.capk import CaPublicKey
from drivers.emv.reading import CardFile, dol_data
from drivers.emv.terminal import OdaMethod
from drivers.protocols.emv_data import digits
from drivers.protocols.emv_tags import Tag
from drivers.protocols.tlv import TlvError, parse_dol


class OdaFailure(Exception):
    """Why the card's data are not proved genuine. `data_missing` asks for that bit of the TVR as well. Text without card data."""

    def __init__(self, reason: str, *, data_missing: bool = False) -> None:
        super().__init__(reason)
        self.data_missing = data_missing


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An RSA public key as certificates carry it."""

    modulus: bytes
    exponent: int

    def recover(self, signature: bytes, kind: int, what: str) -> bytes:
        """The block behind a signature, checked for length, header, format and trailer (annex A2.1.2)."""
        if len(signature) != len(self.modulus):
            raise OdaFailure(f"{what} has {len(signature)} bytes and its key {len(self.modulus)}")
        number = pow(int.from_bytes(signature, "big"), self.exponent, int.from_bytes(self.modulus, "big"))
        block = number.to_bytes(len(self.modulus), "big")
        if block[0] != 0x6A or block[1] != kind or block[-1] != 0xBC:
            raise OdaFailure(f"{what} is not signed with the expected key")
        return block


def choose_method(aip: bytes, supported: frozenset[OdaMethod]) -> OdaMethod | None:
    """Book 3, 10.3: the strongest that card and terminal both have."""
    for method, bit in ((OdaMethod.CDA, 0x01), (OdaMethod.DDA, 0x20), (OdaMethod.SDA, 0x40)):
        if method in supported and aip[0] & bit:
            return method
    return None


def _needed(file: CardFile, *tags: Tag) -> None:
    missing = [f"{tag:X}" for tag in tags if not file.value(tag)]
    if missing:
        raise OdaFailure(f"the card lacks {' '.join(missing)}", data_missing=True)


def _check_hash(block: bytes, rest: bytes, what: str) -> None:
    if not hmac.compare_digest(hashlib.sha1(block[1:-21] + rest).digest(), block[-21:-1]):
        raise OdaFailure(f"the hash of {what} is wrong")


def _check_expiry(value: bytes, today: datetime.date, what: str) -> None:
    """MMYY; a certificate lives to the end of its month."""
    text = value.hex()
    if not text.isdecimal() or not 1 <= int(text[:2]) <= 12:
        raise OdaFailure(f"{what} has no valid expiry")
    month, year = int(text[:2]), 2000 + int(text[2:])
    if today > datetime.date(year, month, calendar.monthrange(year, month)[1]):
        raise OdaFailure(f"{what} has expired")


def _check_hash_algorithm(value: int, what: str) -> None:
    if value != 0x01:
        raise OdaFailure(f"{what} names hash algorithm {value:02X}, only 01 (SHA-1) exists")


def _certified_key(left: bytes, remainder: bytes, exponent: bytes, length: int, what: str) -> PublicKey:
    modulus = left[:length] if length <= len(left) else left + remainder
    if len(modulus) != length:
        raise OdaFailure(f"the key in {what} is {length} bytes long and {len(modulus)} are there")
    if length < 64 or not modulus[0] or int.from_bytes(exponent, "big") not in (3, 65537):
        raise OdaFailure(f"the key in {what} is none that EMV allows")
    return PublicKey(modulus, int.from_bytes(exponent, "big"))


def issuer_key(file: CardFile, capks: Iterable[CaPublicKey], today: datetime.date) -> PublicKey:
    """Book 2, 5.3: the issuer's key out of certificate 90."""
    _needed(file, Tag.CA_INDEX, Tag.ISSUER_CERTIFICATE, Tag.ISSUER_EXPONENT)
    what = "the issuer certificate"
    rid, index = file.candidate.aid[:5], file.value(Tag.CA_INDEX)[0]
    authority = next((one for one in capks if one.rid == rid and one.index == index), None)
    if authority is None:
        raise OdaFailure(f"the terminal has no key {index:02X} of {rid.hex().upper()}")
    block = PublicKey(authority.modulus, authority.exponent).recover(file.value(Tag.ISSUER_CERTIFICATE), 0x02, what)
    exponent, remainder = file.value(Tag.ISSUER_EXPONENT), file.value(Tag.ISSUER_REMAINDER)
    _check_hash_algorithm(block[11], what)
    _check_hash(block, remainder + exponent, what)
    identifier = block[2:6].hex().rstrip("f")
    if not 3 <= len(identifier) <= 8 or not digits(file.value(Tag.PAN), Tag.PAN).startswith(identifier):
        raise OdaFailure(f"{what} is of another issuer")
    _check_expiry(block[6:8], today, what)
    if block[12] != 0x01:
        raise OdaFailure(f"{what} names public key algorithm {block[12]:02X}, only 01 (RSA) exists")
    return _certified_key(block[15:-21], remainder, exponent, block[13], what)


def _static_data(file: CardFile) -> bytes:
    if file.static_data is None:
        raise OdaFailure("the static data cannot be put together from what the card gave")
    return file.static_data


def verify_static(file: CardFile, issuer: PublicKey) -> bytes:
    """SDA (Book 2, 5.4): returns the data authentication code 9F45."""
    _needed(file, Tag.SIGNED_STATIC)
    what = "the signed static data"
    block = issuer.recover(file.value(Tag.SIGNED_STATIC), 0x03, what)
    _check_hash_algorithm(block[2], what)
    _check_hash(block, _static_data(file), what)
    return block[3:5]


def icc_key(file: CardFile, issuer: PublicKey, today: datetime.date) -> PublicKey:
    """Book 2, 6.4: the card's own key out of certificate 9F46, which covers the static data too."""
    _needed(file, Tag.ICC_CERTIFICATE, Tag.ICC_EXPONENT)
    what = "the card's certificate"
    block = issuer.recover(file.value(Tag.ICC_CERTIFICATE), 0x04, what)
    exponent, remainder = file.value(Tag.ICC_EXPONENT), file.value(Tag.ICC_REMAINDER)
    _check_hash_algorithm(block[17], what)
    _check_hash(block, remainder + exponent + _static_data(file), what)
    if block[2:12].hex().rstrip("f") != digits(file.value(Tag.PAN), Tag.PAN):
        raise OdaFailure(f"{what} is of another card")
    _check_expiry(block[12:14], today, what)
    if block[18] != 0x01:
        raise OdaFailure(f"{what} names public key algorithm {block[18]:02X}, only 01 (RSA) exists")
    return _certified_key(block[21:-21], remainder, exponent, block[19], what)


def dynamic_data(file: CardFile, values: dict[int, bytes], default_ddol: bytes) -> bytes:
    """What INTERNAL AUTHENTICATE is to sign (Book 2, 6.5.1). OdaFailure when the list has no unpredictable number."""
    ddol = file.value(Tag.DDOL) or default_ddol
    try:
        tags = [tag for tag, _ in parse_dol(ddol)]
    except TlvError as error:
        raise OdaFailure(f"the list of dynamic data cannot be read: {error}") from error
    if Tag.UNPREDICTABLE not in tags:
        raise OdaFailure("the list of dynamic data has no unpredictable number")
    return dol_data(ddol, {**file.values, **values})


def _dynamic_part(key: PublicKey, signature: bytes, rest: bytes, what: str) -> bytes:
    """ICC dynamic data behind a 9F4B, hash checked."""
    block = key.recover(signature, 0x05, what)
    _check_hash_algorithm(block[2], what)
    _check_hash(block, rest, what)
    length = block[3]
    if length > len(block) - 25:
        raise OdaFailure(f"{what} says {length} bytes of dynamic data")
    return block[4 : 4 + length]


def verify_dynamic(key: PublicKey, signature: bytes, signed: bytes) -> bytes:
    """DDA (Book 2, 6.5.2): returns the card's dynamic number 9F4C."""
    data = _dynamic_part(key, signature, signed, "the card's dynamic signature")
    if not data or data[0] > len(data) - 1:
        raise OdaFailure("the card's dynamic signature holds no dynamic number")
    return data[1 : 1 + data[0]]


@dataclass(frozen=True, slots=True)
class CombinedData:
    """What a CDA signature vouches for."""

    number: bytes
    cid: int
    cryptogram: bytes


def verify_combined(key: PublicKey, signature: bytes, unpredictable: bytes, transaction_data: bytes) -> CombinedData:
    """CDA (Book 2, 6.6.2). `transaction_data`: PDOL, CDOL1 (and CDOL2) values, then the answer's objects without 9F4B."""
    what = "the signature with the cryptogram"
    data = _dynamic_part(key, signature, unpredictable, what)
    size = data[0] if data else 0
    if len(data) < 1 + size + 29:
        raise OdaFailure(f"{what} holds too little")
    rest = data[1 + size :]
    if not hmac.compare_digest(rest[9:29], hashlib.sha1(transaction_data).digest()):
        raise OdaFailure("the hash of the transaction data is wrong")
    return CombinedData(data[1 : 1 + size], rest[0], rest[1:9])
