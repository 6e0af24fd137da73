"""The services of PIN pad and printer against their simulated devices in virtual time, and what every worker's service does alike."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from pin_pad_bench import KEYS, PAN, PIN
from service_rigs import DispenserRig, PinPadRig, PrinterRig, Rig

from drivers.errors import ConfigurationFault, DeviceError, DeviceFault, LinkError, LinkTimeout, OutcomeUnknown, ProtocolError
from drivers.secret import Secret
from drivers.transports.memory import VirtualClock
from simulators.crypto.host_pin import decrypt_pin
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device
from terminal.workers.service import Service, failed, reason_of
from terminal.workers.services import dispenser, pin_pad, printer
from terminal.workers.services.face import FaceService
from terminal.workers.services.pin_pad import read_key_blocks
from terminal.workers.supervisor import HEARTBEAT_LIMIT_S
from terminal.workers.worker import HEARTBEAT_S

# --- the PIN pad


@pytest.mark.parametrize("format", ["iso9564-4", "iso9564-0"])
def test_a_pin_becomes_a_block_that_the_bank_opens(format: str) -> None:
    pad = PinPadRig(format)
    assert pad.open() == []
    assert pad.do(c.StartPinEntry, minimum=4, maximum=12) == [e.CommandDone(1, Device.PIN_PAD)]
    assert pad.typed(PIN, "enter") == ["digit"] * 6 + ["enter"]
    (event,) = pad.do(c.MakePinBlock, pan=Secret(PAN), format=format)
    assert isinstance(event, e.PinBlockMade)
    made = event.pin_block
    assert decrypt_pin(format, bytes.fromhex(made.block.reveal()), bytes.fromhex(made.ksn), PAN, KEYS) == PIN
    assert PIN not in repr(event) and made.block.reveal() not in repr(event)


def test_an_amount_is_typed_in_clear() -> None:
    pad = PinPadRig()
    pad.open()
    pad.do(c.StartAmountEntry)
    assert pad.typed("130", "backspace", "clear", "enter") == ["1", "3", "0", "backspace", "clear", "enter"]


def test_keys_count_only_while_an_entry_is_on() -> None:
    pad = PinPadRig()
    pad.open()
    assert pad.typed("1234") == []
    pad.do(c.StartPinEntry, minimum=4, maximum=12)
    pad.do(c.StopEntry)
    assert pad.typed("1234", "enter") == []


def test_a_block_without_a_finished_entry_is_refused() -> None:
    pad = PinPadRig()
    pad.open()
    pad.do(c.StartPinEntry, minimum=4, maximum=12)
    pad.typed("123")
    with pytest.raises(DeviceFault) as caught:
        pad.do(c.MakePinBlock, pan=Secret(PAN), format="iso9564-4")
    assert caught.value.name == "minimumLength"


def test_a_key_that_is_there_is_not_loaded_again() -> None:
    pad = PinPadRig()
    pad.open()
    before = pad.clock.now()
    pad.blocks["pin-aes"] = Secret("spoilt")
    pad.open()
    assert pad.clock.now() - before < 5.0


def test_a_tampered_pad_is_lost() -> None:
    pad = PinPadRig()
    pad.open()
    pad.hand("tamper")
    with pytest.raises(DeviceError) as caught:
        pad.watch(6.0)
    assert reason_of(caught.value) == "tampered"


def test_a_pad_without_power_is_noticed_by_the_deadline() -> None:
    pad = PinPadRig()
    pad.hand("power", on=False)
    before = pad.clock.now()
    with pytest.raises(LinkError):
        pad.open()
    assert pad.clock.now() - before <= pin_pad.OPEN_S


def test_no_service_blocks_for_so_long_that_its_worker_is_taken_for_dead() -> None:
    """While it opens or looks at its device a worker sends no heartbeat; a device that is merely slow must not cost it its life."""
    assert max(pin_pad.OPEN_S, dispenser.STATUS_S, printer.STATUS_S) + HEARTBEAT_S < HEARTBEAT_LIMIT_S


def test_key_blocks_that_cannot_be_read_are_named_without_their_contents(tmp_path: Path) -> None:
    path = tmp_path / "key-blocks.json"
    path.write_text(json.dumps({"pin-aes": "D0112SECRET", "other": 7}), encoding="utf-8")
    blocks = read_key_blocks(path)
    assert set(blocks) == {"pin-aes"} and "SECRET" not in repr(blocks)
    for bad in ('["D0112SECRET"]', "D0112SECRET", '{"pin-aes": "\xe9"}'):
        path.write_text(bad, encoding="utf-8")
        with pytest.raises(ConfigurationFault) as caught:
            read_key_blocks(path)
        assert str(path) in str(caught.value) and "SECRET" not in str(caught.value)
    with pytest.raises(ConfigurationFault):
        read_key_blocks(tmp_path / "none.json")


# --- the printer


def test_a_receipt_comes_out() -> None:
    rig = PrinterRig()
    assert rig.open() == []
    assert rig.print() == [e.ReceiptPrinted(1)]
    (receipt,) = rig.hand("state")["receipts"]
    assert [line.strip() for line in receipt["lines"]] == ["凭条", "¥200"] and receipt["cut"]


def test_low_paper_is_noted_once() -> None:
    rig = PrinterRig()
    rig.open()
    rig.hand("paper", level="low")
    assert rig.watch(12.0) == [e.DeviceNoted(Device.PRINTER, "paperLow")]
    rig.hand("paper", level="full")
    assert rig.watch(6.0) == [e.DeviceNoted(Device.PRINTER, "")]


@pytest.mark.parametrize(
    ("do", "arguments", "reason"),
    [("paper", {"level": "out"}, "paperOut"), ("cover", {"open": True}, "coverOpen"), ("unrecoverable", {"on": True}, None)],
)
def test_a_printer_that_cannot_print_is_lost_until_it_can(do: str, arguments: dict[str, Any], reason: str | None) -> None:
    rig = PrinterRig()
    rig.open()
    rig.hand(do, **arguments)
    with pytest.raises(DeviceError) as caught:
        rig.watch(6.0)
    assert reason is None or reason_of(caught.value) == reason
    with pytest.raises(DeviceError):
        rig.open()


def test_paper_is_put_in_again() -> None:
    rig = PrinterRig()
    rig.hand("paper", level="out")
    with pytest.raises(DeviceFault, match="paperOut"):
        rig.open()
    rig.hand("paper", level="full")
    assert rig.open() == [] and rig.opened == 2


def test_a_silent_printer() -> None:
    rig = PrinterRig()
    rig.open()
    rig.hand("power", on=False)
    with pytest.raises(LinkError):
        rig.print()


# --- all of them


@pytest.mark.parametrize(
    ("rig", "command"),
    [
        (DispenserRig, c.StopEntry(1, 5.0)),
        (PinPadRig, c.AskLastStatus(1, 5.0, (1, 2, 3, 4))),
        (PrinterRig, c.ReadCard(1, 5.0)),
    ],
)
def test_a_command_for_another_device_is_refused(rig: type[Rig], command: c.DeviceCommand) -> None:
    one = rig()  # type: ignore[call-arg]
    one.open()
    with pytest.raises(ProtocolError, match=f"{type(command).__name__} is no command of a"):
        handle(one.service, command)


def handle(service: Service, command: c.DeviceCommand) -> Iterable[e.Event]:
    return list(service.handle(command))


@pytest.mark.parametrize(
    ("error", "kind", "name"),
    [
        (OutcomeUnknown("?"), "outcomeUnknown", "outcomeUnknown"),
        (DeviceFault("no", code=1, name="cassetteEmpty"), "deviceFault", "cassetteEmpty"),
        (ProtocolError("bad"), "protocolError", "protocolError"),
        (LinkTimeout("late"), "linkError", "linkError"),
        (LinkError("gone"), "linkError", "linkError"),
        (ConfigurationFault("wrong"), "configuration", "configuration"),
    ],
)
def test_every_error_has_its_kind(error: DeviceError, kind: str, name: str) -> None:
    assert failed(c.AskLastStatus(7, 5.0, (1, 2, 3, 4)), error) == e.CommandFailed(7, Device.DISPENSER, kind, name)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DeviceFault("no", code=1, name="paperOut"), "paperOut"),
        (ConfigurationFault("wrong"), "configuration"),
        (LinkTimeout("late"), "noAnswer"),
        (ProtocolError("bad"), "protocol"),
    ],
)
def test_every_loss_has_its_reason(error: DeviceError, reason: str) -> None:
    assert reason_of(error) == reason


# --- the centre's self-tests: they read, and move nothing


def test_a_self_test_of_the_pad_and_of_the_printer() -> None:
    pad = PinPadRig()
    pad.open()
    (found,) = pad.do(c.CheckPinPad)
    assert isinstance(found, e.SelfCheckDone) and found.findings == {"tampered": False, "keys": "pin-aes"}
    printer_rig = PrinterRig()
    printer_rig.open()
    (told,) = printer_rig.do(c.CheckPrinter)
    assert told == e.SelfCheckDone(1, Device.PRINTER, {"device": "online", "paper": "full", "coverOpen": False})
    assert printer_rig.hand("state")["receipts"] == [], "nothing was printed"
    printer_rig.hand("paper", level="out")
    (told,) = printer_rig.do(c.CheckPrinter)
    assert isinstance(told, e.SelfCheckDone) and told.findings["paper"] == "out"


def test_a_self_test_of_the_face_verifier_takes_no_picture() -> None:
    class Verifier:
        loaded = 0

        def load(self) -> None:
            self.loaded += 1

    verifier: Any = Verifier()
    (told,) = FaceService(verifier, VirtualClock()).handle(c.CheckFaceVerifier(-1, 10.0))
    assert told == e.SelfCheckDone(-1, Device.FACE, {"modelsLoaded": True}) and verifier.loaded == 1
