"""Not at random: every kind of fault at every moment of one withdrawal, and every pair of the kinds that matter around the dispense.

A cell is (kind of fault, moment). The moments are the points of one undisturbed withdrawal with a receipt, in their order; a single fault
strikes a world that was undisturbed until then, so each cell is certain to be reached. Of a pair the first has a number, and the second the
nth of a name, so that it stands for the same moment after whatever the first has changed; where that moment never comes it does not strike.

One withdrawal is of one kind of notes, from cassettes at their usual places, and the unit's memory ends with its power. What befalls the
dispenser is therefore tried once more, with all arguments that it may have (but for how long it lasts), around a dispense of four kinds
from cassettes that have changed places; and what may cost the answer around the second of two equal dispenses, with each kind of memory.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from money import coverage
from money.kinds import KINDS
from money.play import play
from money.pool import Bar, Tally, chunks, on_all_cores, run_schedules, setting
from money.schedule import Customer, Fault, Schedule
from simulators.devices.dispenser import SURVIVES

CUSTOMER = Customer(card="static", pins=("112233",), amount_minor=30_000, pace_s=0.2, card_after_s=0.4, receipt=True)
MIXED = replace(CUSTOMER, amount_minor=38_000)
CHUNK = 50
PAIR_KINDS = (
    *("process/agent", "process/cashDispenser", "machine/powerCut", "disk/refuses", "disk/syncFails"),
    *("wire/cashDispenser/toDevice/lose", "wire/cashDispenser/toDevice/corrupt"),
    *("wire/cashDispenser/toHost/lose", "wire/cashDispenser/toHost/corrupt", "wire/cashDispenser/toHost/duplicate"),
    *("wire/cashDispenser/toHost/swallow", "dispenser/powerOff", "dispenser/powerCutInMovement", "dispenser/jam", "dispenser/doubleNote"),
    *("dispenser/wrongNote", "dispenser/drop_reply", "dispenser/delay_reply", "dispenser/previous_reply", "dispenser/nak", "broker/crash"),
)
AGAIN_KINDS = (
    *("process/agent", "process/cashDispenser", "machine/powerCut", "disk/refuses", "wire/cashDispenser/toDevice/lose"),
    *("wire/cashDispenser/toHost/lose", "dispenser/powerOff", "dispenser/powerCutInMovement", "dispenser/jam", "dispenser/drop_reply"),
)
"""What may cost the answer, or the dispense itself."""
WITHOUT_POWER = ("dispenser/powerOff", "dispenser/powerCutInMovement")
FIRST, LAST = "event CardRemoved", "show takeCash"


@dataclass(frozen=True, slots=True)
class Cell:
    """`first` (and `second`): kind and number of the point. `mixed`: the arguments, in a dispense of four kinds of notes. `again`: in the
    second of two equal withdrawals."""

    first: tuple[str, int | str]
    second: tuple[str, int | str] | None = None
    mixed: tuple[tuple[str, Any], ...] | None = None
    survives: str = "reset"
    again: bool = False

    def schedule(self, number: int) -> Schedule:
        if self.mixed is not None:
            kind, at = self.first
            fault = Fault(at, kind, self.mixed)
            customers = (MIXED, MIXED) if self.again else (MIXED,)
            return Schedule(number, customers, (fault,), survives=self.survives, swapped=True, whole=False)
        cells = [self.first] if self.second is None else [self.first, self.second]
        faults = tuple(Fault(at, kind, tuple(sorted(KINDS[kind].usual().items()))) for kind, at in cells)
        return Schedule(number, (CUSTOMER,), faults, whole=False)

    @property
    def at_once(self) -> bool:
        return self.second is not None and self.second[1] == self.first[1]

    def __str__(self) -> str:
        cells = [self.first] if self.second is None else [self.first, self.second]
        said = " and ".join(f"{kind} at {at}" for kind, at in cells)
        again = f", the second time, memory survives {self.survives}" if self.again else ""
        return said if self.mixed is None else f"{said} {dict(self.mixed)}, four kinds of notes{again}"


def steps(*customers: Customer, swapped: bool = False) -> tuple[str, ...]:
    """The points of undisturbed withdrawals (one of `CUSTOMER`), up to the moment when everything is put right."""
    outcome = play(Schedule(0, customers or (CUSTOMER,), swapped=swapped, whole=False), setting(), trail=True)
    assert not outcome.wrong, outcome.wrong
    return outcome.points[: outcome.points_before_heal]


def named(points: tuple[str, ...]) -> list[str]:
    """Each as "name#n"."""
    seen: Counter[str] = Counter()
    names = []
    for point in points:
        seen[point] += 1
        names.append(f"{point}#{seen[point]}")
    return names


def single_kinds() -> tuple[str, ...]:
    """All but what befalls a verifier that this withdrawal does not ask."""
    return tuple(name for name in KINDS if not name.startswith("process/faceVerifier"))


def singles(points: tuple[str, ...]) -> list[Cell]:
    return [Cell((kind, at)) for kind in single_kinds() for at in range(len(points))]


def around_the_dispense(points: tuple[str, ...]) -> tuple[int, int]:
    """Of the last of the customers."""
    return last(points, FIRST), last(points, LAST)


def last(points: tuple[str, ...], name: str) -> int:
    return len(points) - 1 - points[::-1].index(name)


def mixed() -> list[Cell]:
    """The dispenser's own faults; how long something lasts is not varied. Those that take its power also with each kind of memory."""
    points = steps(MIXED, swapped=True)
    return [
        Cell((name, at), mixed=arguments, survives=survives)
        for name in KINDS
        if name.startswith("dispenser/")
        for survives in (SURVIVES if name in WITHOUT_POWER else ("reset",))
        for arguments in _all_arguments(name)
        for at in _moments(points)
    ]


