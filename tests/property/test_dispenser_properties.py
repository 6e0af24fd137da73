"""The codec recovers from anything; the mechanics lose no note whatever happens."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.devices.puloon_lcdm4000 import PuloonLcdm4000, dispense_time_s, paid_by_type
from drivers.errors import DeviceError, OutcomeUnknown, ProtocolError
from drivers.protocols.puloon_frame import EOT, MAX_FRAME, SOH, BadFrame, Frame, Garbage, Parser, bcc
from drivers.protocols.puloon_lcdm4000 import ANSWER_LENGTHS, COMMAND_LENGTHS, decode, decode_command, encode
from drivers.protocols.puloon_messages import (
    AnyCommand,
    Command,
    DispenseCommand,
    PlainCommand,
    SensorDiagnosticsCommand,
    SetBytesCommand,
    SetDispenseOrderCommand,
)
from drivers.transports.base import Deadline
from drivers.transports.memory import MemoryStream, VirtualClock
from simulators.devices.dispenser import Dispenser, Options
from simulators.devices.dispenser_faults import KINDS
from simulators.devices.dispenser_hands import CUT_PLACES
from simulators.devices.dispenser_store import cassettes_from

FOUR_BYTES = st.tuples(*[st.integers(0, 255)] * 4)
PLAIN = [code for code, length in COMMAND_LENGTHS.items() if length == 0]
COMMANDS: st.SearchStrategy[AnyCommand] = st.one_of(
    st.sampled_from(PLAIN).map(lambda code: PlainCommand(Command(code))),
    st.builds(DispenseCommand, st.tuples(*[st.integers(0, 100)] * 4), st.integers(0, 9), st.booleans()),
    st.integers(1, 4).map(SensorDiagnosticsCommand),
    st.builds(SetBytesCommand, st.sampled_from([Command.SET_OPACITIES, Command.SET_LENGTHS]), FOUR_BYTES),
    st.permutations([1, 2, 3, 4]).map(lambda order: SetDispenseOrderCommand(tuple(order))),  # type: ignore[arg-type]
)


def frame(code: int, data: bytes) -> bytes:
    """An answer, built here and not by the codec."""
    body = bytes((SOH, 0x30, 0x02, code)) + data + b"\x03"
    return body + bytes((bcc(body),))


ANSWERS = st.sampled_from(sorted(ANSWER_LENGTHS)).flatmap(
    lambda code: st.binary(min_size=ANSWER_LENGTHS[code], max_size=ANSWER_LENGTHS[code]).map(lambda data: frame(code, data))
)


FRAGMENTS = st.one_of(
    st.binary(max_size=20),
    ANSWERS,
    st.tuples(ANSWERS, st.integers(1, 28)).map(lambda cut: cut[0][: cut[1]]),
    st.tuples(ANSWERS, st.integers(4, 27)).map(lambda hit: hit[0][: hit[1]] + b"\xa5" + hit[0][hit[1] + 1 :]),
    st.tuples(st.sampled_from([0x44, 0x52, 0x99]), st.binary(max_size=2)).map(lambda short: frame(*short)),
    st.just(b"\x01\x30\x02\x99" + b"A" * 70),
    st.just(b"\x06\x15\x04\x01\x30"),
)
NOISE = st.lists(FRAGMENTS, max_size=12).map(b"".join)


@given(COMMANDS)
def test_a_command_comes_back_as_it_was(command: AnyCommand) -> None:
    (item,) = Parser(EOT, COMMAND_LENGTHS).feed(encode(command))
    assert isinstance(item, Frame)
    assert decode_command(item) == command


@given(ANSWERS, st.lists(st.integers(1, 28), max_size=6))
def test_an_answer_is_found_however_it_is_cut(answer: bytes, cuts: list[int]) -> None:
    parser = Parser(SOH, ANSWER_LENGTHS)
    edges = [0, *sorted(cut for cut in cuts if cut < len(answer)), len(answer)]
    items = [item for start, end in pairwise(edges) for item in parser.feed(answer[start:end])]
    assert items == [Frame(SOH, answer[3], answer[4:-2])]
    assert not parser.pending


@settings(max_examples=300)
@given(NOISE, st.integers(1, 50))
def test_any_bytes_at_all_are_accounted_for_and_the_buffer_is_bounded(noise: bytes, chunk: int) -> None:
    parser = Parser(SOH, ANSWER_LENGTHS)
    items = []
    for at in range(0, len(noise), chunk):
        items += parser.feed(noise[at : at + chunk])
        assert len(parser._buffer) <= MAX_FRAME
    items += parser.abandon()
    sizes = [len(item.data) + 6 if isinstance(item, Frame) else item.size if isinstance(item, Garbage | BadFrame) else 1 for item in items]
    assert sum(sizes) == len(noise)


@given(NOISE, ANSWERS)
def test_after_noise_and_a_silence_the_next_answer_is_read(noise: bytes, answer: bytes) -> None:
    parser = Parser(SOH, ANSWER_LENGTHS)
    parser.feed(noise)
    parser.abandon()
    assert parser.feed(answer) == [Frame(SOH, answer[3], answer[4:-2])]


@given(ANSWERS, st.integers(4, 60), st.integers(1, 255))
def test_a_damaged_answer_is_never_an_answer(answer: bytes, at: int, flip: int) -> None:
    at %= len(answer) - 1
    damaged = answer[:at] + bytes((answer[at] ^ flip,)) + answer[at + 1 :]
    parser = Parser(SOH, ANSWER_LENGTHS)
    items = parser.feed(damaged) + parser.abandon()
    assert Frame(SOH, answer[3], answer[4:-2]) not in items


@given(st.sampled_from(PLAIN), st.binary(min_size=2, max_size=2))
def test_a_bare_error_is_read_when_the_line_falls_silent_and_nothing_else_short(code: int, data: bytes) -> None:
    parser = Parser(SOH, {code: 9})
    assert parser.feed(frame(code, data[:1])) == []
    assert parser.pending
    assert parser.abandon() == [Frame(SOH, code, data[:1])]
    assert parser.feed(frame(code, data)) == []
    assert not any(isinstance(item, Frame) for item in parser.abandon())


WRONG: st.SearchStrategy[AnyCommand] = st.one_of(
    st.sampled_from([DispenseCommand((101, 0, 0, 0)), DispenseCommand((0, -1, 0, 0)), DispenseCommand((1, 0, 0, 0), 10)]),
    st.integers().filter(lambda n: not 1 <= n <= 4).map(SensorDiagnosticsCommand),
    st.integers().filter(lambda n: not 0 <= n <= 255).map(lambda n: SetBytesCommand(Command.SET_LENGTHS, (0, 0, 0, n))),
    st.tuples(*[st.integers(0, 5)] * 4).filter(lambda o: sorted(o) != [1, 2, 3, 4]).map(SetDispenseOrderCommand),
)


@given(WRONG)
def test_values_out_of_range_never_become_a_frame(command: AnyCommand) -> None:
    with pytest.raises(ValueError, match=r"must be|once"):
        encode(command)


CODES_AND_DATA = st.one_of(
    st.tuples(st.integers(0, 255), st.binary(max_size=40)),
    *[
        st.tuples(st.just(int(code)), st.binary(min_size=length, max_size=length))
        for lengths in (COMMAND_LENGTHS, ANSWER_LENGTHS)
        for code, length in lengths.items()
    ],
)


@settings(max_examples=600)
@given(CODES_AND_DATA)
def test_decoding_never_breaks_otherwise_than_with_a_protocol_error(code_and_data: tuple[int, bytes]) -> None:
    code, data = code_and_data
    for decoder in (decode, decode_command):
        try:
            decoder(Frame(SOH, code, data))
        except ProtocolError as error:
            assert str(error)


STEPS = st.one_of(
    st.tuples(st.just("dispense"), st.fixed_dictionaries({"quantities": st.tuples(*[st.integers(0, 5)] * 4)})),
    st.tuples(st.just("purge"), st.just({})),
    st.tuples(st.just("double_note"), st.fixed_dictionaries({"count": st.integers(1, 12), "reported": st.integers(1, 2)})),
    st.tuples(st.just("foreign_note"), st.fixed_dictionaries({"unit": st.integers(1, 4)})),
    st.tuples(
        st.just("jam"), st.fixed_dictionaries({"where": st.sampled_from(["chk", "dvt", "ejt", "exit"]), "after_notes": st.integers(0, 4)})
    ),
    st.tuples(st.just("clear_jam"), st.just({})),
    st.tuples(st.just("take_notes"), st.fixed_dictionaries({"from_exit": st.booleans()})),
    st.tuples(st.just("set_cassette"), st.fixed_dictionaries({"unit": st.integers(1, 4), "count": st.integers(0, 30)})),
    st.tuples(st.just("remove_cassette"), st.fixed_dictionaries({"unit": st.integers(1, 4)})),
    st.tuples(st.just("exchange_cassettes"), st.fixed_dictionaries({"unit": st.integers(1, 4), "other": st.integers(1, 4)})),
    st.tuples(st.just("insert_cassette"), st.fixed_dictionaries({"unit": st.integers(1, 4), "type": st.integers(1, 4)})),
    st.tuples(st.just("reject_bin"), st.fixed_dictionaries({"present": st.booleans(), "empty": st.booleans()})),
    st.tuples(st.just("power"), st.fixed_dictionaries({"cut_after_notes": st.integers(0, 4), "at": st.sampled_from((None, *CUT_PLACES))})),
    st.tuples(st.just("power"), st.just({"to": "on"})),
    st.tuples(st.just("fault"), st.fixed_dictionaries({"kind": st.sampled_from(sorted(KINDS)), "count": st.integers(1, 4)})),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=12))
def test_whatever_happens_no_note_is_lost_and_no_dispense_is_sent_twice(steps: list[tuple[str, dict[str, Any]]]) -> None:
    clock = VirtualClock()
    unit = Dispenser(cassettes_from([{"denomination": "CNY 100", "count": 20}] * 4), Options(last_status_survives="power"))
    driver = PuloonLcdm4000(MemoryStream(unit, clock), clock)
    for do, arguments in steps:
        passed, heard = unit.mechanics.passed, executed(unit)
        try:
            if do == "dispense":
                result = driver.dispense(arguments["quantities"], Deadline.after(clock, dispense_time_s(20)))
                assert sum(paid_by_type(result)) == unit.mechanics.passed - passed
            elif do == "purge":
                driver.purge(Deadline.after(clock, 70))
            else:
                unit.control(do, arguments, clock.now())
        except OutcomeUnknown:
            pass
        except (DeviceError, ValueError):
            assert unit.mechanics.passed == passed  # nothing was executed, as the exception promises
        unit.mechanics.check()
        assert executed(unit) - heard <= 1
        clock.sleep(1)


def executed(unit: Dispenser) -> int:
    return sum(item["command"] in ("51", "52") and item["executed"] for item in unit.history)
