"""The deterministic bench, in small: a slice of schedules, stories that once failed, and proof that the bench would notice."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from money import explore, mutants
from money.faults import draw_fault
from money.kinds import DOUBT, KINDS
from money.play import Outcome, play, story_lines
from money.pool import Bar, Tally, chunks, on_all_cores, run_seeds, schedule_of, setting
from money.schedule import BROUGHT_BACK, EXCHANGED, Customer, Fault, Schedule, draw
from money.shrink import shrink

from drivers.protocols.puloon_messages import MovementResult
from simulators.devices.dispenser import SURVIVES
from terminal.core.cash import DispenserResult
from terminal.workers.services import dispenser

ROOT = Path(__file__).resolve().parents[2]
CUSTOMER = Customer()
SLICE = 2_000


def played(*faults: Fault, survives: str = "reset", whole: bool = False) -> Outcome:
    return play(Schedule(7, (CUSTOMER,), faults, survives=survives, whole=whole), setting(), story=True)


def payouts(outcome: Outcome) -> list[str]:
    return [what for _, who, what in outcome.story if who == "customer" and what.startswith("takes the cash")]


def test_a_withdrawal_without_any_fault() -> None:
    outcome = played()
    assert outcome.wrong == () and outcome.latched == ""
    assert payouts(outcome) == ["takes the cash: [[1, 3]]"]
    assert played(whole=True).wrong == (), "the long way, and a probe customer behind"
    said = [what for _, who, what in outcome.story if who == "agent"]
    assert said.index("dispensing -> Record:dispenseIntended") < said.index("dispensing -> Dispense")


def test_a_slice_of_the_random_schedules() -> None:
    tally = Tally()
    for part in on_all_cores(run_seeds, chunks(range(SLICE), 50), SLICE, lambda part: part.schedules, Bar("slice")):
        tally.merge(part)
    assert tally.schedules == SLICE
    assert tally.violations == [], "./run bench money --seed N --story tells one"
    assert tally.latched["outcomeUnknown"] and tally.latched["dispenserFault"] and tally.kills > 100, "nothing was put to the test"


def test_the_same_seed_tells_the_same_story_in_another_process() -> None:
    """Also with another order of Python's sets: nothing may depend on it."""
    program = (
        f"import sys, hashlib; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests' / 'bench')!r}]\n"
        "from money.pool import schedule_of, setting\n"
        "from money.play import play, story_lines\n"
        "for seed in (3, 8, 31, 32): print(hashlib.sha256('\\n'.join(story_lines(play(schedule_of(seed), setting(), story=True)))"
        ".encode()).hexdigest())\n"
    )
    told = []
    for seed in ("1", "2"):
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed})
        told.append(ran.stdout.split())
    here = ["\n".join(story_lines(play(schedule_of(seed), setting(), story=True))) for seed in (3, 8, 31, 32)]
    assert told[0] == told[1] == [hashlib.sha256(story.encode()).hexdigest() for story in here]


def test_a_seed_is_a_schedule_and_nothing_else() -> None:
    assert draw(11, draw_fault) == draw(11, draw_fault) != draw(12, draw_fault)
    assert json.loads(json.dumps(schedule_of(11).as_json()))["seed"] == 11


# --- stories that failed once


def test_a_refused_dispense_is_not_sent_again() -> None:
    outcome = played(Fault("send<Dispense#1", "dispenser/nak", (("command", 0x52), ("count", 1))))
    assert outcome.wrong == () and outcome.latched == "outcomeUnknown"
    assert payouts(outcome) == ["takes the cash: [[1, 1]]"], "what the next customer gets, when a person has counted"


def test_a_missing_acknowledgement_is_no_proof() -> None:
    """The ACK is lost, the power fails in the movement, and a unit that keeps only finished accounts comes back with the one before."""
    lost = Fault("send<Dispense#1", "dispenser/drop_ack", (("command", 0x52), ("count", 1)))
    cut = Fault("send<Dispense#1", "dispenser/powerCutInMovement", (("notes", 2), ("place", "exit"), ("seconds", 2.0)))
    outcome = played(lost, cut, survives="finished")
    assert outcome.wrong == () and outcome.latched == "outcomeUnknown"


@pytest.mark.parametrize("survives", SURVIVES)
@pytest.mark.parametrize("place", ["chk", "exit"])
def test_an_account_that_was_there_before_is_no_proof(survives: str, place: str) -> None:
    """Two customers want the same. The second dispense is cut short, and what the unit says afterwards is true of the first."""
    cut = Fault("send<Dispense#2", "dispenser/powerCutInMovement", (("notes", 0), ("place", place), ("seconds", 2.0)))
    outcome = play(Schedule(7, (CUSTOMER, CUSTOMER), (cut,), survives=survives, whole=False), setting())
    assert outcome.wrong == () and outcome.latched in ("outcomeUnknown", "dispenserFault")


