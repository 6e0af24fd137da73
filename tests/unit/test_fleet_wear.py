"""The wear CUSUM: what it must always do, and what it does to simulated machines."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from terminal.fleet.counts import NAMES
from terminal.fleet.wear import CEILING, KINDS, REFERENCE, THRESHOLD, Score, watch

LOOKS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5_000)), max_size=60)
RATE = 1 / 1_000


def test_what_is_counted_is_what_the_report_counts() -> None:
    for kind in KINDS.values():
        assert {kind.seen, kind.opportunities} <= set(NAMES)
        assert 0 < kind.per_opportunity * REFERENCE < 1


@given(LOOKS)
def test_the_score_stays_in_its_bounds_and_its_evidence_adds_up(looks: list[tuple[int, int]]) -> None:
    score = Score("x")
    for number, (seen, opportunities) in enumerate(looks):
        before, score = score, watch(score, seen, opportunities, RATE, str(number))
        assert 0 <= score.score <= CEILING
        assert score.seen >= score.score - 1e-9, "no score without faults that were seen"
        if before.score and score.score:
            assert (score.seen, score.opportunities) == (before.seen + seen, before.opportunities + opportunities)
        if not score.score:
            assert (score.seen, score.opportunities, score.since) == (0, 0, "")


@given(LOOKS, st.integers(0, 59))
def test_more_faults_never_lower_it_and_more_work_never_raises_it(looks: list[tuple[int, int]], where: int) -> None:
    def end(worse: int, busier: int) -> float:
        score = Score("x")
        for number, (seen, opportunities) in enumerate(looks):
            here = number == where
            score = watch(score, seen + (worse if here else 0), opportunities + (busier if here else 0), RATE, "")
        return score.score

    assert end(1, 0) >= end(0, 0) >= end(0, 500)


def test_good_work_brings_it_back() -> None:
    score = watch(Score("x"), 100, 0, RATE, "")
    assert score.score == CEILING
    assert watch(score, 0, int((CEILING - THRESHOLD / 2) / (REFERENCE * RATE)) + 1, RATE, "").score < THRESHOLD / 2


def test_simulated_machines() -> None:
    """The bench in small, from fixed seeds: what decision 0016 says of it must stay so."""
    path = Path(__file__).parents[2] / "benchmarks" / "wear.py"
    spec = importlib.util.spec_from_file_location("wear_bench", path)
    assert spec is not None and spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    found = bench.measure(100, 2)
    assert found["false_alarms_per_machine_year"] < 0.19
    assert found["step_found"] == found["ramp_found"] == 1.0
    assert found["step_days_p50"] <= 14 and found["ramp_days_p50"] <= 45
