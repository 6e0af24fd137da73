"""What faults of line and power leave behind: what the driver knows afterwards, and that nothing is sent twice."""

from __future__ import annotations

import random
from typing import Any

import pytest
from dispenser_bench import REQUEST, Bench

from drivers.devices.puloon_lcdm4000 import paid_by_type
from drivers.errors import LinkError, LinkTimeout, OutcomeUnknown, ProtocolError
from drivers.protocols.puloon_messages import Command
from drivers.transports.base import ByteStream, Deadline
from drivers.transports.memory import VirtualClock
from simulators.devices.dispenser import Options


@pytest.fixture
def bench() -> Bench:
    return Bench()


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
