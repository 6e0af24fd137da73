"""BER-TLV and data object lists as EMV restricts them (EMV 4.3 Book 3, annex B and section 5.4). Strict and bounded.

Every refusal names the tag and the offset, never the value. Lengths in more bytes than needed are accepted (cards do that),
indefinite lengths are not. ``00`` between objects is padding (annex B1).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from drivers.errors import ProtocolError

MAX_DEPTH = 8
MAX_OBJECTS = 512
MAX_TAG_BYTES = 3
MAX_VALUE = 0xFFFF


class TlvError(ProtocolError):
    """Not the TLV the standard allows. `tag` is 0 when it could not be read; `offset` counts from the outermost byte."""

    def __init__(self, text: str, *, tag: int, offset: int) -> None:
        super().__init__(f"{text} ({f'tag {tag:X}, ' if tag else ''}offset {offset})")
        self.tag = tag
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Tlv:
    """One object. `value` is the whole content; `children` is what a constructed object's content holds, empty for a primitive one."""

    tag: int
    value: bytes = field(repr=False)
    children: tuple[Tlv, ...] = field(default=(), repr=False)

    @property
    def constructed(self) -> bool:
        return is_constructed(self.tag)


def is_constructed(tag: int) -> bool:
    """Bit 6 of the first tag byte."""
    return bool(_tag_bytes(tag)[0] & 0x20)


@functools.lru_cache(maxsize=512)
def _tag_bytes(tag: int) -> bytes:
    return tag.to_bytes(max(1, (tag.bit_length() + 7) // 8), "big")


def _read_tag(data: bytes, at: int, base: int) -> tuple[int, int]:
    """(tag, index behind it)."""
    end = at + 1
    if data[at] & 0x1F == 0x1F:
        while True:
            if end >= len(data):
                raise TlvError("the tag is cut short", tag=0, offset=base + at)
            end += 1
            if end - at > MAX_TAG_BYTES:
                raise TlvError(f"the tag has more than {MAX_TAG_BYTES} bytes", tag=0, offset=base + at)
            if not data[end - 1] & 0x80:
                break
        if data[at + 1] == 0x80:
            raise TlvError("the tag number begins with a zero", tag=0, offset=base + at)
    return int.from_bytes(data[at:end], "big"), end


def _read_length(data: bytes, at: int, tag: int, base: int) -> tuple[int, int]:
    """(length, index behind it). The length is checked against what is there."""
    if at >= len(data):
        raise TlvError("the length is missing", tag=tag, offset=base + at)
    length, end = data[at], at + 1
    if length & 0x80:
        count = length & 0x7F
        if count not in (1, 2):
            raise TlvError("the length is indefinite" if count == 0 else f"the length has {count} bytes", tag=tag, offset=base + at)
        end += count
        if end > len(data):
            raise TlvError("the length is cut short", tag=tag, offset=base + at)
        length = int.from_bytes(data[at + 1 : end], "big")
    if end + length > len(data):
        raise TlvError(f"the length says {length} bytes and {len(data) - end} are there", tag=tag, offset=base + at)
    return length, end


def parse(data: bytes) -> tuple[Tlv, ...]:
    """All objects of `data`, constructed ones opened. TlvError for anything that is not TLV to the last byte."""
    count = [0]
    return _parse(data, 0, 0, count)


def _parse(data: bytes, base: int, depth: int, count: list[int]) -> tuple[Tlv, ...]:
    found = []
    at = 0
    while at < len(data):
        if data[at] == 0x00:
            at += 1
            continue
        start = at
        tag, at = _read_tag(data, at, base)
        count[0] += 1
        if count[0] > MAX_OBJECTS:
            raise TlvError(f"more than {MAX_OBJECTS} objects", tag=tag, offset=base + start)
        length, at = _read_length(data, at, tag, base)
        value = data[at : at + length]
        children: tuple[Tlv, ...] = ()
        if is_constructed(tag):
            if depth + 1 >= MAX_DEPTH:
                raise TlvError(f"objects are nested deeper than {MAX_DEPTH}", tag=tag, offset=base + start)
            children = _parse(value, base + at, depth + 1, count)
        found.append(Tlv(tag, value, children))
        at += length
    return tuple(found)


def parse_one(data: bytes, tag: int) -> Tlv:
    """`data` is exactly one object with this tag."""
    found = parse(data)
    if len(found) != 1 or found[0].tag != tag:
        seen = ", ".join(f"{one.tag:X}" for one in found) or "nothing"
        raise TlvError(f"{tag:X} is expected and {seen} came", tag=tag, offset=0)
    return found[0]


def encode(tag: int, value: bytes) -> bytes:
    """One object, with the shortest length."""
    if len(value) > MAX_VALUE:
        raise TlvError(f"a value of {len(value)} bytes is too long", tag=tag, offset=0)
    size = len(value)
    length = bytes([size]) if size < 0x80 else bytes([0x81, size]) if size < 0x100 else b"\x82" + size.to_bytes(2, "big")
    return _tag_bytes(tag) + length + value


def encode_all(objects: Iterable[tuple[int, bytes]]) -> bytes:
    """Objects one after the other."""
    return b"".join(encode(tag, value) for tag, value in objects)


def walk(objects: Iterable[Tlv]) -> Iterator[Tlv]:
    """Every object, depth first, parents before children."""
    for one in objects:
        yield one
        yield from walk(one.children)


def find(objects: Iterable[Tlv], tag: int) -> bytes | None:
    """The value of the first object with this tag at any depth."""
    return next((one.value for one in walk(objects) if one.tag == tag), None)


def parse_dol(data: bytes) -> tuple[tuple[int, int], ...]:
    """A data object list (DOL): (tag, length) pairs."""
    found = []
    at = 0
    while at < len(data):
        tag, at = _read_tag(data, at, 0)
        if at >= len(data):
            raise TlvError("the list ends without a length", tag=tag, offset=at)
        if data[at] & 0x80:
            raise TlvError("a list's length has one byte", tag=tag, offset=at)
        found.append((tag, data[at]))
        at += 1
    return tuple(found)


def fill_dol(dol: Iterable[tuple[int, int]], values: Mapping[int, bytes], numeric: frozenset[int], compressed: frozenset[int]) -> bytes:
    """The values a list asks for, cut or padded to its lengths (Book 3, 5.4). Unknown and constructed ones are zeros.

    `numeric` tags (format n) keep their right end and are padded with zeros on the left; `compressed` ones (cn) keep their left end
    and are padded with FF; all others keep their left end and are padded with zeros.
    """
    parts = []
    for tag, length in dol:
        value = b"" if is_constructed(tag) else values.get(tag, b"")
        if tag in numeric:
            parts.append(value[max(0, len(value) - length) :].rjust(length, b"\x00"))
        elif tag in compressed and value:
            parts.append(value[:length].ljust(length, b"\xff"))
        else:
            parts.append(value[:length].ljust(length, b"\x00"))
    return b"".join(parts)
