"""The light terminals' MQTT 5 packets, against paho's and whatever pieces a stream comes in."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from simulators.fleet import packets


def publish(topic: str, payload: bytes) -> bytes:
    return packets.publish(7, topic, payload, expiry_s=5, key="T1/txn/1/1")


@given(st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=300)), max_size=5), st.integers(1, 40))
def test_a_stream_in_pieces_is_read_as_it_was_written(said: list[tuple[str, bytes]], size: int) -> None:
    stream = b"".join(publish(topic, payload) for topic, payload in said) + b"\x40\x02\x00\x07\xd0\x00"
    decoder = packets.Decoder()
    found = [packet for start in range(0, len(stream), size) for packet in decoder.feed(stream[start : start + size])]
    assert [(one.topic, one.payload, one.mid) for one in found[:-2]] == [(topic, payload, 7) for topic, payload in said]
    assert (found[-2].kind, found[-2].mid, found[-1].kind) == (packets.PUBACK, 7, packets.PINGRESP)


@given(st.binary(max_size=200))
@example(b"\x90\x03\x00\x00\x00")  # a SUBACK that says nothing of any subscription
def test_rubbish_ends_in_packets_or_in_a_named_error(data: bytes) -> None:
    with contextlib.suppress(packets.BadPacket):
        list(packets.Decoder().feed(data))


def test_a_connect_as_the_standard_has_it() -> None:
    """OASIS MQTT 5.0, 3.1: protocol name, version 5, will (retained, QoS 1) and clean start, keep alive, receive maximum."""
    found = packets.connect("T1", 60, "a/state", b"gone")
    assert found[:2] == bytes((0x10, len(found) - 2))
    assert found[2:12] == b"\x00\x04MQTT\x05\x2e" + struct.pack("!H", 60)
    assert found[12:16] == b"\x03\x21" + struct.pack("!H", packets.RECEIVE_MAXIMUM)
    assert found[16:] == b"\x00\x02T1" + b"\x00" + b"\x00\x07a/state" + b"\x00\x04gone"


def test_a_refusing_suback_and_puback() -> None:
    (suback,) = packets.Decoder().feed(bytes.fromhex("9006000100010187"))
    assert (suback.kind, suback.reason) == (packets.SUBACK, 0x87)
    (puback,) = packets.Decoder().feed(bytes.fromhex("4004000510 00".replace(" ", "")))
    assert (puback.mid, puback.reason) == (5, 0x10)


def test_what_is_too_large_is_refused() -> None:
    with pytest.raises(packets.BadPacket, match="too many"):
        list(packets.Decoder().feed(b"\x30\xff\xff\xff\x7f"))
