"""What the driver makes of answers that the simulated unit does not give: a line with a script."""

from __future__ import annotations

import pytest

from drivers.devices.puloon_lcdm4000 import PuloonLcdm4000, paid_by_type
from drivers.errors import DeviceFault, LinkError, OutcomeUnknown, ProtocolError
from drivers.transports.base import Deadline
from drivers.transports.memory import VirtualClock

REQUEST = (2, 1, 0, 0)


class Scripted:
    """A line on which the device says what the test wants: one list of chunks for each frame sent."""

    def __init__(self, clock: VirtualClock, *answers: list[bytes]) -> None:
        self.clock, self.answers = clock, list(answers)
        self.coming: list[bytes] = []
        self.frames: list[bytes] = []
        self.broken_at: str = ""

    def write(self, data: bytes, deadline: Deadline) -> None:
        if len(data) > 1:
            self.frames.append(data)
            if self.broken_at == "write":
                raise LinkError("gone")
            self.coming = list(self.answers.pop(0))

    def read(self, deadline: Deadline) -> bytes:
        if self.broken_at == "read" and not self.coming:
            raise LinkError("gone")
        if self.coming:
            return self.coming.pop(0)
        self.clock.advance_to(deadline.at)
        return b""

    def discard_input(self) -> bytes:
        if self.broken_at == "discard":
            raise LinkError("gone")
        return b""

    def close(self) -> None:
        pass


STATUS_OK = [b"\x06", bytes.fromhex("01 30 02 50 20 20 30 31 84 82 30 32 84 82 30 33 84 82 30 34 84 82 03 64"), b"\x04"]
ACK = b"\x06"
PAID = bytes.fromhex("01 30 02 52 20 30 22 20 31 21 20 32 20 20 33 20 20 34 20 20 20 20 20 20 20 20 20 03 55")
NOT_DONE = bytes.fromhex("01 30 02 52 51 30 20 20 31 20 20 32 20 20 33 20 20 34 20 20 20 20 20 20 20 20 20 03 27")


def scripted(*answers: list[bytes], broken_at: str = "") -> tuple[PuloonLcdm4000, Scripted, Deadline]:
    clock = VirtualClock()
    line = Scripted(clock, STATUS_OK, *answers)
    driver = PuloonLcdm4000(line, clock)
    driver.status(Deadline.after(clock, 5))
    line.frames.clear()
    line.broken_at = broken_at
    return driver, line, Deadline.after(clock, 63)


def test_a_nak_among_other_things_is_noise_and_the_answer_counts() -> None:
    for noise in ([b"\x15", b"\x06", PAID, b"\x04"], [b"\xff\x15", PAID], [b"\x15", b"\x55", PAID]):
        driver, line, deadline = scripted(noise)
        assert paid_by_type(driver.dispense(REQUEST, deadline)) == REQUEST
        assert len(line.frames) == 1
    driver, line, deadline = scripted([b"\x15\xff"])
    with pytest.raises(OutcomeUnknown):
        driver.dispense(REQUEST, deadline)
    assert len(line.frames) == 1


def test_a_frame_before_the_ack_belongs_to_an_earlier_command() -> None:
    other = bytes.fromhex("01 30 02 52 21 30 20 20 31 20 20 32 20 20 33 21 20 34 20 20 20 20 20 20 20 20 20 03 56")
    driver, _, deadline = scripted([other + ACK, PAID, b"\x04"])
    assert paid_by_type(driver.dispense(REQUEST, deadline)) == REQUEST
    assert driver.line_counters.late_answers == 1


def test_not_executed_is_a_fault_and_not_a_result() -> None:
    for answer, name in ((NOT_DONE, "badParameter"), (bytes.fromhex("01 30 02 52 50 03 32"), "badCommand")):
        driver, line, deadline = scripted([ACK, answer, b"\x04"])
        with pytest.raises(DeviceFault) as caught:
            driver.dispense(REQUEST, deadline)
        assert (caught.value.name, caught.value.device) == (name, "dispenser")
        assert len(line.frames) == 1


