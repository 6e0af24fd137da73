"""The driver against the simulated unit in virtual time: what is paid, what is paid in part, and what never leaves."""

from __future__ import annotations

from typing import Any

import pytest
from dispenser_bench import REQUEST, Bench

from drivers.devices.puloon_lcdm4000 import PuloonLcdm4000, paid_by_type
from drivers.errors import LinkError, LinkTimeout
from drivers.protocols.puloon_messages import CassetteResult, Command
from drivers.transports.memory import MemoryStream
from simulators.devices.dispenser import Options


@pytest.fixture
def bench() -> Bench:
    return Bench()


# ---- the good way ----


def test_dispense_pays_what_was_asked(bench: Bench) -> None:
    result = bench.dispense(*REQUEST)
    assert result.error.ok
    assert paid_by_type(result) == REQUEST
    assert bench.outlet() == [[1, 2], [2, 1]]
    assert bench.hand("take_notes") == [[1, 2], [2, 1]]
    assert bench.outlet() == []
    assert bench.sent() == 1
    last = bench.driver.last_status(bench.within())
    assert (last.last_command, last.cassettes) == (Command.DISPENSE, result.cassettes)


def test_quantities_go_by_cassette_type_not_by_position(bench: Bench) -> None:
    for unit, kind in ((1, 2), (2, 1)):
        bench.hand("set_cassette", unit=unit, type=kind)
    result = bench.dispense(3, 0, 0, 0)
    assert result.cassettes[1] == CassetteResult(exit=3, reject=0, type=1)
    assert paid_by_type(result) == (3, 0, 0, 0)
    assert bench.outlet() == [[2, 3]]


def test_the_order_of_picking_is_the_stored_order(bench: Bench) -> None:
    bench.driver.set_dispense_order((4, 3, 2, 1), bench.within())
    assert bench.driver.get_dispense_order(bench.within()) == (4, 3, 2, 1)
    bench.dispense(1, 1, 1, 1)
    assert bench.outlet() == [[4, 1], [3, 1], [2, 1], [1, 1]]


def test_reference_values_are_kept_and_fall_back_after_damage(bench: Bench) -> None:
    bench.driver.set_opacities((1, 255, 0, 90), bench.within())
    bench.driver.set_lengths((10, 0, 0, 0), bench.within())
    assert bench.driver.get_opacities(bench.within()) == (1, 255, 100, 90)
    bench.hand("power", to="off")
    bench.hand("power", to="on")
    bench.clock.sleep(2)
    assert bench.driver.get_lengths(bench.within()) == (10, 98, 98, 98)
    bench.hand("damage_eeprom")
    bench.hand("power", to="off")
    bench.hand("power", to="on")
    bench.clock.sleep(2)
    assert bench.driver.get_opacities(bench.within()) == (100, 100, 100, 100)
    assert bench.driver.get_serial_number(bench.within()) == 7


def test_test_dispense_and_diagnostics_go_to_the_tray_only(bench: Bench) -> None:
    assert bench.driver.test_dispense((2, 0, 0, 0), bench.within()).cassettes[0] == CassetteResult(0, 2, 1)
    assert bench.driver.sensor_diagnostics(3, bench.within()).reject == 5
    assert bench.outlet() == []
    assert bench.hand("state")["reject_bin"]["notes"] == [2, 0, 5, 0]


@pytest.mark.parametrize("replies", [0, 1, 2])
def test_reset_of_every_kind_of_unit(replies: int) -> None:
    bench = Bench(Options(reset_replies=replies))
    result = bench.driver.reset(bench.within())
    assert result.replies == replies
    assert bench.sent("44") == 1
    assert bench.dispense(*REQUEST).error.ok


def test_reset_of_a_unit_whose_second_answer_is_late() -> None:
    bench = Bench(Options(reset_replies=2, boot_s=4.0))
    assert bench.driver.reset(bench.within()).replies == 1
    assert bench.dispense(*REQUEST).error.ok
    assert bench.sent("44") == 1


def test_reset_that_is_refused_is_sent_again_and_a_dead_unit_is_reported(bench: Bench) -> None:
    bench.hand("fault", kind="nak", command=0x44)
    bench.driver.reset(bench.within())
    assert bench.sent("44") == 2
    bench.hand("fault", kind="nak", command=0x44, count=3)
    with pytest.raises(LinkError, match="refused"):
        bench.driver.reset(bench.within())
    bench.hand("power", to="off")
    with pytest.raises(LinkTimeout):
        bench.driver.reset(bench.within(10))


# ---- a partial dispense is a result ----


@pytest.mark.parametrize(
    ("where", "code", "name"),
    [("chk", 2, "jamChkDvt"), ("dvt", 3, "jamDvtEjt"), ("ejt", 4, "jamEjtExit"), ("exit", 5, "noteStayingInExit")],
)
def test_jam_after_two_notes(bench: Bench, where: str, code: int, name: str) -> None:
    bench.hand("jam", where=where, after_notes=2)
    result = bench.dispense(5, 0, 0, 0)
    assert (result.error.code, result.error.name) == (code, name)
    assert paid_by_type(result) == (2, 0, 0, 0)
    assert bench.hand("state")["path"] == [{"cassette": 1, "place": where}]
    sensors = bench.driver.status(bench.within()).sensors
    assert (sensors.dvtl, sensors.ejt, sensors.exit) == (where == "dvt", where == "ejt", where == "exit")

    assert bench.dispense(1, 0, 0, 0).error.name == "notesOnPathBeforePick"
    assert bench.driver.purge(bench.within()).error.name == "purgeEndedAbnormally"
    assert bench.hand("clear_jam") == {"cleared": 1}
    assert bench.dispense(1, 0, 0, 0).error.ok
    assert bench.outlet() == [[1, 3]]


