"""cash.mix against every possibility tried out, cash.proves against what a dispenser can really have done, and the counters."""

from __future__ import annotations

import dataclasses
import sys
from itertools import product
from types import FrameType

import pytest
from core_ways import ONE_BEFORE, account, config
from hypothesis import example, given, settings
from hypothesis import strategies as st

from terminal.core import cash
from terminal.core.cash import Accuracy, CashUnit, DispenserResult, UnitResult, mix, possible, proves

DENOMINATION = st.sampled_from([100, 500, 1_000, 2_000, 5_000, 10_000])
UNIT = st.builds(CashUnit, st.just("1"), DENOMINATION, st.integers(0, 6), usable=st.booleans())
UNITS = st.lists(UNIT, min_size=1, max_size=4)


def cheapest(units: list[CashUnit], amount_minor: int, max_notes: int) -> int | None:
    """The fewest notes, by trying every mix."""
    ranges = [range(unit.count + 1 if unit.usable else 1) for unit in units]
    fits = [
        sum(mixed)
        for mixed in product(*ranges)
        if sum(unit.denomination_minor * n for unit, n in zip(units, mixed, strict=True)) == amount_minor and sum(mixed) <= max_notes
    ]
    return min(fits, default=None)


@settings(deadline=None, max_examples=300)
@given(UNITS, st.integers(-1, 300).map(lambda n: n * 100), st.integers(1, 24))
@example([CashUnit("1", 5_000, 1), CashUnit("2", 2_000, 4)], 8_000, 40)
@example([CashUnit("1", 10_000, 1), CashUnit("2", 2_000, 6), CashUnit("3", 5_000, 1)], 11_000, 40)
@example([CashUnit("1", 10_000, 0), CashUnit("2", 10_000, 3)], 20_000, 2)
def test_a_mix_is_found_whenever_there_is_one_and_it_has_the_fewest_notes(units: list[CashUnit], amount_minor: int, max_notes: int) -> None:
    found = mix(units, amount_minor, max_notes)
    least = cheapest(units, amount_minor, max_notes) if amount_minor > 0 else None
    if least is None:
        assert found is None
        return
    assert found is not None
    assert cash.value_minor(units, found) == amount_minor
    assert sum(found) == least <= max_notes
    assert all(0 <= n <= (unit.count if unit.usable else 0) for unit, n in zip(units, found, strict=True))


@settings(deadline=None, max_examples=60)
@given(UNITS, st.lists(st.integers(0, 200).map(lambda n: n * 100), max_size=6))
def test_payable_is_what_has_a_mix(units: list[CashUnit], amounts: list[int]) -> None:
    assert cash.payable(units, amounts, 40) == tuple(amount for amount in amounts if mix(units, amount, 40) is not None)


