"""BER-TLV as EMV cuts it down (EMV 4.3 Book 3, annex B): the simulators' own reading, for cards and issuers."""

from __future__ import annotations

from collections.abc import Iterator


def tlv(tag: str, value: bytes) -> bytes:
    """One object; `tag` in hex (``"9F26"``). Definite lengths up to 65535."""
    size = len(value)
    if size < 0x80:
        length = bytes([size])
    elif size < 0x100:
        length = bytes([0x81, size])
    else:
        length = b"\x82" + size.to_bytes(2, "big")
    return bytes.fromhex(tag) + length + value


def walk(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The objects of one level as (tag in upper-case hex, value). ValueError names the offset of what does not fit."""
    at = 0
    while at < len(data):
        if data[at] in (0x00, 0xFF):  # padding between objects (ISO/IEC 7816-4, 5.2.2)
            at += 1
            continue
        start, at = at, at + 1
        if data[start] & 0x1F == 0x1F:
            while at < len(data) and data[at] & 0x80:
                at += 1
            at += 1
        tag = data[start:at].hex().upper()
        if at >= len(data):
            raise ValueError(f"TLV ends after tag {tag} at offset {start}")
        size, at = data[at], at + 1
        if size & 0x80:
            count = size & 0x7F
            if not 1 <= count <= 2:
                raise ValueError(f"TLV length of tag {tag} at offset {start} has {count} bytes")
            size, at = int.from_bytes(data[at : at + count], "big"), at + count
        if at + size > len(data):
            raise ValueError(f"TLV value of tag {tag} at offset {start} is cut short")
        yield tag, data[at : at + size]
        at += size


def objects(data: bytes) -> dict[str, bytes]:
    """One level as a dictionary; of two equal tags the first counts."""
    found: dict[str, bytes] = {}
    for tag, value in walk(data):
        found.setdefault(tag, value)
    return found
