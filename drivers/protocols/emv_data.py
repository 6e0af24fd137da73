"""Values inside EMV data objects: digits, dates, track 2, file locator, CVM list (EMV 4.3 Book 3, 5.4, 10.2, 10.5, annexes A and C3)."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from drivers.errors import ProtocolError
from drivers.protocols.tlv import TlvError

MAX_RECORDS = 60


def digits(value: bytes, tag: int) -> str:
    """Formats n and cn: two digits a byte, F fills at the end. TlvError without the value when it holds anything else."""
    text = value.hex().rstrip("f")
    if not text.isdecimal():
        raise TlvError("the value is not made of digits", tag=tag, offset=0)
    return text


def bcd(number: int, length: int) -> bytes:
    """Format n with `length` bytes. ProtocolError when the number does not fit."""
    text = str(number).zfill(2 * length)
    if number < 0 or len(text) > 2 * length:
        raise ProtocolError(f"the number does not fit {2 * length} digits")
    return bytes.fromhex(text)


def date(value: bytes, tag: int) -> datetime.date:
    """YYMMDD; years 50 to 99 are of the last century (Book 4, 6.7.3). Some issuers write day 00: the month's first is meant."""
    text = digits(value, tag)
    if len(text) != 6:
        raise TlvError("a date has six digits", tag=tag, offset=0)
    year, month, day = int(text[:2]), int(text[2:4]), int(text[4:]) or 1
    try:
        return datetime.date(year + (1900 if year >= 50 else 2000), month, day)
    except ValueError:
        raise TlvError("this date does not exist", tag=tag, offset=0) from None


@dataclass(frozen=True, slots=True)
class FileEntry:
    """Four bytes of the application file locator. `signed` records from `first` on are covered by offline data authentication."""

    sfi: int
    first: int
    last: int
    signed: int


def file_locator(value: bytes, tag: int) -> tuple[FileEntry, ...]:
    """Book 3, 10.2. TlvError for what the standard tells a terminal to refuse."""
    if not value or len(value) % 4:
        raise TlvError(f"a file locator of {len(value)} bytes is not made of fours", tag=tag, offset=0)
    found = []
    for at in range(0, len(value), 4):
        sfi, first, last, signed = value[at] >> 3, *value[at + 1 : at + 4]
        if value[at] & 7 or not 1 <= sfi <= 30 or first == 0 or last < first or signed > last - first + 1:
            raise TlvError("a file locator entry makes no sense", tag=tag, offset=at)
        found.append(FileEntry(sfi, first, last, signed))
    if sum(one.last - one.first + 1 for one in found) > MAX_RECORDS:
        raise TlvError(f"the file locator names more than {MAX_RECORDS} records", tag=tag, offset=0)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class CvmRule:
    """Two bytes of the CVM list: bit 7 of the first says whether the next rule may be tried when this one fails."""

    code: int
    condition: int

    @property
    def method(self) -> int:
        return self.code & 0x3F

    @property
    def next_when_failed(self) -> bool:
        return bool(self.code & 0x40)


@dataclass(frozen=True, slots=True)
class CvmList:
    """8E: amounts X and Y in the application's currency, then rules in their order."""

    amount_x: int
    amount_y: int
    rules: tuple[CvmRule, ...]


def cvm_list(value: bytes, tag: int) -> CvmList:
    """Book 3, 10.5 and annex C3. TlvError when it is not eight bytes and pairs."""
    if len(value) < 8 or len(value) % 2:
        raise TlvError(f"a CVM list of {len(value)} bytes is not eight bytes and pairs", tag=tag, offset=0)
    rules = tuple(CvmRule(value[at], value[at + 1]) for at in range(8, len(value), 2))
    return CvmList(int.from_bytes(value[:4], "big"), int.from_bytes(value[4:8], "big"), rules)


def track2_pan(value: bytes, tag: int) -> str:
    """The card number in front of the separator D of track 2 equivalent data."""
    pan, separator, _ = value.hex().partition("d")
    if not separator or not pan.isdecimal() or not 8 <= len(pan) <= 19:
        raise TlvError("track 2 has no card number and separator", tag=tag, offset=0)
    return pan


def track2_text(value: bytes) -> str:
    """As magnetic stripe hosts write it: digits and ``=``, without the filler."""
    return value.hex().rstrip("f").replace("d", "=")
