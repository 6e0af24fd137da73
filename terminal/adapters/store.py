"""The terminal's memory: journal and outbox in one SQLite file, so that an event and its message are one transaction.

WAL with synchronous=FULL: when `append` returns, the WAL is fsynced. The store is opened by one process (flock on
``<path>.lock``) and used from one thread; the bank link reads and deletes outbox rows on connections of its own.

A store that cannot be trusted is never replaced by an empty one: a torn or foreign file is a named error. Only a path with
nothing at it is made anew, under another name, and moved there when whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from drivers.secret import Secret
from terminal.adapters import journal, journal_chain, resealing, store_file
from terminal.adapters.clock import WallClock, iso_ms, utc_now
from terminal.adapters.journal import Entry, JournalEntry, plain, plain_text
from terminal.adapters.journal_chain import VerifyResult
from terminal.adapters.outbox import (
    ACKNOWLEDGED,
    Bounds,
    Level,
    OutboxClass,
    Outgoing,
    Stamp,
    count_dropped,
    depth,
    insert_row,
    levels,
    next_seq,
    telemetry_path,
)
from terminal.adapters.sealing import DataKeys, chained_as, must_be_sealed
from terminal.adapters.store_file import StoreFailed, StoreOptions, leaves_doubt, named
from terminal.adapters.telemetry import TelemetryFile

LAST_TRANSACTION_NUMBER = 99_999_999


@dataclass(frozen=True, slots=True)
class Kept:
    """A value that is remembered beside the journal, under a name within a space: JSON; None forgets it.

    For what must survive a restart and is not history: standing alarms, the orders already seen, wear.
    """

    space: str
    name: str
    value: Any


class Store:
    """Open with `Store.open`. Every method may raise StoreFailed; after an I/O error (not a full disk) every later append does."""

    def __init__(self, database: sqlite3.Connection, lock: int, telemetry: TelemetryFile, options: StoreOptions, created: bool) -> None:
        self._database = database
        self._lock = lock
        self._telemetry = telemetry
        self._options = options
        self._broken = ""
        meta = dict(database.execute("SELECT name, value FROM meta").fetchall())
        self.sealer = store_file.row_sealer(database, options.data_keys)
        """Seals and opens rows; None: data at rest is not sealed."""
        self.created = created
        """True when this opening made the store: everything before is somewhere else, or lost. Worth an alarm."""
        self.terminal_id = meta["terminal_id"]
        self.epoch = int(meta["epoch"])
        self.head: tuple[int, str] = database.execute("SELECT seq, hash FROM head").fetchone()
        """Number and hash of the last entry."""

    @classmethod
    def open(
        cls,
        path: Path | str,
        terminal_id: str,
        branch_id: str,
        *,
        head_key: Secret[bytes] | None = None,
        bounds: Bounds | None = None,
        wall_clock: WallClock = utc_now,
        first_transaction_number: int | None = None,
        data_keys: DataKeys | None = None,
    ) -> Self:
        """Open, or make when nothing is there. Checks the file's structure, the last entries and the head.

        A store made anew counts transactions from `first_transaction_number`; None takes a number from the clock (one per ten
        seconds since 2025), ahead of what a lost store can have used up at less than 8,640 transactions a day.

        With `data_keys` rows are sealed from now on, and messages that already wait are sealed at this opening; a store that was
        once sealed does not open without.
        """
        options = StoreOptions(
            Path(path), terminal_id, branch_id, head_key, bounds or Bounds(), wall_clock, first_transaction_number, data_keys
        )
        lock = store_file.lock(options.path)
        try:
            with named(options.path):
                created = store_file.create(options) if not options.path.exists() else False
                database = store_file.connect(options.path)
                store_file.check(database, options)
                telemetry = TelemetryFile(telemetry_path(options.path), options.bounds, wall_clock())
                store = cls(database, lock, telemetry, options, created)
                if store.sealer is not None:
                    resealing.begin(store._transaction, store.sealer)
                return store
        except BaseException:
            os.close(lock)
            raise

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what was not as left: telemetry that had to be set aside."""
        return self._telemetry.warnings

    def append(self, entries: Sequence[Entry], outgoing: Sequence[Outgoing] = (), kept: Sequence[Kept] = ()) -> list[int]:
        """Store all of it, or nothing; on disk when it returns. The entries' numbers.

        SecretInJournal / ValueError before anything is written. Telemetry goes to its own file afterwards, unsynced; when
        that fails it is dropped and counted.
        """
        written = [Entry(plain_text(e.kind, "kind"), _plain_id(e.transaction_id), plain(e.data, e.kind)) for e in entries]
        sent = [message.checked() for message in outgoing]
        values = [(one.space, one.name, None if one.value is None else journal.canonical(plain(one.value, one.space))) for one in kept]
        moment = self._options.wall_clock()
        durable = [message for message in sent if message.klass != "telemetry"]
        head = self.head
        if written or durable or values:
            with self._transaction() as database:
                for entry in written:
                    head = self._append_entry(database, entry, iso_ms(moment), head)
                for message in durable:
                    self._append_message(database, message, Stamp(self.terminal_id, self._options.branch_id, moment, head))
                for value in values:
                    _keep(database, *value)
                mac = journal.head_mac(self._options.head_key, self.terminal_id, *head)
                database.execute("UPDATE head SET seq = ?, hash = ?, mac = ?", (*head, mac))
        first, self.head = self.head[0] + 1, head
        self._telemetry.append(
            [message for message in sent if message.klass == "telemetry"], Stamp(self.terminal_id, self._options.branch_id, moment, head)
        )
        return list(range(first, head[0] + 1))

    def _append_entry(self, database: sqlite3.Connection, entry: Entry, at: str, head: tuple[int, str]) -> tuple[int, str]:
        seq, previous = head[0] + 1, head[1]
        if self.sealer is not None and must_be_sealed(entry.kind, entry.transaction_id):
            stored = self.sealer.seal_entry(seq, entry.data)
            hash_ = journal.entry_hash(seq, at, entry.kind, entry.transaction_id, chained_as(stored), previous)
        else:
            stored = journal.canonical(entry.data)
            hash_ = journal.entry_hash(seq, at, entry.kind, entry.transaction_id, entry.data, previous)
        fields = (seq, at, entry.kind, entry.transaction_id, stored, previous, hash_)
        database.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?)", fields)
        return seq, hash_

    def _append_message(self, database: sqlite3.Connection, message: Outgoing, stamp: Stamp) -> None:
        if message.klass != "txn" and depth(database, message.klass) >= self._options.bounds.of(message.klass):
            count_dropped(database, message.klass, 1)
            return
        row = message.row(self.epoch, next_seq(database, message.klass, self.epoch), stamp)
        if self.sealer is not None:
            row = replace(row, payload=self.sealer.seal_payload(row.klass, row.epoch, row.seq, row.topic, row.payload))
        insert_row(database, row)

    def next_transaction_number(self) -> int:
        """On disk before it is returned: never given out twice, whatever happens after."""
        with self._transaction() as database:
            (number,) = database.execute("UPDATE counter SET value = value + 1 WHERE name = 'transaction' RETURNING value").fetchone()
            if number > LAST_TRANSACTION_NUMBER:
                raise StoreFailed(f"{self._options.path}: the transaction numbers are used up ({LAST_TRANSACTION_NUMBER})")
        return int(number)

    def begin_epoch(self, reason: str) -> int:
        """After the store was put back from a copy: from here on keys that the bank has not seen. Journalled as `epochBegun`."""
        epoch = max(self.epoch + 1, int(self._options.wall_clock().timestamp()))
        with self._transaction() as database:
            database.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (str(epoch),))
        self.epoch = epoch
        self.append([Entry("epochBegun", None, {"epoch": epoch, "reason": reason})])
        return epoch

    def entries(
        self, after_seq: int = 0, kinds: Iterable[str] | None = None, transaction_id: str | None = None, *, opened: bool = True
    ) -> Iterator[JournalEntry]:
        """Entries in order, read a page at a time. StoreCorrupt or ValueError for one that cannot be read. Not `opened`: sealed ones
        come without their data."""
        with named(self._options.path):
            yield from journal.read_entries(self._database, after_seq, kinds, transaction_id, self.sealer if opened else None)

    def kept(self, space: str) -> dict[str, Any]:
        """The values of a space by name."""
        with named(self._options.path):
            return {name: json.loads(value) for name, value in self._database.execute(_KEPT, (space,))}

    def last(self, kind: str) -> JournalEntry | None:
        """The newest entry of `kind`."""
        with named(self._options.path):
            return journal.last_entry(self._database, kind, self.sealer)

    def since_last(self, kind: str) -> list[JournalEntry]:
        """The newest entry of `kind` and all that follow it; without one, the whole journal."""
        checkpoint = self.last(kind)
        return list(self.entries(after_seq=0 if checkpoint is None else checkpoint.seq - 1))

    def verify(self, anchor: tuple[int, str] | None = None) -> VerifyResult:
        """The whole chain, the head, and a head that the bank was told of (`journalseq`, `journalhash`)."""
        with named(self._options.path):
            return journal_chain.verify_chain(self._database, self._options.head_key, anchor, sealer=self.sealer)

    def reseal(self, progress: resealing.Progress = lambda done, of: None) -> resealing.Resealed:
        """Everything that older keys sealed, under the current one; page by page, so it may be interrupted and begun again."""
        if self.sealer is None:
            raise ValueError("there are no data keys to seal with")
        with named(self._options.path):
            return resealing.reseal(self._database, self._transaction, self.sealer, progress)

    def outbox_levels(self) -> dict[OutboxClass, Level]:
        """How full the outbox is."""
        with named(self._options.path):
            return {**levels(self._database, ACKNOWLEDGED, self._options.bounds), "telemetry": self._telemetry.level()}

    def close(self) -> None:
        """Idempotent."""
        if self._lock >= 0:
            self._telemetry.close()
            self._database.close()
            os.close(self._lock)
            self._lock = -1

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._broken:
            raise StoreFailed(self._broken)
        try:
            with named(self._options.path):
                self._database.execute("BEGIN IMMEDIATE")
                yield self._database
                self._database.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            if isinstance(error, StoreFailed) and leaves_doubt(error.__cause__):
                # after a failed write or fsync the kernel may have thrown the pages away: a later success would prove nothing
                self._broken = f"{error} (and nothing was written since)"
            raise


_KEPT = "SELECT name, value FROM kept WHERE space = ? ORDER BY name"


def _keep(database: sqlite3.Connection, space: str, name: str, value: str | None) -> None:
    """Inside the caller's transaction."""
    if value is None:
        database.execute("DELETE FROM kept WHERE space = ? AND name = ?", (space, name))
    else:
        statement = "INSERT INTO kept VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
        database.execute(statement, (space, name, value))


def _plain_id(transaction_id: str | None) -> str | None:
    return None if transaction_id is None else plain_text(transaction_id, "transaction_id")
