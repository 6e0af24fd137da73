"""The sending half of a terminal as a process: the real store, outbox, shipper and link, and nobody in front of it.

`python -m scale.sender --store FILE --url URL ...`: stores `--events` events (`--group` of them in one transaction; at `--pace` a
second, 0: as fast as it goes), each with its journal entry, and waits until the bank has acknowledged all. Says `up`, `stored N`, and
`done {JSON}`. With `--events 0` it goes on until its standard input closes. A crash loses nothing that `append` has returned for: the
journal says what was stored.
"""

from __future__ import annotations

import argparse
import json
import queue
import select
import sys
import time
from pathlib import Path
from typing import Any

from scale.messages import advice, alarm, cash
from scale.setting import cpu_s
from terminal.adapters.bank_link import BankLink
from terminal.adapters.journal import Entry
from terminal.adapters.link_config import LinkConfig
from terminal.adapters.link_events import LinkEvent, LinkUp
from terminal.adapters.outbox import Bounds, Outgoing
from terminal.adapters.shipper import ShippingPolicy
from terminal.adapters.store import Store

TERMINAL, BRANCH = "T0001", "B001"
LOOK_S = 0.005
KIND = "benchEvent"
FOREVER = 1 << 62


def message(number: int, mixed: bool) -> Outgoing:
    """Of every eight: five events, two advices, one alarm; not `mixed`: events alone."""
    if mixed and number % 8 in (2, 5):
        return advice(TERMINAL, number)
    return alarm(TERMINAL, number // 8) if mixed and number % 8 == 7 else cash(number)


def open_store(path: Path) -> Store:
    wide = Bounds(txn=10_000_000, audit=10_000_000, alarm=10_000_000)
    return Store.open(path, TERMINAL, BRANCH, bounds=wide, first_transaction_number=1)


class Sender:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self.store = open_store(arguments.store)
        self.inbox: queue.Queue[LinkEvent] = queue.Queue()
        policy = ShippingPolicy(arguments.resend_s, 4 * arguments.resend_s, arguments.drain_per_s, arguments.ack_window)
        config = LinkConfig(
            arguments.url, TERMINAL, BRANCH, boot_spread_s=0.0, base_backoff_s=0.2, max_backoff_s=1.0,
            window=arguments.window, shipping=policy,
        )  # fmt: skip
        self.link = BankLink(config, arguments.store, self.inbox.put)
        self._next = 1 + (last.data["n"] if (last := self.store.last(KIND)) else 0)

    def begin(self, at_once: bool) -> None:
        """`at_once`: events are stored whether there is a link or not."""
        self.link.start()
        while not at_once and self.inbox.get(timeout=60.0) != LinkUp():
            pass
        print("up", flush=True)

    def put(self, events: int, group: int, pace: float) -> int:
        """How many were stored: fewer than `events` when standard input closed."""
        began, stored = time.monotonic(), 0
        while stored < events and not _told_to_end():
            if pace and (ahead := began + stored / pace - time.monotonic()) > 0:
                select.select([sys.stdin], [], [], ahead)
            numbers = range(self._next, self._next + min(group, events - stored))
            entries = [Entry(KIND, None, {"n": number}) for number in numbers]
            self.store.append(entries, [message(number, self._arguments.mixed) for number in numbers])
            self.link.notify()
            self._next += len(entries)
            stored += len(entries)
            while not self.inbox.empty():
                self.inbox.get()
        return stored

    def waiting(self) -> int:
        return sum(level.rows for klass, level in self.store.outbox_levels().items() if klass != "telemetry")

    def drain(self, until: int = 0) -> None:
        """Until no more than so many rows wait."""
        while self.waiting() > until:
            time.sleep(LOOK_S)

    def close(self) -> None:
        self.link.close()
        self.store.close()


def _told_to_end() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    sender = Sender(arguments)
    own = Path("/proc/self").resolve().name
    before = sender.waiting()
    sender.begin(arguments.at_once)
    cpu, began = cpu_s(int(own)), time.monotonic()
    stored = sender.put(arguments.events or FOREVER, arguments.group, arguments.pace)
    put_s = time.monotonic() - began
    print(f"stored {stored}", flush=True)
    left = 0
    if arguments.drain_rows:  # a backlog is before these: so many of all are enough for a rate
        left = max(0, before + stored - arguments.drain_rows)
    sender.drain(left)
    took = time.monotonic() - began
    through = before + stored - sender.waiting()
    found = {"events": through, "seconds": took, "put_s": put_s, "cpu_s": cpu_s(int(own)) - cpu, "waiting": sender.waiting()}
    sender.close()
    return found


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m scale.sender")
    found.add_argument("--store", type=Path, required=True)
    found.add_argument("--url", required=True)
    found.add_argument("--events", type=int, default=0)
    found.add_argument("--group", type=int, default=1)
    found.add_argument("--pace", type=float, default=0.0)
    found.add_argument("--mixed", action="store_true")
    found.add_argument("--at-once", action="store_true")
    found.add_argument("--window", type=int, default=20)
    found.add_argument("--ack-window", type=int, default=128)
    found.add_argument("--drain-per-s", type=float, default=1e6)
    found.add_argument("--resend-s", type=float, default=30.0)
    found.add_argument("--drain-rows", type=int, default=0)
    return found


def main() -> int:
    arguments = parser().parse_args()
    print(f"done {json.dumps(run(arguments))}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
