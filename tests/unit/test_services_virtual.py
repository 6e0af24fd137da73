"""Each worker's service against its simulated device, in one thread and in virtual time: commands in, events out."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import ConfigurationFault, DeviceError, DeviceFault, LinkError, LinkTimeout, OutcomeUnknown, ProtocolError
from drivers.secret import Secret
from drivers.transports.memory import MemoryDevice, MemoryStream, VirtualClock
from simulators.crypto.host_pin import HostPinKeys, decrypt_pin, key_blocks_for
from simulators.devices.dispenser import Dispenser, Options
from simulators.devices.dispenser_store import default_cassettes
from simulators.devices.pinpad_device import PinPad
from simulators.devices.pinpad_vault import Vault, VolatileMemory
from simulators.devices.printer import Printer
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.cash import DispenserResult, UnitResult, possible, proves, remember
from terminal.core.model import Device
from terminal.workers.service import Service, failed, reason_of
from terminal.workers.services import dispenser, pin_pad, printer
from terminal.workers.services.dispenser import DispenserService
from terminal.workers.services.face import FaceService
from terminal.workers.services.pin_pad import PinPadService, read_key_blocks
from terminal.workers.services.printer import PrinterService
from terminal.workers.supervisor import HEARTBEAT_LIMIT_S
from terminal.workers.worker import HEARTBEAT_S

PAN = "6228480000000015"


class Rig:
    """A service, its device, the line between, and the hands of people. `do` numbers commands as the core does."""

    def __init__(self, device: Any) -> None:
        self.clock = VirtualClock()
        self.device = device
        self.opened = 0
        self.number = 0
        self.service: Service = self.make()

    def make(self) -> Service:
        raise NotImplementedError

    def stream(self) -> MemoryStream:
        self.opened += 1
        device: MemoryDevice = self.device
        return MemoryStream(device, self.clock)

    def hand(self, do: str, **arguments: Any) -> Any:
        return self.device.control(do, arguments, self.clock.now())

    def open(self) -> list[e.Event]:
        return list(self.service.open())

    def do(self, kind: type[c.DeviceCommand], deadline_s: float = 10.0, **fields: Any) -> list[e.Event]:
        self.number += 1
        return list(self.service.handle(kind(command_id=self.number, deadline_s=deadline_s, **fields)))

    def watch(self, seconds: float) -> list[e.Event]:
        """Poll as a worker does, for so long."""
        found: list[e.Event] = []
        end = self.clock.now() + seconds
        while self.clock.now() < end:
            self.clock.sleep(max(0.01, min(self.service.poll_interval_s, end - self.clock.now())))
            found += self.service.poll()
        return found


# --- the dispenser


class DispenserRig(Rig):
    def __init__(self, options: Options | None = None) -> None:
        super().__init__(Dispenser(default_cassettes(), options))
        self.cassettes: tuple[int, ...] = (1, 2, 3, 4)

    def make(self) -> Service:
        return DispenserService(self.stream, self.clock, max_notes=40)

    def sent(self, code: str) -> int:
        return int(self.hand("history")["totals"].get(code, 0))

    def prepare(self, *quantities: int) -> DispenserResult:
        (event,) = self.do(c.PrepareDispense, quantities=quantities)
        assert isinstance(event, e.DispenserPrepared)
        self.cassettes = event.cassettes
        return event.baseline

    def dispense(self, *quantities: int) -> e.Event:
        (event,) = self.do(c.Dispense, 75.0, quantities=quantities, cassettes=self.cassettes)
        return event

    def last_status(self) -> DispenserResult:
        (event,) = self.do(c.AskLastStatus, 30.0, cassettes=self.cassettes)
        assert isinstance(event, e.LastStatusRead)
        return event.result

    def initialise(self) -> str:
        (event,) = self.do(c.InitialiseDispenser, 30.0)
        assert isinstance(event, e.DispenserInitialised)
        return event.fault


RESET, STATUS, LAST_STATUS, DISPENSE, TEST_DISPENSE = "44", "50", "55", "52", "53"


@pytest.fixture
def cash() -> DispenserRig:
    rig = DispenserRig()
    assert rig.open() == []
    return rig


def account(*presented: int, by_position: tuple[int, ...] = ()) -> DispenserResult:
    """Nothing rejected. `by_position` when cassettes are not at their usual places."""
    counted = tuple(count for exits in by_position or presented for count in (exits, 0))
    return DispenserResult("dispense", 0, "", 0, tuple(UnitResult(n, 0) for n in presented), counted)


def test_opening_asks_for_the_status_and_touches_nothing(cash: DispenserRig) -> None:
    history = cash.hand("history")["totals"]
    assert set(history) == {STATUS}


def test_a_dispense_is_told_as_the_unit_counted_it(cash: DispenserRig) -> None:
    cash.prepare(2, 1, 0, 0)
    event = cash.dispense(2, 1, 0, 0)
    assert event == e.NotesDispensed(cash.number, account(2, 1, 0, 0))
    assert cash.hand("take_notes") == [[1, 2], [2, 1]]
    assert cash.last_status() == account(2, 1, 0, 0)


def test_units_are_by_cassette_type_not_by_position(cash: DispenserRig) -> None:
    for unit, kind in ((1, 2), (2, 1)):
        cash.hand("set_cassette", unit=unit, type=kind)
    cash.prepare(3, 0, 0, 0)
    assert cash.dispense(3, 0, 0, 0) == e.NotesDispensed(cash.number, account(3, 0, 0, 0, by_position=(0, 3, 0, 0)))
    assert cash.hand("take_notes") == [[2, 3]]


def test_the_same_amount_twice_proves_nothing_when_the_second_answer_is_lost() -> None:
    """The account before could have come back from a memory that the power did not erase: it looks the same (docs/decisions/0038)."""
    cash = DispenserRig(Options(last_status_survives="power"))
    cash.open()
    cash.prepare(2, 0, 0, 0)
    cash.dispense(2, 0, 0, 0)
    baseline = cash.prepare(2, 0, 0, 0)
    assert baseline == account(2, 0, 0, 0) and cash.sent(TEST_DISPENSE) == 0 and cash.sent(DISPENSE) == 1
    cash.dispense(2, 0, 0, 0)
    assert not proves(cash.last_status(), baseline, (), (2, 0, 0, 0))


def test_counts_belong_to_the_cassettes_that_stood_there_when_the_dispense_was_sent() -> None:
    """Somebody exchanges two cassettes before LAST STATUS is read: their notes are not counted as the others'."""
    cash = DispenserRig(Options(last_status_survives="power"))
    cash.open()
    baseline = cash.prepare(1, 1, 0, 0)
    cash.dispense(1, 1, 0, 0)
    for unit, kind in ((1, 2), (2, 1)):
        cash.hand("set_cassette", unit=unit, type=kind)
    cash.open()
    assert cash.last_status().missing == 2 and not proves(cash.last_status(), baseline, (), (1, 1, 0, 0))


