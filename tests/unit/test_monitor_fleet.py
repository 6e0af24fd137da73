"""The fleet in memory: what it knows, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monitor_database import new_database, rows, take
from monitor_process import configuration
from monitor_says import NOW, Terminal
from sqlalchemy import event

from kiosk_ui.monitor.config import load_config
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.fleet import EVERY_ROW_MS, OVERLAP_MS, Fleet
from kiosk_ui.monitor.ingest import Batch
from kiosk_ui.monitor.mqtt import Arrived
from kiosk_ui.monitor.schema import TERMINAL
from kiosk_ui.monitor.worker import readable


def link(fleet: Fleet, database: Database, now: int) -> str:
    with database.read() as connection:
        fleet.refresh(connection, now, 0)
    line = fleet.line("T0001")
    assert line is not None
    return line.link


def test_a_commit_that_comes_long_after_its_moment_is_seen_within_a_minute(tmp_path: Path) -> None:
    """The disk stood still between the lock and the commit: the pages had looked further by then."""
    fleet = Fleet(load_config(configuration(tmp_path, "mqtt://127.0.0.1:1")))
    with new_database("sqlite", tmp_path) as database:
        terminal = Terminal()
        take(database, [terminal.state()])
        assert link(fleet, database, NOW + 1_000) == "online"
        assert link(fleet, database, NOW + 50_000) == "online"
        take(database, [terminal.offline()], now=NOW + 3_000)
        assert link(fleet, database, NOW + 1_000 + EVERY_ROW_MS) == "offline"


def test_a_clock_that_was_set_back_hides_nothing_either(tmp_path: Path) -> None:
    fleet = Fleet(load_config(configuration(tmp_path, "mqtt://127.0.0.1:1")))
    with new_database("sqlite", tmp_path) as database:
        terminal = Terminal()
        take(database, [terminal.state()])
        assert link(fleet, database, NOW + 1_000) == "online"
        take(database, [terminal.offline()], now=NOW - 3_600_000)
        assert link(fleet, database, NOW - 3_599_000) == "offline"


def test_a_batch_that_waited_for_its_rows_says_when_it_had_them(tmp_path: Path) -> None:
    """Another worker held them for half a minute; the pages look five seconds back."""
    clock = [NOW]
    with new_database("sqlite", tmp_path) as database:

        def waits(_c: Any, _x: Any, statement: str, *_: Any) -> None:
            if "FROM terminal" in statement:
                clock[0] += 30_000

        event.listen(database._engine, "before_cursor_execute", waits)
        terminal = Terminal()
        messages, _ = readable([Arrived(*terminal.state(), False, 1)])
        with database.write() as connection:
            work = Batch(connection, 1, lambda: clock[0], 400)
            work.apply(messages)
            work.store(work.outcome.counts)
        had_them = clock[0]
        assert had_them >= NOW + 30_000 > NOW + OVERLAP_MS
        assert rows(database, TERMINAL)[0]["changed_at"] == had_them