@pytest.mark.parametrize(
    "answer",
    [
        "01 30 02 52 20 30 22 20 31 20 20 32 20 20 33 20 20 34 20 20 20 20 20 20 20 20 20 03 54",  # less than asked, no error
        "01 30 02 52 45 03 27",  # an error without counts
        "01 30 02 52 20 30 12 20 31 21 20 32 20 20 33 20 20 34 20 20 20 20 20 20 20 20 20 03 65",  # a count below 20h
    ],
)
def test_an_answer_that_cannot_be_is_outcome_unknown(answer: str) -> None:
    driver, line, deadline = scripted([ACK, bytes.fromhex(answer), b"\x04"])
    with pytest.raises(OutcomeUnknown):
        driver.dispense(REQUEST, deadline)
    assert len(line.frames) == 1


def test_where_the_port_breaks_decides_what_is_known() -> None:
    driver, line, deadline = scripted(broken_at="discard")
    with pytest.raises(LinkError):
        driver.dispense(REQUEST, deadline)
    assert line.frames == []
    for where in ("write", "read"):
        driver, line, deadline = scripted([ACK], broken_at=where)
        with pytest.raises(OutcomeUnknown):
            driver.dispense(REQUEST, deadline)
        assert len(line.frames) == 1
    driver, line, deadline = scripted([ACK, PAID], broken_at="read")  # only the close is lost: the result is not
    assert paid_by_type(driver.dispense(REQUEST, deadline)) == REQUEST


def test_answers_of_verbs_that_move_nothing_are_judged_too() -> None:
    driver, _, deadline = scripted([ACK, bytes.fromhex("01 30 02 5a 55 03 3f"), b"\x04"])
    with pytest.raises(DeviceFault, match="eepromWriteFailure"):
        driver.set_opacities((1, 2, 3, 4), deadline)
    driver, _, deadline = scripted([ACK, bytes.fromhex("01 30 02 5b 20 03 4b"), b"\x04"])
    with pytest.raises(ProtocolError):
        driver.get_opacities(deadline)
    driver, _, deadline = scripted([ACK, bytes.fromhex("01 30 02 5d 51 31 32 33 34 03 38"), b"\x04"])
    with pytest.raises(DeviceFault, match="badParameter"):
        driver.get_dispense_order(deadline)
    driver, _, deadline = scripted([ACK, bytes.fromhex("01 30 02 67 50 20 03 27"), b"\x04"])
    with pytest.raises(DeviceFault, match="badCommand"):
        driver.get_serial_number(deadline)
    driver, _, deadline = scripted([ACK, bytes.fromhex("01 30 02 5b 51 03 3a"), b"\x04"])
    with pytest.raises(DeviceFault, match="GET_OPACITIES with badParameter"):
        driver.get_opacities(deadline)
    driver, _, deadline = scripted([ACK, bytes.fromhex("01 30 02 5d 20 11 32 33 34 03 69"), b"\x04"])
    with pytest.raises(ProtocolError, match="cassette type"):
        driver.get_dispense_order(deadline)
    driver, _, deadline = scripted(broken_at="write")
    with pytest.raises(LinkError):
        driver.status(deadline)
    driver.close()


@pytest.mark.parametrize("byte", [b"\x06", b"\x15", b"\x04", b"\x00"])
def test_a_flood_ends_at_the_deadline(byte: bytes) -> None:
    """ACK, NAK, EOT or nothing at all, without an end: the verb ends in time and says what is known."""

    class Flood(Scripted):
        def read(self, deadline: Deadline) -> bytes:
            self.clock.advance_to(self.clock.now() + 0.01)
            return byte * 10

    clock = VirtualClock()
    unit = PuloonLcdm4000(Flood(clock, *[[] for _ in range(20)]), clock)
    with pytest.raises((LinkError, ProtocolError)):
        unit.status(Deadline.after(clock, 4))
    with pytest.raises((OutcomeUnknown, LinkError, ProtocolError)):
        unit.dispense(REQUEST, Deadline.after(clock, 10))
    assert clock.now() < 20
