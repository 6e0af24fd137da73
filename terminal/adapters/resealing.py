"""Sealing what is there already: waiting messages when sealing begins, and old rows under a new key generation.

A journal entry keeps its digest, so the hash chain does not change. An entry that was written before sealing began is part of the
chain as it stands and stays readable; only a new store is without such entries.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from terminal.adapters.outbox import ACKNOWLEDGED
from terminal.adapters.sealing import RowSealer, SealError, generation_of, is_sealed_entry

PAGE = 500
GUARD = "journal_no_update"
Progress = Callable[[int, int], None]
Transaction = Callable[[], AbstractContextManager[sqlite3.Connection]]

_CLASSES = ",".join(f"'{klass}'" for klass in ACKNOWLEDGED)
_PLAIN_MESSAGES = f"SELECT class, epoch, seq, topic, payload FROM outbox WHERE class IN ({_CLASSES}) AND substr(payload, 1, 1) = X'7B'"
_SAVE_MESSAGE = "UPDATE outbox SET payload = ? WHERE class = ? AND epoch = ? AND seq = ?"
_MESSAGE_GENERATION = "CAST(CAST(substr(payload, 10, 7) AS TEXT) AS INTEGER)"
_ENTRY_GENERATION = "CASE WHEN data LIKE 'sealed/%' THEN CAST(substr(data, 75, 7) AS INTEGER) ELSE 0 END"


@dataclass(frozen=True, slots=True)
class Resealed:
    """Rows changed, and the rows that could not be opened (a sentence each; they are as they were)."""

    entries: int
    messages: int
    refused: tuple[str, ...]


def begin(transaction: Transaction, sealer: RowSealer) -> None:
    """The first opening with keys seals what waits for the bank; from then on a message that is not sealed was put there by somebody."""
    with transaction() as database:
        if database.execute("SELECT 1 FROM meta WHERE name = 'rows_sealed'").fetchone() is not None:
            return
        for klass, epoch, seq, topic, payload in database.execute(_PLAIN_MESSAGES).fetchall():
            database.execute(_SAVE_MESSAGE, (sealer.seal_payload(klass, epoch, seq, topic, payload), klass, epoch, seq))
        database.execute("INSERT INTO meta VALUES ('rows_sealed', 'yes')")


def generations(database: sqlite3.Connection) -> tuple[dict[int, int], dict[int, int]]:
    """Rows per key generation, 0 for those that are not sealed: of the journal, and of the outbox (classes that are kept)."""
    journal = Counter(dict(database.execute(f"SELECT {_ENTRY_GENERATION} AS g, count(*) FROM journal GROUP BY g").fetchall()))
    statement = f"SELECT {_MESSAGE_GENERATION} AS g, count(*) FROM outbox WHERE class IN ({_CLASSES}) GROUP BY g"
    return dict(journal), dict(database.execute(statement).fetchall())


def reseal(database: sqlite3.Connection, transaction: Transaction, sealer: RowSealer, progress: Progress) -> Resealed:
    """StoreFailed as for an append. Each page is one transaction."""
    refused: list[str] = []
    messages = _reseal_messages(database, transaction, sealer, refused)
    (total,) = database.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()
    entries = last = 0
    while last < total:
        rows = database.execute("SELECT seq, data FROM journal WHERE seq > ? ORDER BY seq LIMIT ?", (last, PAGE)).fetchall()
        if not rows:
            break
        last = rows[-1][0]
        old = [(seq, text) for seq, text in rows if is_sealed_entry(text) and generation_of(text) != sealer.generation]
        entries += _reseal_entries(transaction, sealer, old, refused) if old else 0
        progress(last, total)
    return Resealed(entries, messages, tuple(refused))


def _reseal_entries(transaction: Transaction, sealer: RowSealer, old: list[tuple[int, str]], refused: list[str]) -> int:
    fresh = []
    for seq, text in old:
        try:
            fresh.append((sealer.reseal_entry(seq, text), seq))
        except SealError as error:
            refused.append(f"journal entry {seq}: {error}")
    with transaction() as database:
        # the guard is for everybody else; SQLite's schema changes are part of the transaction
        (guard,) = database.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = ?", (GUARD,)).fetchone()
        database.execute(f"DROP TRIGGER {GUARD}")
        database.executemany("UPDATE journal SET data = ? WHERE seq = ?", fresh)
        database.execute(guard)
    return len(fresh)


def _reseal_messages(database: sqlite3.Connection, transaction: Transaction, sealer: RowSealer, refused: list[str]) -> int:
    statement = (
        f"SELECT class, epoch, seq, topic, payload FROM outbox WHERE class IN ({_CLASSES}) AND {_MESSAGE_GENERATION} <> ?"
        " AND (class, epoch, seq) > (?, ?, ?) ORDER BY class, epoch, seq LIMIT ?"
    )
    done, after = 0, ("", 0, 0)
    while rows := database.execute(statement, (sealer.generation, *after, PAGE)).fetchall():
        after = rows[-1][:3]
        fresh = []
        for klass, epoch, seq, topic, payload in rows:
            try:
                content = sealer.open_payload(klass, epoch, seq, topic, payload)
                fresh.append((sealer.seal_payload(klass, epoch, seq, topic, content), klass, epoch, seq))
            except SealError as error:
                refused.append(f"outbox row {klass}/{epoch}/{seq}: {error}")
        with transaction() as changing:
            changing.executemany(_SAVE_MESSAGE, fresh)  # a row that the bank has acknowledged meanwhile stays gone
        done += len(fresh)
    return done
