"""Golden frames of the PIN pad, three ways: the driver's codec, the simulator's answer, the masked trace."""

from __future__ import annotations

import random
import tomllib
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import ProtocolError
from drivers.protocols import szzt_zt588_commands as vendor
from drivers.protocols import szzt_zt588_extension as extension
from drivers.protocols.szzt_zt588 import Frame, Item, KeyPress, Noise, Parser, encode
from drivers.protocols.szzt_zt588_trace import TraceMask
from drivers.secret import Secret
from simulators.crypto.host_pin import HostPinKeys
from simulators.devices.pinpad_device import PinPad
from simulators.devices.pinpad_vault import Vault, VolatileMemory

GOLDEN: dict[str, list[dict[str, Any]]] = tomllib.loads((Path(__file__).parents[1] / "golden" / "szzt_zt588.toml").read_text())


def named(section: str) -> Any:
    return pytest.mark.parametrize("entry", GOLDEN[section], ids=lambda entry: entry["name"])


def text_of(entry: dict[str, Any]) -> bytes:
    (item,) = Parser().feed(bytes.fromhex(entry["hex"]))
    assert isinstance(item, Frame)
    return item.text


def secret_bytes(digits: str) -> Secret[bytes]:
    return Secret(bytes.fromhex(digits))


def vendor_request(kind: str, message: dict[str, Any]) -> Any:
    match kind:
        case "Control":
            return vendor.Control(vendor.Parameter[message["parameter"]], bytes.fromhex(message["value"]))
        case "LoadScancodeTable":
            return vendor.LoadScancodeTable(bytes.fromhex(message["codes"]))
        case "LoadPlainKey":
            return vendor.LoadPlainKey(message["index"], message["key_type"], secret_bytes(message["key"]))
        case "LoadEncryptedKey":
            return vendor.LoadEncryptedKey(message["under"], message["index"], message["key_type"], secret_bytes(message["key"]))
        case "StartPin":
            block_type = vendor.PinBlockType[message["block_type"]]
            return vendor.StartPin(message["key"], block_type, message["hint"], message["length"], Secret(message["pan"]))
        case "Authenticate":
            return vendor.Authenticate(message["step"], secret_bytes(message["data"]))
    return {"AskUserInformation": vendor.AskUserInformation, "GetPin": vendor.GetPin}[kind]()


def extension_request(kind: str, message: dict[str, Any]) -> extension.Request:
    fields = {name: Secret(value) if name in ("block", "pan") else value for name, value in message.items() if name != "sequence"}
    made: extension.Request = getattr(extension, kind)(**fields)
    return made


def parsed(kind: str, text: bytes) -> dict[str, Any]:
    """The answer's meaning as the golden file writes it."""
    answer = vendor.parse_answer(text)
    if kind == "Answer":
        return {"status": answer.status, "refused": answer.refused}
    if kind == "UserInformation":
        info = vendor.parse_user_information(answer.data)
        return {name: getattr(info, name) for name in info.__slots__ if name != "scancodes"}
    body = answer.data[4:]
    if kind == "CheckValue":
        return {"value": extension.parse_check_value(body)}
    if kind == "Refused":
        return {"status": answer.status, "reason": extension.parse_reason(body)}
    if kind == "PinBlock":
        number, ksn, block = extension.parse_pin_block(body)
        return {"format": number, "ksn": ksn.hex().upper(), "block": block.hex().upper()}
    state = extension.parse_status(body)
    slots = [[slot.slot, slot.usage, slot.algorithm, slot.check_value, slot.ksn.hex().upper()] for slot in state.slots]
    return {"tampered": state.tampered, "mode": state.mode.name, "masks": state.masks, "serial": state.serial, "slots": slots}


@named("vendor_request")
def test_vendor_requests(entry: dict[str, Any]) -> None:
    message = dict(entry["message"])
    request = vendor_request(message.pop("kind"), message)
    assert encode(request.text()).hex().upper() == entry["hex"]
    assert text_of(entry) == request.text()


