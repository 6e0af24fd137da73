"""A prepared database for the monitor, on SQLite or on a real PostgreSQL, and ways to look into it."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from monitor_says import NOW
from postgres import Postgres, binaries
from sqlalchemy import Table, select

from kiosk_ui.monitor.config import DatabaseSection, RetentionSection
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.ingest import Batch, Outcome
from kiosk_ui.monitor.mqtt import Arrived
from kiosk_ui.monitor.retention import prepare_days
from kiosk_ui.monitor.worker import readable

KINDS = ["sqlite", pytest.param("postgresql", marks=[pytest.mark.wire, pytest.mark.skipif(not binaries(), reason="no postgresql")])]
"""For a fixture's parameters."""
RETENTION = RetentionSection()
_numbers = itertools.count(1)


@contextmanager
def new_database(kind: str, folder: Path, server: Postgres | None = None) -> Iterator[Database]:
    number = next(_numbers)
    url = f"sqlite:monitor-{number}.sqlite" if server is None else server.new(f"monitor{number}")
    assert kind == ("sqlite" if server is None else "postgresql")
    database = Database(DatabaseSection(url=url), folder)
    database.prepare()
    with database.write() as connection:
        prepare_days(connection, RETENTION, NOW)
    yield database
    database.close()


def take(database: Database, said: Sequence[tuple[str, bytes]], *, now: int = NOW, worker: int = 1, crash: bool = False) -> Outcome:
    """One batch, as a worker takes it. With `crash` the process dies before the commit."""
    messages, refused = readable([Arrived(topic, payload, False, 1) for topic, payload in said])
    with database.write() as connection:
        work = Batch(connection, worker, lambda: now, RETENTION.event_days)
        work.apply(messages, refused)
        outcome = work.store(Counter(received=len(said)))
        if crash:
            connection.rollback()
    return outcome


def rows(database: Database, table: Table) -> list[dict[str, Any]]:
    with database.read() as connection:
        return [dict(row._mapping) for row in connection.execute(select(table).order_by(*table.primary_key))]


def picture(database: Database, terminal: str = "T0001") -> dict[str, Any]:
    from kiosk_ui.monitor.schema import TERMINAL

    with database.read() as connection:
        found = connection.execute(select(TERMINAL.c.picture).where(TERMINAL.c.terminal == terminal)).scalar()
    value: dict[str, Any] = json.loads(found or "{}")
    return value


def counters(database: Database) -> Counter[str]:
    from kiosk_ui.monitor.schema import COUNTER

    total: Counter[str] = Counter()
    for row in rows(database, COUNTER):
        total[row["name"]] += row["value"]
    return total
