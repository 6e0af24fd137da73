"""Is the checker worth anything? Bugs are planted, one at a time, and each must be found within so many schedules.

Every one is a mistake that somebody could make in good faith. A bug is planted by putting another function in the place of a shipped one,
wherever its name is bound (modules, classes, the session's table), and dug up again afterwards.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from money.play import play
from money.pool import Bar, on_all_cores, schedule_of, setting
from terminal.core.session import TRANSITIONS, Row

Digs = list[Callable[[], None]]
CRASH = "noException"
"""A planted bug that only makes the agent fall over has not been found out."""
PACKAGES = ("terminal.", "drivers.")


@dataclass(frozen=True, slots=True)
class Found:
    """`after` schedules, by `seed`, through `invariant`; not found: seed is None."""

    name: str
    says: str
    after: int
    seed: int | None
    invariant: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Mutant:
    name: str
    says: str
    plant: Callable[[Digs], None]


MUTANTS: dict[str, Mutant] = {}


def mutant(name: str, says: str) -> Callable[[Callable[[Digs], None]], Callable[[Digs], None]]:
    def register(plant: Callable[[Digs], None]) -> Callable[[Digs], None]:
        MUTANTS[name] = Mutant(name, says, plant)
        return plant

    return register


def put(digs: Digs, owner: Any, name: str, value: Any) -> None:
    """`value` in the place of an attribute."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    digs.append(lambda: setattr(owner, name, before))


def instead(digs: Digs, old: Callable[..., Any], new: Callable[..., Any]) -> None:
    """`new` wherever the function `old` is bound."""
    for module in [module for name, module in sys.modules.items() if name.startswith(PACKAGES)]:
        for name in [name for name, value in vars(module).items() if value is old]:
            put(digs, module, name, new)
    table: dict[Any, Row] = TRANSITIONS  # type: ignore[assignment]
    for key, row in list(table.items()):
        if row.handler is old:
            table[key] = replace(row, handler=new)
            digs.append(lambda key=key, row=row: table.__setitem__(key, row))  # type: ignore[misc]


def catalogue() -> None:
    """Importing them fills MUTANTS."""
    for name in ("money.planting", "money.planting_afterwards"):
        importlib.import_module(name)


@contextmanager
def planted(name: str) -> Iterator[None]:
    """While this lasts, the bug is there."""
    catalogue()

    digs: Digs = []
    try:
        MUTANTS[name].plant(digs)
        yield
    finally:
        for dig in reversed(digs):
            dig()


def hunt(job: tuple[str, int, int]) -> Found:
    """Schedules from a seed on until one of them notices."""
    name, seed, most = job
    with planted(name):
        for number in range(most):
            wrong = [one for one in play(schedule_of(seed + number), setting()).wrong if one[0] != CRASH]
            if wrong:
                sentence = wrong[0][1].strip().splitlines()[-1] if wrong[0][1].strip() else ""
                return Found(name, MUTANTS[name].says, number + 1, seed + number, wrong[0][0], sentence)
    return Found(name, MUTANTS[name].says, most, None, "", "")


def main(seed: int, most: int) -> tuple[dict[str, Any], bool]:
    """The table, and the figures for the last line."""
    catalogue()

    jobs = [(name, seed, most) for name in MUTANTS]
    found = sorted(on_all_cores(hunt, jobs, len(jobs), lambda _: 1, Bar("planted bugs")), key=lambda one: one.name)
    width = max(len(one.name) for one in found)
    for one in found:
        how = f"after {one.after:>5} (seed {one.seed})  {one.invariant}" if one.seed is not None else f"NOT FOUND in {one.after}"
        sys.stdout.write(f"{one.name:<{width}}  {how}\n{'':<{width}}  {one.says}\n")
    caught = [one for one in found if one.seed is not None]
    latest = max((one.after for one in caught), default=0)
    return {"mutants": len(found), "found": len(caught), "latest_after": latest, "first_seed": seed}, len(caught) == len(found)