def test_nothing_is_paid_from_cassettes_that_changed_places_since_it_was_prepared(cash: DispenserRig) -> None:
    cash.prepare(1, 0, 0, 0)
    cash.hand("exchange_cassettes", unit=1, other=2)
    with pytest.raises(DeviceFault) as caught:
        cash.dispense(1, 0, 0, 0)
    assert caught.value.name == "cassettesMoved" and cash.sent(DISPENSE) == 0


def test_a_unit_that_was_reset_and_brings_back_an_old_dispense_proves_nothing() -> None:
    """RESET empties LAST STATUS, so the baseline says nothing; the power cut brings back the dispense of the customer before."""
    cash = DispenserRig(Options(last_status_survives="dispensed"))
    cash.open()
    cash.prepare(2, 0, 0, 0)
    event = cash.dispense(2, 0, 0, 0)
    assert isinstance(event, e.NotesDispensed)
    cash.hand("stray_note", unit=1, place="ejt")
    cash.initialise()
    cash.hand("clear_jam")
    cash.hand("take_notes")
    baseline = cash.prepare(2, 0, 0, 0)
    assert baseline.command == "none"
    cash.hand("power", cut_after_notes=0)
    cash.dispense(2, 0, 0, 0)
    cash.hand("power", to="on")
    assert cash.hand("take_notes") == [] and possible(cash.last_status(), (2, 0, 0, 0))
    assert not proves(cash.last_status(), baseline, remember((), event.result), (2, 0, 0, 0))


