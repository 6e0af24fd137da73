"""Telemetry rows in a file of their own: synchronous=NORMAL, oldest dropped first, expendable.

A damaged telemetry file must not take a terminal out of service: it is set aside under another name, with a warning. Its last
commits can be lost with the power, and with them numbers already sent: hence a new epoch at every opening.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from terminal.adapters.outbox import (
    BUSY_TIMEOUT_S,
    SCHEMA,
    Bounds,
    Level,
    OutboxClass,
    Outgoing,
    Stamp,
    count_dropped,
    depth,
    drop_oldest,
    insert_row,
    is_damage,
    levels,
    next_seq,
)

KLASS: OutboxClass = "telemetry"


class BrokenStructure(Exception):
    """SQLite opened the file, but its pages do not hang together."""


class TelemetryFile:
    """`lost` counts what could not be written since the opening (also in `level().dropped`)."""

    def __init__(self, path: Path, bounds: Bounds, now: datetime) -> None:
        self._bounds = bounds
        self.warnings: tuple[str, ...] = ()
        self.lost = 0
        try:
            self._database, self.epoch = _open(path, now)
        except (sqlite3.DatabaseError, BrokenStructure) as error:
            if isinstance(error, sqlite3.DatabaseError) and not is_damage(error):
                raise
            aside = path.with_name(f"{path.name}.damaged-{int(now.timestamp())}")
            for suffix in ("", "-wal", "-shm"):
                if (old := Path(f"{path}{suffix}")).exists():
                    old.rename(f"{aside}{suffix}")
            self.warnings = (f"{path.name} was damaged ({error}) and is now {aside.name}; telemetry begins anew",)
            self._database, self.epoch = _open(path, now)

    def append(self, messages: Sequence[Outgoing], stamp: Stamp) -> None:
        """Never raises for a full or failing disk: telemetry is what may be lost."""
        if not messages:
            return
        database, capacity = self._database, self._bounds.of(KLASS)
        try:
            database.execute("BEGIN IMMEDIATE")
            for message in messages:
                insert_row(database, message.row(self.epoch, next_seq(database, KLASS, self.epoch), stamp))
            excess = depth(database, KLASS) - capacity
            if excess > 0:
                drop_oldest(database, KLASS, excess)
            if self.lost:
                count_dropped(database, KLASS, self.lost)
            database.execute("COMMIT")
            self.lost = 0
        except sqlite3.Error:
            self.lost += len(messages)
            if database.in_transaction:
                database.execute("ROLLBACK")

    def level(self) -> Level:
        found = levels(self._database, (KLASS,), self._bounds)[KLASS]
        return Level(found.rows, found.capacity, found.dropped + self.lost)

    def close(self) -> None:
        self._database.close()


def _open(path: Path, now: datetime) -> tuple[sqlite3.Connection, int]:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    database = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # for the new epoch only
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("BEGIN IMMEDIATE")
        if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'outbox'").fetchone() is None:
            for statement in filter(str.strip, SCHEMA.split(";")):
                database.execute(statement)
        row = database.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
        epoch = max(int(row[0]) + 1 if row else 1, int(now.timestamp()))
        database.execute("INSERT INTO meta VALUES ('epoch', ?) ON CONFLICT DO UPDATE SET value = excluded.value", (str(epoch),))
        # sequences of epochs without rows are of no more use
        database.execute(
            "DELETE FROM sequence WHERE NOT EXISTS (SELECT 1 FROM outbox o WHERE o.class = 'telemetry' AND o.epoch = sequence.epoch)"
        )
        database.execute("COMMIT")
        database.execute("PRAGMA synchronous = NORMAL")
        if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise BrokenStructure("its structure is broken")
    except BaseException:
        database.close()
        raise
    return database, epoch
