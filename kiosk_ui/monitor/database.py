"""SQLite or PostgreSQL behind one door: `read()` and `write()` are transactions, and every verb of the monitor runs inside one.

A write on SQLite takes the file at once (BEGIN IMMEDIATE); on PostgreSQL the verbs lock what they change. A commit is on disk when
`write()` ends: synchronous=FULL there, synchronous_commit (the server's default) here.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, insert, inspect, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from kiosk_ui.monitor.config import DatabaseSection
from kiosk_ui.monitor.schema import META, METADATA, VERSION

BUSY_TIMEOUT_S = 30.0
ROWS_AT_ONCE = 250
SCHEMA_LOCK = 0x534D4252  # any number, the same for all processes


class DatabaseError(Exception):
    """The database cannot be used; a sentence."""


class DatabaseAway(DatabaseError):
    """Nobody answers, or not now: later the same may well succeed."""


class Database:
    """Safe for threads: each transaction takes a connection of its own."""

    def __init__(self, section: DatabaseSection, folder: Path) -> None:
        self.kind = "sqlite" if section.url.startswith("sqlite:") else "postgresql"
        try:
            self._engine = _sqlite(folder / section.url.removeprefix("sqlite:")) if self.kind == "sqlite" else _postgresql(section)
        except (OSError, ValueError, ssl.SSLError, SQLAlchemyError) as error:
            raise DatabaseError(f"database.url: {error}") from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    def prepare(self) -> None:
        """The tables, made when there are none. DatabaseError when they are another version's, DatabaseAway when nobody answers."""
        try:
            with self.write() as connection:
                if self.kind == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": SCHEMA_LOCK})
                if inspect(connection).has_table("meta"):
                    version = connection.execute(select(META.c.value).where(META.c.name == "schema")).scalar()
                    if version != str(VERSION):
                        raise DatabaseError(f"the tables are of version {version}, this program has version {VERSION}")
                    return
                METADATA.create_all(connection)
                connection.execute(insert(META), [{"name": "schema", "value": str(VERSION)}, {"name": "audit", "value": ""}])
        except (SQLAlchemyError, OSError) as error:
            kind = DatabaseError if isinstance(error, SQLAlchemyError) and lasting(error) else DatabaseAway
            raise kind(f"the database cannot be used: {first_line(error)}") from error

    def close(self) -> None:
        self._engine.dispose()


def lasting(error: SQLAlchemyError) -> bool:
    """False when the same statements may well succeed later: no connection, a lock, a full disk. True: it is in what was written."""
    if not isinstance(error, DBAPIError):
        return True
    name = type(error).__name__
    if error.connection_invalidated or name in ("OperationalError", "InterfaceError", "InternalError"):
        return False
    state = error.orig.args[0].get("C", "") if error.orig and error.orig.args and isinstance(error.orig.args[0], dict) else ""
    return not str(state).startswith(("08", "40", "53", "55", "57", "58"))


def first_line(error: BaseException) -> str:
    """What the database said, without the statement and its values: they may be of a terminal's message."""
    orig = getattr(error, "orig", None) or error
    said = orig.args[0].get("M") if orig.args and isinstance(orig.args[0], dict) else str(orig)
    return str(said).splitlines()[0] if said else type(orig).__name__


def upsert(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], *, changing: Sequence[str], adding: Sequence[str] = ()
) -> None:
    """Insert, or change the named columns of the row with the same primary key; those in `adding` grow by the new value.

    `rows` have distinct keys. RETURNING is there to have them sent as one statement with many VALUES.
    """
    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = make(table)
    changes: dict[Any, Any] = {name: statement.excluded[name] for name in changing}
    changes |= {name: table.c[name] + statement.excluded[name] for name in adding}
    first = table.c[keys[0]]
    ordered = sorted(rows, key=lambda row: [row[key] for key in keys])  # everybody locks in the same order
    returning = statement.on_conflict_do_update(index_elements=keys, set_=changes).returning(first)
    for start in range(0, len(ordered), ROWS_AT_ONCE):
        connection.execute(returning, ordered[start : start + ROWS_AT_ONCE]).all()


def insert_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """New rows, many in a statement."""
    statement = insert(table).returning(next(iter(table.primary_key)))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        connection.execute(statement, rows[start : start + ROWS_AT_ONCE]).all()


def _sqlite(path: Path) -> Engine:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False})

    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # BEGIN is ours
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine


def _postgresql(section: DatabaseSection) -> Engine:
    parts = urlsplit(section.url)
    arguments: dict[str, Any] = {"application_name": "branch-monitor", "timeout": 30}
    socket = parse_qs(parts.query).get("socket", [""])[0]
    if socket:
        arguments["unix_sock"] = socket
    if section.ca is not None:
        arguments["ssl_context"] = ssl.create_default_context(cafile=str(section.ca))
    password = section.password_file.read_text(encoding="utf-8").strip() if section.password_file else parts.password
    url = URL.create(
        "postgresql+pg8000",
        parts.username,
        password,
        parts.hostname or (None if socket else "127.0.0.1"),
        parts.port,
        parts.path.lstrip("/"),
    )
    return create_engine(url, connect_args=arguments, pool_size=8, max_overflow=8, pool_pre_ping=True)
