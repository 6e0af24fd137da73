"""A batch of messages in one transaction, on SQLite and on a real PostgreSQL: every effect once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from monitor_database import KINDS, counters, new_database, picture, rows, take
from monitor_says import NOW, ORDER, Terminal, altered
from postgres import Postgres

from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.ingest import Ack, Batch
from kiosk_ui.monitor.mqtt import Arrived
from kiosk_ui.monitor.schema import ALARM, CASH_HOUR, COMMAND, CUSTOMER_HOUR, EVENT, REFUSAL, RUN, TELEMETRY, TERMINAL
from kiosk_ui.monitor.worker import readable


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


def test_a_state_makes_the_picture_and_is_not_acknowledged(database: Database) -> None:
    terminal = Terminal()
    assert take(database, [terminal.state()]).acks == []
    found = picture(database)
    assert found["link"] == "online" and found["state"]["service"] == "inService" and found["heard"] == NOW
    assert found["units"]["1"]["count"] == 150 and found["devices"]["printer"]["device"] == "online"
    assert rows(database, TERMINAL)[0]["branch"] == "B001"


def test_audit_and_alarm_are_acknowledged_cumulatively_and_txn_never(database: Database) -> None:
    terminal = Terminal()
    said = [terminal.device("printer", "hardwareError"), terminal.cash("1", 9), terminal.alarm("consumableLow"), terminal.advice()]
    acks = take(database, said).acks
    assert acks == [Ack(terminal.base, "alarm", 1, 1), Ack(terminal.base, "audit", 1, 2)]
    assert [(row["class"], row["seq"]) for row in rows(database, EVENT)] == [("alarm", 1), ("audit", 1), ("audit", 2), ("txn", 1)]


def test_a_gap_is_not_acknowledged_over(database: Database) -> None:
    terminal = Terminal()
    first, second, third = (terminal.cash("1", count) for count in (9, 8, 7))
    assert take(database, [first, third]).acks == [Ack(terminal.base, "audit", 1, 1)]
    assert rows(database, RUN)[0]["blocked_since"] == NOW
    assert take(database, [second], worker=2).acks == [Ack(terminal.base, "audit", 1, 3)]
    assert rows(database, RUN)[0]["blocked_since"] is None
    assert picture(database)["units"]["1"]["count"] == 7


def test_what_comes_again_changes_nothing_and_is_acknowledged_again(database: Database) -> None:
    terminal = Terminal()
    said = [terminal.state(), terminal.advice(), terminal.alarm("consumableLow"), terminal.cash("1", 9), terminal.telemetry()]
    first = take(database, said)
    tables = (EVENT, TELEMETRY, ALARM, CUSTOMER_HOUR, CASH_HOUR, RUN)
    before = [rows(database, table) for table in tables]
    assert take(database, said, now=NOW + 60_000, worker=2).acks == first.acks
    assert [rows(database, table) for table in tables] == before
    assert counters(database)["repeated.audit"] == 1


def test_a_crash_before_the_commit_leaves_nothing_and_the_resend_everything(database: Database) -> None:
    terminal = Terminal()
    said = [terminal.state(), terminal.advice(), terminal.alarm("consumableLow"), terminal.telemetry()]
    take(database, said, crash=True)
    assert rows(database, TERMINAL) == rows(database, EVENT) == []
    assert take(database, said).acks == [Ack(terminal.base, "alarm", 1, 1)]
    assert rows(database, CUSTOMER_HOUR)[0]["transactions"] == 1


def test_customers_who_did_not_get_what_they_wanted_are_counted(database: Database) -> None:
    terminal = Terminal()
    said = [terminal.advice(), terminal.advice("DOBT"), terminal.advice("FAIL", failure="MALF"), terminal.advice("FAIL", failure="CUCL")]
    take(database, [*said, terminal.advice("SCSS", reconciles=True)])
    assert [(row["transactions"], row["affected"]) for row in rows(database, CUSTOMER_HOUR)] == [(4, 2)]
    assert [(row["unit"], row["notes"]) for row in rows(database, CASH_HOUR)] == [("1", 6)]


def test_an_alarm_that_returned_before_it_was_raised_is_over(database: Database) -> None:
    terminal = Terminal()
    raised, returned = terminal.alarm("consumableLow", at=NOW - 5000), terminal.alarm("consumableLow", "returned", at=NOW)
    take(database, [returned])
    take(database, [raised])
    row = rows(database, ALARM)[0]
    assert (row["state"], row["raised_at"], row["returned_at"]) == ("returned", NOW - 5000, NOW)


def test_an_operators_acknowledgement_outlives_the_alarms_next_word(database: Database) -> None:
    terminal = Terminal()
    take(database, [terminal.alarm("consumableLow")])
    with database.write() as connection:
        connection.execute(ALARM.update().values(acknowledged_by="li", acknowledged_at=NOW))
    take(database, [terminal.alarm("consumableLow", "returned")])
    assert rows(database, ALARM)[0]["acknowledged_by"] == "li"


def test_a_will_takes_offline_and_the_next_word_brings_back(database: Database) -> None:
    terminal = Terminal()
    take(database, [terminal.state()])
    take(database, [terminal.offline(at=NOW - 3_600_000)], now=NOW + 1000)
    assert picture(database)["link"] == "offline" and picture(database)["linkAt"] == NOW + 1000
    take(database, [terminal.telemetry()], now=NOW + 1500)
    assert picture(database)["link"] == "offline", "another worker still had this in its hands"
    take(database, [terminal.telemetry(at=NOW + 60_000)], now=NOW + 60_000)
    found = picture(database)
    assert found["link"] == "online" and found["state"]["service"] == "inService", "the last known state was kept"


def test_a_retained_state_says_that_the_terminal_is_there_but_not_that_it_spoke_now(database: Database) -> None:
    topic, payload = Terminal().state(at=NOW - 3_600_000)
    messages, _ = readable([Arrived(topic, payload, True, 1)])
    with database.write() as connection:
        work = Batch(connection, 1, lambda: NOW, 400)
        work.apply(messages)
        work.store(Counter())
    found = picture(database)
    assert found["link"] == "online" and found["heard"] == NOW - 3_600_000 and found["vouched"] == NOW


BAD: list[tuple[str, Any]] = [
    ("oversized", lambda t: (f"{t.base}/event", b"{" + b" " * 70_000 + b"}")),
    ("notJson", lambda t: (f"{t.base}/event", b"\xff\xfe")),
    ("notJson", lambda t: (f"{t.base}/event", b'{"a": NaN}')),
    ("notJson", lambda t: (f"{t.base}/event", b'{"a": 1e999}')),
    ("notJson", lambda t: (f"{t.base}/event", b"[" * 60_000)),
    ("notOurTopic", lambda t: ("bank/v1/B001/T0001/elsewhere", b"{}")),
    ("notOurTopic", lambda t: ("bank/v1/B001/T\x00/event", b"{}")),
    ("badEnvelope", lambda t: (f"{t.base}/event", b"[]")),
    ("unknownVersion", lambda t: t.odd("event", "X", {}, specversion="2.0")),
    ("unknownVersion", lambda t: t.odd("event", "X", {}, dataschema="elsewhere")),
    ("wrongSource", lambda t: t.odd("event", "X", {}, source="bank/v1/B001/T0002")),
    ("badNumber", lambda t: t.odd("event", "X", {}, seq=0)),
    ("badNumber", lambda t: t.odd("event", "X", {}, epoch=2**60)),
    ("badEnvelope", lambda t: t.odd("event", "X", {}, time="yesterday")),
    ("unknownType", lambda t: t.odd("state", "Y", {"state": "online"})),
    ("badData", lambda t: t.odd("state", "ATMDeviceReport", {"state": "asleep"})),
    ("badData", lambda t: t.odd("state", "ATMDeviceReport", {"state": "online", "cashUnits": [{"unit": "1", "count": "9"}]})),
]


@pytest.mark.parametrize(("reason", "make"), BAD, ids=[f"{number}-{reason}" for number, (reason, _) in enumerate(BAD)])
def test_what_cannot_be_read_is_refused_counted_and_kept(reason: str, make: Any, database: Database) -> None:
    take(database, [make(Terminal())])
    assert [row["reason"] for row in rows(database, REFUSAL)] == [reason]
    assert counters(database)[f"refused.{reason}"] == 1
    assert picture(database).get("link", "unknown") == "unknown"


@pytest.mark.parametrize(
    ("reason", "make"),
    [
        ("unknownVersion", lambda t: t.odd("event", "DeviceStatusChanged", {}, dataschema="smart-branch:deviceStatusChanged:2")),
        ("badData", lambda t: t.odd("event", "DeviceStatusChanged", {"device": "printer"})),
        ("badData", lambda t: altered(t.alarm("consumableLow"), severity="loud")),
        ("wrongTerminal", lambda t: t.alarm("consumableLow", alarmId="T0002/consumableLow/-/1")),
        ("unknownType", lambda t: t.odd("alarm", "Noise", {})),
        ("unknownCommand", lambda t: t.result(ORDER, "succeeded")),
        ("unknownType", lambda t: t.odd("cmd/resp", "DeviceStatusChanged", {})),
    ],
)
def test_a_numbered_message_that_cannot_be_applied_is_kept_and_acknowledged(reason: str, make: Any, database: Database) -> None:
    assert [ack.upto for ack in take(database, [make(Terminal())]).acks] == [1]
    assert [row["reason"] for row in rows(database, REFUSAL)] == [reason]
    assert len(rows(database, EVENT)) == 1 and rows(database, ALARM) == []


def test_a_number_used_again_with_another_content_is_kept_not_applied(database: Database) -> None:
    terminal = Terminal()
    take(database, [terminal.cash("1", 9)])
    terminal.seq.clear()
    assert [ack.upto for ack in take(database, [terminal.cash("1", 999)]).acks] == [1]
    assert [row["reason"] for row in rows(database, REFUSAL)] == ["reused"]
    assert picture(database)["units"]["1"]["count"] == 9


def test_text_that_no_database_likes_is_stored(database: Database) -> None:
    terminal = Terminal()
    topic, payload = terminal.odd("event", "SecurityEvent", {"nul": "\x00", "text": "口令"})
    payload = payload.replace("口令".encode(), b'\\ud800"'[:-1])
    assert [ack.upto for ack in take(database, [(topic, payload), ("bank/v1/\x00\ud7ff/x", b"\x00\xff")]).acks] == [1]
    assert json.loads(rows(database, EVENT)[0]["data"]) == {"nul": "\x00", "text": "\ud800"}
    assert rows(database, REFUSAL)[0]["reason"] == "notOurTopic"


DONE = {"service": "inService", "reasons": []}


def command(database: Database, **more: Any) -> None:
    values = {
        "command_id": ORDER,
        "terminal": "T0001",
        "branch": "B001",
        "command": "status",
        "parameters": "{}",
        "reason": "",
        "role": "operator",
    }
    values |= {"issued_by": "li", "issued_at": NOW, "not_before": NOW, "expires_at": NOW + 60_000, "state": "sent", "state_at": NOW}
    with database.write() as connection:
        connection.execute(COMMAND.insert().values(values | more))


def test_only_the_terminals_own_word_makes_a_command_delivered_or_more(database: Database) -> None:
    command(database)
    terminal = Terminal()
    take(database, [terminal.result(ORDER, "received")])
    assert rows(database, COMMAND)[0]["state"] == "delivered"
    done = terminal.result(ORDER, "succeeded", result="SUCC", data=DONE)
    late = terminal.result(ORDER, "executing")
    take(database, [late])
    take(database, [done])
    row = rows(database, COMMAND)[0]
    assert (row["state"], row["result"], json.loads(row["result_data"])) == ("succeeded", "SUCC", DONE)


def test_another_terminal_cannot_answer_a_command(database: Database) -> None:
    command(database)
    take(database, [Terminal("T0002").result(ORDER, "succeeded")])
    assert rows(database, COMMAND)[0]["state"] == "sent"
    assert rows(database, REFUSAL)[0]["reason"] == "wrongTerminal"


def test_many_terminals_in_one_batch(database: Database) -> None:
    fleet = [Terminal(f"T{number:04}") for number in range(300)]
    take(database, [message for terminal in fleet for message in (terminal.state(), terminal.telemetry(), terminal.advice())])
    assert len(rows(database, TERMINAL)) == len(rows(database, TELEMETRY)) == len(rows(database, CUSTOMER_HOUR)) == 300