def test_a_cassette_that_is_not_there_is_said_before_the_bank_is_asked(cash: DispenserRig) -> None:
    cash.hand("remove_cassette", unit=1)
    with pytest.raises(DeviceFault) as caught:
        cash.prepare(1, 0, 0, 0)
    assert caught.value.name == "cassetteMissing1"
    assert cash.prepare(0, 1, 0, 0).command == "none", "the others pay"


def test_a_note_on_the_path_is_said_before_the_bank_is_asked(cash: DispenserRig) -> None:
    cash.hand("stray_note", unit=1, place="ejt")
    with pytest.raises(DeviceFault):
        cash.prepare(0, 1, 0, 0)
    assert cash.sent(DISPENSE) == 0


def test_an_empty_cassette_pays_what_it_has(cash: DispenserRig) -> None:
    cash.hand("set_cassette", unit=1, count=1)
    event = cash.dispense(3, 0, 0, 0)
    assert isinstance(event, e.NotesDispensed)
    assert (event.result.error, [unit.presented for unit in event.result.units]) == (1, [1, 0, 0, 0])


def test_a_lost_answer_is_an_event_and_the_dispense_is_not_sent_again(cash: DispenserRig) -> None:
    baseline = cash.prepare(2, 0, 0, 0)
    cash.hand("fault", kind="drop_reply", command=0x52)
    event = cash.dispense(2, 0, 0, 0)
    assert event == e.CommandFailed(cash.number, Device.DISPENSER, "outcomeUnknown", "acknowledged")
    cash.hand("fault", kind="clear")
    assert proves(cash.last_status(), baseline, (), (2, 0, 0, 0))
    assert cash.sent(DISPENSE) == 1 and cash.hand("take_notes") == [[1, 2]]


def test_last_status_waits_for_a_unit_that_still_moves_notes(cash: DispenserRig) -> None:
    baseline = cash.prepare(20, 0, 0, 0)
    (event,) = cash.do(c.Dispense, 1.0, quantities=(20, 0, 0, 0), cassettes=(1, 2, 3, 4))
    assert isinstance(event, e.CommandFailed) and event.kind == "outcomeUnknown"
    assert proves(cash.last_status(), baseline, (), (20, 0, 0, 0))
    assert cash.sent(DISPENSE) == 1


def test_a_unit_that_lost_its_power_proves_nothing(cash: DispenserRig) -> None:
    baseline = cash.prepare(3, 0, 0, 0)
    cash.hand("power", cut_after_notes=1)
    event = cash.dispense(3, 0, 0, 0)
    assert isinstance(event, e.CommandFailed) and event.kind == "outcomeUnknown"
    cash.hand("power", to="on")
    assert not proves(cash.last_status(), baseline, (), (3, 0, 0, 0))


def test_a_silent_unit_is_a_link_error_by_the_deadline(cash: DispenserRig) -> None:
    cash.hand("power", to="off")
    before = cash.clock.now()
    with pytest.raises(LinkTimeout):
        cash.last_status()
    assert 30.0 <= cash.clock.now() - before <= 35.0
    with pytest.raises(LinkTimeout):
        cash.open()
    assert cash.sent(DISPENSE) == 0


def test_a_healthy_unit_is_not_reset(cash: DispenserRig) -> None:
    assert cash.initialise() == "" and cash.sent(RESET) == 0


def test_a_jam_is_reset_told_and_noticed_when_somebody_clears_it(cash: DispenserRig) -> None:
    cash.hand("jam", where="ejt", after_notes=1)
    event = cash.dispense(3, 0, 0, 0)
    assert isinstance(event, e.NotesDispensed) and event.result.error
    assert cash.initialise() != "" and cash.sent(RESET) == 1
    assert cash.watch(6.0) == [], "the core knows already"
    cash.hand("clear_jam")
    assert cash.watch(6.0) == [e.DeviceOnline(Device.DISPENSER)]
    assert cash.initialise() == ""


