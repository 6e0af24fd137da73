"""./run bench link [--parts P,P] [--rounds N] [--backlog N] [--fuzz N]: the bank link of one terminal, measured, killed and fed rubbish.

The real store, outbox, shipper and link against a real mosquitto. Parts: `speed` (events a second from `append` with synchronous=FULL
to the bank's acknowledgement and the row's deletion; on shared memory and on the disk; beside paho alone and the bare fsync),
`backlog`, `crash` (kill -9 of everything at random), `orders` (there and back), `offline` (a week), `fuzz`. The last line is one JSON
object; its `store` says on what the two lie: on `disk` what is named so and `command_rtt_ms`, in `memory` all else. The parts of this
bench are in tests/bench/scale.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "bench"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scale import link_crash, link_fuzz, link_offline, link_orders, link_speed
from scale.setting import Progress, fsync_per_s, percentile, rounded, setting
from store_kind import store_kind

from terminal.adapters.outbox import Bounds

PARTS = ("speed", "backlog", "crash", "orders", "offline", "fuzz")
MEMORY = Path("/dev/shm")
GROUP = 16
REPEATS = 3
WIDE = ("--window", 64, "--ack-window", 512)


@contextmanager
def folder(base: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="link-", dir=base) as name:
        yield Path(name)


def memory() -> Path | None:
    return MEMORY if MEMORY.is_dir() else None


class Bench:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments, self._tell = arguments, Progress()
        self.violations = 0

    def speed(self) -> dict[str, Any]:
        """Medians of three, by turns."""
        events, disk = self._arguments.events, self._arguments.folder
        rates: dict[str, list[float]] = {}
        cpu: list[float] = []
        fsyncs: dict[str, list[float]] = {"memory": [], "disk": []}
        for number in range(self._arguments.repeats):
            self._tell(f"speed: {number + 1} of {self._arguments.repeats}")
            with folder(memory()) as where, link_speed.bank(where) as broker:
                rates.setdefault("paho", []).append(link_speed.paho(broker, events, 20).per_s)
                found = link_speed.outbox(where, broker, events)
                rates.setdefault("outbox", []).append(found.per_s)
                cpu.append(found.cpu_us)
                fsyncs["memory"].append(fsync_per_s(where))
            with folder(memory()) as where, link_speed.bank(where, monitor=True) as broker:
                rates.setdefault("outbox_to_monitor", []).append(link_speed.outbox(where, broker, events).per_s)
            with folder(disk) as where, link_speed.bank(where) as broker:
                fsyncs["disk"].append(fsync_per_s(where))
                rates.setdefault("outbox_disk", []).append(link_speed.outbox(where, broker, max(200, events // 10)).per_s)
                rates.setdefault(f"outbox_disk_group_{GROUP}", []).append(
                    link_speed.outbox(where, broker, events, "--group", GROUP, *WIDE).per_s
                )
        found_rates = {f"{name}_per_s": round(median(values)) for name, values in rates.items()}
        for name, value in found_rates.items():
            self._tell.say(f"{name:32} {value:8,}")
        syncs = {"fsync_per_s": round(median(fsyncs["disk"])), "fsync_memory_per_s": round(median(fsyncs["memory"]))}
        self._tell.say(f"bare fsync a second: disk {syncs['fsync_per_s']:,}, shared memory {syncs['fsync_memory_per_s']:,}")
        ratio = round(found_rates["outbox_per_s"] / found_rates["paho_per_s"], 2)
        return {**found_rates, "ratio_to_paho": ratio, **syncs, "cpu_us_per_event": round(median(cpu)), "events": events}

    def backlog(self) -> dict[str, Any]:
        with folder(memory()) as where:
            found = link_speed.with_backlog(where, self._arguments.backlog, self._arguments.part, self._tell)
        first, last = round(found.first.per_s), round(found.last.per_s)
        self._tell.say(
            f"backlog of {found.rows:,} rows ({found.store_mib:.0f} MiB): {first:,} a second at first, {last:,} after three parts"
        )
        return {"backlog": {"rows": found.rows, "first_per_s": first, "last_per_s": last, "store_mib": round(found.store_mib)}}

    def crash(self) -> dict[str, Any]:
        with folder(memory()) as where:
            postgres = False if self._arguments.sqlite else None
            found = link_crash.play(
                where, self._arguments.rounds, self._arguments.pace, self._arguments.seed, self._tell, postgres=postgres
            )
        self.violations += found.lost + found.twice
        kills = ", ".join(f"{number} {name}" for name, number in sorted(found.kills.items()))
        self._tell.say(
            f"{found.rounds} rounds of kill -9 ({kills}): {found.events:,} events, {found.lost} lost, {found.twice} applied twice"
        )
        self._tell.say(
            f"  {found.duplicates:,} arrived again; {found.missed_txn:,} advices reached the bank alone, not the monitor beside it"
        )
        return {
            "rounds": found.rounds, "kills": dict(found.kills), "crash_events": found.events, "lost": found.lost, "twice": found.twice,
            "duplicates": found.duplicates, "txn_not_at_monitor": found.missed_txn, "database": found.database,
        }  # fmt: skip

    def orders(self) -> dict[str, Any]:
        times: dict[str, dict[str, float | None]] = {}
        for name, base in (("disk", self._arguments.folder), ("memory", memory())):
            self._tell(f"orders: {name}")
            with folder(base) as where:
                taken = [1000 * one for one in link_orders.round_trips_s(where, self._arguments.orders)]
            times[name] = {"n": len(taken), "p50": rounded(percentile(taken, 50), 2), "p99": rounded(percentile(taken, 99), 2)}
            self._tell.say(f"an order there and back, store on {name}: p50 {times[name]['p50']} ms, p99 {times[name]['p99']} ms")
        return {"command_rtt_ms": times["disk"], "command_rtt_memory_ms": times["memory"]}

    def offline(self) -> dict[str, Any]:
        days, transactions = self._arguments.days, self._arguments.transactions
        with folder(memory()) as where:
            held = link_offline.week(where, days, transactions, self._tell)
        reports = held.rows.get("telemetry", 0)
        with folder(memory()) as where:
            small = Bounds(telemetry=max(1, reports // 2))
            over = link_offline.week(where, days, transactions, self._tell, small)
        thinned = over.dropped["telemetry"]
        self._tell.say(
            f"{days} days offline: {held.transactions:,} transactions, {reports:,} reports in {held.mib:.1f} MiB; {held.gaps} missing"
        )
        self._tell.say(f"  half the room for telemetry: {thinned:,} reports thinned out, {over.gaps} other rows missing")
        others = sum(number for klass, number in {**held.dropped, **over.dropped}.items() if klass != "telemetry")
        within = held.mib <= link_offline.BOUND_MIB * max(1.0, days / 7)
        self.violations += held.gaps + over.gaps + others + (held.reports - reports) + (not within)
        return {
            "offline": {
                "days": days, "transactions": held.transactions, "reports": reports, "mib": round(held.mib, 1),
                "bound_mib": link_offline.BOUND_MIB, "thinned_when_full": thinned, "others_dropped": others, "gaps": held.gaps + over.gaps,
            },
        }  # fmt: skip

    def fuzz(self) -> dict[str, Any]:
        with folder(memory()) as where:
            found = link_fuzz.play(where, self._arguments.fuzz, self._arguments.seed, self._tell)
        self.violations += found.uncounted + (not found.served_after)
        self._tell.say(
            f"{found.messages:,} spoiled messages: {sum(found.refused.values()):,} refused, {found.uncounted} in no count, by reason:"
        )
        self._tell.say("  " + ", ".join(f"{name} {number:,}" for name, number in found.refused.most_common()))
        self._tell.say(f"  memory, MiB: monitor {found.monitor_mib}, terminal {found.terminal_mib}; served on: {found.served_after}")
        memory_mib = {"monitor": [round(one, 1) for one in found.monitor_mib], "terminal": [round(one, 1) for one in found.terminal_mib]}
        return {
            "fuzz": {
                "messages": found.messages, "refused": sum(found.refused.values()), "uncounted": found.uncounted,
                "rss_mib": memory_mib, "served_after": found.served_after,
            },
        }  # fmt: skip


def arguments_of(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench link", description="The bank link of one terminal.")
    parser.add_argument("--parts", default=",".join(PARTS), help="default: %(default)s")
    parser.add_argument("--events", type=int, default=20_000, help="for each figure of `speed`")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--backlog", type=int, default=1_000_000, help="rows before the new ones")
    parser.add_argument("--part", type=int, default=30_000, help="rows drained for each figure of `backlog`")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--pace", type=float, default=200.0, help="events a second while things are killed")
    parser.add_argument("--sqlite", action="store_true", help="the monitor's database is SQLite though PostgreSQL is there")
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--transactions", type=int, default=5_000)
    parser.add_argument("--fuzz", type=int, default=100_000, help="messages, half in each direction")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where `disk` is (default: the temporary folder)")
    arguments = parser.parse_args(argv)
    arguments.parts = arguments.parts.split(",")
    if not set(arguments.parts) <= set(PARTS):
        parser.error(f"--parts: known are {', '.join(PARTS)}")
    return arguments


def main(argv: list[str] | None = None) -> int:
    arguments = arguments_of(argv)
    began, bench = time.monotonic(), Bench(arguments)
    found: dict[str, Any] = {"bench": "link"}
    for part in arguments.parts:
        play: Callable[[], dict[str, Any]] = getattr(bench, part)
        found |= play()
    found["store"] = {"memory": store_kind(memory()), "disk": store_kind(arguments.folder)}
    print(json.dumps({**found, "violations": bench.violations, "seconds": round(time.monotonic() - began, 1), **setting()}))
    return 1 if bench.violations else 0


if __name__ == "__main__":
    sys.exit(main())