def test_a_refusal_that_the_disk_did_not_take_is_a_doubt() -> None:
    """The unit said that it did nothing, and nobody could write it down: after the restart LAST STATUS says what it said before."""
    out = Fault("send>Dispense#1", "dispenser/rejectBinOut", (("seconds", 2.0),))
    outcome = played(out, Fault("send>Dispense#1", "disk/refuses", (("appends", 1),)))
    assert outcome.wrong == () and outcome.latched == "outcomeUnknown"


def test_a_late_answer_does_not_overtake_or_outlive_what_is_asked_behind_it() -> None:
    """The simulated wire let a repeated answer overtake the first one, which then answered the next customer's dispense."""
    late = Fault("note#2", "wire/cashDispenser/toHost/delay", (("seconds", 12.0),))
    cut = Fault("send<Dispense#2", "dispenser/powerCutInMovement", (("notes", 0), ("place", "chk"), ("seconds", 8.0)))
    for survives in SURVIVES:
        assert play(Schedule(91_822, (CUSTOMER, CUSTOMER), (late, cut), survives=survives, whole=False), setting()).wrong == ()


def test_an_account_that_a_reset_had_taken_away_may_come_back() -> None:
    outcome = play(Schedule(7, (CUSTOMER,) * 3, BROUGHT_BACK, survives="dispensed", whole=False), setting())
    assert outcome.wrong == () and outcome.latched == "outcomeUnknown"


@pytest.mark.parametrize("survives", SURVIVES)
def test_what_was_never_sent_did_not_run_whatever_the_unit_says(survives: str) -> None:
    """Worker and dispenser are gone when the command should leave; the account that comes back is of the customer before."""
    gone = [
        Fault("journal<dispenseIntended#2", kind, more)
        for kind, more in (("dispenser/powerOff", (("seconds", 2.0),)), ("process/cashDispenser", ()))
    ]
    outcome = play(Schedule(7, (CUSTOMER, CUSTOMER), tuple(gone), survives=survives, whole=False), setting(), story=True)
    assert outcome.wrong == () and outcome.latched == "" and len(payouts(outcome)) == 1


def test_notes_are_of_the_cassettes_that_stood_there() -> None:
    """Two cassettes change places before anybody asks what was paid: a note of 100 counted as one of 50."""
    outcome = play(Schedule(7, (explore.MIXED,), EXCHANGED, survives="power", whole=False), setting())
    assert outcome.wrong == () and outcome.latched == "outcomeUnknown" and "dispenser/cassettesExchanged" in outcome.effects


def test_two_notes_counted_as_one_reject() -> None:
    assert played(Fault("send<Dispense#1", "dispenser/doubleNote", (("count", 1), ("reported", 1)))).wrong == ()


def test_a_note_of_another_cassette_jams() -> None:
    wrong_note = Fault("send<Dispense#1", "dispenser/wrongNote", (("unit", 3),))
    outcome = played(wrong_note, Fault("send<Dispense#1", "dispenser/jam", (("after_notes", 0), ("where", "dvt"))))
    assert outcome.wrong == () and outcome.latched == "dispenserFault"


def test_a_pad_that_is_off_for_long_costs_nobody_his_time() -> None:
    """A heartbeat that was due at that very moment was waited for without waiting."""
    assert played(Fault("show enterPin#1", "pinPad/powerOff", (("seconds", 40.0),))).wrong == ()


def test_power_that_fails_between_the_answer_and_its_settlement() -> None:
    cut = Fault("journal<dispenseAnswered,transactionSettled#1", "machine/powerCut", (("dispenser", False), ("seconds", 3.0)))
    outcome = played(cut, survives="power")
    assert outcome.wrong == () and outcome.latched == "", "LAST STATUS was there to ask"
    outcome = played(replace(cut, arguments=(("dispenser", True), ("seconds", 3.0))), survives="nothing")
    assert outcome.wrong == () and outcome.latched == "outcomeUnknown", "and here it was not: a person had to count"


def test_nobody_sends_what_could_not_be_synced() -> None:
    """The simulated disk showed the sender a message whose fsync had failed. After a power cut its number was given out again."""
    crash = Fault("wire pinPad toDevice#8", "broker/crash", (("seconds", 8.0),))
    fails = Fault("event TimerExpired#1", "disk/syncFails")
    cut = Fault("event TimerExpired#2", "machine/powerCut", (("dispenser", True), ("seconds", 20.0)))
    customer = Customer(amount_minor=17_000, pace_s=1.5)
    assert play(Schedule(483_682, (customer,), (crash, fails, cut), whole=False), setting()).wrong == ()


