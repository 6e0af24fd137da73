"""The monitor's ingest under duplicates, reorderings between workers, and crashes between commit and acknowledgement.

A story is played twice: once in order, once shuffled into batches with repetitions, of which some die before the commit. Whatever
happened, every effect is there once, and the picture is the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monitor_database import KINDS, new_database, picture, rows, take
from monitor_says import NOW, Terminal
from postgres import Postgres
from sqlalchemy import delete

from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.schema import ALARM, CASH_HOUR, CUSTOMER_HOUR, EVENT, METADATA, RUN, TELEMETRY

Said = list[tuple[str, bytes]]
EFFECTS = (EVENT, TELEMETRY, ALARM, CUSTOMER_HOUR, CASH_HOUR)
ARRIVAL = ("received_at", "changed_at", "blocked_since", "repeats")


@pytest.fixture(scope="module", params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    server = Postgres() if request.param == "postgresql" else None
    with new_database(request.param, tmp_path_factory.mktemp("db"), server) as found:
        yield found
    if server:
        server.stop()


def story(chance: random.Random, length: int) -> Said:
    """What two terminals say, each in its own order."""
    said: Said = []
    fleet = [Terminal("T0001"), Terminal("T0002", "B002")]
    for number in range(length):
        terminal = chance.choice(fleet)
        terminal.now = NOW + chance.randrange(0, 60_000)
        said.append(
            chance.choice(
                [
                    lambda t=terminal, n=number: t.state(counts=(n % 200,) * 4),
                    lambda t=terminal: t.telemetry(jams=chance.randrange(3)),
                    lambda t=terminal: t.device(chance.choice(["printer", "pinPad"]), chance.choice(["online", "hardwareError"])),
                    lambda t=terminal, n=number: t.cash(chance.choice("1234"), n % 200),
                    lambda t=terminal, n=number: t.alarm("consumableLow", chance.choice(["raised", "returned"]), n=1 + n % 3),
                    lambda t=terminal: t.advice(chance.choice(["SCSS", "DOBT", "FAIL"])),
                ]
            )()
        )
    return said


def forget(database: Database) -> None:
    with database.write() as connection:
        for table in METADATA.sorted_tables:
            if table.name != "meta":
                connection.execute(delete(table))


def seen(database: Database) -> list[Any]:
    """Everything but when it arrived."""
    found: list[Any] = [[{k: v for k, v in row.items() if k not in ARRIVAL} for row in rows(database, table)] for table in (*EFFECTS, RUN)]
    for name in ("T0001", "T0002"):
        known = picture(database, name)
        found.append({part: value for part, value in known.items() if part not in ("link", "linkAt", "heard")})
    return found


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), length=st.integers(1, 30))
def test_every_effect_once_however_it_came(seed: int, length: int, database: Database) -> None:
    chance = random.Random(seed)
    said = story(chance, length)
    forget(database)
    take(database, said)
    plain = seen(database)
    forget(database)
    arrived = said + chance.choices(said, k=chance.randrange(0, length + 1))
    chance.shuffle(arrived)
    while arrived:
        count = chance.randrange(1, len(arrived) + 1)
        batch, arrived = arrived[:count], arrived[count:]
        crash = chance.random() < 0.3
        take(database, batch, worker=chance.randrange(1, 4), crash=crash)
        if crash or chance.random() < 0.3:  # died before the commit, or after it and before PUBACK: the broker sends again
            arrived = batch + arrived if not crash or chance.random() < 0.5 else arrived + batch
            if not crash:
                take(database, batch)
    assert seen(database) == plain


def test_the_acknowledgement_never_goes_over_what_is_missing(database: Database) -> None:
    chance = random.Random(7)
    for _ in range(20):
        forget(database)
        terminal = Terminal()
        said = [terminal.cash("1", number) for number in range(1, 13)]
        order = list(range(12))
        chance.shuffle(order)
        came: set[int] = set()
        for index in order:
            came.add(index + 1)
            run = next(n for n in range(14) if n + 1 not in came)
            acks = take(database, [said[index]], worker=1 + index % 3).acks
            assert [ack.upto for ack in acks] == ([run] if run else [])


def test_messages_of_long_ago_are_not_applied_again_when_their_rows_are_gone(database: Database) -> None:
    forget(database)
    terminal = Terminal()
    said = [terminal.advice(), terminal.alarm("consumableLow"), terminal.telemetry()]
    take(database, said)
    counted = rows(database, CUSTOMER_HOUR)
    with database.write() as connection:
        connection.execute(delete(EVENT))
        connection.execute(delete(TELEMETRY))
    take(database, said)
    assert rows(database, EVENT) == rows(database, TELEMETRY) == [] and rows(database, CUSTOMER_HOUR) == counted