def test_a_fault_that_appears_by_itself_is_noticed(cash: DispenserRig) -> None:
    cash.hand("stray_note", unit=1, place="ejt")
    assert cash.watch(6.0) == [e.DeviceOnline(Device.DISPENSER)]


def test_an_initialisation_that_failed_is_asked_for_again() -> None:
    """The line was bad just then: without this the terminal would stay closed although the unit is well."""
    cash = DispenserRig()
    cash.open()
    cash.hand("power", to="off")
    with pytest.raises(LinkTimeout):
        cash.initialise()
    cash.hand("power", to="on")
    cash.clock.sleep(3.0)
    assert cash.watch(6.0) == [e.DeviceOnline(Device.DISPENSER)]
    assert cash.initialise() == ""
    assert cash.watch(6.0) == []


def test_a_cassette_that_gets_low_is_noted_once(cash: DispenserRig) -> None:
    cash.hand("set_cassette", unit=2, count=3)
    assert cash.watch(11.0) == [e.DeviceNoted(Device.DISPENSER, "nearEnd2")]
    cash.hand("set_cassette", unit=2, count=500)
    assert cash.watch(6.0) == [e.DeviceNoted(Device.DISPENSER, "")]


def test_a_port_that_was_closed_says_so(cash: DispenserRig) -> None:
    cash.service.close()
    cash.service.close()
    with pytest.raises(LinkError, match="not open"):
        cash.initialise()
    assert cash.open() == [] and cash.opened == 2


# --- the PIN pad


KEYS = HostPinKeys.load()
PIN = "135790"


class PinPadRig(Rig):
    def __init__(self, format: str = "iso9564-4") -> None:
        self.format = format
        self.blocks = {slot: Secret(block) for slot, block in key_blocks_for("ZT588SIM00000001", KEYS).items()}
        super().__init__(PinPad(Vault(KEYS.kbpk, VolatileMemory(), random.Random(1).randbytes)))

    def make(self) -> Service:
        return PinPadService(self.stream, self.clock, self.blocks, self.format)

    def typed(self, digits: str, *keys: str) -> list[str]:
        self.hand("type", digits=digits)
        for key in keys:
            self.hand("press", key=key)
        return [event.key for event in self.watch(0.5) if isinstance(event, e.KeyPressed)]


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


class PrinterRig(Rig):
    def __init__(self) -> None:
        super().__init__(Printer())

    def make(self) -> Service:
        return PrinterService(self.stream, self.clock, columns=42, confirms=True)

    def print(self) -> list[e.Event]:
        lines = (c.ReceiptText("凭条", align="center", bold=True, size="double"), c.ReceiptText("¥200"))
        return self.do(c.PrintReceipt, 30.0, language="zh", fields={}, lines=lines)


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


def test_a_self_test_of_the_dispenser_reads_its_status_and_no_more(cash: DispenserRig) -> None:
    before = cash.hand("state")
    (found,) = cash.do(c.CheckDispenser)
    assert found == e.SelfCheckDone(cash.number, Device.DISPENSER, {"fault": "", "error": "ok", "cassettes": "1,2,3,4", "nearEnd": ""})
    after = cash.hand("state")
    assert (after["cassettes"], after["taken"], after["path"]) == (before["cassettes"], before["taken"], before["path"])


def test_a_self_test_of_a_jammed_dispenser_does_not_reset_it(cash: DispenserRig) -> None:
    cash.hand("jam", where="ejt", after_notes=1)
    cash.dispense(3, 0, 0, 0)
    path = cash.hand("state")["path"]
    assert path, "a note is stuck"
    (found,) = cash.do(c.CheckDispenser)
    assert isinstance(found, e.SelfCheckDone) and found.findings["fault"]
    assert cash.sent(RESET) == 0 and cash.hand("state")["path"] == path


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
