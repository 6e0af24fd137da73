"""`./run bench face --attacks N`: N genuine turns and N rendered attacks, against challenge and matcher.

Nearly all in virtual time: frames are rendered for the moment at which the verifier looks, so a busy machine changes nothing. A few genuine
steps run through OpenCV's capture in real time, for their duration. Rendered attacks are not a certification of presentation-attack
detection (ISO/IEC 30107-3): they show that the challenge does what it is meant to, and where it does not.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from face_stage import EnrolledCustomer, Outcome, present

from drivers.transports.base import Deadline, MonotonicClock
from simulators.camera.attacks import ATTACKS, BEYOND, Maker
from simulators.camera.cast import heads
from simulators.camera.head import Head
from simulators.camera.presentations import obeying
from simulators.control import Control
from terminal.face.backend import Backend, load_backend
from terminal.face.pad.intervals import clopper_pearson
from terminal.face.verifier import FaceConfig, FaceResult, FaceVerifier, Progress

REAL_STEPS = 3
STEP_S = 20.0
Say = Callable[[str], object]
CAVEAT = "rendered attacks are no certification of presentation-attack detection"


def run(count: int, cache: Path, say: Say) -> dict[str, Any]:
    """`cache`: photographs and templates (python -m simulators.camera). Prints a table; the dictionary is for the JSON line."""
    cast, customer, backend = heads(cache / "photographs"), EnrolledCustomer(cache / "templates.json"), load_backend()
    genuine = [present("genuine", seed, obeying(cast["customer"], seed), customer, backend) for seed in range(count)]
    attacks = list(_attacks(ATTACKS.items(), count, cast, customer, backend))
    beyond = list(_attacks(BEYOND.items(), max(1, count // 5), cast, customer, backend))
    real = [_in_real_time(cache, customer, backend) for _ in range(REAL_STEPS)]
    for line in table([*genuine, *attacks, *beyond]):
        say(line)
    seconds = sorted(one.seconds for one in genuine if one.decision == "accepted") or [STEP_S]
    say(f"genuine steps: p50 {median(seconds):.1f} s, p95 {_p95(seconds):.1f} s of camera time; through OpenCV in real time: {real}")
    say(CAVEAT)
    return {
        "genuine": {**_share(genuine), "step_s": {"p50": round(median(seconds), 2), "p95": round(_p95(seconds), 2)}},
        "attacks": _share(attacks),
        "species": _by_species(attacks),
        "beyond": _by_species(beyond),
        "real_time": real,
        "caveat": CAVEAT,
    }


def _attacks(makers: Any, count: int, cast: dict[str, Head], customer: EnrolledCustomer, backend: Backend) -> Iterator[Outcome]:
    """The species in turns, until there are `count`."""
    everything: Sequence[tuple[str, Maker]] = list(makers)
    for number in range(count):
        species, make = everything[number % len(everything)]
        seed = number // len(everything)
        yield present(species, seed, make(cast["customer"], cast["other"], seed), customer, backend)


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


def _share(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    accepted = sum(one.decision == "accepted" for one in outcomes)
    low, high = clopper_pearson(accepted, len(outcomes))
    return {"n": len(outcomes), "accepted": accepted, "interval": [round(low, 4), round(high, 4)]}


def _p95(seconds: Sequence[float]) -> float:
    return quantiles(seconds, n=20)[-1] if len(seconds) > 1 else seconds[0]


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
