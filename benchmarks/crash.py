"""./run bench crash: withdrawals on real processes, ptys, broker and disk, while SIGKILL ends them: at every named point and at random.

Killed are the agent, each of its workers, its page, the broker, the bank and the device simulators (whose kill is a power cut). After each
customer everything is counted, asked and verified; at the end of each run an undisturbed customer must be paid. `--run K` plays one planned
run of the seed and tells its story. The last line is one JSON object. The parts are in tests/support/crash_bench.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "bench"))

from crash_bench import shifts, table
from crash_bench.play import Played
from figures import setting
from store_kind import store_kind

PACKAGES = ("paho-mqtt", "pyserial", "pyscard", "cryptography", "websockets")


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run bench crash", description="Withdrawals, and kill -9 of everything.")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--run", type=int, metavar="K", help="only run K of the seed, with its story")
    parser.add_argument("--side-by-side", type=int, default=2, help="stages at the same time")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the stage's folder of every run with a violation there")
    arguments = parser.parse_args()
    began = time.monotonic()
    if arguments.run is not None:
        everything = [shifts.play_one(arguments.seed, arguments.run, arguments.keep)]
    else:
        bar = Bar(arguments.runs)
        everything = shifts.play_all(arguments.seed, arguments.runs, arguments.side_by_side, arguments.keep, bar)
        bar.clear()
        print("\n".join(table.lines(everything)))
    for played in everything:
        for violation in played.violations:
            print(f"run {played.number}: {violation}")
    found = table.summary(everything)
    found["store"] = store_kind(None)
    print(
        json.dumps({"bench": "crash", **found, "seconds": round(time.monotonic() - began, 1), "seed": arguments.seed, **setting(*PACKAGES)})
    )
    return 1 if found["violations"] else 0


class Bar:
    """Progress on standard error."""

    def __init__(self, count: int) -> None:
        self._count, self._done, self._wrong = count, 0, 0
        self._began = time.monotonic()

    def __call__(self, played: Played) -> None:
        self._done += 1
        self._wrong += bool(played.violations)
        filled = 30 * self._done // self._count
        took = time.monotonic() - self._began
        text = f"[{'#' * filled}{'.' * (30 - filled)}] {self._done}/{self._count} runs, {self._wrong} with violations, {took:.0f} s"
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()

    def clear(self) -> None:
        sys.stderr.write("\r\033[K")


if __name__ == "__main__":
    sys.exit(main())
