"""Final selection, GET PROCESSING OPTIONS, READ RECORD (EMV 4.3 Book 1, 12.4; Book 3, 10.1 and 10.2)."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

from drivers.emv.dialogue import CardDialogue, refusal
from drivers.emv.faults import CardFault, CardFaultName
from drivers.emv.selection import Candidate, printable
from drivers.errors import ProtocolError
from drivers.protocols.emv_data import FileEntry, date, digits, file_locator, track2_pan, track2_text
from drivers.protocols.emv_tags import COMPRESSED, NUMERIC, Tag
from drivers.protocols.tlv import TlvError, fill_dol, find, parse, parse_dol, parse_one, walk
from drivers.secret import Secret, masked_pan
from drivers.transports.base import Deadline

MANDATORY = (Tag.EXPIRY, Tag.PAN, Tag.CDOL1, Tag.CDOL2, Tag.TRACK2)  # Book 3, table 28; an ATM's host needs track 2 as well
LENGTHS = {Tag.EXPIRY: (3, 3), Tag.EFFECTIVE: (3, 3), Tag.PAN: (4, 10), Tag.PAN_SEQUENCE: (1, 1), Tag.TRACK2: (8, 19), Tag.USAGE: (2, 2)}
LENGTHS |= {Tag.VERSION_CARD: (2, 2), Tag.IAC_DEFAULT: (5, 5), Tag.IAC_DENIAL: (5, 5), Tag.IAC_ONLINE: (5, 5), Tag.ISSUER_COUNTRY: (2, 2)}


@dataclass(frozen=True, slots=True)
class Application:
    """The application in use. `expiry` and `effective` as printed inside the chip; `pan_sequence` None when the card has none."""

    aid: bytes
    label: str
    preferred_name: str
    pan: Secret[str]
    masked_pan: str
    track2: Secret[str]
    pan_sequence: int | None
    expiry: datetime.date
    effective: datetime.date | None
    language_preference: tuple[str, ...]
    issuer_country: str
    log: tuple[str, ...] = ()


@dataclass(slots=True)
class CardFile:
    """Everything read: `values` by tag; `static_data` is what offline data authentication covers, None when it cannot be built."""

    candidate: Candidate
    values: dict[int, bytes] = field(default_factory=dict, repr=False)
    static_data: bytes | None = field(default=b"", repr=False)
    pdol_data: bytes = b""

    def value(self, tag: int) -> bytes:
        """Empty when the card has none."""
        return self.values.get(tag, b"")

    @property
    def aip(self) -> bytes:
        return self.values[Tag.AIP]


def dol_data(dol: bytes, values: Mapping[int, bytes]) -> bytes:
    """The data a list asks for, from card and terminal."""
    numeric: frozenset[int] = NUMERIC
    compressed: frozenset[int] = COMPRESSED
    return fill_dol(parse_dol(dol), values, numeric, compressed)


def invalid(text: str) -> CardFault:
    return CardFault(text, CardFaultName.INVALID_DATA)


def final_select(card: CardDialogue, candidate: Candidate, deadline: Deadline) -> CardFile:
    """SELECT. CardFault applicationBlocked when the issuer blocked it meanwhile, refused for any other no."""
    response = card.select(candidate.aid, deadline)
    if response.sw == 0x6283:
        raise refusal("select", response.sw, CardFaultName.APPLICATION_BLOCKED)
    if not response.ok:
        raise refusal("select", response.sw, CardFaultName.CARD_BLOCKED if response.sw == 0x6A81 else CardFaultName.REFUSED)
    template = parse_one(response.data, Tag.FCI)
    name = find(template.children, Tag.DF_NAME)
    if name != candidate.aid:
        raise invalid("the card selected another application than it was asked for")
    file = CardFile(candidate)
    for one in walk(template.children):
        if not one.constructed:
            file.values.setdefault(one.tag, one.value)
    return file


def processing_options(card: CardDialogue, file: CardFile, terminal: Mapping[int, bytes], deadline: Deadline) -> tuple[FileEntry, ...]:
    """GET PROCESSING OPTIONS; stores AIP and AFL. CardFault applicationBlocked on 6985: the card allows no transaction with it."""
    file.pdol_data = dol_data(file.value(Tag.PDOL), {**file.values, **terminal})
    response = card.get_processing_options(file.pdol_data, deadline)
    if response.sw == 0x6985:
        raise refusal("get processing options", response.sw, CardFaultName.APPLICATION_BLOCKED)
    if not response.ok:
        raise refusal("get processing options", response.sw)
    objects = parse(response.data)
    if len(objects) == 1 and objects[0].tag == Tag.RESPONSE_1 and len(objects[0].value) >= 6:
        aip, afl = objects[0].value[:2], objects[0].value[2:]
    elif len(objects) == 1 and objects[0].tag == Tag.RESPONSE_2:
        aip, afl = find(objects, Tag.AIP) or b"", find(objects, Tag.AFL) or b""
    else:
        raise invalid("the answer to get processing options has none of its two formats")
    if len(aip) != 2 or not afl:
        raise CardFault("the card gave no interchange profile or file locator", CardFaultName.MISSING_DATA)
    file.values[Tag.AIP], file.values[Tag.AFL] = aip, afl
    return file_locator(afl, Tag.AFL)


def read_records(card: CardDialogue, file: CardFile, entries: tuple[FileEntry, ...], deadline: Deadline) -> None:
    """READ RECORD as the locator says. CardFault when a record is missing, unreadable, or repeats an object (Book 3, 10.2)."""
    for entry in entries:
        for number in range(entry.first, entry.last + 1):
            response = card.read_record(entry.sfi, number, deadline)
            if not response.ok:
                raise refusal(f"record {number} of file {entry.sfi}", response.sw, CardFaultName.MISSING_DATA)
            _take_record(file, entry, response.data, signed=number - entry.first < entry.signed)
    _append_static_tags(file)


def _take_record(file: CardFile, entry: FileEntry, data: bytes, *, signed: bool) -> None:
    try:
        record = parse_one(data, Tag.RECORD)
    except TlvError:
        if entry.sfi > 10:  # files 11 to 30 are the issuer's own and may hold anything, but then nothing can be proved with them
            file.static_data = None if signed else file.static_data
            return
        raise
    if signed and file.static_data is not None:
        file.static_data += record.value if entry.sfi <= 10 else data
    for one in walk(record.children):
        if one.constructed:
            continue
        if one.tag in file.values and one.tag not in (Tag.LABEL, Tag.PREFERRED_NAME, Tag.LANGUAGE, Tag.PRIORITY, Tag.CODE_TABLE):
            raise invalid(f"the card has object {one.tag:X} twice")
        file.values[one.tag] = one.value


def _append_static_tags(file: CardFile) -> None:
    """9F4A may name the AIP and nothing else (Book 3, 10.3)."""
    tags = file.value(Tag.STATIC_TAGS)
    if not tags or file.static_data is None:
        return
    file.static_data = file.static_data + file.aip if tags == bytes([Tag.AIP]) else None


def check_mandatory(file: CardFile) -> None:
    """Book 3, 7.2 and 7.5: what is missing or malformed ends the transaction before it began."""
    missing = [f"{tag:X}" for tag in MANDATORY if tag not in file.values]
    if missing:
        raise CardFault(f"the card lacks {' '.join(missing)}", CardFaultName.MISSING_DATA)
    for tag, (low, high) in LENGTHS.items():
        if tag in file.values and not low <= len(file.values[tag]) <= high:
            raise invalid(f"object {tag:X} has {len(file.values[tag])} bytes")
    for tag in (Tag.CDOL1, Tag.CDOL2):
        if sum(length for _, length in parse_dol(file.values[tag])) > 255:
            raise invalid(f"the list {tag:X} asks for more than a command can carry")


def as_application(file: CardFile) -> Application:
    """ProtocolError becomes CardFault invalidData: the objects were read, their contents make no sense."""
    try:
        return _application(file)
    except ProtocolError as error:
        raise invalid(str(error)) from error


def _application(file: CardFile) -> Application:
    pan = digits(file.values[Tag.PAN], Tag.PAN)
    if track2_pan(file.values[Tag.TRACK2], Tag.TRACK2) != pan:
        raise invalid("track 2 and the card number of the chip differ")
    effective, sequence = file.value(Tag.EFFECTIVE), file.value(Tag.PAN_SEQUENCE)
    languages = printable(file.value(Tag.LANGUAGE))
    return Application(
        aid=file.candidate.aid,
        label=file.candidate.label,
        preferred_name=file.candidate.preferred_name,
        pan=Secret(pan),
        masked_pan=masked_pan(pan),
        track2=Secret(track2_text(file.values[Tag.TRACK2])),
        pan_sequence=int(digits(sequence, Tag.PAN_SEQUENCE)) if sequence else None,
        expiry=date(file.values[Tag.EXPIRY], Tag.EXPIRY),
        effective=date(effective, Tag.EFFECTIVE) if effective else None,
        language_preference=tuple(languages[at : at + 2] for at in range(0, min(len(languages), 8), 2)),
        issuer_country=file.value(Tag.ISSUER_COUNTRY).hex(),
    )
