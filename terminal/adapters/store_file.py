"""The store's file: made whole or not at all, opened by one process, checked before it is trusted; errors with its name."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from drivers.secret import Secret
from terminal.adapters import journal, journal_chain
from terminal.adapters.clock import WallClock, iso_ms
from terminal.adapters.outbox import BUSY_TIMEOUT_S, SCHEMA, Bounds, is_damage
from terminal.adapters.sealing import DataKeys, RowSealer

FORMAT = "smart-branch-store/1"
OLDEST_CLOCK = datetime.fromisoformat("2025-01-01T00:00:00+00:00")
TAIL_CHECKED = 64

KEPT_TABLE = """CREATE TABLE IF NOT EXISTS kept (space TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (space, name))
  WITHOUT ROWID"""
STORE_SCHEMA = f"""{SCHEMA}
CREATE TABLE head (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), seq INTEGER NOT NULL, hash TEXT NOT NULL, mac TEXT NOT NULL);
CREATE TABLE journal (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, transaction_id TEXT, data TEXT NOT NULL,
  prev_hash TEXT NOT NULL, hash TEXT NOT NULL);
{KEPT_TABLE};
CREATE INDEX journal_kind ON journal (kind, seq);
CREATE INDEX journal_transaction ON journal (transaction_id, seq) WHERE transaction_id IS NOT NULL;
CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""


class StoreFailed(Exception):
    """The disk is full, or does not do what it must: nothing of this append is stored, and the terminal must not go on."""


class StoreCorrupt(StoreFailed):
    """The file is damaged, or its journal was cut or changed. A person decides; nothing is recreated."""


class StoreMismatch(StoreFailed):
    """The file is whole but not this terminal's, not of this format, or needs the head key that was not given."""


class StoreInUse(StoreFailed):
    """Another process has the store open."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    path: Path
    terminal_id: str
    branch_id: str
    head_key: Secret[bytes] | None
    bounds: Bounds
    wall_clock: WallClock
    first_transaction_number: int | None
    data_keys: DataKeys | None = None


def leaves_doubt(error: BaseException | None) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Errors of SQLite and the file system as ours, with the file's name."""
    try:
        yield
    except sqlite3.Error as error:
        if is_damage(error):
            raise StoreCorrupt(f"{path}: damaged ({error}); restore it or set it aside, it is not replaced by itself") from error
        raise StoreFailed(f"{path}: {error}") from error
    except OSError as error:
        raise StoreFailed(f"{path}: {error.strerror or error}") from error


def lock(path: Path) -> int:
    with named(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(number)
        raise StoreInUse(f"{path}: another process has it open") from error
    return number


def connect(path: Path) -> sqlite3.Connection:
    os.chmod(path, 0o600)
    database = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA foreign_keys = ON")
    return database


def create(options: StoreOptions) -> bool:
    path, now = options.path, options.wall_clock()
    if Path(f"{path}-wal").exists():
        raise StoreCorrupt(f"{path}: gone, but its write-ahead log is there; restore it or set the rest aside")
    if now < OLDEST_CLOCK:
        raise StoreFailed(f"{path}: no store is made while the clock says {iso_ms(now)}: its numbers would repeat. Set the clock")
    first = options.first_transaction_number
    number = max(0, int((now - OLDEST_CLOCK).total_seconds()) // 10) if first is None else first - 1
    fresh = path.with_name(f"{path.name}.new")
    for leftover in (fresh, Path(f"{fresh}-wal"), Path(f"{fresh}-shm")):  # of a creation that was cut short: never in use
        leftover.unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    database = connect(fresh)
    database.execute("PRAGMA journal_mode = WAL")
    created, epoch = iso_ms(now), int(now.timestamp())
    sealed = "yes" if options.head_key else "no"
    genesis = journal.genesis_hash(options.terminal_id, created)
    meta = {"format": FORMAT, "terminal_id": options.terminal_id, "created": created, "epoch": str(epoch), "sealed": sealed}
    if options.data_keys is not None:
        meta["rows_sealed"] = "yes"
    database.executescript(f"BEGIN; {STORE_SCHEMA}")
    database.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    database.execute("INSERT INTO counter VALUES ('transaction', ?)", (number,))
    mac = journal.head_mac(options.head_key, options.terminal_id, 0, genesis)
    database.execute("INSERT INTO head VALUES (1, 0, ?, ?)", (genesis, mac))
    database.execute("COMMIT")
    database.close()
    fresh.rename(path)
    sync_directory(path.parent)
    return True


def sync_directory(folder: Path) -> None:
    """A rename is on disk when its directory is."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def row_sealer(database: sqlite3.Connection, keys: DataKeys | None) -> RowSealer | None:
    """For this store: its rows open in no other."""
    if keys is None:
        return None
    meta = dict(database.execute("SELECT name, value FROM meta").fetchall())
    return RowSealer(keys, journal.genesis_hash(meta.get("terminal_id", ""), meta.get("created", "")))


def check(database: sqlite3.Connection, options: StoreOptions) -> None:
    path = options.path
    if path.stat().st_size == 0:
        raise StoreCorrupt(f"{path}: empty; restore it or set it aside, it is not replaced by itself")
    ((answer,), *_) = database.execute("PRAGMA quick_check(1)").fetchall()
    if answer != "ok":
        raise StoreCorrupt(f"{path}: damaged ({answer})")
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    if not tables >= {"meta", "counter", "sequence", "outbox", "head", "journal", *journal.TRIGGERS}:
        raise StoreMismatch(f"{path}: not a store of this program, or parts of it were removed")
    meta = dict(database.execute("SELECT name, value FROM meta").fetchall())
    if meta.get("format") != FORMAT:
        raise StoreMismatch(f"{path}: its format is {meta.get('format')}, this program reads {FORMAT}")
    if meta.get("terminal_id") != options.terminal_id:
        raise StoreMismatch(f"{path}: it belongs to terminal {meta.get('terminal_id')}, not {options.terminal_id}")
    if (meta.get("sealed") == "yes") != (options.head_key is not None):
        raise StoreMismatch(
            f"{path}: its head is {'' if meta.get('sealed') == 'yes' else 'not '}sealed with a head key; check the configuration"
        )
    if meta.get("rows_sealed") == "yes" and options.data_keys is None:
        raise StoreMismatch(f"{path}: its rows are sealed, and there is no keystore in the configuration to open them with")
    database.execute(KEPT_TABLE)  # not in stores of earlier versions
    if reason := journal_chain.tail_fault(database, options.head_key, TAIL_CHECKED, row_sealer(database, options.data_keys)):
        raise StoreCorrupt(f"{path}: {reason}")
