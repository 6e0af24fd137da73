"""Many schedules on all cores, with a progress bar; each worker process has a setting of its own."""

from __future__ import annotations

import gc
import multiprocessing
import multiprocessing.util
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from money.faults import draw_fault
from money.play import Outcome, play
from money.schedule import Schedule, draw
from money.setting import Setting

COLLECT_EVERY = 200
_setting: Setting | None = None


@dataclass(slots=True)
class Tally:
    """What a chunk of schedules led to."""

    schedules: int = 0
    violations: list[tuple[int, str, str]] = field(default_factory=list)
    latched: Counter[str] = field(default_factory=Counter)
    latched_by: dict[int, str] = field(default_factory=dict)
    taken: set[tuple[str, str]] = field(default_factory=set)
    struck: Counter[str] = field(default_factory=Counter)
    effects: Counter[str] = field(default_factory=Counter)
    by_number: Counter[int] = field(default_factory=Counter)
    """In how many schedules so many faults struck."""
    kills: int = 0
    virtual_s: float = 0.0

    def add(self, name: int, outcome: Outcome) -> None:
        self.schedules += 1
        self.violations += [(name, what, sentence) for what, sentence in outcome.wrong[:1]]
        self.latched[outcome.latched] += 1
        if outcome.latched:
            self.latched_by[name] = outcome.latched
        self.taken |= outcome.taken
        self.struck.update(kind for kind, _ in outcome.struck)
        self.effects.update(outcome.effects)
        self.by_number[len(outcome.struck)] += 1
        self.kills += outcome.lives - 1
        self.virtual_s += outcome.virtual_s

    def merge(self, other: Tally) -> None:
        self.schedules += other.schedules
        self.violations += other.violations
        self.latched += other.latched
        self.latched_by |= other.latched_by
        self.taken |= other.taken
        self.struck += other.struck
        self.effects += other.effects
        self.by_number += other.by_number
        self.kills += other.kills
        self.virtual_s += other.virtual_s


def setting() -> Setting:
    """This process's own."""
    global _setting
    if _setting is None:
        _setting = Setting()
        multiprocessing.util.Finalize(None, _setting.close, exitpriority=1)
    return _setting


def schedule_of(seed: int) -> Schedule:
    return draw(seed, draw_fault)


def run_seeds(seeds: Sequence[int]) -> Tally:
    """One chunk, in this process."""
    return run_schedules([(seed, schedule_of(seed)) for seed in seeds])


def sweep(number: int) -> None:
    """Now and then what the worlds left behind; what survives (memories) is not looked at again."""
    if number % COLLECT_EVERY == 0:
        gc.collect()
        gc.freeze()


def run_schedules(chunk: Sequence[tuple[int, Schedule]]) -> Tally:
    """With the number by which each is told."""
    tally = Tally()
    for number, (name, schedule) in enumerate(chunk):
        tally.add(name, play(schedule, setting()))
        sweep(number)
    return tally


def cores() -> int:
    return len(os.sched_getaffinity(0))


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def on_all_cores(work: Callable[[Any], Any], parts: Iterable[Any], total: int, weigh: Callable[[Any], int], bar: Bar) -> Iterator[Any]:
    """`work` for each part, results as they come. `weigh` says how much of the bar a result is."""
    done = 0
    with multiprocessing.get_context("fork").Pool(cores(), initializer=_begin) as pool:
        for result in pool.imap_unordered(work, parts):
            done += weigh(result)
            bar.show(done, total)
            yield result
        pool.close()
        pool.join()
    bar.end()


def _begin() -> None:
    """A setting is never shared over a fork."""
    global _setting
    _setting = None
    gc.collect()
    gc.freeze()
    gc.disable()


class Bar:
    """Progress on standard error, where a person looks; a line now and then where nobody does."""

    def __init__(self, what: str) -> None:
        self._what, self._began, self._shown = what, time.monotonic(), 0.0
        self._tty = sys.stderr.isatty()

    def show(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._shown < (0.3 if self._tty else 20.0):
            return
        self._shown = now
        spent = now - self._began
        left = spent / max(1, done) * (total - done)
        filled = int(30 * done / max(1, total))
        line = f"{self._what} [{'#' * filled}{'.' * (30 - filled)}] {done}/{total}  {spent:.0f} s, about {left:.0f} s left"
        sys.stderr.write(f"\r{line}  " if self._tty else line + "\n")
        sys.stderr.flush()

    def end(self) -> None:
        if self._tty:
            sys.stderr.write("\n")