def test_purge_sends_the_path_to_the_tray_and_the_slot_to_the_customer(bench: Bench) -> None:
    bench.hand("stray_note", unit=1, place="dvt")
    bench.hand("stray_note", unit=2, place="exit")
    result = bench.driver.purge(bench.within())
    assert result.cassettes[:2] == (CassetteResult(0, 1, 1), CassetteResult(1, 0, 2))
    assert bench.outlet() == [[2, 1]]


def test_empty_cassette_near_end_and_removed_cassette(bench: Bench) -> None:
    bench.hand("set_cassette", unit=1, count=3)
    assert [c.near_end for c in bench.driver.status(bench.within()).cassettes] == [True, False, False, False]
    result = bench.dispense(5, 1, 0, 0)
    assert (result.error.name, paid_by_type(result)) == ("pickUp", (3, 0, 0, 0))
    bench.hand("remove_cassette", unit=1)
    assert bench.driver.status(bench.within()).cassettes[0].type == 0
    assert bench.dispense(1, 0, 0, 0).error.name == "noCassette"
    bench.hand("insert_cassette", unit=1, count=15)
    assert bench.dispense(1, 0, 0, 0).error.ok
    bench.hand("near_end_detection", on=True)
    assert bench.dispense(1, 0, 0, 0).error.name == "nearEnd"


def test_double_notes_go_to_the_tray_and_are_replaced(bench: Bench) -> None:
    bench.hand("double_note", count=2)
    result = bench.dispense(3, 0, 0, 0)
    assert result.error.ok
    assert result.cassettes[0] == CassetteResult(exit=3, reject=4, type=1)
    assert bench.hand("state")["cassettes"][0]["remaining"] == 400 - 7
    bench.hand("double_note", count=1, reported=1)  # a unit that counts events: its number is less than the truth
    assert bench.dispense(1, 0, 0, 0).cassettes[0].reject == 1
    assert bench.hand("state")["reject_bin"]["notes"][0] == 6
    assert bench.hand("reject_bin", empty=True) == {"emptied": 6}


def test_too_many_rejects_end_the_dispense(bench: Bench) -> None:
    bench.hand("double_note", count=20)
    result = bench.dispense(3, 0, 0, 0)
    assert (result.error.name, result.cassettes[0].exit, result.cassettes[0].reject) == ("tooManyRejects", 0, 12)


def test_missing_tray_foreign_note_and_the_limit_of_a_hundred(bench: Bench) -> None:
    bench.hand("reject_bin", present=False)
    assert bench.dispense(1, 0, 0, 0).error.name == "noRejectTray"
    assert bench.driver.status(bench.within()).error.name == "noRejectTray"
    bench.hand("reject_bin", present=True)
    bench.hand("foreign_note", unit=3)
    result = bench.dispense(1, 0, 0, 0)
    assert (result.error.name, paid_by_type(result), result.cassettes[2].reject) == ("noteFromCassette3", (0, 0, 0, 0), 1)
    bench.hand("double_note", count=1)
    hundred = PuloonLcdm4000(MemoryStream(bench.unit, bench.clock), bench.clock, max_notes=100)
    full = hundred.dispense((100, 0, 0, 0), bench.within(160))
    assert (full.error.name, full.cassettes[0].exit, full.cassettes[0].reject) == ("tooManyDispensed", 98, 2)


# ---- refused before anything leaves ----


@pytest.mark.parametrize("quantities", [(0, 0, 0, 0), (41, 0, 0, 0), (20, 20, 1, 0), (-1, 2, 0, 0), (1, 2, 3)])
def test_impossible_requests_never_leave(bench: Bench, quantities: Any) -> None:
    with pytest.raises(ValueError, match="quantities"):
        bench.driver.dispense(quantities, bench.within())
    assert bench.hand("history")["commands"] == []


def test_limits_of_the_other_verbs(bench: Bench) -> None:
    with pytest.raises(ValueError, match="max_notes"):
        PuloonLcdm4000(MemoryStream(bench.unit, bench.clock), bench.clock, max_notes=101)
    with pytest.raises(ValueError, match="position"):
        bench.driver.sensor_diagnostics(5, bench.within())
    with pytest.raises(ValueError, match="order"):
        bench.driver.set_dispense_order((1, 1, 2, 3), bench.within())
    with pytest.raises(ValueError, match="SET_OPACITIES"):
        bench.driver.set_opacities((256, 0, 0, 0), bench.within())


def test_no_time_left_means_nothing_is_sent(bench: Bench) -> None:
    with pytest.raises(LinkTimeout):
        bench.driver.dispense(REQUEST, bench.within(0))
    assert bench.hand("history")["commands"] == []


def test_dispense_on_a_dead_line_is_found_dead_before_anything_is_sent(bench: Bench) -> None:
    bench.hand("power", to="off")
    with pytest.raises(LinkTimeout, match="STATUS"):
        bench.dispense(*REQUEST)
    assert bench.sent() == 0
