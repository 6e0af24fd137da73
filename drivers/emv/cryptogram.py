"""GENERATE AC: what goes in, what comes out, and its CDA signature (EMV 4.3 Book 3, 6.5.5; Book 2, 6.6)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from drivers.emv.dialogue import refusal
from drivers.emv.faults import CardFault, CardFaultName
from drivers.emv.oda import OdaFailure, PublicKey, verify_combined
from drivers.emv.reading import invalid
from drivers.errors import ProtocolError
from drivers.protocols.apdu import Response
from drivers.protocols.emv_tags import Tag
from drivers.protocols.tlv import encode, encode_all, parse

CDA_REQUEST = 0x10


class Kind(Enum):
    """What a cryptogram is: declined, approved, to be sent online. Values are those of the reference control parameter."""

    AAC = 0x00
    TC = 0x40
    ARQC = 0x80


RANK = {Kind.AAC: 0, Kind.ARQC: 1, Kind.TC: 2}


@dataclass(frozen=True, slots=True)
class CardCryptogram:
    """One answer to GENERATE AC. `genuine` is None without CDA, else whether the signature proved it; `reason` why not."""

    kind: Kind
    cid: int
    atc: bytes
    cryptogram: bytes
    issuer_data: bytes
    genuine: bool | None
    reason: str = ""

    def objects(self) -> bytes:
        """9F26 9F27 9F10 9F36 for the host."""
        found = [(Tag.CRYPTOGRAM, self.cryptogram), (Tag.CID, bytes([self.cid])), (Tag.ISSUER_APPLICATION_DATA, self.issuer_data)]
        return encode_all([*found, (Tag.ATC, self.atc)])


def parse_cryptogram(response: Response, asked: Kind, key: PublicKey | None, unpredictable: bytes, hashed: bytes) -> CardCryptogram:
    """`key` not None: CDA was asked for and `hashed` is PDOL, CDOL1 and CDOL2 data. CardFault when the answer cannot be used at all."""
    if not response.ok:
        raise refusal("generate AC", response.sw)
    try:
        objects = parse(response.data)
    except ProtocolError as error:
        raise invalid(f"the answer to generate AC: {error}") from error
    if len(objects) == 1 and objects[0].tag == Tag.RESPONSE_1:
        values = _format_1(objects[0].value)
    elif len(objects) == 1 and objects[0].tag == Tag.RESPONSE_2:
        values = {one.tag: one.value for one in objects[0].children}
    else:
        raise invalid("the answer to generate AC has none of its two formats")
    cid, atc = values.get(Tag.CID, b""), values.get(Tag.ATC, b"")
    if len(cid) != 1 or len(atc) != 2:
        raise CardFault("the answer to generate AC lacks 9F27 or 9F36", CardFaultName.MISSING_DATA)
    kind = _kind(cid[0], asked)
    signature, cryptogram = values.get(Tag.SIGNED_DYNAMIC), values.get(Tag.CRYPTOGRAM, b"")
    genuine, reason = None, ""
    if key is not None and kind is not Kind.AAC:
        signed = hashed + b"".join(encode(one.tag, one.value) for one in objects[0].children if one.tag != Tag.SIGNED_DYNAMIC)
        genuine, reason, cryptogram = _combined(key, signature, unpredictable, signed, cid[0], cryptogram)
    elif signature and not cryptogram:
        raise invalid("the card signed its cryptogram without being asked to")
    if len(cryptogram) != 8 and genuine is not False:
        raise CardFault("the answer to generate AC has no cryptogram", CardFaultName.MISSING_DATA)
    return CardCryptogram(kind, cid[0], atc, cryptogram, values.get(Tag.ISSUER_APPLICATION_DATA, b""), genuine, reason)


def _format_1(value: bytes) -> dict[int, bytes]:
    if not 11 <= len(value) <= 43:
        raise invalid(f"the answer to generate AC has {len(value)} bytes in format 1")
    found = {Tag.CID: value[:1], Tag.ATC: value[1:3], Tag.CRYPTOGRAM: value[3:11], Tag.ISSUER_APPLICATION_DATA: value[11:]}
    return {int(tag): part for tag, part in found.items()}


def _kind(cid: int, asked: Kind) -> Kind:
    try:
        kind = Kind(cid & 0xC0)
    except ValueError:
        raise invalid(f"cryptogram information data {cid:02X} is reserved") from None
    if RANK[kind] > RANK[asked]:
        raise invalid(f"the card gave {kind.name} where {asked.name} was asked for")
    return kind


def _combined(
    key: PublicKey, signature: bytes | None, unpredictable: bytes, signed: bytes, cid: int, plain: bytes
) -> tuple[bool, str, bytes]:
    """(genuine, reason, cryptogram): the cryptogram of a CDA answer is inside the signature."""
    if not signature:
        return False, "the card did not sign its cryptogram", plain
    try:
        found = verify_combined(key, signature, unpredictable, signed)
    except OdaFailure as failure:
        return False, str(failure), plain
    if found.cid != cid:
        return False, "the signed kind of cryptogram is another than the one given", found.cryptogram
    return True, "", found.cryptogram
