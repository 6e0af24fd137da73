"""The bank's SQLite file: one connection, one writer, one transaction for a message and everything it causes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 2
MONEY_TABLES = ("posting", "entry", "hold", "withdrawal", "request", "cryptogram", "card", "discrepancy", "account")

SCHEMA = """
CREATE TABLE account (name TEXT PRIMARY KEY, kind TEXT NOT NULL, balance_minor INTEGER NOT NULL DEFAULT 0);
CREATE TABLE entry (id INTEGER PRIMARY KEY, transaction_id TEXT, kind TEXT NOT NULL, booked_at TEXT NOT NULL);
CREATE UNIQUE INDEX settled_once ON entry (transaction_id) WHERE kind = 'settlement';
CREATE TABLE posting (entry INTEGER NOT NULL REFERENCES entry, account TEXT NOT NULL REFERENCES account, amount_minor INTEGER NOT NULL);
CREATE INDEX posting_of_entry ON posting (entry);
CREATE TABLE hold (transaction_id TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES account,
  amount_minor INTEGER NOT NULL CHECK (amount_minor > 0), placed_at TEXT NOT NULL);
CREATE INDEX hold_of_account ON hold (account, amount_minor);
CREATE TABLE withdrawal (transaction_id TEXT PRIMARY KEY, terminal TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
  account TEXT, card TEXT, last_four TEXT, attempt INTEGER NOT NULL DEFAULT 0, requested_minor INTEGER, presented_minor INTEGER,
  reconciled INTEGER NOT NULL DEFAULT 0, face TEXT, field55 BLOB, day TEXT NOT NULL, opened_at TEXT NOT NULL, changed_at TEXT NOT NULL);
CREATE INDEX withdrawal_of_day ON withdrawal (account, day, status, requested_minor, presented_minor);
CREATE TABLE request (kind TEXT NOT NULL, transaction_id TEXT NOT NULL, attempt INTEGER NOT NULL, digest TEXT NOT NULL,
  response TEXT NOT NULL, PRIMARY KEY (kind, transaction_id, attempt));
CREATE TABLE card (token TEXT PRIMARY KEY, pin_tries_left INTEGER NOT NULL);
CREATE TABLE cryptogram (card TEXT NOT NULL, atc INTEGER NOT NULL, arqc BLOB NOT NULL, transaction_id TEXT NOT NULL,
  PRIMARY KEY (card, atc, arqc));
CREATE TABLE discrepancy (id INTEGER PRIMARY KEY, at TEXT NOT NULL, transaction_id TEXT NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TABLE inbox (terminal TEXT NOT NULL, class TEXT NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, type TEXT NOT NULL,
  time TEXT NOT NULL, received_at TEXT NOT NULL, digest TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (terminal, class, epoch, seq))
  WITHOUT ROWID;
CREATE TABLE acknowledged (terminal TEXT NOT NULL, class TEXT NOT NULL, epoch INTEGER NOT NULL, upto INTEGER NOT NULL,
  PRIMARY KEY (terminal, class, epoch)) WITHOUT ROWID;
CREATE TABLE refusal (id INTEGER PRIMARY KEY, at TEXT NOT NULL, base TEXT NOT NULL, leaf TEXT NOT NULL, message_id TEXT NOT NULL,
  reason TEXT NOT NULL, digest TEXT NOT NULL, payload TEXT NOT NULL);
CREATE TABLE terminal (base TEXT PRIMARY KEY, state TEXT NOT NULL, since TEXT NOT NULL, last_seen TEXT NOT NULL,
  telemetry_epoch INTEGER NOT NULL DEFAULT 0, telemetry_seq INTEGER NOT NULL DEFAULT 0, telemetry TEXT NOT NULL DEFAULT '{}');
CREATE TABLE face_session (transaction_id TEXT PRIMARY KEY, terminal TEXT NOT NULL, customer TEXT NOT NULL, card TEXT NOT NULL,
  opened_at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE face_consent (consent_id TEXT PRIMARY KEY, customer TEXT NOT NULL, transaction_id TEXT NOT NULL, version TEXT NOT NULL,
  language TEXT NOT NULL, given_at TEXT NOT NULL, withdrawn_at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE face_template (template_id TEXT PRIMARY KEY, customer TEXT NOT NULL UNIQUE, model TEXT NOT NULL, schema INTEGER NOT NULL,
  generation INTEGER NOT NULL, iv BLOB NOT NULL, ciphertext BLOB NOT NULL, consent_id TEXT NOT NULL, enrolled_at TEXT NOT NULL,
  used_at TEXT NOT NULL);
CREATE TABLE face_proof (number INTEGER PRIMARY KEY, template_id TEXT NOT NULL, said TEXT NOT NULL, hash TEXT NOT NULL);
"""


class StoreError(Exception):
    """The file cannot be used as the bank's store."""


class Store:
    """`path` None keeps everything in memory (tests, virtual time). `scrub`: what this transaction deletes must leave the file, too."""

    def __init__(self, path: Path | None) -> None:
        self.scrub = False
        name = ":memory:" if path is None else str(path)
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self.connection = sqlite3.connect(name, isolation_level=None, timeout=10.0)
            self.connection.row_factory = sqlite3.Row
            self.connection.execute("PRAGMA foreign_keys = ON")
            self.connection.execute("PRAGMA secure_delete = ON")
            if path is not None:
                self.connection.execute("PRAGMA journal_mode = WAL")
                self.connection.execute("PRAGMA synchronous = FULL")
            self._prepare(name)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{name}: {error}") from error

    def _prepare(self, name: str) -> None:
        version = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, SCHEMA_VERSION):
            raise StoreError(f"{name}: made by another version of the bank (schema {version}, here {SCHEMA_VERSION}); move it away")
        if version == 0:
            self.connection.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it on disk when this ends, or nothing of it."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        if self.scrub:
            self.scrub = False
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        return self.connection.execute(statement, values)

    def one(self, statement: str, *values: Any) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self.connection.execute(statement, values).fetchone()
        return row

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in self.connection.execute(statement, values)]

    def number(self, statement: str, *values: Any) -> int:
        """The one integer of a query; 0 when there is none."""
        row = self.one(statement, *values)
        return int(row[0]) if row and row[0] is not None else 0

    def forget_money(self) -> None:
        """Empty accounts, cards and transactions, but keep what was received and acknowledged: the terminals' numbering goes on."""
        for table in MONEY_TABLES:
            self.execute(f"DELETE FROM {table}")

    def close(self) -> None:
        self.connection.close()
