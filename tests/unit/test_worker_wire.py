"""What travels between the agent and its workers: every class there and back, secrets in clear only there, nonsense refused by name."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.secret import Secret
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.cash import DispenserResult, UnitResult
from terminal.core.model import CardInfo, Device, PinBlock
from terminal.core.session import ANSWERS
from terminal.workers.wire import MAX_LINE, REGISTRY, WireError, decode, encode

JSON = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Made from the type hints, by other rules than the codec's own."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(st.none() if one is type(None) else values(one) for one in arguments))
    if origin is tuple:
        assert arguments[1] is Ellipsis
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is Secret:
        return st.text(max_size=16).map(lambda text: Secret(f"a secret {text}"))  # like no text beside it
    if origin is Mapping or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return st.dictionaries(st.text(max_size=6), JSON | st.lists(JSON, max_size=2), max_size=3)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return dataclass_of(hint)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        int: st.integers(-(2**53), 2**53),
        float: st.floats(allow_nan=False, allow_infinity=False),
        str: st.text(max_size=12),
        bool: st.booleans(),
        Any: JSON,
    }
    return plain[hint]


def dataclass_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{field.name: values(hints[field.name]) for field in dataclasses.fields(kind)})


def secrets_in(value: Any) -> list[str]:
    if isinstance(value, Secret):
        return [value.reveal()]
    if dataclasses.is_dataclass(value):
        return [one for field in dataclasses.fields(value) for one in secrets_in(getattr(value, field.name))]
    return []


@pytest.mark.parametrize("name", sorted(REGISTRY))
@settings(deadline=None, max_examples=12)
@given(data=st.data())
def test_there_and_back(name: str, data: st.DataObject) -> None:
    message = data.draw(dataclass_of(REGISTRY[name]))
    line = encode(message)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert decode(line) == message
    assert type(decode(line)) is type(message)
    carried = json.loads(line)
    for secret in secrets_in(message):
        assert secret in json.dumps(carried, ensure_ascii=False) or json.dumps(secret)[1:-1] in json.dumps(carried)
        assert f"'{secret}'" not in repr(decode(line))


def test_a_worker_is_told_device_commands_and_says_only_what_is_a_devices_to_say() -> None:
    orders = {kind.__name__ for kind in vars(c).values() if isinstance(kind, type) and issubclass(kind, c.DeviceCommand)}
    answers = {kind.__name__ for kind in ANSWERS}
    own = {"DeviceOnline", "DeviceLost", "DeviceNoted", "CommandFailed", "CommandDone", "CardInserted", "CardRemoved", "KeyPressed"} | {
        "FaceProgress",
        "FaceEnrolled",
        "SelfCheckDone",
    }
    assert set(REGISTRY) == (orders - {"DeviceCommand"}) | answers | own
    for name in ("AuthorisationAnswered", "Pressed", "Started", "StoreFailed", "TimerExpired", "Record", "Authorise"):
        assert name not in REGISTRY


def test_a_secret_is_masked_after_the_wire() -> None:
    card = CardInfo("A0", "DEBIT", "622848******0015", Secret("6228480000000015"), Secret("6228480000000015D3012"), 1)
    line = encode(e.ApplicationSelected(7, card))
    assert b"6228480000000015" in line
    back = decode(line)
    assert back.card.pan.reveal() == "6228480000000015"
    assert "6228480000000015" not in repr(back) and "<secret>" in repr(back)


GOOD: dict[str, Any] = {"type": "CommandFailed", "command_id": 1, "device": "cashDispenser", "kind": "deviceFault", "name": "jam"}
PIN: dict[str, Any] = {"type": "PinBlockMade", "command_id": 1, "pin_block": {"format": "iso9564-4", "block": "AB", "ksn": "01"}}
RESULT = {"command": "dispense", "error": 0, "error_name": "", "missing": 0, "units": [{"presented": 1, "rejected": 0}]}
PRINT: dict[str, Any] = {
    "type": "PrintReceipt",
    "command_id": 1,
    "deadline_s": 1.0,
    "language": "zh",
    "fields": {},
    "lines": [{"text": "x"}],
}


def test_lines_written_by_hand_are_read() -> None:
    assert decode(json.dumps(GOOD).encode()) == e.CommandFailed(1, Device.DISPENSER, "deviceFault", "jam")
    assert decode(json.dumps(PIN).encode()) == e.PinBlockMade(1, PinBlock("iso9564-4", Secret("AB"), "01"))
    notes = decode(json.dumps({"type": "NotesDispensed", "command_id": 3, "result": RESULT}).encode())
    assert notes == e.NotesDispensed(3, DispenserResult("dispense", 0, "", 0, (UnitResult(1, 0),)))
    assert decode(b'{"type":"ReadCard","command_id":1,"deadline_s":10}') == c.ReadCard(1, 10.0)
    assert decode(b'{"type":"StartPinEntry","command_id":1,"deadline_s":5.0}') == c.StartPinEntry(1, 5.0, 4, 12)
    assert decode(json.dumps(PRINT).encode()).lines == (c.ReceiptText("x"),)


def changed(base: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({name: value for name, value in {**base, **fields}.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"", "not JSON"),
        (b"garbage", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"type":"ReadCard"', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"{}", "no known type"),
        (b"[]", "no known type"),
        (b"null", "no known type"),
        (b'{"type":null}', "no known type"),
        (b'{"type":["ReadCard"]}', "no known type"),
        (b'{"type":{}}', "no known type"),
        (b'{"type":"Record","entries":[]}', "no known type"),
        (b'{"type":"DeviceCommand","command_id":1,"deadline_s":1.0}', "no known type"),
        (changed(GOOD, command_id=...), "CommandFailed: command_id is missing"),
        (changed(GOOD, more=1), "CommandFailed: an unknown field"),
        (changed(GOOD, command_id="1"), "CommandFailed.command_id: str where int is due"),
        (changed(GOOD, command_id=True), "CommandFailed.command_id: bool where int is due"),
        (changed(GOOD, command_id=1.5), "CommandFailed.command_id: float where int is due"),
        (changed(GOOD, device="toaster"), "CommandFailed.device: not one of Device"),
        (changed(GOOD, device=["cardReader"]), "CommandFailed.device: not one of Device"),
        (changed(GOOD, name=None), "CommandFailed.name: NoneType where str is due"),
        (changed(PIN, pin_block="AB"), "PinBlockMade.pin_block: PinBlock: str where an object is due"),
        (changed(PIN, pin_block={"format": "f", "ksn": "1"}), "PinBlockMade.pin_block: PinBlock: block is missing"),
        (changed(PIN, pin_block={"format": "f", "block": 12, "ksn": "1"}), "PinBlockMade.pin_block: PinBlock.block: int where str is due"),
        (
            b'{"type":"Dispense","command_id":1,"deadline_s":1.0,"cassettes":[1],"quantities":"12"}',
            "Dispense.quantities: str where list is due",
        ),
        (
            b'{"type":"Dispense","command_id":1,"deadline_s":1.0,"cassettes":[1],"quantities":[1,null]}',
            "Dispense.quantities: NoneType where int is due",
        ),
        (
            b'{"type":"Dispense","command_id":1,"deadline_s":true,"cassettes":[1],"quantities":[1]}',
            "Dispense.deadline_s: bool where int or float is due",
        ),
        (changed(PRINT, fields=[]), "PrintReceipt.fields: list where dict is due"),
        (changed(PRINT, lines=[{"text": "x", "align": "middle"}]), "ReceiptText.align: not one of left, center, right"),
    ],
)
def test_a_line_that_does_not_fit_is_refused_by_name(line: bytes, sentence: str) -> None:
    with pytest.raises(WireError) as caught:
        decode(line)
    assert sentence in str(caught.value)


def test_a_refusal_shows_no_value() -> None:
    with pytest.raises(WireError) as caught:
        decode(changed(PIN, pin_block={"format": "f", "block": "SECRETBLOCK", "ksn": 4711}))
    assert "SECRETBLOCK" not in str(caught.value) and "4711" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_a_line_without_measure_is_refused_unread() -> None:
    with pytest.raises(WireError, match="longer than"):
        decode(b" " * (MAX_LINE + 1))


@settings(deadline=None, max_examples=200)
@given(
    st.binary(max_size=60)
    | st.recursive(JSON, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3))
)
def test_whatever_comes_is_a_message_or_a_wire_error(line: Any) -> None:
    data = line if isinstance(line, bytes) else json.dumps(line).encode()
    with pytest.raises(WireError):
        decode(data)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_a_message_with_something_else_in_a_field_is_read_as_such_or_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(REGISTRY)))
    fields = json.loads(encode(data.draw(dataclass_of(REGISTRY[name]))))
    place = data.draw(st.sampled_from(sorted(fields)))
    fields[place] = data.draw(JSON | st.lists(JSON, max_size=2) | st.just({}))
    try:
        message = decode(json.dumps(fields).encode())
    except WireError:
        return
    assert filled(fields, json.loads(encode(message))) == json.loads(encode(message))


def filled(sent: Any, read: Any) -> Any:
    """`sent`, with the defaults of what was left out in nested values."""
    if isinstance(sent, dict) and isinstance(read, dict):
        return {**read, **{name: filled(value, read.get(name)) for name, value in sent.items()}}
    return sent
