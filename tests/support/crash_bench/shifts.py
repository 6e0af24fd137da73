"""All planned runs, played on stages of 25 runs each by a few processes side by side; a violation gets those after it a new stage."""

from __future__ import annotations

import multiprocessing
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing.queues import SimpleQueue
from pathlib import Path

from crash_bench.branch import Branch
from crash_bench.person import reads_the_journal
from crash_bench.plan import Run, runs
from crash_bench.play import Played, play
from simulators.broker.start import BrokerError
from simulators.stage.processes import StageError

Heard = Callable[[Played], None]
news: SimpleQueue[Played]


def play_all(seed: int, count: int, side_by_side: int, keep: Path | None, heard: Heard) -> list[Played]:
    """In the order of their numbers. `heard` is told of each run as it ends."""
    planned = runs(seed, count)
    shifts = [[run for run in planned if run.setting.number == number] for number in sorted({run.setting.number for run in planned})]
    context = multiprocessing.get_context("spawn")
    told: SimpleQueue[Played] = context.SimpleQueue()
    everything: list[Played] = []
    pool = ProcessPoolExecutor(side_by_side, context, _hear_with, (told,))
    try:
        waiting: set[Future[None]] = {pool.submit(_shift, shift, keep) for shift in shifts}
        while waiting or not told.empty():
            finished, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED) if waiting else (set(), waiting)
            while not told.empty():
                everything.append(told.get())
                heard(everything[-1])
            for one in finished:
                one.result()
    finally:  # after Ctrl-C nobody begins another shift
        pool.shutdown(cancel_futures=True)
    return sorted(everything, key=lambda played: played.number)


def play_one(seed: int, number: int, keep: Path | None) -> Played:
    """One planned run on a stage of its own, told on standard output."""
    run = runs(seed, number + 1)[-1]
    return next(_stage([run], keep, loud=True))


def _hear_with(told: SimpleQueue[Played]) -> None:
    global news
    news = told


def _shift(planned: Sequence[Run], keep: Path | None) -> None:
    left = list(planned)
    while left:
        for played in _stage(tuple(left), keep):
            news.put(played)
            left.pop(0)


def _stage(planned: Sequence[Run], keep: Path | None, *, loud: bool = False) -> Iterator[Played]:
    """Runs on one stage, up to the first that shows a violation."""
    began = time.monotonic()
    try:
        with Branch(planned[0].setting, _nobody) as branch:
            for run in planned:
                played = play(branch, run, loud=loud)
                if run is planned[-1] and not played.violations:
                    branch.eyes.goes()
                    branch.stage.children["terminal"].stop()
                    played.violations += [f"chain_verifies: {found}" for found in (reads_the_journal(branch),) if found]
                if played.violations and keep is not None:
                    _keep(branch, keep / f"run-{run.number}", played)
                yield played
                if played.violations:
                    return
    except (StageError, BrokerError) as error:
        yield Played(planned[0].number, violations=[f"the stage could not be set: {error}"], seconds=time.monotonic() - began)


def _nobody(who: str, what: str) -> None:
    """Before the first run there is no story."""


def _keep(branch: Branch, where: Path, played: Played) -> None:
    shutil.copytree(branch.folder, where, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.ctl", "wires", "pcsc"))
    (where / "story.txt").write_text("\n".join(played.story) + "\n")
