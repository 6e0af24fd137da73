"""Old messages go by the day: on PostgreSQL a day is a partition that is dropped whole, on SQLite its rows are deleted.

Pictures, alarms and audit do not go with them; nor do the runs that say what has been applied, so nothing is ever applied again.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, text

from kiosk_ui.monitor.config import RetentionSection
from kiosk_ui.monitor.refusals import bound_refusals
from kiosk_ui.monitor.schema import ALARM, CASH_HOUR, CUSTOMER_HOUR, DAILY, EVENT, METADATA, RUN, SESSION, TELEMETRY

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
AHEAD_DAYS = 3
HOURS_KEPT = 24 * 35
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


def throw_away(connection: Connection, retention: RetentionSection, now: int, session_ms: int) -> None:
    """What is older than it is to be kept."""
    today, hour = now // DAY_MS, now // HOUR_MS
    for table in DAILY:
        last = today - _days(retention, table)
        if connection.dialect.name == "postgresql":
            for name in _partitions(connection):
                owner, _, day = name.rpartition("_")
                if owner == table and day.isdecimal() and int(day) <= last:
                    connection.execute(text(f"DROP TABLE {name}"))
        rows = METADATA.tables[table]
        connection.execute(delete(rows).where(rows.c.day <= last, rows.c.day > 0))
        kept_at = EVENT.c.received_at if table == "event" else TELEMETRY.c.at
        connection.execute(delete(rows).where(rows.c.day == 0, kept_at < now - _days(retention, table) * DAY_MS))
    connection.execute(delete(CUSTOMER_HOUR).where(CUSTOMER_HOUR.c.hour < hour - HOURS_KEPT))
    connection.execute(delete(CASH_HOUR).where(CASH_HOUR.c.hour < hour - HOURS_KEPT))
    old = now - retention.event_days * DAY_MS
    connection.execute(delete(RUN).where(RUN.c["class"].in_(NUMBERED_ONLY), RUN.c.changed_at < old))
    connection.execute(delete(ALARM).where(ALARM.c.state == "returned", ALARM.c.changed_at < old))
    connection.execute(delete(SESSION).where(SESSION.c.created_at < now - session_ms))
    bound_refusals(connection, retention.refusals)


def _days(retention: RetentionSection, table: str) -> int:
    return retention.event_days if table == "event" else retention.telemetry_days


def _partitions(connection: Connection) -> set[str]:
    inherits = "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent"
    names = ", ".join(f"'{table}'" for table in DAILY)
    return {str(row[0]) for row in connection.execute(text(f"{inherits} WHERE p.relname IN ({names})"))}


def newest_day(connection: Connection) -> int | None:
    return connection.execute(select(EVENT.c.day).order_by(EVENT.c.day.desc()).limit(1)).scalar()
