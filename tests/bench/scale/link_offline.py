"""A terminal without a bank for a week: what its disk holds, and what goes first when it does not fit.

One transaction is the journal's lines of a withdrawal, its advice and two events; telemetry comes each minute. Time is played, so a
week takes as long as its rows take to be written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from scale.messages import advice, cash, device, telemetry
from terminal.adapters.journal import Entry
from terminal.adapters.outbox import Bounds, OutboxClass
from terminal.adapters.store import Store

BEGAN = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
MINUTES = 1_440
BOUND_MIB = 64.0
"""Journal and outbox of a week: stated in docs/scale.md."""
STEPS = ("cardInserted", "amountChosen", "authorised", "dispenseIntended", "dispenseAnswered", "transactionSettled")


@dataclass(frozen=True, slots=True)
class Held:
    """`rows` and `dropped` by class; `gaps`: numbers of `txn`, `audit`, `alarm` that are not there."""

    transactions: int
    reports: int
    mib: float
    rows: dict[str, int]
    dropped: dict[str, int]
    gaps: int


def week(folder: Path, days: int, transactions: int, tell: Callable[[str], Any], bounds: Bounds | None = None) -> Held:
    """Evenly spread over the days."""
    moment = [BEGAN]
    path = folder / "terminal.sqlite"
    store = Store.open(path, "T0001", "B001", bounds=bounds or Bounds(), wall_clock=lambda: moment[0], first_transaction_number=1)
    minutes, done = days * MINUTES, 0
    for minute in range(1, minutes + 1):
        moment[0] = BEGAN + timedelta(minutes=minute)
        store.append([], [telemetry("2026-11-22T08:00:00.000Z")])
        while done * minutes < transactions * minute:
            done += 1
            _withdrawal(store, done)
        tell(f"offline: day {minute // MINUTES + 1} of {days}, {done} transactions")
    store.append([], [device(1)])
    levels = store.outbox_levels()
    store.close()
    mib = sum(one.stat().st_size for one in folder.glob("terminal*.sqlite*")) / 2**20
    rows = _rows(path)
    return Held(done, minutes, mib, rows, {klass: level.dropped for klass, level in levels.items()}, _gaps(path))


def _withdrawal(store: Store, number: int) -> None:
    identity = f"T0001-{number:08d}"
    for step in STEPS[:-1]:
        store.append([Entry(step, identity, {"unit": "1", "minor": 30_000, "attempt": 1})])
    store.append([Entry(STEPS[-1], identity, {"presented": 3})], [advice("T0001", number), cash(number), device(number)])


def _rows(path: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for file in (path, path.with_name("terminal-telemetry.sqlite")):
        database = sqlite3.connect(file)
        found |= dict(database.execute("SELECT class, count(*) FROM outbox GROUP BY class").fetchall())
        database.close()
    return found


def _gaps(path: Path) -> int:
    """Between what numbers were given and what rows there are, in the classes that wait for the bank."""
    database = sqlite3.connect(path)
    given = dict(database.execute("SELECT class, sum(last_seq) FROM sequence GROUP BY class").fetchall())
    database.close()
    rows = _rows(path)
    kept: tuple[OutboxClass, ...] = ("txn", "audit", "alarm")
    return sum(int(given.get(klass, 0)) - rows.get(klass, 0) for klass in kept)
