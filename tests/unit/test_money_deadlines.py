"""The money bench's witness of deadlines: what it takes for late, and what not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from money.deadlines import LATE_S, Deadlines

from terminal.core.model import Timeouts


class Rig:
    """A life whose time is set by hand."""

    def __init__(self) -> None:
        self.time = 100.0
        self.broken: list[str] = []
        self.world = SimpleNamespace(
            config=SimpleNamespace(timeouts=Timeouts(input_s=9.0)), broke=lambda what, detail: self.broken.append(f"{what}: {detail}")
        )
        life: Any = self
        self.witness = Deadlines(life)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_an_answer_in_time_is_none_of_its_business(rig: Rig) -> None:
    rig.witness.asked(1, "Dispense", 30.0)
    rig.time += 30.0 + LATE_S
    rig.witness.answered(1)
    rig.witness.answered(None)
    assert rig.broken == [] and list(rig.witness.overdue("idle")) == []


def test_a_late_answer_and_none_at_all(rig: Rig) -> None:
    rig.witness.asked(1, "Dispense", 30.0)
    rig.witness.asked("r", "auth", 8.0)
    rig.time += 32.0
    rig.witness.answered(1)
    assert rig.broken == ["deadlines: Dispense: answered 1.0 s too late"]
    assert list(rig.witness.overdue("idle")) == ["auth: no answer 23.0 s after the last moment"]
    assert list(rig.witness.overdue("idle")) == [], "told once"


def test_an_answer_that_came_before_the_asking_returned(rig: Rig) -> None:
    rig.witness.answered("r")
    rig.witness.asked("r", "auth", 8.0)
    rig.time += 60.0
    assert list(rig.witness.overdue("idle")) == []


def test_a_phase_may_last_as_long_as_something_happens_in_it(rig: Rig) -> None:
    rig.witness.event("readingCard", "ApplicationSelected")
    for _ in range(5):
        rig.time += 9.0
        rig.witness.event("enteringPin", "KeyPressed")
    assert rig.broken == []
    rig.time += 9.0 + LATE_S + 0.1
    rig.witness.event("enteringPin", "TimerExpired")
    assert rig.broken == ["deadlines: enteringPin lasted 10.1 s, its limit is 9.0 s"]


def test_what_was_ignored_did_not_happen(rig: Rig) -> None:
    rig.witness.event("preparing", "CommandFailed")
    for _ in range(2):
        rig.time += 20.0
        rig.witness.event("returningCard", "TimerExpired")
        rig.witness.ignored()
    assert rig.broken == ["deadlines: returningCard lasted 40.0 s, its limit is 30.0 s"]
    rig.time += 300.0
    rig.witness.event("idle", "CardInserted")
    assert len(rig.broken) == 1, "between customers there is no limit"
