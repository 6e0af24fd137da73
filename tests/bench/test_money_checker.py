"""The checker is checked: planted bugs are found, every kind of fault is felt, a failure is shrunk, every cell is struck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from money import explore, mutants
from money.kinds import DOUBT, KINDS
from money.play import play
from money.pool import schedule_of, setting
from money.schedule import Customer, Fault, Schedule
from money.shrink import shrink
from money.single import CUSTOMER, everything, played

from drivers.protocols.puloon_messages import MovementResult
from terminal.core.cash import DispenserResult
from terminal.workers.services import dispenser


@pytest.mark.parametrize(
    "name",
    ["journalAfterSend", "countRequested", "doubtWithoutLatch", "syncLater", "noReversal", "leftCashMakesInaccurate", "keepAReserve"],
)
def test_a_planted_bug_is_found(name: str) -> None:
    found = mutants.hunt((name, 1, 400))
    assert found.seed is not None, f"{name} was not found"
    assert play(schedule_of(found.seed), setting()).wrong == (), "and dug up again"


def test_every_planted_bug_names_what_must_fall() -> None:
    mutants.catalogue()
    assert len(mutants.MUTANTS) >= 40
    assert all(bug.falls for bug in mutants.MUTANTS.values())


def test_another_invariant_than_the_one_that_was_named_is_no_find(monkeypatch: pytest.MonkeyPatch) -> None:
    mutants.catalogue()
    monkeypatch.setitem(mutants.MUTANTS, "journalAfterSend", replace(mutants.MUTANTS["journalAfterSend"], falls=("nothingSecret",)))
    found = mutants.hunt(("journalAfterSend", 1, 5))
    assert found.seed is None and "intentFirst" in found.otherwise


def test_a_pair_s_second_moment_is_the_nth_of_its_name() -> None:
    cell = next(cell for cell in explore.pairs(explore.steps()) if cell.second is not None and cell.second[1] != cell.first[1])
    assert isinstance(cell.first[1], int) and isinstance(cell.second[1], str) and "#" in cell.second[1]


def test_the_exhaustive_run_in_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    single, mixed, again, pairs = explore.singles, explore.mixed, explore.again, explore.pairs
    monkeypatch.setattr(explore, "singles", lambda points: single(points)[:3])
    monkeypatch.setattr(explore, "mixed", lambda: mixed()[:2])
    monkeypatch.setattr(explore, "again", lambda: again()[-2:])
    both = list(pairs(explore.steps()))
    monkeypatch.setattr(explore, "_pairs", lambda points: [next(cell for cell in both if cell.at_once is there) for there in (True, False)])
    figures, whole = explore.main(tmp_path / "grid.html", pairs=True)
    assert not whole, "most kinds were in no cell"
    assert (figures["struck"], figures["mixed_struck"], figures["again_struck"], figures["pairs"]) == (3, 2, 2, 2)
    assert figures["violations"] == 0 and figures["pairs_both_struck"] >= 1
    assert "Pairs around the dispense: 2 schedules" in (tmp_path / "grid.html").read_text()


def test_a_failure_is_shrunk_to_what_matters() -> None:
    noise = (Fault(5, "printer/paperOut"), Fault("show idle#1", "clock/jumps", (("seconds", 3600.0),)))
    nak = Fault("send<Dispense#1", "dispenser/nak", (("command", 0x52), ("count", 1)))
    with mutants.planted("resendOnNak"):
        before = Schedule(7, (CUSTOMER, replace(CUSTOMER, pace_s=1.5, eager=True)), (*noise, nak), latency=5.0)
        small = shrink(before, setting())
        assert [name for name, _ in play(small, setting()).wrong]
    assert small.faults == (nak,) and len(small.customers) == 1 and small.latency == 1.0


MOMENTS = (
    "show chooseAmount#1",
    "journal>authorisationRequested#1",
    "send<Dispense#1",
    "show readingCard#1",
    "show takeCash#1",
    "show face#1",
)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_fault_is_felt_somewhere(name: str) -> None:
    """A kind that cannot be felt would be a check that cannot fail."""
    person = Customer(card="everyday", pins=("135790",), amount_minor=100_000, receipt=True)
    felt = []
    for moment in MOMENTS:
        fault = Fault(moment, name, tuple(KINDS[name].usual().items()))
        outcome = play(Schedule(1, (person,), (fault,), face=True), setting())
        assert [kind for kind, _ in outcome.struck] in ([name], []) and outcome.wrong == ()
        felt += outcome.effects
        if felt:
            break
    assert felt == [name]


def test_a_disturbed_wire_on_which_nothing_is_sent_disturbs_nothing() -> None:
    late = played(Fault("show thanks#1", "wire/printer/toDevice/lose"))
    assert [kind for kind, _ in late.struck] == ["wire/printer/toDevice/lose"] and late.effects == ()


AROUND_THE_DISPENSE = ("send<Dispense#1", "send>Dispense#1", "note#1", "note#3", "event CommandFailed#1", "send>AskLastStatus#1")


HARMLESS = [kind for kind in KINDS.values() if DOUBT not in kind.leads and kind.name.startswith(("dispenser/", "wire/cashDispenser/"))]


def test_faults_that_justify_no_doubt_leave_none_together_either() -> None:
    chance = Random("harmless")
    for seed in range(200):
        kinds = chance.sample(HARMLESS, 3)
        faults = [Fault(chance.choice(AROUND_THE_DISPENSE), kind.name, tuple(kind.draw(chance).items())) for kind in kinds]
        survives = chance.choice(("nothing", "reset", "power", "finished"))
        customer, swapped = chance.choice(((CUSTOMER, False), (explore.MIXED, True)))
        outcome = play(Schedule(seed, (customer,), tuple(faults), survives=survives, swapped=swapped, whole=False), setting())
        assert outcome.wrong == () and outcome.latched != "outcomeUnknown", [str(fault) for fault in faults]


def test_the_checker_sees_notes_that_are_counted_by_position(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = dispenser.result_of

    def by_position(result: MovementResult, command: str, types: Sequence[int]) -> DispenserResult:
        kinds = [one.type or place for place, one in enumerate(result.cassettes, 1)]
        cassettes = tuple(replace(one, type=kind) for one, kind in zip(result.cassettes, kinds, strict=True))
        return shipped(replace(result, cassettes=cassettes), command, kinds)

    monkeypatch.setattr(dispenser, "result_of", by_position)
    outcome = everything(Fault("note#3", "dispenser/cassetteRemoved", (("seconds", 8.0), ("unit", 2))))
    assert "debitedIsPresented" in dict(outcome.wrong)


def test_a_cut_in_a_movement_is_felt_also_when_another_lies_in_wait_behind_it() -> None:
    first, second = (
        Fault(at, "dispenser/powerCutInMovement", (("notes", 0), ("place", "exit"), ("seconds", 40.0))) for at in ("note#2", "t=22.5")
    )
    outcome = everything(first, second)
    assert outcome.wrong == () and "dispenser/powerCutInMovement" in outcome.effects
