"""Which numbers have come: ranges against a plain set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk_ui.monitor.ranges import MOST, Ranges, TooManyGaps


@given(st.lists(st.integers(1, 40), max_size=80))
def test_ranges_are_a_set(numbers: list[int]) -> None:
    ranges, plain = Ranges(), set()
    for number in numbers:
        assert ranges.add(number) == (number not in plain)
        plain.add(number)
        assert [n for n in range(42) if n in ranges] == sorted(plain)
    run = 0
    while run + 1 in plain:
        run += 1
    assert ranges.upto == run and ranges.top == max(plain, default=0)
    assert str(Ranges.parse(str(ranges))) == str(ranges)
    assert all(last + 1 < first for last, first in zip(ranges.lasts, ranges.firsts[1:], strict=False)), "they never touch"


@given(st.sets(st.integers(1, 30), min_size=1))
def test_filling_gaps_ends_in_one_run(numbers: set[int]) -> None:
    ranges, lost = Ranges(), 0
    for number in numbers:
        ranges.add(number)
    while missing := ranges.fill_gap():
        lost += missing[1] - missing[0] + 1
    assert (ranges.upto, lost) == (max(numbers), max(numbers) - len(numbers))


def test_gaps_are_bounded() -> None:
    ranges = Ranges()
    for number in range(1, 2 * MOST, 2):
        ranges.add(number)
    with pytest.raises(TooManyGaps):
        ranges.add(2 * MOST + 1)
    assert ranges.add(2), "what fills a gap is always taken"
    assert ranges.add(2 * MOST + 1)
    assert ranges.add(2 * MOST + 3, squeeze=True) and len(ranges.firsts) == MOST
    assert 4 in ranges, "the oldest gap was given up"
