"""What the monitor shows: the worst first, counts that agree, events without gaps, silent terminals, and that it is itself deaf or dead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from monitor_centre import Centre, Client, opened
from monitor_database import rows, take
from monitor_says import Terminal

from kiosk_ui.monitor.log import now_ms
from kiosk_ui.monitor.schema import ALARM


@pytest.fixture(scope="module")
def centre() -> Iterator[Centre]:
    with opened() as found:
        yield found


@pytest.fixture(scope="module")
def olga(centre: Centre) -> Client:
    return Client(centre, "olga")


def test_the_worst_come_first(olga: Client) -> None:
    found = olga.get("terminals")
    grades = [one["grade"] for one in found["terminals"]]
    assert found["total"] == 60 and grades == sorted(grades, key=["fault", "offline", "attention", "ok"].index)
    assert {one["terminal"] for one in olga.get("terminals?grade=fault")["terminals"]} == {"T0001", "T0032"}
    assert {one["branch"] for one in olga.get("terminals?branch=B003")["terminals"]} == {"B003"}
    assert {one["region"] for one in olga.get("terminals?region=north")["terminals"]} == {"north"}
    assert [one["terminal"] for one in olga.get("terminals?q=t0007")["terminals"]] == ["T0007"]
    assert len(olga.get("terminals?limit=7&offset=58")["terminals"]) == 2
    assert olga.call("GET", "terminals?grade=bad")[0] == 400
    assert olga.call("GET", "terminals?limit=-1")[0] == 400


def test_the_overview_counts_what_the_list_shows(olga: Client) -> None:
    found = olga.get("overview")
    for grade in ("fault", "offline", "attention", "ok", "cashOutSoon"):
        assert found["tiles"][grade] == olga.get(f"terminals?grade={grade}")["total"]
    assert sum(sum(one["grades"].values()) for one in found["branches"]) == found["tiles"]["terminals"] == 60
    assert found["tiles"]["affected"] == sum(one["affected"] for one in olga.get("terminals?limit=60")["terminals"]) > 0


def test_an_offline_terminal_keeps_its_last_known_state(olga: Client) -> None:
    found = olga.get("terminals/T0005")
    assert found["line"]["grade"] == "offline" and found["line"]["linkAt"] < found["now"]
    assert found["picture"]["devices"]["cardReader"]["device"] == "online" and found["line"]["units"][0]["count"] > 0
    assert olga.call("GET", "terminals/T9999")[0] == 404


def test_the_monitor_raises_an_alarm_of_its_own_and_hides_the_modules(centre: Centre, olga: Client) -> None:
    offline = [one for one in olga.get("alarms")["alarms"] if one["code"] == "terminalOffline"]
    assert {one["terminal"] for one in offline} == {one["terminal"] for one in olga.get("terminals?grade=offline")["terminals"]}
    hidden = [one for one in olga.get("alarms")["alarms"] if one["aside"] == "suppressed"]
    assert all(one["code"] != "terminalOffline" for one in hidden)
    back = Terminal("T0022", "B011", epoch=9, now=now_ms())
    take(centre.database, [back.state()], now=now_ms())
    centre.look()
    centre.look()
    found = olga.get("terminals/T0022")
    assert found["line"]["link"] == "online"
    assert next(one for one in found["alarms"] if one["code"] == "terminalOffline")["state"] == "returned"


def test_earlier_events_leave_none_out_that_is_of_the_same_millisecond(centre: Centre, olga: Client) -> None:
    burst = Terminal("T0010", "B011", epoch=4, now=now_ms())
    take(centre.database, [burst.cash("1", n) for n in range(12)] + [burst.alarm("consumableLow", n=n) for n in range(12)], now=burst.now)
    older = [burst.cash("2", n, at=burst.now - 1 - n) for n in range(5)]
    take(centre.database, older, now=burst.now)
    seen: list[tuple[str, int]] = []
    before = ""
    while found := olga.get(f"terminals/T0010/events?limit=7{before}")["events"]:
        seen += [(one["class"], one["seq"]) for one in found if one["epoch"] == 4]
        before = f"&before={found[-1]['at']}"
    assert len(seen) == len(set(seen)) == 12 + 12 + 5


def test_refused_messages_are_shown(centre: Centre, olga: Client) -> None:
    take(centre.database, [("bank/v1/B004/T0003/event", b"<script>alert(1)</script>\x00")], now=now_ms())
    found = olga.get("refusals")["refusals"][0]
    assert found["reason"] == "notJson" and "\x00" not in found["payload"]


def test_open_alarms_are_what_the_lines_count(centre: Centre, olga: Client) -> None:
    centre.look()
    counted = sum(one["alarms"] for one in olga.get("terminals?limit=60")["terminals"])
    shown = olga.get("alarms")["alarms"]
    assert counted == sum(one["aside"] == "" for one in shown)
    assert len(rows(centre.database, ALARM)) >= counted
    of_an_offline_one = {one["code"]: one["aside"] for one in shown if one["terminal"] == "T0056"}
    assert of_an_offline_one == {"terminalOffline": "", "cashUnitLow": "suppressed"}
    assert [one["alarms"] for one in olga.get("terminals?q=T0056")["terminals"]] == [1], "its cassette can wait"


def test_the_pages_are_told_that_the_monitor_itself_is_deaf(centre: Centre, olga: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    since = now_ms()
    monkeypatch.setattr(centre.ingest, "hearing_since", since)
    health = olga.get("overview")["health"]
    assert health["ingest"] == "ok" and health["silenceJudgedFrom"] == since + 300_000
    monkeypatch.setattr(centre.ingest, "hearing_since", None)
    health = olga.get("overview")["health"]
    assert health["ingest"] == "deaf" and health["silenceJudgedFrom"] is None
    assert '"ingest": "deaf"' in "".join(olga.stream("revision"))


def test_a_watchdog_hears_of_every_part_that_is_dead(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(centre)
    assert client.healthz() == (503, {"ok": False, "observer": False, "sender": False, "workers": True, "database": True})
    monkeypatch.setattr(centre.observer, "alive", lambda: True)
    monkeypatch.setattr(centre.sender, "alive", lambda: True)
    assert client.healthz()[0] == 200
    monkeypatch.setattr(centre.ingest, "all_there", False)
    assert client.healthz()[0] == 503 and not client.healthz()[1]["workers"]
    monkeypatch.setattr(centre.ingest, "all_there", True)
    monkeypatch.setattr(centre.observer, "fault", "disk I/O error")
    assert client.healthz()[0] == 503 and not client.healthz()[1]["database"]
