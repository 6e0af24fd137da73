"""./run bench wear [--machines N] [--years Y] [--fault F]: how often the wear CUSUM cries wolf, and how soon it sees a fault.

A machine moves notes every day (weekday rhythm, its own traffic) and jams by chance at its usual rate, in clusters: every jam is followed
by another one with probability CLUSTER, since a bent note is tried again. Faults: a step (from one day on the rate is F times the
usual) and a ramp (it grows to that within 60 days). The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "bench"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from figures import setting

from terminal.fleet.wear import KINDS, THRESHOLD, Score, watch

KIND = KINDS["jamsPerNotes"]
NOTES_A_DAY = (1_500, 4_000)
CLUSTER = 0.15
FAULT = 8
RAMP_DAYS = 60
WATCHED_DAYS = 180


def poisson(chance: random.Random, mean: float) -> int:
    """Knuth's; means here are small."""
    limit, product, count = math.exp(-mean), chance.random(), 0
    while product > limit:
        product *= chance.random()
        count += 1
    return count


def jams_of(chance: random.Random, notes: int, factor: float) -> int:
    """Clusters keep the mean: fewer beginnings, some of them longer."""
    begun = poisson(chance, notes * KIND.per_opportunity * factor * (1 - CLUSTER))
    jams = begun
    for _ in range(begun):
        while chance.random() < CLUSTER:
            jams += 1
    return jams


def days_to_alarm(chance: random.Random, days: int, factor_on: object) -> int | None:
    """The first day with an alarm. `factor_on(day)`: how many times its usual rate."""
    traffic, score = chance.randrange(*NOTES_A_DAY), Score(KIND.name)
    for day in range(days):
        notes = int(traffic * (0.6 if day % 7 in (5, 6) else 1.1) * chance.uniform(0.7, 1.3))
        score = watch(score, jams_of(chance, notes, factor_on(day)), notes, KIND.per_opportunity, f"day {day}")  # type: ignore[operator]
        if score.score >= THRESHOLD:
            return day
    return None


def false_alarms(machines: int, years: int, seed: int) -> int:
    """Each alarm begins the machine's watch anew."""
    alarms = 0
    for machine in range(machines):
        chance, left = random.Random(f"{seed}-well-{machine}"), years * 365
        while left > 0:
            day = days_to_alarm(chance, left, lambda day: 1.0)
            if day is None:
                break
            alarms, left = alarms + 1, left - day - 1
    return alarms


def detections(machines: int, seed: int, kind: str, fault: int) -> list[int | None]:
    ramp = kind == "ramp"
    factor = lambda day: 1.0 + (fault - 1) * min(1.0, day / RAMP_DAYS) if ramp else float(fault)  # noqa: E731
    return [days_to_alarm(random.Random(f"{seed}-{kind}-{machine}"), WATCHED_DAYS, factor) for machine in range(machines)]


def measure(machines: int, years: int, fault: int = FAULT, seed: int = 1) -> dict[str, object]:
    alarms = false_alarms(machines, years, seed)
    found: dict[str, object] = {"false_alarms_per_machine_year": round(alarms / (machines * years), 4), "machine_years": machines * years}
    for kind in ("step", "ramp"):
        days = detections(machines, seed, kind, fault)
        seen = [day for day in days if day is not None]
        found[f"{kind}_found"] = round(len(seen) / len(days), 4)
        found[f"{kind}_days_p50"] = median(seen) if seen else None
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--machines", type=int, default=1_000)
    parser.add_argument("--years", type=int, default=5)
    parser.add_argument("--fault", type=int, default=FAULT, help="how many times its usual rate a worn machine jams (default: %(default)s)")
    arguments = parser.parse_args()
    if min(arguments.machines, arguments.years) < 1 or arguments.fault < 2:
        parser.error("--machines and --years are at least 1, --fault at least 2")
    began = time.monotonic()
    found = measure(arguments.machines, arguments.years, arguments.fault)
    print(f"usual {KIND.per_opportunity * 10_000:g} jams per 10,000 notes; fault: {arguments.fault} times that; clustered {CLUSTER:.0%}")
    print(json.dumps({"bench": "wear", **found, "seconds": round(time.monotonic() - began, 1), **setting()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
