"""What is thrown away and what is kept, on SQLite and on a real PostgreSQL: by the centre's clock, and a part at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from monitor_centre import PlayedIngest
from monitor_database import KINDS, RETENTION, new_database, rows, take
from monitor_process import configuration
from monitor_says import NOW, ORDER, Terminal
from postgres import Postgres, binaries
from sqlalchemy import event

from kiosk_ui.monitor import observer, retention
from kiosk_ui.monitor.config import load_config
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.fleet import Fleet
from kiosk_ui.monitor.retention import AHEAD_DAYS, DAY_MS, HOUR_MS, day_of, prepare_days, throw_away
from kiosk_ui.monitor.schema import (
    ALARM,
    CASH_HOUR,
    COMMAND,
    CUSTOMER_HOUR,
    DESIRED,
    EVENT,
    NOTE,
    REFUSAL,
    RUN,
    SESSION,
    TELEMETRY,
    TERMINAL,
)

SESSION_MS = 12 * HOUR_MS
LATER = NOW + 401 * DAY_MS


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    server = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    with new_database(request.param, tmp_path, server) as found:
        yield found


def clear(database: Database, now: int, most: int = 1000) -> int:
    """Every part; how many there were."""
    parts = 1
    while throw_away(database, RETENTION, now, SESSION_MS, most):
        parts += 1
        assert parts < 1000
    return parts


def partitions(database: Database) -> set[str]:
    with database.read() as connection:
        return retention._partitions(connection)


def put(database: Database, table: Any, *found: dict[str, Any]) -> None:
    with database.write() as connection:
        connection.execute(table.insert(), list(found))


def test_old_days_go_and_what_was_applied_is_not_applied_again(database: Database) -> None:
    terminal = Terminal()
    said = [terminal.cash("1", 5), terminal.telemetry(), terminal.cash("1", 4, at=NOW + 500 * DAY_MS)]
    take(database, said)
    clear(database, NOW + 29 * DAY_MS)
    assert (len(rows(database, EVENT)), len(rows(database, TELEMETRY))) == (2, 1)
    clear(database, NOW + 31 * DAY_MS)
    assert (len(rows(database, EVENT)), len(rows(database, TELEMETRY))) == (2, 0)
    clear(database, LATER)
    assert rows(database, EVENT) == []
    assert [ack.upto for ack in take(database, said, now=LATER).acks] == [2]
    assert rows(database, EVENT) == [] and len(rows(database, TERMINAL)) == 1


def test_a_day_is_of_the_message_unless_it_cannot_be() -> None:
    assert day_of(NOW, NOW, 30) == NOW // DAY_MS
    assert day_of(NOW - 31 * DAY_MS, NOW, 30) == day_of(NOW + 3 * DAY_MS, NOW, 30) == 0


def test_a_terminal_whose_clock_is_a_year_ahead_keeps_nothing_for_longer(database: Database) -> None:
    """Its telemetry and its customers are of the hour in which they came; so are its alarms and the results of its commands."""
    ahead = Terminal(now=NOW + 400 * DAY_MS)
    put(database, COMMAND, command(ORDER, state="sent"))
    said = [ahead.telemetry(), ahead.advice(notes=2), ahead.alarm("consumableLow"), ahead.result(ORDER, "succeeded", result="SUCC")]
    take(database, said)
    assert rows(database, TELEMETRY)[0]["at"] == NOW and rows(database, TELEMETRY)[0]["day"] == NOW // DAY_MS
    assert [row["hour"] for row in [*rows(database, CUSTOMER_HOUR), *rows(database, CASH_HOUR)]] == [NOW // HOUR_MS] * 2
    assert rows(database, ALARM)[0]["raised_at"] == rows(database, COMMAND)[0]["state_at"] == NOW
    slightly = Terminal("T0002", now=NOW + 50_000)
    take(database, [slightly.telemetry()])
    assert rows(database, TELEMETRY)[1]["at"] == NOW + 50_000, "a minute ahead is a clock as clocks are"
    clear(database, NOW + 36 * DAY_MS)
    assert rows(database, TELEMETRY) == rows(database, CUSTOMER_HOUR) == rows(database, CASH_HOUR) == []


def command(identity: str, **more: Any) -> dict[str, Any]:
    found = {"command_id": identity, "terminal": "T0001", "branch": "B001", "command": "status", "parameters": "{}", "reason": "why not"}
    found |= {"role": "operator", "issued_by": "li", "issued_at": NOW, "not_before": NOW, "expires_at": NOW + 60_000, "state_at": NOW}
    return {**found, "state": "succeeded"} | more


def wish(terminal: str, version: int) -> dict[str, Any]:
    found = {"terminal": terminal, "version": version, "branch": "B001", "configuration": "{}", "reason": "why not", "issued_by": "sam"}
    return found | {"issued_at": NOW + version, "signed": "{}"}


def test_what_people_did_long_ago_goes_but_not_what_still_holds(database: Database) -> None:
    terminal = Terminal()
    over, lasts = terminal.alarm("consumableLow"), terminal.alarm("hostUnreachable")
    take(database, [over, lasts, terminal.alarm("consumableLow", "returned")])
    ids = {row["code"]: row["alarm_id"] for row in rows(database, ALARM)}
    put(database, NOTE, *({"alarm_id": one, "at": NOW, "who": "olga", "text": "van at noon"} for one in ids.values()))
    put(database, COMMAND, command("done"), command("open", state="sent"), command("late", expires_at=LATER))
    put(database, DESIRED, wish("T0001", 1), wish("T0001", 2), wish("T0002", 1))
    put(database, SESSION, *({"token_hash": str(n), "name": "li", "csrf": "x", "created_at": NOW + n, "used_at": NOW} for n in (0, 10**12)))
    clear(database, NOW + 399 * DAY_MS)
    assert [len(rows(database, table)) for table in (ALARM, NOTE, COMMAND, DESIRED)] == [2, 2, 3, 3]
    clear(database, LATER)
    assert [row["code"] for row in rows(database, ALARM)] == ["hostUnreachable"]
    assert [row["alarm_id"] for row in rows(database, NOTE)] == [ids["hostUnreachable"]], "a note goes with its alarm"
    assert {row["command_id"] for row in rows(database, COMMAND)} == {"open", "late"}
    assert [(row["terminal"], row["version"]) for row in rows(database, DESIRED)] == [("T0001", 2), ("T0002", 1)]
    assert [row["token_hash"] for row in rows(database, SESSION)] == [str(10**12)]


def test_of_the_runs_those_of_an_epoch_that_is_over_go(database: Database) -> None:
    """A terminal that was silent for a year goes on with its numbers."""
    first, second = Terminal(epoch=1), Terminal(epoch=2)
    take(database, [first.cash("1", 9), first.alarm("consumableLow"), first.telemetry(), first.advice()])
    take(database, [second.cash("1", 8)], now=NOW + 1000)
    clear(database, LATER)
    assert [(row["class"], row["epoch"]) for row in rows(database, RUN)] == [("alarm", 1), ("audit", 2)]
    assert [ack.upto for ack in take(database, [second.cash("1", 7)], now=LATER).acks] == [2]


def test_the_table_of_refusals_is_bounded(database: Database) -> None:
    for number in range(30):
        take(database, [(f"bank/v1/B001/T{number}/event", b"?")])
    few = replace(RETENTION, refusals=10)
    while throw_away(database, few, NOW, SESSION_MS, 7):
        """Seven at a time."""
    assert [row["topic"] for row in rows(database, REFUSAL)] == [f"bank/v1/B001/T{number}/event" for number in range(20, 30)]


def test_it_goes_in_parts_each_of_them_a_short_transaction(database: Database) -> None:
    terminal = Terminal(now=NOW - 35 * DAY_MS)  # of before the first partition, so rows have to be deleted on PostgreSQL, too
    take(database, [terminal.telemetry() for _ in range(95)])
    largest: list[int] = []

    def deleted(_c: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE"):
            largest.append(cursor.rowcount)

    event.listen(database._engine, "after_cursor_execute", deleted)
    assert throw_away(database, RETENTION, NOW, SESSION_MS, 10) and len(rows(database, TELEMETRY)) == 85
    assert clear(database, NOW, 10) >= 9
    assert rows(database, TELEMETRY) == [] and max(largest) == 10


def test_the_pages_are_refreshed_between_two_parts(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(now=NOW - 35 * DAY_MS)
    take(database, [terminal.telemetry() for _ in range(30)])
    monkeypatch.setattr(observer, "throw_away", lambda *given: throw_away(*given, 10))
    config = load_config(configuration(tmp_path, "mqtt://127.0.0.1:1"))
    fleet = Fleet(config)
    watch = observer.Observer(config, database, fleet, PlayedIngest())
    left = []
    for turn in range(5):
        take(database, [Terminal("T0007", epoch=turn + 1).telemetry()], now=NOW + turn)
        watch.turn(NOW + turn, 10_000.0 + turn / 2)
        line = fleet.line("T0007")
        assert line is not None and line.heard == NOW + turn
        left.append(sum(row["terminal"] == "T0001" for row in rows(database, TELEMETRY)))
    assert left == [20, 10, 0, 0, 0]


@pytest.fixture
def postgresql(postgres: Postgres, tmp_path: Path) -> Iterator[Database]:
    with new_database("postgresql", tmp_path, postgres) as found:
        yield found


@pytest.mark.wire
@pytest.mark.skipif(not binaries(), reason="no postgresql")
def test_on_postgresql_days_are_partitions_made_ahead_and_dropped_whole(postgresql: Database) -> None:
    today = NOW // DAY_MS
    assert {f"{table}_{today + n}" for table in ("event", "telemetry") for n in range(-7, AHEAD_DAYS + 1)} <= partitions(postgresql)
    terminal = Terminal()
    take(postgresql, [terminal.cash("1", 5), terminal.telemetry()])
    # nobody made the days of a week later: they wait in the default partition, and move when theirs is made
    week = NOW + 7 * DAY_MS
    late = Terminal("T0002", now=week)
    take(postgresql, [late.cash("1", 5), late.telemetry()], now=week)
    with postgresql.write() as connection:
        prepare_days(connection, RETENTION, week)
    with postgresql.read() as connection:
        for table in ("event", "telemetry"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM ONLY {table}_{week // DAY_MS}").scalar() == 1
            assert connection.exec_driver_sql(f"SELECT count(*) FROM ONLY {table}_other").scalar() == 0
    clear(postgresql, week + 25 * DAY_MS)
    left = partitions(postgresql)
    assert f"event_{today}" in left and f"telemetry_{today}" not in left and f"telemetry_{week // DAY_MS}" in left
    assert (len(rows(postgresql, EVENT)), [row["terminal"] for row in rows(postgresql, TELEMETRY)]) == (2, ["T0002"])
    clear(postgresql, week + (400 + AHEAD_DAYS) * DAY_MS)
    assert partitions(postgresql) == {"event_other", "telemetry_other"} and rows(postgresql, EVENT) == rows(postgresql, TELEMETRY) == []
