"""Whatever is printed comes out as it was meant, and no text can say anything to the printer but text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from drivers.devices.escpos_printer import Receipt, ReceiptLine, checked_text, receipt_bytes, wrap
from drivers.errors import ProtocolError
from drivers.protocols.escpos_status import AnswerReader, Query, decode_answer
from simulators.devices.printer import Printer

TEXT = st.text(alphabet=st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=60)


@given(TEXT, st.integers(2, 60))
def test_wrapping_loses_no_character_but_spaces_at_the_break(text: str, columns: int) -> None:
    pieces = wrap(text, columns)
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")
    assert all(sum(1 if character.isascii() else 2 for character in piece) <= columns for piece in pieces)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXT, st.sampled_from(["normal", "double", "doubleWidth"])), min_size=1, max_size=4))
def test_the_printer_prints_exactly_the_text(lines: list[tuple[str, str]]) -> None:
    """The simulator's own reading of the bytes gives back every character, none of them a command."""
    assume(any(text.strip() for text, _ in lines))
    receipt = Receipt(tuple(ReceiptLine(text, size=size) for text, size in lines))  # type: ignore[arg-type]
    printer = Printer(bytes_per_s=1e9)
    printer.feed(receipt_bytes(receipt, 48), 0.0)
    printer.take_output(1.0)
    state = printer.control("state", {}, 1.0)
    assert state["unknown_commands"] == []
    (piece,) = state["receipts"]
    wanted = "".join(unicodedata.normalize("NFC", text) for text, _ in lines)
    assert "".join(piece["lines"]).replace(" ", "") == wanted.replace(" ", "")


@given(st.characters(categories=["Cc", "Cf", "Co"]), TEXT)
def test_control_characters_are_refused(character: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"U\\+{ord(character):04X}"):
        checked_text(text + character)


@given(st.binary(max_size=200), st.sampled_from(list(Query)))
def test_any_bytes_are_an_answer_or_refused(data: bytes, query: Query) -> None:
    reader = AnswerReader(query)
    try:
        answer = reader.feed(data)
    except ProtocolError:
        assert reader.noise_bytes == 64
        return
    if answer is not None:
        assert decode_answer(query, answer.raw) == answer and answer.raw in data


@settings(deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(1, 50), max_size=10))
def test_the_simulator_survives_any_bytes_and_still_answers(data: bytes, cuts: list[int]) -> None:
    printer = Printer(bytes_per_s=1e9)
    now, at = 0.0, 0
    for cut in [*cuts, len(data)]:
        printer.feed(data[at : at + cut], now)
        now, at = now + 1, at + cut
        printer.take_output(now)
    printer.control("power", {"on": False}, now)
    printer.control("power", {"on": True}, now)
    printer.feed(b"\x10\x04\x01", now)
    assert printer.take_output(now) == b"\x12"
