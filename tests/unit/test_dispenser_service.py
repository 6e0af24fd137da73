"""What the dispenser's answer means when a cassette was taken out or stands elsewhere since it moved notes (docs/decisions/0035, 0038)."""

from __future__ import annotations

import pytest

from drivers.protocols.puloon_messages import CassetteResult, DispenseResult, ErrorStatus
from terminal.core.cash import DispenserResult, UnitResult, uncertain
from terminal.workers.services.dispenser import result_of

NO_CASSETTE = ErrorStatus.of(0x24)


def answer(*cassettes: tuple[int, int, int]) -> DispenseResult:
    """By position: exit, reject, type."""
    return DispenseResult(NO_CASSETTE, 0x30, tuple(CassetteResult(*one) for one in cassettes))


def counts(result: DispenserResult) -> list[tuple[int, int]]:
    return [(unit.presented, unit.rejected) for unit in result.units]


def test_all_there_the_type_says_which_unit() -> None:
    found = result_of(answer((1, 0, 2), (3, 1, 1), (0, 0, 3), (0, 0, 4)), "dispense", (2, 1, 3, 4))
    assert counts(found) == [(3, 1), (1, 0), (0, 0), (0, 0)] and found.missing == 0


def test_one_that_was_taken_out_is_the_one_that_was_seen_there() -> None:
    found = result_of(answer((0, 0, 2), (3, 1, 0), (0, 0, 3), (0, 0, 4)), "dispense", (2, 1, 3, 4))
    assert counts(found) == [(3, 1), (0, 0), (0, 0), (0, 0)] and not uncertain(found)


def test_of_two_of_one_type_the_one_that_was_taken_out_counts_there_too() -> None:
    found = result_of(answer((2, 0, 1), (3, 0, 0), (0, 0, 3), (0, 0, 4)), "dispense", (1, 1, 3, 4))
    assert found.units[0] == UnitResult(5, 0) and not uncertain(found)


@pytest.mark.parametrize("seen", [(0, 0, 0, 0), (2, 0, 3, 4), (1, 2, 3, 4)])
def test_notes_of_a_cassette_that_nobody_knows_prove_nothing(seen: tuple[int, int, int, int]) -> None:
    """Never seen, or what was seen there stands somewhere else now."""
    found = result_of(answer((0, 0, 2), (3, 1, 0), (0, 0, 3), (0, 0, 4)), "dispense", seen)
    assert found.missing == 4 and uncertain(found)


def test_an_unknown_one_that_gave_nothing_says_nothing() -> None:
    found = result_of(answer((1, 0, 1), (0, 0, 0), (0, 0, 3), (0, 0, 4)), "dispense", (1, 0, 3, 4))
    assert counts(found)[0] == (1, 0) and not uncertain(found)


def test_notes_of_a_place_where_another_cassette_stands_now_prove_nothing() -> None:
    """Two were exchanged before anybody asked: the counts are of the places, and whose notes they were the unit does not say."""
    found = result_of(answer((1, 0, 2), (2, 0, 1), (3, 0, 3), (0, 0, 4)), "dispense", (1, 2, 3, 4))
    assert counts(found) == [(0, 0), (0, 0), (3, 0), (0, 0)] and found.missing == 3 and uncertain(found)


def test_the_command_keeps_its_name() -> None:
    assert result_of(answer(*[(0, 0, 0)] * 4), "testDispense", (1, 2, 3, 4)).command == "testDispense"
