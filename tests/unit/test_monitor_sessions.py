"""Who may ask the monitor: bodies that do not read, guessed passwords, other pages, sessions that end by idleness and by age."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from monitor_centre import Centre, Client, opened
from monitor_database import rows
from monitor_process import PASSWORD
from sqlalchemy import select, update

from kiosk_ui.monitor import people
from kiosk_ui.monitor.log import now_ms
from kiosk_ui.monitor.schema import AUDIT, SESSION
from kiosk_ui.monitor.web import live


@pytest.fixture(scope="module")
def centre() -> Iterator[Centre]:
    with opened() as found:
        yield found


@pytest.fixture(scope="module")
def olga(centre: Centre) -> Client:
    return Client(centre, "olga")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"name": 1}', b"[" * 70_000])
def test_a_body_that_does_not_read_is_refused(body: bytes, centre: Centre) -> None:
    client = Client(centre)
    status = 413 if len(body) > 65_536 else 400
    assert asyncio.run(client._ask("POST", "session", body, {}))[0] == status


def test_wrong_passwords_are_recorded_and_slowed_down(centre: Centre) -> None:
    client = Client(centre)
    for _ in range(5):
        assert client.post("session", {"name": "nobody", "password": "wrong"})[0] == 401
    assert client.post("session", {"name": "nobody", "password": PASSWORD})[0] == 429
    assert sum(row["action"] == "signIn.failed" for row in rows(centre.database, AUDIT)) == 5


def test_another_page_cannot_act(centre: Centre, olga: Client) -> None:
    alarm = olga.get("alarms")["alarms"][0]["alarmId"]
    body = {"alarms": [alarm], "action": "acknowledge"}
    assert olga.post("alarms/actions", body, origin="http://evil.example")[0] == 403
    assert olga.post("alarms/actions", body, origin="")[0] == 403
    assert olga.post("alarms/actions", body, x_csrf_token="guess")[0] == 403
    assert olga.call("GET", "overview", host="evil.example")[0] == 403


def test_a_session_ends_by_idleness_and_by_age(centre: Centre) -> None:
    client = Client(centre, "vera")
    hashed = people.token_hash(client.cookie.split("=")[1])
    for column, away in (("used_at", 31 * 60_000), ("created_at", 13 * 3_600_000)):
        with centre.database.write() as connection:
            connection.execute(
                update(SESSION)
                .where(SESSION.c.token_hash == hashed)
                .values({"used_at": now_ms(), "created_at": now_ms()} | {column: now_ms() - away})
            )
        assert client.call("GET", "session")[0] == 401


def test_a_tab_that_is_left_open_keeps_no_session_alive(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream looks at the session again and again, and the page asks for what is new: nobody needs to sit there for that."""
    monkeypatch.setattr(live, "LOOK_S", 0.01)
    monkeypatch.setattr(live, "CHECK_S", 0.02)
    client = Client(centre, "vera")
    mine = SESSION.c.token_hash == people.token_hash(client.cookie.split("=")[1])

    def last_used(minutes: int | None = None) -> int:
        with centre.database.write() as connection:
            if minutes is not None:
                connection.execute(update(SESSION).where(mine).values(used_at=now_ms() - minutes * 60_000))
            return int(connection.execute(select(SESSION.c.used_at).where(mine)).scalar_one())

    before = last_used(29)
    monkeypatch.setattr(live, "SAY_ANYWAY_S", 0.05)
    assert client.stream("revision", times=4) and client.call("GET", "overview", x_background="1")[0] == 200
    assert last_used() == before, "still idle for 29 minutes"
    last_used(31)
    with pytest.raises(AssertionError):
        client.get("overview")
    last_used(29)
    client.get("overview")
    assert last_used() > before, "this was a person"
    checked = live.signed_in

    def a_minute_later(*arguments: Any, **rest: Any) -> Any:
        found = checked(*arguments, **rest)
        last_used(31)
        return found

    monkeypatch.setattr(live, "signed_in", a_minute_later)
    assert client.stream("event: over")[-1] == "", "the stream itself ends, and says why"
