"""`./run bench money`: customers and faults by the hundred thousand, in virtual time; after each, nothing is lost and nothing doubled.

    ./run bench money --schedules 100000 --seed 1     random schedules on all cores (default: 10,000)
    ./run bench money --seed 483 --story              one of them, retold; when it fails, shrunk first
    ./run bench money --exhaustive                    every kind of fault at every step of a withdrawal; pairs around the dispense
    ./run bench money --mutants                       planted bugs, and how soon each is found

The last line is one JSON object. --report FILE writes the coverage as a page. docs/money.md says what is promised.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "bench"))

from figures import setting  # noqa: E402
from money import coverage, explore, mutants, pool  # noqa: E402
from money.play import play, tell  # noqa: E402
from money.pool import Bar, Tally, chunks, cores, on_all_cores, run_seeds, schedule_of  # noqa: E402
from money.shrink import shrink  # noqa: E402

CHUNK = 100
SHOWN = 5


def main() -> int:
    arguments = _arguments()
    began = time.monotonic()
    if arguments.story:
        return _story(arguments.seed)
    if arguments.mutants:
        return _end(began, *mutants.main(arguments.seed, arguments.schedules))
    if arguments.exhaustive:
        return _end(began, *explore.main(arguments.report, pairs=not arguments.singles))
    return _end(began, *_random(arguments.seed, arguments.schedules, arguments.report))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run bench money", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=10_000, help="how many; with --mutants: at most, for each planted bug")
    parser.add_argument("--seed", type=int, default=1, help="the first seed; the others follow")
    parser.add_argument("--story", action="store_true", help="retell the schedule of --seed")
    parser.add_argument("--mutants", action="store_true", help="plant bugs and look how soon each is found")
    parser.add_argument("--exhaustive", action="store_true", help="every fault at every step; every pair around the dispense")
    parser.add_argument("--singles", action="store_true", help="with --exhaustive: without the pairs")
    parser.add_argument("--report", type=Path, help="an HTML page with the coverage")
    arguments = parser.parse_args()
    if arguments.schedules < 1:
        parser.error("--schedules must be at least 1")
    return arguments


def _story(seed: int) -> int:
    """A failing schedule is shrunk before it is told."""
    schedule = schedule_of(seed)
    outcome = play(schedule, pool.setting(), story=True)
    if outcome.wrong:
        sys.stdout.write(f"seed {seed} fails with {len(schedule.faults)} faults; shrinking ...\n")
        schedule = shrink(schedule, pool.setting())
        outcome = play(schedule, pool.setting(), story=True)
    tell(schedule, outcome)
    sys.stdout.write(json.dumps({"bench": "money", "seed": seed, "violations": [name for name, _ in outcome.wrong]}) + "\n")
    return 1 if outcome.wrong else 0


def _random(seed: int, number: int, report: Path | None) -> tuple[dict[str, Any], bool]:
    tally = Tally()
    seeds = range(seed, seed + number)
    for part in on_all_cores(run_seeds, chunks(seeds, CHUNK), number, lambda part: part.schedules, Bar("schedules")):
        tally.merge(part)
    _violations(tally)
    pairs = coverage.pairs(tally.taken)
    sys.stdout.write(
        f"{tally.schedules} schedules from seed {seed}, {tally.virtual_s / 3600:.0f} hours of virtual time, {tally.struck.total()} faults"
        f" struck, {tally.effects.total()} of them were felt, the agent ended {tally.kills} times\n"
        f"latched until a person counted: {tally.latched['outcomeUnknown']} in doubt, {tally.latched['dispenserFault']} dispenser faults\n"
        f"(state, event) pairs of the table taken: {pairs.taken} of {pairs.of}\n"
    )
    for pair in pairs.missing:
        sys.stdout.write(f"  never taken: {pair}\n")
    idle = sorted(set(tally.struck) - set(tally.effects))
    for kind in idle:
        sys.stdout.write(f"  never felt: {kind}, which struck {tally.struck[kind]} times\n")
    if report is not None:
        coverage.random_page(report, tally, seed)
    figures = {
        "schedules": tally.schedules,
        "violations": len(tally.violations),
        "first_seed": seed,
        "latched": dict(tally.latched),
        "pairs_taken": pairs.taken,
        "pairs": pairs.of,
        "never_felt": len(idle),
    }
    return figures, not tally.violations


def _violations(tally: Tally) -> None:
    shown: Counter[str] = Counter()
    for seed, name, sentence in sorted(tally.violations):
        shown[name] += 1
        if shown[name] <= SHOWN:
            sys.stdout.write(f"VIOLATION  seed {seed}: {name}: {sentence.strip().splitlines()[-1]}\n")
            sys.stdout.write(f"           ./run bench money --seed {seed} --story\n")


def _end(began: float, figures: dict[str, Any], well: bool) -> int:
    took = {"seconds": round(time.monotonic() - began, 1), "cores": cores()}
    sys.stdout.write(json.dumps({"bench": "money", **figures, **took, **setting("greenlet")}) + "\n")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
