"""ESC/POS status bytes: the golden frames, read by the codec and answered by the simulator."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import ProtocolError
from drivers.protocols import escpos_status as codec
from drivers.protocols.escpos_status import AnswerReader, Query, decode_answer, encode_query, split_answers
from simulators.devices.printer import Printer

GOLDEN = tomllib.loads((Path(__file__).parents[1] / "golden" / "escpos_status.toml").read_text("utf-8"))
VERBS: dict[str, tuple[str, dict[str, Any]]] = {
    "cover": ("cover", {"open": True}),
    "cutter": ("cutter_error", {"on": True}),
    "unrecoverable": ("unrecoverable", {"on": True}),
    "overheated": ("overheated", {"on": True}),
}


@pytest.mark.parametrize("frame", GOLDEN["query"], ids=lambda frame: frame["name"])
def test_questions_are_the_published_bytes(frame: dict[str, str]) -> None:
    assert encode_query(Query[frame["name"]]).hex() == frame["hex"]


@pytest.mark.parametrize("frame", GOLDEN["answer"], ids=lambda frame: f"{frame['query']}: {frame['name']}")
def test_answers_are_read_as_published(frame: dict[str, Any]) -> None:
    (value,) = bytes.fromhex(frame["hex"])
    answer = decode_answer(Query[frame["query"]], value)
    assert dataclasses.asdict(answer) == {"raw": value, **frame["message"]}


@pytest.mark.parametrize("frame", GOLDEN["answer"], ids=lambda frame: f"{frame['query']}: {frame['name']}")
def test_the_simulator_answers_as_published(frame: dict[str, Any]) -> None:
    printer = Printer(bytes_per_s=1e6)
    for name, value in frame["state"].items():
        verb, arguments = VERBS.get(name, (name, {"level": value}))
        printer.control(verb, arguments, 0.0)
    query = next(query for query in GOLDEN["query"] if query["name"] == frame["query"])
    printer.feed(bytes.fromhex(query["hex"]), 0.0)
    assert printer.take_output(1.0).hex() == frame["hex"]


def test_clearing_the_buffers_is_the_published_command_and_is_answered() -> None:
    (command,) = GOLDEN["command"]
    assert codec.CLEAR_BUFFERS.hex() == command["hex"]
    assert codec.CLEAR_RESPONSE.hex() == command["answer"]
    printer = Printer()
    printer.feed(b"half a line" + bytes.fromhex(command["hex"]), 0.0)
    assert printer.take_output(0.0).hex() == command["answer"]
    printer.feed(b"\n", 10.0)
    printer.take_output(20.0)
    assert printer.control("state", {}, 20.0)["hanging"] == [""]


@pytest.mark.parametrize("value", [0x00, 0x10, 0x13, 0x92, 0xFF])
def test_a_byte_with_wrong_fixed_bits_is_refused_by_name(value: int) -> None:
    with pytest.raises(ProtocolError, match=f"{value:02X}h is no answer to PAPER"):
        decode_answer(Query.PAPER, value)


def test_the_reader_passes_over_flow_control_and_noise_but_not_for_ever() -> None:
    reader = AnswerReader(Query.PAPER)
    assert reader.feed(b"\x11\x13\xff") is None
    assert reader.noise_bytes == 1
    assert reader.feed(b"\x7e") == decode_answer(Query.PAPER, 0x7E)
    with pytest.raises(ProtocolError, match="none can answer PRINTER"):
        AnswerReader(Query.PRINTER).feed(b"\xff" * codec.MAX_NOISE_BYTES)


def test_mixed_answers_are_told_apart() -> None:
    assert split_answers(b"\x12\x03\xff\x11\x1a") == (b"\x12\x1a", b"\x03", 1)
