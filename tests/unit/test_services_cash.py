"""The dispenser's service against the simulated unit in virtual time: commands in, events out, and no dispense sent twice."""

from __future__ import annotations

import pytest
from service_rigs import DispenserRig

from drivers.errors import DeviceFault, LinkError, LinkTimeout
from simulators.devices.dispenser import Options
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.cash import DispenserResult, UnitResult, possible, proves, remember
from terminal.core.model import Device

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