def test_what_was_synced_before_a_kill_survives_a_power_cut_behind_it() -> None:
    killed = Fault("send>Dispense#1", "process/agent", (("seconds", 2.0),))
    cut = Fault("note#14", "machine/powerCut", (("dispenser", False), ("seconds", 3.0)))
    assert played(killed, cut).wrong == ()


def test_an_fsync_that_fails_leaves_an_entry_that_nobody_believes_in() -> None:
    for name in ("dispenseIntended", "authorisationRequested", "dispenseAnswered,transactionSettled", "cardConfirmed"):
        assert played(Fault(f"journal<{name}#1", "disk/syncFails")).wrong == ()


# --- the bench is not blind


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


def test_the_agent_may_be_killed_at_every_single_moment() -> None:
    points = explore.steps()
    cells = [cell for cell in explore.singles(points) if cell.first[0] == "process/agent"]
    tally, violated, _ = explore.run(cells, "kills")
    assert tally.schedules == len(points) > 200 and violated == {}
    assert tally.kills >= len(points)


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


# --- hanging processes


@pytest.mark.parametrize("device", ["cashDispenser", "cardReader", "pinPad", "printer"])
@pytest.mark.parametrize("moment", ["show idle#1", "show chooseAmount#1", "send>Dispense#1", "send>PrintReceipt#1"])
def test_a_worker_that_hangs_is_killed_and_the_terminal_serves_again(device: str, moment: str) -> None:
    fault = Fault(moment, f"process/{device}Hangs", (("seconds", None),))
    outcome = play(Schedule(7, (replace(CUSTOMER, receipt=True),), (fault,)), setting(), story=True)
    assert outcome.wrong == () and outcome.effects == (f"process/{device}Hangs",)
    assert not [what for _, who, what in outcome.story if who == "fault" and what.endswith("goes on")], "killed, not waited for"


@pytest.mark.parametrize("whole", [False, True])
def test_a_page_that_hangs_comes_back(whole: bool) -> None:
    outcome = played(Fault("show chooseAmount#1", "process/pageHangs", (("seconds", None),)), whole=whole)
    assert outcome.wrong == () and outcome.effects == ("process/pageHangs",)


@pytest.mark.parametrize("kind", ["process/agentHangs", "broker/hangs", "bank/hangs"])
@pytest.mark.parametrize("moment", ["journal>authorisationRequested#1", "send>Dispense#1", "publish>txn#1"])
@pytest.mark.parametrize("seconds", [2.0, 40.0])
def test_what_stands_still_goes_on_where_it_was(kind: str, moment: str, seconds: float) -> None:
    outcome = played(Fault(moment, kind, (("seconds", seconds),)))
    assert outcome.wrong == () and outcome.latched == "" and outcome.effects == (kind,)


# --- caution has a reason


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


def test_an_empty_cassette_puts_no_other_out_of_use() -> None:
    """One failed pick took the full cassettes behind it out of use, and the terminal said that it had no cash."""
    empty = Fault("show chooseAmount#1", "dispenser/cassetteEmpty", (("left", 0), ("unit", 1)))
    everything = replace(CUSTOMER, amount_minor=38_000)
    assert play(Schedule(7, (everything,), (empty,)), setting()).wrong == ()


def test_a_dispense_that_no_worker_could_take_is_no_doubt() -> None:
    outcome = played(Fault("journal<dispenseIntended#1", "process/cashDispenser"))
    assert outcome.wrong == () and outcome.latched == "" and payouts(outcome) == []


def test_the_command_line_tells_a_story() -> None:
    bench = [sys.executable, str(ROOT / "benchmarks" / "money.py")]
    ran = subprocess.run([*bench, "--seed", "3", "--story"], capture_output=True, text=True, check=True)
    assert "all invariants hold" in ran.stdout and json.loads(ran.stdout.splitlines()[-1])["violations"] == []
    bad = subprocess.run([*bench, "--schedules", "0"], capture_output=True, text=True, check=False)
    assert bad.returncode == 2 and "at least 1" in bad.stderr and "Traceback" not in bad.stderr


# --- four kinds of notes, from cassettes that have changed places


def everything(*faults: Fault) -> Outcome:
    return play(Schedule(7, (explore.MIXED,), faults, swapped=True, whole=False), setting())


@pytest.mark.parametrize("unit", [1, 2, 3])
def test_notes_of_a_cassette_that_was_taken_out_are_still_of_its_kind(unit: int) -> None:
    """Cassette 2 holds the notes of 100. They counted as notes of 50 when it was pulled in the middle: half of what left was debited."""
    for note in range(1, 9):
        outcome = everything(Fault(f"note#{note}", "dispenser/cassetteRemoved", (("seconds", 8.0), ("unit", unit))))
        assert outcome.wrong == () and outcome.latched == ""


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
