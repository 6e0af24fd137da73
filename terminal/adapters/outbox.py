"""The outbox: messages for the bank that are stored before they are sent, and deleted when the right party says so.

A row is the whole CloudEvents message; its key is ``{terminal}/{class}/{epoch}/{seq}``. `seq` is contiguous per class and
epoch. An **epoch** is the life of the sequences: it is the creation moment of the store in Unix seconds, so a store made anew
on an empty disk never uses a key again that the bank knows (a store is not made while the clock stands before 2025).

What a full class does: `txn` is never refused and never dropped (its bound only raises the alarm). `audit` and `alarm` do
not take the newest any more, before it gets a number: the journal keeps it, the sequence stays without a gap, the loss is
counted. `telemetry` drops its oldest. Telemetry has a file of its own (synchronous=NORMAL); as its last commits may be lost
with the power, its epoch grows at every opening.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from terminal.adapters.clock import iso_ms
from terminal.adapters.envelope import MAX_MESSAGE_BYTES, base_topic, encode_envelope
from terminal.adapters.journal import canonical, plain, plain_text

OutboxClass = Literal["txn", "audit", "alarm", "telemetry"]
CLASSES: tuple[OutboxClass, ...] = get_args(OutboxClass)
ACKNOWLEDGED: tuple[OutboxClass, ...] = ("txn", "alarm", "audit")
LEAVES = ("txn", "event", "alarm", "telemetry", "cmd/resp")
ALARM_PERCENT = 80
BUSY_TIMEOUT_S = 5.0
MAX_DATA_BYTES = MAX_MESSAGE_BYTES - 2_048

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE sequence (class TEXT NOT NULL, epoch INTEGER NOT NULL, last_seq INTEGER NOT NULL, PRIMARY KEY (class, epoch)) WITHOUT ROWID;
CREATE TABLE outbox (
  class TEXT NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL, expires REAL,
  PRIMARY KEY (class, epoch, seq), FOREIGN KEY (class, epoch) REFERENCES sequence (class, epoch)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be stored with the event that causes it. `topic_leaf`: txn, event, alarm, telemetry, cmd/resp.

    `expires_s` (from now) only for telemetry: the bank's cumulative acknowledgement would stop at a gap.
    """

    klass: OutboxClass
    topic_leaf: str
    type: str
    data: Mapping[str, Any]
    expires_s: float | None = None

    def __post_init__(self) -> None:
        if self.klass not in CLASSES or self.topic_leaf not in LEAVES:
            raise ValueError(f"no outbox class {self.klass!r} on topic {self.topic_leaf!r}")
        if self.expires_s is not None and self.klass in ACKNOWLEDGED:
            raise ValueError(f"{self.klass} messages do not expire: the bank's acknowledgement would stop at the gap")

    def checked(self) -> Outgoing:
        """The same with plain JSON data. SecretInJournal for a secret, ValueError for what JSON cannot carry or too much of it."""
        data = plain(self.data, self.type)
        size = len(canonical(data).encode())
        if size > MAX_DATA_BYTES:
            raise ValueError(f"{self.type}: {size} bytes are more than a message may have ({MAX_DATA_BYTES})")
        return Outgoing(self.klass, self.topic_leaf, plain_text(self.type, "type"), data, self.expires_s)

    def row(self, epoch: int, seq: int, stamp: Stamp) -> OutboxRow:
        """The row to store, with the whole message in it."""
        source = base_topic(stamp.branch_id, stamp.terminal_id)
        key = f"{stamp.terminal_id}/{self.klass}/{epoch}/{seq}"
        extensions = {"epoch": epoch, "seq": seq, "journalseq": stamp.head[0], "journalhash": stamp.head[1]}
        time = iso_ms(stamp.moment)
        payload = encode_envelope(id_=key, source=source, type_=self.type, time=time, data=self.data, extensions=extensions)
        expires = None if self.expires_s is None else stamp.moment.timestamp() + self.expires_s
        return OutboxRow(self.klass, epoch, seq, f"{source}/{self.topic_leaf}", payload, expires)


