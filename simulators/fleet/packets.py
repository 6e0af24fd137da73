"""As much of MQTT 5 (OASIS, 2019) as a light terminal needs: bytes <-> packets, no I/O. A library's client has a thread and a few hundred
kB each; thousands of terminals in one process need neither.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP, DISCONNECT = 2, 3, 4, 9, 13, 14
PINGREQ = b"\xc0\x00"
RECEIVE_MAXIMUM = 64
MAX_PACKET_BYTES = 1 << 20


class BadPacket(Exception):
    """What came is not MQTT."""


@dataclass(frozen=True, slots=True)
class Packet:
    """`mid` 0 where there is none; `reason` of CONNACK, PUBACK, SUBACK (the worst) and DISCONNECT."""

    kind: int
    mid: int = 0
    reason: int = 0
    topic: str = ""
    payload: bytes = b""


def _number(value: int) -> bytes:
    """Variable byte integer (1.5.5)."""
    out = bytearray()
    while True:
        value, digit = value >> 7, value & 0x7F
        out.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(out)


def _text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(raw)) + raw


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + _number(len(body)) + body


def connect(client_id: str, keepalive_s: int, will_topic: str, will: bytes) -> bytes:
    """Clean start, a retained will with QoS 1."""
    properties = b"\x21" + struct.pack("!H", RECEIVE_MAXIMUM)
    flags = 0x02 | 0x04 | 0x08 | 0x20
    head = _text("MQTT") + bytes((5, flags)) + struct.pack("!H", keepalive_s) + _number(len(properties)) + properties
    return _packet(0x10, head + _text(client_id) + b"\0" + _text(will_topic) + _text(will))


def subscribe(mid: int, topics: list[str]) -> bytes:
    return _packet(0x82, struct.pack("!H", mid) + b"\0" + b"".join(_text(topic) + b"\x01" for topic in topics))


def publish(mid: int, topic: str, payload: bytes, *, retain: bool = False, expiry_s: int | None = None, key: str | None = None) -> bytes:
    """QoS 1."""
    properties = b"" if expiry_s is None else b"\x02" + struct.pack("!I", expiry_s)
    if key is not None:
        properties += b"\x26" + _text("key") + _text(key)
    body = _text(topic) + struct.pack("!H", mid) + _number(len(properties)) + properties + payload
    return _packet(0x32 | retain, body)


def puback(mid: int) -> bytes:
    return b"\x40\x02" + struct.pack("!H", mid)


class Decoder:
    """`feed` yields whole packets. BadPacket for what is none."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Packet]:
        buffer, at = self._rest + data, 0
        while (found := _frame(buffer, at)) is not None:
            first, start, end = found
            try:
                yield _read(first, buffer[start:end])
            except (IndexError, ValueError, struct.error) as error:
                raise BadPacket(f"a packet of kind {first >> 4} does not read") from error
            at = end
        self._rest = buffer[at:]


def _frame(buffer: bytes, at: int) -> tuple[int, int, int] | None:
    """First byte, beginning and end of the body; None when it is not all there."""
    length, shift, index = 0, 0, at + 1
    while index < len(buffer):
        length |= (buffer[index] & 0x7F) << shift
        index += 1
        if not buffer[index - 1] & 0x80:
            if length > MAX_PACKET_BYTES:
                raise BadPacket(f"{length} bytes are too many")
            return (buffer[at], index, index + length) if index + length <= len(buffer) else None
        shift += 7
        if shift > 21:
            raise BadPacket("its length does not read")
    return None


def _properties_end(body: bytes, at: int) -> int:
    length, shift = 0, 0
    while True:
        digit = body[at]
        length |= (digit & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not digit & 0x80:
            return at + length


def _read(first: int, body: bytes) -> Packet:
    kind = first >> 4
    if kind == PUBLISH:
        (size,) = struct.unpack_from("!H", body)
        at, mid = 2 + size, 0
        topic = body[2:at].decode()
        if first & 0x06:
            (mid,) = struct.unpack_from("!H", body, at)
            at += 2
        return Packet(kind, mid, 0, topic, body[_properties_end(body, at) :])
    if kind == PUBACK:
        return Packet(kind, struct.unpack_from("!H", body)[0], body[2] if len(body) > 2 else 0)
    if kind == CONNACK:
        return Packet(kind, reason=body[1])
    if kind == SUBACK:
        return Packet(kind, struct.unpack_from("!H", body)[0], max(body[_properties_end(body, 2) :]))
    return Packet(kind, reason=body[0] if kind == DISCONNECT and body else 0)
