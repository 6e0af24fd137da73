"""./run bench fleet [--terminals N] [--seconds S]: a fleet of light terminals, a real mosquitto, branch-monitor; and a regional outage.

Each terminal has the product's own outbox, shipper and back-off and sends messages of the contract: a report each minute, a customer
each 108 s (three messages), an alarm now and then. Measured with 1, 2 and 4 ingest workers: processor time and memory, lag from a
message's storing at the terminal until its acknowledgement is back there (which follows the commit of its effect), and how fast a burst
is taken. Then the broker dies, and lets so many connections a second in again. The last line is one JSON object. The parts of this
bench are in tests/bench/scale.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "bench"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scale.fleet_stage import Burst, FleetStage, Outage, Steady
from scale.fleet_terminal import Rhythm
from scale.setting import Progress, rounded, setting
from store_kind import store_kind

MEMORY = Path("/dev/shm")


def arguments_of(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench fleet", description="A fleet at its broker and monitor.")
    parser.add_argument("--terminals", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=60.0, help="measured for each number of workers")
    parser.add_argument("--workers", default="1,2,4", help="numbers of ingest workers, one after another (default: %(default)s)")
    parser.add_argument("--burst", type=int, default=1, help="customers at every terminal in one moment; 0: no burst")
    parser.add_argument("--postgresql", action="store_true", help="the monitor's database (default: SQLite)")
    parser.add_argument("--outage-s", type=float, default=30.0, help="0: no outage")
    parser.add_argument("--accept-per-s", type=float, default=200.0)
    parser.add_argument("--max-backoff-s", type=float, help="bank.max_backoff_s (default: a third of terminals / accepts a second)")
    parser.add_argument(
        "--folder", type=Path, default=MEMORY if MEMORY.is_dir() else None, help="for databases and broker (default: shared memory)"
    )
    arguments = parser.parse_args(argv)
    arguments.workers = [int(one) for one in arguments.workers.split(",")]
    if arguments.terminals < 1 or min(arguments.workers) < 1:
        parser.error("one terminal and one worker or more")
    return arguments


def told(one: Steady, burst: Burst | None) -> dict[str, Any]:
    return {
        "workers": one.workers, "connected": one.connected, "messages_per_s": round(one.messages_per_s, 1),
        "acknowledged": one.acknowledged,
        "lag_ms": {"p50": rounded(one.lag_ms_p50), "p99": rounded(one.lag_ms_p99)}, "cpu": one.load.cpu, "mib": one.load.mib,
        "burst": None if burst is None else {"messages": burst.messages, "per_s": round(burst.per_s), "cpu_us": burst.cpu_us},
    }  # fmt: skip


def say_steady(tell: Progress, row: dict[str, Any]) -> None:
    cpu = ", ".join(f"{name} {value:.2f}" for name, value in row["cpu"].items())
    mib = ", ".join(f"{name} {value:.0f}" for name, value in row["mib"].items())
    lag = row["lag_ms"]
    tell.say(f"{row['workers']} workers: {row['connected']:,} connected, {row['messages_per_s']:.0f} messages/s")
    tell.say(f"  lag p50 {lag['p50']} ms, p99 {lag['p99']} ms, n = {row['acknowledged']:,}")
    tell.say(f"  cores: {cpu}; MiB: {mib}")
    if burst := row["burst"]:
        used = ", ".join(f"{name} {value}" for name, value in burst["cpu_us"].items())
        tell.say(f"  a burst of {burst['messages']:,}: {burst['per_s']:,} messages/s; processor time for one, in us: {used}")


def say_outage(tell: Progress, one: Outage) -> None:
    ratio = one.reconnect_s / one.ideal_s
    tell.say(f"outage: {one.back:,} of {one.terminals:,} back in {one.reconnect_s:.1f} s; ideal {one.ideal_s:.1f} s, {ratio:.2f} times")
    tell.say(f"  transactions through {rounded(one.txn_s, 2)} s after the connection (p99), telemetry {rounded(one.telemetry_s, 2)} s; ")
    tell.say(f"  terminals that sent telemetry before a transaction: {one.out_of_order}")


def main(argv: list[str] | None = None) -> int:
    arguments, tell = arguments_of(argv), Progress()
    began = time.monotonic()
    ideal_s = arguments.terminals / arguments.accept_per_s
    rhythm = Rhythm(max_backoff_s=arguments.max_backoff_s or max(1.0, ideal_s / 3))
    rows, outage = [], None
    with tempfile.TemporaryDirectory(prefix="fleet-", dir=arguments.folder) as name:
        stage = FleetStage(Path(name), arguments.terminals, rhythm, tell, postgres=arguments.postgresql)
        try:
            for workers in arguments.workers:
                stage.serve_with(workers)
                connected = stage.connect_all()
                stage.settle(arguments.terminals // 100)
                steady = stage.steady(workers, arguments.seconds)
                row = told(steady, stage.burst(arguments.burst) if arguments.burst else None)
                say_steady(tell, row)
                rows.append(row)
            if arguments.outage_s:
                outage = stage.outage(arguments.outage_s, arguments.accept_per_s, reports=10, customers=2)
                say_outage(tell, outage)
        finally:
            stage.close()
    last = rows[-1]
    found = {
        "bench": "fleet", "terminals": arguments.terminals, "connected": connected, "lag_ms": last["lag_ms"],
        "reconnect_s": rounded(outage.reconnect_s) if outage else None, "ideal_s": rounded(ideal_s), "max_backoff_s": rhythm.max_backoff_s,
        "database": "postgresql" if arguments.postgresql else "sqlite", "store": store_kind(arguments.folder),
        "steady": rows, "outage": asdict(outage) if outage else None,
        "seconds": round(time.monotonic() - began, 1), **setting(),
    }  # fmt: skip
    print(json.dumps(found))
    well = connected == arguments.terminals and (outage is None or (outage.back == outage.terminals and not outage.out_of_order))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