@dataclass(frozen=True, slots=True)
class Stamp:
    """Whose message it is, when it was stored, and the journal's head (number, hash) then."""

    terminal_id: str
    branch_id: str
    moment: datetime
    head: tuple[int, str]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Rows per class. For `txn` this is only what 80 % is counted from."""

    txn: int = 20_000
    audit: int = 50_000
    alarm: int = 5_000
    telemetry: int = 20_000

    def of(self, klass: OutboxClass) -> int:
        return {"txn": self.txn, "audit": self.audit, "alarm": self.alarm, "telemetry": self.telemetry}[klass]


@dataclass(frozen=True, slots=True)
class Level:
    """How full a class is; `dropped` counts, over the store's life, what did not fit."""

    rows: int
    capacity: int
    dropped: int

    @property
    def high(self) -> bool:
        return self.rows * 100 >= self.capacity * ALARM_PERCENT


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """`expires` is Unix seconds or None."""

    klass: OutboxClass
    epoch: int
    seq: int
    topic: str
    payload: bytes
    expires: float | None

    @property
    def position(self) -> tuple[int, int]:
        return self.epoch, self.seq


def is_damage(error: sqlite3.Error) -> bool:
    """True when SQLite says that the file's content is broken (not: disk full, locked, unreadable)."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def telemetry_path(path: Path) -> Path:
    """``terminal.sqlite`` -> ``terminal-telemetry.sqlite``."""
    return path.with_name(f"{path.stem}-telemetry{path.suffix}")


def next_seq(database: sqlite3.Connection, klass: OutboxClass, epoch: int) -> int:
    """Take the next number, inside the caller's transaction."""
    statement = "INSERT INTO sequence VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET last_seq = last_seq + 1 RETURNING last_seq"
    (seq,) = database.execute(statement, (klass, epoch)).fetchone()
    return int(seq)


def insert_row(database: sqlite3.Connection, row: OutboxRow) -> None:
    """Inside the caller's transaction."""
    fields = (row.klass, row.epoch, row.seq, row.topic, row.payload, row.expires)
    database.execute("INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?)", fields)


def count_dropped(database: sqlite3.Connection, klass: OutboxClass, number: int) -> None:
    """Inside the caller's transaction."""
    statement = "INSERT INTO counter VALUES (?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value"
    database.execute(statement, (f"dropped_{klass}", number))


def drop_oldest(database: sqlite3.Connection, klass: OutboxClass, number: int) -> None:
    """Inside the caller's transaction; counted."""
    where = "SELECT epoch, seq FROM outbox WHERE class = ? ORDER BY epoch, seq LIMIT ?"
    done = database.execute(f"DELETE FROM outbox WHERE class = ? AND (epoch, seq) IN ({where})", (klass, klass, number))
    count_dropped(database, klass, done.rowcount)


def depth(database: sqlite3.Connection, klass: OutboxClass) -> int:
    """Rows of a class, from the ends of its sequences (no scan): for telemetry, whose middle may be gone, an upper bound."""
    (rows,) = database.execute(_DEPTH, (klass,)).fetchone()
    return int(rows)


_ENDS = """SELECT s.class,
  (SELECT min(seq) FROM outbox o WHERE o.class = s.class AND o.epoch = s.epoch) AS first,
  (SELECT max(seq) FROM outbox o WHERE o.class = s.class AND o.epoch = s.epoch) AS last
  FROM sequence s"""
_DEPTH = f"SELECT coalesce(sum(last - first + 1), 0) FROM ({_ENDS} WHERE s.class = ?)"
_LEVELS = f"""SELECT class, coalesce(sum(last - first + 1), 0) FROM ({_ENDS}) GROUP BY class
  UNION ALL SELECT name, value FROM counter"""


def levels(database: sqlite3.Connection, classes: Iterable[OutboxClass], bounds: Bounds) -> dict[OutboxClass, Level]:
    """Of those classes that have their rows in this file."""
    found = dict(database.execute(_LEVELS).fetchall())
    return {klass: Level(found.get(klass, 0), bounds.of(klass), found.get(f"dropped_{klass}", 0)) for klass in classes}