def again() -> list[Cell]:
    """The unit's account of the dispense before is that of a dispense that could be this one's."""
    points = steps(MIXED, MIXED, swapped=True)
    return [
        Cell((name, at), mixed=arguments, survives=survives, again=True)
        for name in AGAIN_KINDS
        for survives in SURVIVES
        for arguments in _all_arguments(name)
        for at in _moments(points)
    ]


def _all_arguments(name: str) -> list[tuple[tuple[str, Any], ...]]:
    choices = {argument: (of[:1] if argument == "seconds" else of) for argument, of in KINDS[name].choices.items()}
    return [tuple(zip(sorted(choices), values, strict=True)) for values in product(*(choices[argument] for argument in sorted(choices)))]


def _moments(points: tuple[str, ...]) -> list[int]:
    """Around the dispense; of moments of one name in a row only the first, but for notes."""
    begin, end = around_the_dispense(points)
    return [at for at in range(begin, end + 1) if points[at] != points[at - 1] or points[at] == "note"]


def pairs(points: tuple[str, ...]) -> Iterator[Cell]:
    """Around the dispense: both at the same moment, or the second later. Of moments of one name in a row only the first."""
    begin, end = around_the_dispense(points)
    names = named(points)
    moments = [at for at in range(begin, end + 1) if points[at] != points[at - 1]]
    for place, first in enumerate(moments):
        for second in moments[place:]:
            for one in PAIR_KINDS:
                for other in PAIR_KINDS:
                    if first != second or one < other:
                        yield Cell((one, first), (other, second if first == second else names[second]))


def run(cells: list[Cell], what: str) -> tuple[Tally, dict[int, str], dict[int, str]]:
    """All of them. By number of the cell: what was violated, what was latched."""
    tally = Tally()
    numbered = [(number, cell.schedule(number)) for number, cell in enumerate(cells)]
    for part in on_all_cores(run_schedules, chunks(numbered, CHUNK), len(cells), lambda part: part.schedules, Bar(what)):
        tally.merge(part)
    for number, name, sentence in sorted(tally.violations)[:10]:
        sys.stdout.write(f"VIOLATION  {cells[number]}: {name}: {sentence.strip().splitlines()[-1]}\n")
    return tally, {number: name for number, name, _ in tally.violations}, dict(tally.latched_by)


def main(report: Path | None, *, pairs: bool) -> tuple[dict[str, Any], bool]:
    points = steps()
    cells = singles(points)
    sys.stdout.write(f"{len(single_kinds())} kinds of fault at {len(points)} moments of one withdrawal\n")
    tally, violated, latched = run(cells, "single faults")
    figures: dict[str, Any] = {"cells": len(cells), "run": tally.schedules, "violations": len(violated), "latched": len(latched)}
    idle = [kind for kind in single_kinds() if not tally.effects[kind]]
    for kind in idle:
        sys.stdout.write(f"NO EFFECT  {kind} struck {tally.struck[kind]} times and was never felt\n")
    figures |= {"struck": tally.by_number[1], "felt": tally.effects.total(), "never_felt": len(idle)}
    complete = tally.by_number[1] == len(cells) and not idle
    for name, title, more_cells in (("mixed", "four kinds of notes", mixed()), ("again", "twice the same", again())):
        found, wrong, _ = run(more_cells, title)
        figures |= {name: len(more_cells), f"{name}_struck": found.by_number[1], f"{name}_violations": len(wrong)}
        complete = complete and found.by_number[1] == len(more_cells)
        figures["violations"] += len(wrong)
    if pairs:
        figures |= {"pairs": 0, "pairs_both_struck": 0, "pair_violations": 0, "pairs_latched": 0}
        both = list(_pairs(points))
        for at_once in (True, False):
            cells = [cell for cell in both if cell.at_once is at_once]
            of_two, more, doubtful = run(cells, "pairs of a moment" if at_once else "pairs of two moments")
            complete = complete and (of_two.by_number[2] == len(cells) or not at_once)  # whatever the first does, the other strikes too
            said = {
                "pairs": len(cells),
                "pairs_both_struck": of_two.by_number[2],
                "pair_violations": len(more),
                "pairs_latched": len(doubtful),
            }
            figures |= {what: figures[what] + number for what, number in said.items()}
            figures["violations"] += len(more)
            tally.taken |= of_two.taken
    taken = coverage.pairs(tally.taken)
    figures |= {"state_event_taken": taken.taken, "state_events": taken.of}
    if report is not None:
        grid = coverage.Grid(single_kinds(), points, frozenset(violated), latched, taken)
        report.write_text(coverage.grid_page(grid, figures), encoding="utf-8")
        sys.stdout.write(f"the grid is in {report}\n")
    return figures, figures["violations"] == 0 and complete


_pairs = pairs
