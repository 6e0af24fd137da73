"""The deterministic bench, in small: a slice of schedules, the same from a seed, kills and hangs at many moments."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from money import explore
from money.faults import draw_fault
from money.play import play, story_lines
from money.pool import Bar, Tally, chunks, on_all_cores, run_seeds, schedule_of, setting
from money.schedule import Fault, Schedule, draw
from money.single import CUSTOMER, payouts, played

ROOT = Path(__file__).resolve().parents[2]
SLICE = 2_000


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


def test_the_agent_may_be_killed_at_every_single_moment() -> None:
    points = explore.steps()
    cells = [cell for cell in explore.singles(points) if cell.first[0] == "process/agent"]
    tally, violated, _ = explore.run(cells, "kills")
    assert tally.schedules == len(points) > 200 and violated == {}
    assert tally.kills >= len(points)


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


def test_the_command_line_tells_a_story() -> None:
    bench = [sys.executable, str(ROOT / "benchmarks" / "money.py")]
    ran = subprocess.run([*bench, "--seed", "3", "--story"], capture_output=True, text=True, check=True)
    assert "all invariants hold" in ran.stdout and json.loads(ran.stdout.splitlines()[-1])["violations"] == []
    bad = subprocess.run([*bench, "--schedules", "0"], capture_output=True, text=True, check=False)
    assert bad.returncode == 2 and "at least 1" in bad.stderr and "Traceback" not in bad.stderr
