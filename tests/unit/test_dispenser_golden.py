"""Every golden frame three ways: our codec, the simulated unit, the tap on the line."""

from __future__ import annotations

import tomllib
from dataclasses import fields, is_dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from drivers.protocols.puloon_frame import EOT, SOH, Control, Frame, Parser
from drivers.protocols.puloon_lcdm4000 import ANSWER_LENGTHS, COMMAND_LENGTHS, decode, decode_command, encode
from drivers.protocols.puloon_messages import (
    CassetteResult,
    CassetteStatus,
    Command,
    DispenseCommand,
    ErrorStatus,
    PlainCommand,
    SensorDiagnosticsCommand,
    Sensors,
    SetBytesCommand,
    SetDispenseOrderCommand,
)
from drivers.transports.base import Deadline
from drivers.transports.memory import MemoryStream, VirtualClock
from drivers.transports.tap import Direction, Tap, TapRecord
from simulators.devices.dispenser import Dispenser
from simulators.devices.dispenser_store import default_cassettes

GOLDEN = tomllib.loads((Path(__file__).parents[1] / "golden" / "puloon_lcdm4000.toml").read_text())
COMMANDS = {vector["name"]: vector for vector in GOLDEN["command"]}
ANSWERED = [vector for vector in GOLDEN["answer"] if "request" in vector]


def raw(vector: dict[str, Any]) -> bytes:
    return bytes.fromhex(vector["hex"])


def plain(value: Any) -> Any:
    """A message as the golden file writes it."""
    match value:
        case ErrorStatus():
            return value.name
        case Sensors():
            return [field.name for field in fields(value) if getattr(value, field.name)]
        case CassetteResult() | CassetteStatus():
            return [getattr(value, field.name) for field in fields(value)]
        case IntEnum():
            return value.name
        case tuple():
            return [plain(item) for item in value]
    if is_dataclass(value):
        return {"is": type(value).__name__, **{field.name: plain(getattr(value, field.name)) for field in fields(value)}}
    return value


def command_of(message: dict[str, Any]) -> Any:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in message.items() if key != "is"}
    if "code" in values:
        values["code"] = Command[values["code"]]
    kinds: tuple[Any, ...] = (PlainCommand, DispenseCommand, SensorDiagnosticsCommand, SetBytesCommand, SetDispenseOrderCommand)
    return {kind.__name__: kind for kind in kinds}[message["is"]](**values)


def one_frame(parser: Parser, data: bytes) -> Frame:
    items = parser.feed(data) or parser.abandon()
    assert len(items) == 1
    assert isinstance(items[0], Frame)
    return items[0]


def exchange(stream: Tap, clock: VirtualClock, request: bytes) -> bytes:
    """Send, collect ACK and answer, acknowledge. The answer's bytes."""
    stream.write(request, Deadline.after(clock, 1))
    heard = b""
    while not (len(heard) > 1 and heard[:1] == b"\x06"):
        data = stream.read(Deadline.after(clock, 60))
        assert data, "the unit fell silent"
        heard += data
    stream.write(b"\x06", Deadline.after(clock, 1))
    stream.read(Deadline.after(clock, 0.1))
    return heard[1:]


@pytest.mark.parametrize("vector", GOLDEN["command"], ids=lambda v: v["name"])
def test_command_is_encoded_and_decoded_as_published(vector: dict[str, Any]) -> None:
    assert encode(command_of(vector["message"])) == raw(vector)
    assert plain(decode_command(one_frame(Parser(EOT, COMMAND_LENGTHS), raw(vector)))) == vector["message"]


@pytest.mark.parametrize("vector", GOLDEN["answer"], ids=lambda v: v["name"])
def test_answer_is_decoded_as_published(vector: dict[str, Any]) -> None:
    assert plain(decode(one_frame(Parser(SOH, ANSWER_LENGTHS), raw(vector)))) == vector["message"]


@pytest.mark.parametrize("vector", ANSWERED, ids=lambda v: v["name"])
def test_simulated_unit_answers_byte_for_byte_and_the_tap_reads_both_sides(vector: dict[str, Any]) -> None:
    clock, unit, records = VirtualClock(), Dispenser(default_cassettes()), list[TapRecord]()
    stream = Tap(MemoryStream(unit, clock), records.append, clock)
    for scene in vector["scene"]:
        if "exchange" in scene:
            exchange(stream, clock, raw(COMMANDS[scene["exchange"]]))
        else:
            arguments = dict(scene)
            unit.control(arguments.pop("do"), arguments, clock.now())
    records.clear()
    request = COMMANDS[vector["request"]]
    assert exchange(stream, clock, raw(request)) == raw(vector)

    sent = b"".join(record.data for record in records if record.direction is Direction.TO_DEVICE)
    came = b"".join(record.data for record in records if record.direction is Direction.FROM_DEVICE)
    to_device = Parser(EOT, COMMAND_LENGTHS).feed(sent)
    assert isinstance(to_device[0], Frame)
    assert plain(decode_command(to_device[0])) == request["message"]
    assert to_device[1:] == [Control.ACK]
    from_device = [item for item in Parser(SOH, ANSWER_LENGTHS).feed(came) if isinstance(item, Frame)]
    assert [plain(decode(frame)) for frame in from_device] == [vector["message"]]


def test_every_command_has_a_golden_frame_and_an_answer() -> None:
    assert {raw(vector)[3] for vector in GOLDEN["command"]} == set(Command)
    assert {raw(vector)[3] for vector in GOLDEN["answer"]} == set(Command)
