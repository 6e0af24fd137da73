"""Is the checker worth anything? Bugs are planted, one at a time, and each must be found within so many schedules.

Every one is a mistake that somebody could make in good faith. A bug is planted by putting another function in the place of a shipped one,
wherever its name is bound (modules, classes, the session's table), and dug up again afterwards. It counts as found when an invariant falls
that its author named beforehand, in a schedule in which nothing is wrong without it.
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
from terminal.core import cash
from terminal.core.session import TRANSITIONS, Row

Digs = list[Callable[[], None]]
PACKAGES = ("terminal.", "drivers.")


@dataclass(frozen=True, slots=True)
class Found:
    """`after` schedules, by `seed`, through `invariant`; not found: seed is None. `otherwise`: invariants that fell and were not the ones
    that were named. `without`: seeds that fail without the bug: those are no finds, they are news."""

    name: str
    after: int
    seed: int | None = None
    invariant: str = ""
    otherwise: tuple[str, ...] = ()
    without: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Mutant:
    """`says`: what its author believed. `falls`: the invariants of which one must fall (the same under another head, as after a probe)."""

    name: str
    says: str
    falls: tuple[str, ...]
    plant: Callable[[Digs], None]


MUTANTS: dict[str, Mutant] = {}


def mutant(name: str, says: str, *falls: str) -> Callable[[Callable[[Digs], None]], Callable[[Digs], None]]:
    def register(plant: Callable[[Digs], None]) -> Callable[[Digs], None]:
        MUTANTS[name] = Mutant(name, says, falls, plant)
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
    for name in ("money.planting", "money.planting_afterwards", "money.planting_limits"):
        importlib.import_module(name)


@contextmanager
def planted(name: str) -> Iterator[None]:
    """While this lasts, the bug is there."""
    catalogue()

    digs: Digs = []
    try:
        MUTANTS[name].plant(digs)
        cash._mix.cache_clear()  # what was remembered without the bug, and afterwards with it
        yield
    finally:
        for dig in reversed(digs):
            dig()
        cash._mix.cache_clear()


def hunt(job: tuple[str, int, int]) -> Found:
    """Schedules from a seed on until one of them notices."""
    name, seed, most = job
    bug = MUTANTS.get(name) or _catalogued(name)
    otherwise: dict[str, None] = {}
    without: list[int] = []
    at = seed
    while (fall := _next_fall(bug, range(at, seed + most), otherwise)) is not None:
        at, invariant = fall[0] + 1, fall[1]
        if not play(schedule_of(fall[0]), setting()).wrong:
            return Found(name, at - seed, fall[0], invariant, tuple(otherwise), tuple(without))
        without.append(fall[0])
    return Found(name, most, otherwise=tuple(otherwise), without=tuple(without))


def _next_fall(bug: Mutant, seeds: range, otherwise: dict[str, None]) -> tuple[int, str] | None:
    """With the bug planted: the first seed by which an invariant falls that was named, and which; others are added to `otherwise`."""
    with planted(bug.name):
        for seed in seeds:
            wrong = [what.rpartition("/")[2] for what, _ in play(schedule_of(seed), setting()).wrong]
            fallen = [what for what in wrong if what in bug.falls]
            if fallen:
                return seed, fallen[0]
            otherwise.update(dict.fromkeys(wrong))
    return None


def _catalogued(name: str) -> Mutant:
    catalogue()
    return MUTANTS[name]


def main(seed: int, most: int) -> tuple[dict[str, Any], bool]:
    """The table, and the figures for the last line."""
    catalogue()

    jobs = [(name, seed, most) for name in MUTANTS]
    width = max(map(len, MUTANTS))
    found = []
    for one in on_all_cores(hunt, jobs, len(jobs), lambda _: 1, Bar("planted bugs")):
        found.append(one)
        sys.stdout.write(f"{one.name:<{width}}  {_how(one)}\n{'':<{width}}  {MUTANTS[one.name].says}\n")
        sys.stdout.flush()
    caught = [one for one in found if one.seed is not None]
    latest = max((one.after for one in caught), default=0)
    news = sorted({seed for one in found for seed in one.without})
    for seed_ in news:
        sys.stdout.write(f"seed {seed_} fails without any planted bug: ./run bench money --seed {seed_} --story\n")
    figures = {"mutants": len(found), "found": len(caught), "latest_after": latest, "first_seed": seed, "fail_without": news}
    return figures, len(caught) == len(found) and not news


def _how(one: Found) -> str:
    wanted = " or ".join(MUTANTS[one.name].falls)
    if one.seed is None:
        fell = f"; what fell: {', '.join(one.otherwise)}" if one.otherwise else ""
        return f"NOT FOUND in {one.after} by {wanted}{fell}"
    return f"after {one.after:>5} (seed {one.seed})  {one.invariant}, as named: {wanted}"
