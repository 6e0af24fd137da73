"""`./run bench face --attacks N`: N genuine turns and N rendered attacks, against challenge and matcher.

Nearly all in virtual time: frames are rendered for the moment at which the verifier looks, so a busy machine changes nothing. A few genuine
steps run through OpenCV's capture in real time, for their duration. Rendered attacks are not a certification of presentation-attack
detection (ISO/IEC 30107-3): they show that the challenge does what it is meant to, and where it does not.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from face_stage import EnrolledCustomer, Outcome, present

from drivers.transports.base import Deadline, MonotonicClock
from simulators.camera.attacks import ATTACKS, BEYOND
from simulators.camera.cast import heads
from simulators.camera.head import Head
from simulators.camera.presentations import obeying
from simulators.control import Control
from terminal.face.backend import Backend, load_backend
from terminal.face.pad.intervals import clopper_pearson
from terminal.face.verifier import FaceConfig, FaceResult, FaceVerifier, Progress

GENUINE = "genuine"
REAL_STEPS = 3
STEP_S = 20.0
Say = Callable[[str], object]
CAVEAT = "rendered attacks are no certification of presentation-attack detection"


@dataclass(frozen=True, slots=True)
class Play:
    """One presentation to come. The seed decides everything of it."""

    species: str
    seed: int
    turns: int


def run(count: int, first: int, turns: int, cache: Path, say: Say) -> dict[str, Any]:
    """Seeds from `first` on; `turns` or one more are asked for. `cache`: photographs and templates (python -m simulators.camera).

    The dictionary is for the JSON line.
    """
    plays = [*_plays((GENUINE,), count, first, turns), *_plays(tuple(ATTACKS), count, first, turns)]
    plays += _plays(tuple(BEYOND), max(1, count // 5), first, turns)
    outcomes = list(_on_all_cores(plays, cache, say))
    genuine = [one for one in outcomes if one.species == GENUINE]
    attacks = [one for one in outcomes if one.species in ATTACKS]
    beyond = [one for one in outcomes if one.species in BEYOND]
    customer, backend = EnrolledCustomer(cache / "templates.json"), load_backend()
    real = [_in_real_time(cache, customer, backend) for _ in range(REAL_STEPS)]
    for line in table(outcomes):
        say(line)
    times = {
        "all": _times(genuine),
        **{f"{asked} turns": _times([one for one in genuine if one.turns == asked]) for asked in (turns, turns + 1)},
    }
    say(f"genuine steps, seconds of camera time: {times}; through OpenCV in real time: {real}")
    say(CAVEAT)
    return {
        "first_seed": first,
        "turns": turns,
        "genuine": {**_share(genuine), "step_s": times},
        "attacks": _share(attacks),
        "species": _by_species(attacks),
        "beyond": _by_species(beyond),
        "accepted_seeds": {species: sorted(one.seed for one in _accepted(attacks) if one.species == species) for species in ATTACKS},
        "real_time": real,
        "caveat": CAVEAT,
    }


def _plays(species: Sequence[str], count: int, first: int, turns: int) -> list[Play]:
    """The species in turns, until there are `count`."""
    return [Play(species[number % len(species)], first + number // len(species), turns) for number in range(count)]


def _on_all_cores(plays: Sequence[Play], cache: Path, say: Say) -> Iterator[Outcome]:
    """In their order, with progress. Virtual time: how many run beside each other changes nothing."""
    workers = min(len(os.sched_getaffinity(0)), len(plays))
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (cache,)) as pool:
        for number, outcome in enumerate(pool.map(_play, plays), 1):
            if number % 25 == 0 or number == len(plays):
                say(f"{number}/{len(plays)} presentations")
            yield outcome


_stage: tuple[dict[str, Head], EnrolledCustomer, Backend] | None = None


def _begin(cache: Path) -> None:
    global _stage
    _stage = heads(cache / "photographs"), EnrolledCustomer(cache / "templates.json"), load_backend()


def _play(play: Play) -> Outcome:
    assert _stage is not None
    cast, customer, backend = _stage
    if play.species == GENUINE:
        return present(GENUINE, play.seed, obeying(cast["customer"], play.seed), customer, backend, turns=play.turns)
    make = {**ATTACKS, **BEYOND}[play.species]
    return present(play.species, play.seed, make(cast["customer"], cast["other"], play.seed), customer, backend, turns=play.turns)


def table(outcomes: Sequence[Outcome]) -> list[str]:
    lines = [f"{'presentation':<20} {'n':>4} {'accepted':>8}  {'95 % interval':<16} ended by"]
    for species in dict.fromkeys(one.species for one in outcomes):
        ones = [one for one in outcomes if one.species == species]
        share = _share(ones)
        reasons = ", ".join(f"{reason} {count}" for reason, count in Counter(one.reason for one in ones).most_common(5))
        low, high = share["interval"]
        lines.append(f"{species:<20} {share['n']:>4} {share['accepted']:>8}  {low:.1%} to {high:<8.1%} {reasons}")
    return lines


def _by_species(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    names = dict.fromkeys(one.species for one in outcomes)
    return {species: _share([one for one in outcomes if one.species == species]) for species in names}


def _accepted(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [one for one in outcomes if one.decision == "accepted"]


def _share(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    accepted = len(_accepted(outcomes))
    low, high = clopper_pearson(accepted, len(outcomes))
    return {"n": len(outcomes), "accepted": accepted, "interval": [round(low, 4), round(high, 4)]}


def _times(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Of the accepted: from "look at the camera" to the decision."""
    seconds = sorted(one.seconds for one in _accepted(outcomes)) or [STEP_S]
    p95 = quantiles(seconds, n=20)[-1] if len(seconds) > 1 else seconds[0]
    return {"n": len(seconds), "p50": round(median(seconds), 2), "p95": round(p95, 2), "under_6_s": sum(one < 6 for one in seconds)}


def _in_real_time(cache: Path, customer: EnrolledCustomer, backend: Backend) -> dict[str, Any]:
    """One genuine step: the simulated camera's process, its stream, OpenCV's capture, the monotonic clock."""
    with tempfile.TemporaryDirectory() as folder:
        control = Path(folder) / "camera.ctl"
        arguments = ["-m", "simulators.camera.live", "--photographs", str(cache / "photographs"), "--control", str(control)]
        with subprocess.Popen([sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdin is not None
            port = int(process.stdout.readline().split(b"port=")[1])
            result = _step(f"http://127.0.0.1:{port}/scene.mjpg", Control(control), customer, backend)
            process.stdin.close()
    return {
        "decision": result.decision,
        "reason": result.evidence.liveness,
        "seconds": result.evidence.seconds,
        "frames": result.evidence.frames,
    }


def _step(camera: str, hand: Control, customer: EnrolledCustomer, backend: Backend) -> FaceResult:
    clock = MonotonicClock()
    verifier = FaceVerifier(FaceConfig(camera), clock, secrets.randbelow, backend=backend)
    result = FaceResult("noFace")
    for told in verifier.verify(customer.template(verifier.public_key()), Deadline.after(clock, STEP_S)):
        if isinstance(told, Progress):
            hand.call("cue", stage=told.stage)
        else:
            result = told
    hand.close()
    return result
