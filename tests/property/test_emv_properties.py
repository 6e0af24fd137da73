"""What holds for every TLV, every list and every answer of a card, however broken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import ProtocolError
from drivers.protocols.apdu import MAX_EXCHANGES, Command, Exchange, masked_apdu, split
from drivers.protocols.emv_tags import COMPRESSED, NUMERIC
from drivers.protocols.tlv import TlvError, encode, encode_all, fill_dol, is_constructed, parse, parse_dol
from simulators.crypto.ber import objects, tlv, walk

PRIMITIVE = st.sampled_from([0x57, 0x5A, 0x82, 0x95, 0x9F02, 0x9F26, 0x5F24, 0xDF8101])
VALUE = st.binary(max_size=300)


@given(st.lists(st.tuples(PRIMITIVE, VALUE), max_size=8))
def test_what_is_encoded_is_parsed_again(pairs: list[tuple[int, bytes]]) -> None:
    data = encode_all(pairs)
    assert [(one.tag, one.value) for one in parse(data)] == pairs
    wrapped = parse(encode(0x70, data))
    assert [(one.tag, one.value) for one in wrapped[0].children] == pairs


@given(st.lists(st.tuples(PRIMITIVE, VALUE), max_size=8))
def test_terminal_and_simulators_write_and_read_the_same_bytes(pairs: list[tuple[int, bytes]]) -> None:
    data = encode_all(pairs)
    assert b"".join(tlv(f"{tag:X}", value) for tag, value in pairs) == data
    assert [(int(tag, 16), value) for tag, value in walk(data)] == pairs
    assert set(objects(data)) == {f"{tag:X}" for tag, _ in pairs}


@given(st.binary(max_size=200))
def test_any_bytes_are_tlv_or_refused_with_a_place(data: bytes) -> None:
    try:
        found = parse(data)
    except TlvError as error:
        assert 0 <= error.offset <= len(data)
        assert error.retryable
        return
    assert sum(len(one.value) for one in found) <= len(data)
    assert [(one.tag, one.value) for one in parse(encode_all([(one.tag, one.value) for one in found]))] == [
        (one.tag, one.value) for one in found
    ]


@given(st.integers(0, 40))
def test_nesting_is_bounded(depth: int) -> None:
    data = b""
    for _ in range(depth):
        data = encode(0x70, data)
    try:
        parse(data)
    except TlvError:
        assert depth >= 8
    else:
        assert depth < 8


@given(st.lists(st.tuples(PRIMITIVE, st.integers(0, 40)), max_size=8), st.dictionaries(PRIMITIVE, VALUE, max_size=8))
def test_a_filled_list_has_exactly_the_length_it_asks_for(dol: list[tuple[int, int]], values: dict[int, bytes]) -> None:
    listed = b"".join(encode(tag, b"")[:-1] + bytes([length]) for tag, length in dol)
    assert parse_dol(listed) == tuple(dol)
    data = fill_dol(dol, values, frozenset(NUMERIC), frozenset(COMPRESSED))
    assert len(data) == sum(length for _, length in dol)
    at = 0
    for tag, length in dol:
        value = values.get(tag, b"")
        if len(value) == length and not is_constructed(tag):
            assert data[at : at + length] == value
        at += length


@given(st.binary(max_size=60))
def test_any_bytes_are_a_list_or_refused(data: bytes) -> None:
    try:
        found = parse_dol(data)
    except TlvError:
        return
    assert all(length < 0x80 for _, length in found)


@given(st.binary(min_size=4, max_size=4), st.binary(max_size=255), st.none() | st.integers(0, 255))
def test_commands_split_as_they_were_put_together(header: bytes, data: bytes, le: int | None) -> None:
    command = Command(header[0], header[1], header[2], header[3], data, le).encode()
    assert split(command) == (header, data, le)


@given(st.binary(max_size=20), st.booleans(), st.lists(st.binary(max_size=10), min_size=40, max_size=40))
def test_an_exchange_ends_whatever_the_card_answers(apdu: bytes, t0: bool, answers: list[bytes]) -> None:
    try:
        exchange = Exchange(apdu, t0=t0)
        for count, answer in enumerate(answers):
            if exchange.outgoing is None:
                break
            assert count < MAX_EXCHANGES
            exchange.incoming(answer)
    except ProtocolError:
        return
    assert exchange.outgoing is None
    assert len(exchange.answer) >= 2


@given(st.integers(0, 255), st.binary(max_size=10))
def test_a_card_that_always_promises_more_is_given_up(length: int, data: bytes) -> None:
    exchange = Exchange(bytes.fromhex("00A404000100"), t0=True)
    count = 0
    try:
        while exchange.outgoing is not None:
            exchange.incoming(data + bytes([0x61, length]))
            count += 1
    except ProtocolError:
        assert count < MAX_EXCHANGES
    else:
        raise AssertionError("the exchange ended without a status word")


@given(st.integers(10**15, 10**16 - 1), st.text("0123456789", min_size=12, max_size=12))
def test_no_trace_shows_a_card_number_or_a_pin(pan: int, pin: str) -> None:
    digits = str(pan)
    record = encode_all([(0x57, bytes.fromhex(digits + "D301222001000012")), (0x5A, bytes.fromhex(digits)), (0x5F24, b"\x30\x12\x31")])
    line = masked_apdu(bytes.fromhex("00B2010C00"), encode(0x70, record) + b"\x90\x00")
    assert digits not in line
    assert "5F2403301231" in line
    assert digits not in masked_apdu(bytes.fromhex("00B2010C00"), encode(0x9F6B, bytes.fromhex(digits + "D3012000")) + b"\x90\x00")
    verify = bytes.fromhex("0020008008" + "26" + pin + "FF")
    change = bytes.fromhex("8424000208" + "26" + pin + "FF")
    assert pin not in masked_apdu(verify, b"\x90\x00") and pin not in masked_apdu(change, b"\x90\x00")
    assert digits not in masked_apdu(bytes.fromhex("00B2010C00"), record[:-1] + b"\x90\x00")
