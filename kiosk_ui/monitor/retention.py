"""What is old is thrown away, a part at a time: messages by the day (on PostgreSQL a day is a partition that is dropped whole, on
SQLite its rows are deleted), the rest by the row.

Kept for good: the newest picture and configuration of each terminal, alarms that last, commands without an end, the audit, and the
runs of acknowledged classes of a terminal's newest epoch: they say what has been applied, so that nothing is ever applied again.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, Integer, Table, and_, delete, exists, func, literal_column, select, text, tuple_

from kiosk_ui.monitor.command_states import OPEN
from kiosk_ui.monitor.config import RetentionSection
from kiosk_ui.monitor.contract import ACKNOWLEDGED
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.schema import (
    ALARM,
    CASH_HOUR,
    COMMAND,
    CUSTOMER_HOUR,
    DAILY,
    DESIRED,
    EVENT,
    NOTE,
    REFUSAL,
    RUN,
    SESSION,
    TELEMETRY,
)

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
AHEAD_DAYS = 3
HOURS_KEPT = 24 * 35
ROWS_AT_ONCE = 5_000
NUMBERED_ONLY = ("telemetry", "txn")  # runs of these are of no use any more when the epoch is long over


def day_of(at: int, now: int, kept_days: int) -> int:
    """The day under which a message is kept; 0 for one whose time cannot be right, or is too old to be kept by day."""
    day, today = at // DAY_MS, now // DAY_MS
    return day if today - kept_days < day <= today + 1 else 0


def prepare_days(connection: Connection, retention: RetentionSection, now: int) -> None:
    """PostgreSQL: the partitions of the days to come, and the default one. Nothing to do on SQLite."""
    if connection.dialect.name != "postgresql":
        return
    have = _partitions(connection)
    today = now // DAY_MS
    for table in DAILY:
        if f"{table}_other" not in have:
            connection.execute(text(f"CREATE TABLE {table}_other PARTITION OF {table} DEFAULT"))
        first = today - 1 if have else today - min(_days(retention, table), 7)
        for day in range(first, today + AHEAD_DAYS + 1):
            if f"{table}_{day}" in have:
                continue
            # rows of that day may have gone to the default partition while nobody made this one: they move
            moved = f"WITH gone AS (DELETE FROM {table}_other WHERE day = {day} RETURNING *) INSERT INTO moved_{table} SELECT * FROM gone"
            connection.execute(text(f"CREATE TEMPORARY TABLE moved_{table} (LIKE {table}) ON COMMIT DROP"))
            connection.execute(text(moved))
            connection.execute(text(f"CREATE TABLE {table}_{day} PARTITION OF {table} FOR VALUES FROM ({day}) TO ({day + 1})"))
            connection.execute(text(f"INSERT INTO {table} SELECT * FROM moved_{table}"))
            connection.execute(text(f"DROP TABLE moved_{table}"))


def throw_away(database: Database, retention: RetentionSection, now: int, session_ms: int, most: int = ROWS_AT_ONCE) -> bool:
    """One step: at most so many rows of a kind, or one partition, each kind in a transaction of its own. True while there is more."""
    more = database.kind == "postgresql" and _drop_one(database, retention, now // DAY_MS)
    for table, old in _old(retention, now, session_ms):
        # SQLite would look through the whole day for a key of several columns
        key = [literal_column("rowid", Integer)] if database.kind == "sqlite" else list(table.primary_key)
        part = select(*key).select_from(table).where(old).limit(most)
        with database.write() as connection:
            more |= connection.execute(delete(table).where(tuple_(*key).in_(part))).rowcount >= most
    return more


def _drop_one(database: Database, retention: RetentionSection, today: int) -> bool:
    with database.write() as connection:
        days = [(owner, int(day)) for owner, _, day in (name.rpartition("_") for name in _partitions(connection)) if day.isdecimal()]
        over = sorted((day, owner) for owner, day in days if day <= today - _days(retention, owner))
        if over:
            connection.execute(text(f"DROP TABLE {over[0][1]}_{over[0][0]}"))
    return len(over) > 1


def _old(retention: RetentionSection, now: int, session_ms: int) -> Iterator[tuple[Table, ColumnElement[bool]]]:
    """What is thrown away of which table. Times are our own: a terminal's clock decides nothing, but for the day that it may name."""
    today, hour = now // DAY_MS, now // HOUR_MS
    kept_since = {table: now - _days(retention, table) * DAY_MS for table in DAILY}
    old = kept_since["event"]
    yield EVENT, and_(EVENT.c.day <= today - retention.event_days, EVENT.c.day > 0)
    yield EVENT, and_(EVENT.c.day == 0, EVENT.c.received_at < old)
    yield TELEMETRY, and_(TELEMETRY.c.day <= today - retention.telemetry_days, TELEMETRY.c.day > 0)
    yield TELEMETRY, and_(TELEMETRY.c.day == 0, TELEMETRY.c.at < kept_since["telemetry"])
    yield CUSTOMER_HOUR, CUSTOMER_HOUR.c.hour < hour - HOURS_KEPT
    yield CASH_HOUR, CASH_HOUR.c.hour < hour - HOURS_KEPT
    yield ALARM, and_(ALARM.c.state == "returned", ALARM.c.changed_at < old)
    yield NOTE, and_(NOTE.c.at < old, ~exists().where(ALARM.c.alarm_id == NOTE.c.alarm_id))
    yield COMMAND, and_(COMMAND.c.expires_at < old, COMMAND.c.state.not_in(OPEN))
    newer = DESIRED.alias("newer")
    replaced = exists().where(newer.c.terminal == DESIRED.c.terminal, newer.c.version > DESIRED.c.version)
    yield DESIRED, and_(DESIRED.c.issued_at < old, replaced)
    yield RUN, and_(RUN.c["class"].in_(NUMBERED_ONLY), RUN.c.changed_at < old)
    later = RUN.alias("later")
    over = exists().where(later.c.terminal == RUN.c.terminal, later.c["class"] == RUN.c["class"], later.c.epoch > RUN.c.epoch)
    yield RUN, and_(RUN.c["class"].in_(ACKNOWLEDGED), RUN.c.changed_at < old, over)
    yield SESSION, SESSION.c.created_at < now - session_ms
    every = REFUSAL.alias("every")
    yield REFUSAL, REFUSAL.c.id <= select(func.max(every.c.id)).scalar_subquery() - retention.refusals


def _days(retention: RetentionSection, table: str) -> int:
    return retention.event_days if table == "event" else retention.telemetry_days


def _partitions(connection: Connection) -> set[str]:
    inherits = "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent"
    names = ", ".join(f"'{table}'" for table in DAILY)
    return {str(row[0]) for row in connection.execute(text(f"{inherits} WHERE p.relname IN ({names})"))}
