"""The monitor's tables (SQLAlchemy Core), the same on SQLite and PostgreSQL. Times are ms since 1970 UTC, days and hours whole ones.

`event` and `telemetry` are thrown away by day: on PostgreSQL each day is a partition of its own, and those that fit in none
(terminals with a wrong clock: day 0) are in the default partition.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, PrimaryKeyConstraint, Table, Text

VERSION = 1
METADATA = MetaData()
DAILY = ("event", "telemetry")

# SQLite numbers its rows by itself only in a column that is an INTEGER
_SERIAL = BigInteger().with_variant(Integer, "sqlite")


def _text(name: str, *, null: bool = False, default: str | None = None) -> Column[str]:
    return Column(name, Text, nullable=null, server_default=default)


def _whole(name: str, *, null: bool = False, default: str | None = None) -> Column[int]:
    return Column(name, BigInteger, nullable=null, server_default=default)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, default=False)


META = Table("meta", METADATA, Column("name", Text, primary_key=True), _text("value"))

# `picture`: what `picture.py` makes of all messages. `revision` grows with every change of the row.
TERMINAL = Table(
    "terminal",
    METADATA,
    Column("terminal", Text, primary_key=True),
    _text("branch"),
    _whole("revision", default="0"),
    _whole("changed_at"),
    _text("picture"),
    Index("terminal_changed", "changed_at"),
)

# What has come of one numbered class: `ranges.Ranges`. `repeats`: how often what lies behind the first gap came again.
RUN = Table(
    "run",
    METADATA,
    Column("terminal", Text, primary_key=True),
    Column("class", Text, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    _text("ranges"),
    _whole("blocked_since", null=True),
    _whole("repeats", default="0"),
    _whole("changed_at"),
    Index("run_blocked", "blocked_since"),
)

EVENT = Table(
    "event",
    METADATA,
    _whole("day"),
    _text("terminal"),
    _text("class"),
    _whole("epoch"),
    _whole("seq"),
    _text("type"),
    _whole("at"),
    _whole("received_at"),
    _text("digest"),
    _text("unread", default=""),
    _text("data"),
    PrimaryKeyConstraint("day", "terminal", "class", "epoch", "seq"),
    Index("event_of_terminal", "terminal", "at"),
    postgresql_partition_by="RANGE (day)",
)

TELEMETRY = Table(
    "telemetry",
    METADATA,
    _whole("day"),
    _text("terminal"),
    _whole("epoch"),
    _whole("seq"),
    _whole("at"),
    _text("data"),
    PrimaryKeyConstraint("day", "terminal", "epoch", "seq"),
    Index("telemetry_of_terminal", "terminal", "at"),
    postgresql_partition_by="RANGE (day)",
)

# The terminal's own part (up to `seq`) is written by the ingest alone, the operators' part by the server alone.
ALARM = Table(
    "alarm",
    METADATA,
    Column("alarm_id", Text, primary_key=True),
    _text("terminal"),
    _text("code"),
    _text("device", default=""),
    _text("severity"),
    _text("state"),
    _text("cause", null=True),
    _flag("suppressed"),
    _text("evidence"),
    _text("transaction_id", null=True),
    _whole("raised_at", null=True),
    _whole("returned_at", null=True),
    _whole("epoch"),
    _whole("seq"),
    _whole("changed_at"),
    _whole("acknowledged_at", null=True),
    _text("acknowledged_by", null=True),
    _text("owner", null=True),
    _whole("shelved_until", null=True),
    _text("shelved_by", null=True),
    _flag("out_of_service"),
    Index("alarm_of_terminal", "terminal", "state"),
    Index("alarm_changed", "changed_at"),
    Index("alarm_open", "state", "acknowledged_at"),
)

NOTE = Table(
    "note",
    METADATA,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    _text("alarm_id"),
    _whole("at"),
    _text("who"),
    _text("text"),
    Index("note_of_alarm", "alarm_id"),
)

COMMAND = Table(
    "command",
    METADATA,
    Column("command_id", Text, primary_key=True),
    _text("terminal"),
    _text("branch"),
    _text("command"),
    _text("parameters"),
    _text("reason"),
    _text("role"),
    _text("issued_by"),
    _whole("issued_at"),
    _whole("not_before"),
    _whole("expires_at"),
    _text("approved_by", null=True),
    _whole("approved_at", null=True),
    _text("state"),
    _whole("state_at"),
    _text("result", null=True),
    _text("result_reason", null=True),
    _text("result_data", null=True),
    _text("signed", null=True),
    Index("command_of_terminal", "terminal", "issued_at"),
    Index("command_state", "state"),
)

DESIRED = Table(
    "desired",
    METADATA,
    Column("terminal", Text, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    _text("branch"),
    _text("configuration"),
    _text("reason"),
    _text("issued_by"),
    _whole("issued_at"),
    _text("signed"),
    _whole("published_at", null=True),
    Index("desired_unpublished", "published_at"),
)

# By the hour: what customers did (`transactions`, of which `affected` ended otherwise than they wanted) and which notes left.
CUSTOMER_HOUR = Table(
    "customer_hour",
    METADATA,
    Column("terminal", Text, primary_key=True),
    Column("hour", BigInteger, primary_key=True),
    _whole("transactions"),
    _whole("affected"),
    Index("customer_hours", "hour"),
)
CASH_HOUR = Table(
    "cash_hour",
    METADATA,
    Column("terminal", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("hour", BigInteger, primary_key=True),
    _whole("notes"),
)

REFUSAL = Table(
    "refusal",
    METADATA,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    _whole("at"),
    _text("topic"),
    _text("reason"),
    _text("detail"),
    _text("digest"),
    _text("payload"),
)
# Counted by each worker in rows of its own, so that none waits for another.
COUNTER = Table(
    "counter",
    METADATA,
    Column("worker", BigInteger, primary_key=True),
    Column("name", Text, primary_key=True),
    _whole("value"),
)

PERSON = Table(
    "person",
    METADATA,
    Column("name", Text, primary_key=True),
    _text("role"),
    _text("password"),
    _flag("closed"),
    _whole("created_at"),
)
SESSION = Table(
    "session",
    METADATA,
    Column("token_hash", Text, primary_key=True),
    _text("name"),
    _text("csrf"),
    _whole("created_at"),
    _whole("used_at"),
)
AUDIT = Table(
    "audit",
    METADATA,
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    _whole("at"),
    _text("who"),
    _text("role"),
    _text("action"),
    _text("object"),
    _text("detail"),
    _text("hash"),
    Index("audit_object", "object"),
)