@named("extension_request")
def test_extension_requests(entry: dict[str, Any]) -> None:
    message = dict(entry["message"])
    kind, sequence = message.pop("kind"), message["sequence"]
    text = extension.request_text(extension_request(kind, message), sequence)
    assert encode(text).hex().upper() == entry["hex"]
    assert text_of(entry) == text


@pytest.mark.parametrize("entry", GOLDEN["vendor_request"] + GOLDEN["extension_request"], ids=lambda entry: entry["name"])
def test_the_simulator_answers_every_golden_request(entry: dict[str, Any]) -> None:
    pad = PinPad(Vault(HostPinKeys.load().kbpk, VolatileMemory(), random.Random(1).randbytes))
    pad.feed(bytes.fromhex(entry["hex"]), 0.0)
    (item,) = Parser().feed(pad.take_output(1.0))
    assert isinstance(item, Frame)
    message = entry["message"]
    accepted = {"AskUserInformation", "Control", "LoadScancodeTable", "AskStatus", "StopEntry", "StartClearEntry"}
    assert vendor.parse_answer(item.text).refused == (message["kind"] not in accepted)
    if "sequence" in message:
        fields = {name: value for name, value in message.items() if name != "kind"}
        assert extension.match_answer(item.text, extension_request(message["kind"], fields), message["sequence"])
        assert extension.match_answer(item.text, extension_request(message["kind"], fields), message["sequence"] + 1) is None


@named("answer")
def test_answers(entry: dict[str, Any]) -> None:
    message = dict(entry["message"])
    assert parsed(message.pop("kind"), text_of(entry)) == message
    assert encode(text_of(entry)).hex().upper() == entry["hex"]


@named("malformed")
def test_answers_that_are_not_allowed(entry: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        parsed(entry["message"]["kind"], text_of(entry))


def shown(item: Item) -> str:
    match item:
        case Frame(text):
            return f"frame {text.hex().upper()}"
        case KeyPress(code):
            return f"key {code:02X}"
        case Noise(count):
            return f"noise {count}"


@named("stream")
def test_streams_in_one_piece_and_byte_by_byte(entry: dict[str, Any]) -> None:
    data = bytes.fromhex(entry["hex"])
    whole, single = Parser(), Parser()
    assert [shown(item) for item in whole.feed(data)] == entry["message"]
    assert [shown(item) for byte in data for item in single.feed(bytes([byte]))] == entry["message"]
    assert whole.pending == single.pending
    assert whole.abandon() == single.abandon()
    assert not whole.pending


def test_an_answer_without_a_byte_and_a_text_without_end_are_refused() -> None:
    with pytest.raises(ProtocolError):
        vendor.parse_answer(b"")
    for text in (b"", b"x" * 1000):
        with pytest.raises(ValueError, match="1 to 999"):
            encode(text)


def test_the_trace_hides_what_is_secret_and_shows_the_rest() -> None:
    mask = TraceMask()
    secrets = ("6228480000000015", "00112233445566778899AABBCCDDEEFF", "D0112P0AE00E0000", "A912150391AB65A6", "1B9C1845EB993A7A")
    trace = b""
    for section in ("vendor_request", "extension_request", "answer"):
        for entry in GOLDEN[section]:
            part = mask(section, bytes.fromhex(entry["hex"]))
            assert len(part) + 3 == len(entry["hex"]) // 2  # the lengths stay; the three length digits and the checksum do not
            trace += part
    assert not any(secret.encode() in trace for secret in secrets)
    assert b"ZT588SIM00000001" in trace
    assert b";P020412060" in trace
    assert mask("answer", b"5*\r\x03") == b"**\r?"


def test_nothing_secret_is_in_a_repr() -> None:
    assert repr(Frame(b"6228480000000015")) == "<frame of 16 bytes>"
    assert repr(KeyPress(0x35)) == "<key press>"
    assert "6228" not in repr(extension.GetPinBlock(1, 4, Secret("6228480000000015")))