def searched(units: tuple[CashUnit, ...], amount_minor: int, max_notes: int) -> int:
    """How many places the search looks at: counted, not timed."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code.co_name == "search"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        mix(units, amount_minor, max_notes)
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize("max_notes", [40, 100])
@pytest.mark.parametrize("amount_minor", [300_000, 299_000, 295_000, 290_500, 299_900])
@pytest.mark.parametrize(
    "counts",
    [(2_000, 2_000, 2_000, 2_000), (2, 3, 5, 1), (0, 0, 39, 2_000), (29, 1, 0, 4), (15, 30, 60, 90), (29, 3, 2, 0), (0, 60, 0, 0)],
)
def test_the_search_stays_small_for_full_and_nearly_empty_cassettes(counts: tuple[int, ...], amount_minor: int, max_notes: int) -> None:
    """It runs for every preset on every view of the amount screen."""
    assert searched(config(counts=counts).units, amount_minor, max_notes) < 3_000


def test_four_cassettes_of_one_denomination_are_no_trap() -> None:
    units = tuple(CashUnit(str(n), 10_000, 15) for n in range(4))
    assert mix(units, 300_000, 40) == (15, 15, 0, 0)
    assert searched(units, 305_000, 100) < 10
    assert searched(units, 990_000, 100) < 3_000


# --- what LAST STATUS proves


QUANTITIES = (2, 1, 0, 0)


@pytest.mark.parametrize(
    ("says", "baseline", "proof"),
    [
        (account(0, 0, 0, 0, command="none"), ONE_BEFORE, False),
        (account(0, 0, 0, 0, command="none"), account(0, 0, 0, 0, command="none"), False),
        (ONE_BEFORE, ONE_BEFORE, False),
        (account(5, 0, 0, 0), account(5, 0, 0, 0), False),
        (account(2, 1, 0, 0), account(2, 1, 0, 0), False),
        (account(1, 0, 0, 0, error=0x01), account(1, 0, 0, 0, error=0x01), False),
        (account(2, 1, 0, 0), ONE_BEFORE, True),
        (account(2, 1, 0, 0), account(5, 0, 0, 0), True),
        (account(2, 0, 0, 0, error=0x01), ONE_BEFORE, True),
        (account(0, 0, 0, 0, error=0x20), ONE_BEFORE, True),
        (account(2, 0, 0, 0), ONE_BEFORE, False),
        (account(3, 0, 0, 0, error=0x20), ONE_BEFORE, False),
        (account(0, 0, 1, 0, error=0x20), ONE_BEFORE, False),
        (account(2, 1, 0, 0, error=0x05), ONE_BEFORE, False),
        (account(2, 1, 0, 0, error=0x07), ONE_BEFORE, False),
        (account(2, 1, 0, 0, error=0x08), ONE_BEFORE, False),
        (account(2, 1, 0, 0, error=0x0A), ONE_BEFORE, False),
        (account(2, 1, 0, 0, command="purge"), ONE_BEFORE, False),
        (account(2, 1, 0, 0, command="testDispense"), account(5, 0, 0, 0), False),
    ],
)
def test_what_last_status_proves(says: DispenserResult, baseline: DispenserResult, proof: bool) -> None:
    assert proves(says, baseline, (), QUANTITIES) is proof


def test_an_account_with_missing_notes_proves_nothing() -> None:
    lost_sight = dataclasses.replace(account(2, 1, 0, 0), missing=1)
    assert not proves(lost_sight, ONE_BEFORE, (), QUANTITIES)


COUNT = st.integers(0, 3)
ACCOUNT = st.builds(
    lambda command, error, presented, rejected: DispenserResult(command, error, "", 0, tuple(map(UnitResult, presented, rejected))),
    st.sampled_from(["dispense", "testDispense", "purge", "none"]),
    st.sampled_from([0, 0x01, 0x05, 0x07, 0x20]),
    st.lists(COUNT, min_size=4, max_size=4),
    st.lists(COUNT, min_size=4, max_size=4),
)
ASKED = st.lists(COUNT, min_size=4, max_size=4).map(tuple)


@settings(deadline=None, max_examples=300)
@given(ACCOUNT, ACCOUNT, ASKED)
def test_a_proof_never_claims_more_than_can_be(says: DispenserResult, baseline: DispenserResult, asked: tuple[int, ...]) -> None:
    if proves(says, baseline, (), asked):
        assert possible(says, asked) and says != baseline and says.error not in cash.UNCERTAIN_ERRORS
    assert not proves(says, says, (), asked), "an account that was there before is of an earlier dispense"


@settings(deadline=None, max_examples=200)
@given(ACCOUNT, ASKED)
def test_a_finished_dispense_is_known_unless_it_ended_as_the_one_before(baseline: DispenserResult, asked: tuple[int, ...]) -> None:
    done = account(*asked)
    assert proves(done, baseline, (), asked) is (done != baseline)


# --- counters


@pytest.mark.parametrize(
    ("asked", "result", "dry"),
    [
        ((3, 1, 1, 1), account(0, 0, 0, 0, error=0x01), 0),
        ((3, 1, 1, 1), account(2, 0, 0, 0, error=0x01), 0),
        ((3, 2, 1, 0), account(3, 1, 0, 0, error=0x01), 1),
        ((3, 2, 1, 0), account(0, 1, 0, 0, error=0x01), 1),
        ((0, 0, 1, 1), account(0, 0, 0, 0, error=0x01), 2),
        ((3, 2, 0, 0), account(3, 2, 0, 0, error=0x01), None),
        ((3, 2, 0, 0), account(2, 0, 0, 0, error=0x20), None),
    ],
)
def test_one_empty_cassette_puts_no_other_out_of_use(asked: tuple[int, ...], result: DispenserResult, dry: int | None) -> None:
    after = cash.account(config(counts=(9, 9, 9, 9)).units, asked, result)
    assert [place for place, unit in enumerate(after) if not unit.usable] == ([] if dry is None else [dry])


@settings(deadline=None, max_examples=200)
@given(ACCOUNT.filter(lambda one: one.command == "dispense"), ASKED)
def test_the_counters_follow_the_account(result: DispenserResult, asked: tuple[int, ...]) -> None:
    before = config(counts=(9, 9, 9, 9)).units
    after = cash.account(before, asked, result)
    for old, new, n, seen in zip(before, after, asked, result.units, strict=True):
        assert (new.presented - old.presented, new.rejected - old.rejected) == (seen.presented, seen.rejected)
        assert old.count - new.count == min(9, seen.presented + seen.rejected)
        astray = result.error not in (0, cash.PICK_UP_ERROR) or result.missing
        took_part = n or seen.presented or seen.rejected
        certain = not astray and not (took_part and (result.error or seen.rejected))
        assert new.accuracy is (Accuracy.ACCURATE if certain else Accuracy.INACCURATE)
        assert new.usable or (result.error == cash.PICK_UP_ERROR and seen.presented < n)
    assert sum(not unit.usable for unit in after) <= 1, "a dispenser stops at the first failed pick"
    for old, new, n in zip(before, cash.account_unknown(before, asked), asked, strict=True):
        assert old.count - new.count == n and new.accuracy is Accuracy.INACCURATE


def test_notes_out_of_sight_make_the_count_inaccurate() -> None:
    after = cash.account(config().units, (2, 0, 0, 0), account(2, 0, 0, 0, missing=1))
    assert {unit.accuracy for unit in after} == {Accuracy.INACCURATE}


def test_a_count_is_never_below_zero() -> None:
    assert CashUnit("1", 10_000, 1, presented=3).count == 0
