"""The driver against the simulated unit in virtual time: what each fault of line, machine and power leaves behind."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from drivers.devices.puloon_lcdm4000 import PuloonLcdm4000, dispense_time_s, paid_by_type
from drivers.errors import LinkError, LinkTimeout, OutcomeUnknown, ProtocolError
from drivers.protocols.puloon_messages import CassetteResult, Command, DispenseResult
from drivers.transports.base import ByteStream, Deadline
from drivers.transports.memory import MemoryStream, VirtualClock
from simulators.devices.dispenser import Dispenser, Options
from simulators.devices.dispenser_store import default_cassettes

REQUEST = (2, 1, 0, 0)
Result = TypeVar("Result")


class Bench:
    """One unit, one driver, one clock."""

    def __init__(self, options: Options | None = None, wrap: type | None = None, **wrap_arguments: Any) -> None:
        self.clock = VirtualClock()
        self.unit = Dispenser(default_cassettes(), options)
        line: ByteStream = MemoryStream(self.unit, self.clock)
        self.driver = PuloonLcdm4000(wrap(line, self.clock, **wrap_arguments) if wrap else line, self.clock)

    def hand(self, do: str, **arguments: Any) -> Any:
        return self.unit.control(do, arguments, self.clock.now())

    def within(self, seconds: float = 63.0) -> Deadline:
        return Deadline.after(self.clock, seconds)

    def dispense(self, *quantities: int) -> DispenseResult:
        assert len(quantities) == 4
        return self.driver.dispense(quantities, self.within(dispense_time_s(sum(quantities))))

    def insist(self, verb: Callable[[Deadline], Result]) -> Result:
        """A unit with an answer under way is deaf until it is out: ask again, nothing was sent or nothing was heard."""
        for _ in range(200):
            try:
                return verb(self.within())
            except LinkTimeout:
                continue
        raise AssertionError("the unit never answered")

    def sent(self, code: str = "52") -> int:
        return int(self.hand("history")["totals"].get(code, 0))

    def outlet(self) -> Any:
        return self.hand("state")["outlet"]


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


# ---- faults of the line: what is known afterwards, and that nothing is sent twice ----

KNOWN: list[tuple[str, dict[str, Any]]] = [
    ("drop_ack", {}),
    ("delay_reply", {"seconds": 30.0}),
    ("corrupt_reply", {"count": 1}),
    ("corrupt_reply", {"count": 3}),
    ("truncate_reply", {"count": 2}),
    ("duplicate_reply", {}),
    ("flood_before_reply", {"size": 5000}),
    ("flood_before_reply", {"size": 40, "seed": 7}),
    ("previous_reply", {}),
    ("drop_close", {}),
]
LOST: list[tuple[str, dict[str, Any]]] = [
    ("drop_reply", {}),
    ("delay_reply", {"seconds": 200.0}),
    ("corrupt_reply", {"count": 4}),
    ("previous_reply", {"count": 9}),
    ("silent", {}),
    ("silent", {"count": None}),
    ("flood_before_reply", {"size": 1 << 17}),
]


@pytest.mark.parametrize(("kind", "arguments"), KNOWN)
def test_answer_survives(bench: Bench, kind: str, arguments: dict[str, Any]) -> None:
    bench.driver.status(bench.within())
    bench.hand("fault", kind=kind, command=0x52, **arguments)
    result = bench.dispense(*REQUEST)
    assert paid_by_type(result) == REQUEST
    assert bench.sent() == 1
    assert bench.driver.acknowledged
    assert paid_by_type(bench.dispense(0, 0, 3, 0)) == (0, 0, 3, 0)  # and the next exchange is not confused
    assert bench.sent() == 2


@pytest.mark.parametrize(("kind", "arguments"), LOST)
def test_lost_answer_is_outcome_unknown_and_never_sent_again(bench: Bench, kind: str, arguments: dict[str, Any]) -> None:
    bench.driver.status(bench.within())
    bench.hand("fault", kind=kind, command=0x52, **arguments)
    with pytest.raises(OutcomeUnknown) as caught:
        bench.dispense(*REQUEST)
    assert caught.value.device == "dispenser"
    assert bench.sent() == 1
    assert bench.driver.acknowledged == (kind != "silent")
    paid = sum(number for _, number in bench.outlet())
    assert paid == (0 if kind == "silent" else 3)


@pytest.mark.parametrize(("kind", "arguments"), LOST[:5])
def test_after_a_lost_answer_last_status_tells_and_the_next_dispense_is_its_own(bench: Bench, kind: str, arguments: dict[str, Any]) -> None:
    bench.hand("fault", kind=kind, command=0x52, **arguments)
    with pytest.raises(OutcomeUnknown):
        bench.dispense(*REQUEST)
    last = bench.insist(bench.driver.last_status)
    assert bench.driver.acknowledged == (kind != "silent")  # still of the dispense
    assert (last.last_command == Command.DISPENSE) == (kind != "silent")
    if kind != "silent":
        assert paid_by_type(last) == REQUEST
    bench.hand("fault", kind="clear")
    assert paid_by_type(bench.dispense(0, 4, 0, 0)) == (0, 4, 0, 0)
    assert bench.sent() == 2


def test_lost_ack_and_lost_answer_leave_an_unconfirmed_command(bench: Bench) -> None:
    bench.hand("fault", kind="drop_ack", command=0x52)
    bench.hand("fault", kind="drop_reply", command=0x52)
    with pytest.raises(OutcomeUnknown):
        bench.dispense(*REQUEST)
    assert not bench.driver.acknowledged  # and yet the money is out: silence proves nothing
    assert bench.outlet() == [[1, 2], [2, 1]]


def test_a_refused_dispense_is_not_sent_again_and_last_status_says_that_it_never_ran(bench: Bench) -> None:
    """A NAK may be a disturbed ACK: seed 159 of the money bench paid twice for one authorisation when it was believed."""
    before = bench.driver.last_status(bench.within(3))
    bench.hand("fault", kind="nak", command=0x52)
    with pytest.raises(OutcomeUnknown, match="refused"):
        bench.dispense(*REQUEST)
    assert not bench.driver.acknowledged
    assert bench.driver.last_status(bench.within(3)) == before
    assert bench.sent() == 1 and bench.outlet() == []
    assert bench.driver.line_counters.refused_commands == 1


def test_late_status_is_not_taken_for_the_answer_to_a_dispense(bench: Bench) -> None:
    bench.hand("fault", kind="delay_reply", command=0x50, seconds=2.0)
    with pytest.raises(LinkTimeout):
        bench.driver.status(bench.within(1))
    assert paid_by_type(bench.dispense(*REQUEST)) == REQUEST
    assert bench.sent() == 1


def test_a_late_dispense_answer_is_not_taken_for_the_next_one(bench: Bench) -> None:
    bench.hand("fault", kind="delay_reply", command=0x52, seconds=20.0)
    with pytest.raises(OutcomeUnknown):
        bench.driver.dispense((5, 0, 0, 0), bench.within(10))
    bench.hand("jam", where="ejt", after_notes=2)
    result = bench.insist(lambda deadline: bench.driver.dispense((5, 0, 0, 0), deadline))
    assert (result.error.name, paid_by_type(result)) == ("jamEjtExit", (2, 0, 0, 0))
    assert bench.driver.line_counters.late_answers >= 1


@pytest.mark.parametrize("kind", ["drop_ack", "corrupt_reply", "truncate_reply", "duplicate_reply", "drop_reply", "nak", "silent"])
def test_verbs_that_move_nothing_are_simply_asked_again(bench: Bench, kind: str) -> None:
    bench.hand("fault", kind=kind, command=0x50)
    assert bench.driver.status(bench.within()).error.ok
    assert bench.driver.last_status(bench.within()).error.ok


def test_verbs_that_move_nothing_give_up_with_their_own_errors(bench: Bench) -> None:
    bench.hand("fault", kind="corrupt_reply", command=0x50, count=100)
    with pytest.raises(ProtocolError, match="unreadable"):
        bench.driver.status(bench.within())
    bench.hand("fault", kind="nak", command=0x55, count=3)
    with pytest.raises(LinkError, match="refused"):
        bench.driver.last_status(bench.within())
    bench.hand("fault", kind="silent", command=0x5B, count=None)
    with pytest.raises(LinkTimeout, match="acknowledge"):
        bench.driver.get_opacities(bench.within())


# ---- power ----


def test_power_cut_with_a_note_on_the_path(bench: Bench) -> None:
    bench.driver.status(bench.within())
    bench.hand("power", cut_after_notes=2, at="ejt")
    with pytest.raises(OutcomeUnknown):
        bench.dispense(5, 0, 0, 0)
    truth = bench.hand("state")
    assert (truth["outlet"], truth["path"], truth["power"]) == ([[1, 2]], [{"cassette": 1, "place": "ejt"}], "off")
    bench.hand("power", to="on")
    bench.clock.sleep(2)
    last = bench.driver.last_status(bench.within())
    assert last.last_command != Command.DISPENSE  # its memory is gone
    assert bench.driver.status(bench.within()).sensors.ejt
    assert bench.driver.purge(bench.within()).cassettes[0].reject == 1
    assert bench.sent() == 1


def test_power_cut_on_a_unit_that_remembers() -> None:
    bench = Bench(Options(last_status_survives="power"))
    bench.driver.status(bench.within())
    bench.hand("power", cut_after_notes=2)
    with pytest.raises(OutcomeUnknown):
        bench.dispense(5, 0, 0, 0)
    bench.hand("power", to="on")
    bench.clock.sleep(2)
    last = bench.driver.last_status(bench.within())
    assert (last.last_command, paid_by_type(last)) == (Command.DISPENSE, (2, 0, 0, 0))


def test_power_comes_back_while_the_driver_waits(bench: Bench) -> None:
    bench.hand("power", to="off")
    bench.clock.call_at(3.0, lambda: bench.hand("power", to="on"))
    assert bench.driver.reset(bench.within(20)).status.error.ok
    assert bench.clock.now() < 8


# ---- the four lines: whole, a byte at a time, lossy, slow ----


class ByteAtATime:
    def __init__(self, stream: ByteStream, clock: VirtualClock, delay_s: float = 0.0, loss: float = 0.0, seed: int = 0) -> None:
        self.stream, self.clock, self.delay_s, self.loss = stream, clock, delay_s, loss
        self.random = random.Random(seed)
        self.kept = b""

    def write(self, data: bytes, deadline: Deadline) -> None:
        for byte in data:
            if self.random.random() >= self.loss:
                self.stream.write(bytes((byte,)), deadline)

    def read(self, deadline: Deadline) -> bytes:
        while not self.kept:
            came = self.stream.read(deadline)
            if not came:
                return b""
            self.kept = bytes(byte for byte in came if self.random.random() >= self.loss)
        self.clock.sleep(self.delay_s)
        byte, self.kept = self.kept[:1], self.kept[1:]
        return byte

    def discard_input(self) -> bytes:
        thrown, self.kept = self.kept + self.stream.discard_input(), b""
        return thrown

    def close(self) -> None:
        self.stream.close()


@pytest.mark.parametrize("delay_s", [0.0, 0.001, 0.05])
def test_a_byte_at_a_time(delay_s: float) -> None:
    bench = Bench(wrap=ByteAtATime, delay_s=delay_s)
    assert paid_by_type(bench.dispense(*REQUEST)) == REQUEST
    assert bench.driver.line_counters.bad_frames == 0


@pytest.mark.parametrize("seed", range(150))
def test_a_line_that_loses_every_fifth_byte_never_pays_twice(seed: int) -> None:
    bench = Bench(wrap=ByteAtATime, loss=0.2, seed=seed)
    paid = 0
    try:
        result = bench.dispense(*REQUEST)
        paid = sum(paid_by_type(result))
        assert result.error.ok
    except OutcomeUnknown:
        paid = -1
    except (LinkError, ProtocolError):
        paid = 0
    executed = [c for c in bench.hand("history")["commands"] if c["command"] == "52" and c["executed"]]
    out = sum(number for _, number in bench.outlet())
    assert len(executed) <= 1
    assert paid in (-1, out)


def test_a_lossy_line_does_not_stop_questions() -> None:
    answered = 0
    for seed in range(60):
        bench = Bench(wrap=ByteAtATime, loss=0.02, seed=seed)
        answered += bench.driver.status(bench.within()).error.ok
    assert answered == 60
