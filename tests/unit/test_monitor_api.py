"""The monitor's JSON API, in one process and without a broker. Every answer is held against openapi.json, and every operation is asked."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import openapi_spec_validator
import pytest
from monitor_centre import DOCUMENT, SEEN, Centre, Client, opened
from monitor_database import rows, take
from monitor_says import Terminal
from sqlalchemy import update

from kiosk_ui.monitor import audit
from kiosk_ui.monitor.log import now_ms
from kiosk_ui.monitor.schema import AUDIT, COMMAND, DESIRED, NOTE, SESSION
from kiosk_ui.monitor.signing import COMMAND as COMMAND_PREFIX
from kiosk_ui.monitor.signing import DESIRED as DESIRED_PREFIX
from kiosk_ui.monitor.signing import canonical
from kiosk_ui.monitor.web.app import STATIC


@pytest.fixture(scope="module")
def centre() -> Iterator[Centre]:
    with opened() as found:
        yield found


@pytest.fixture(scope="module")
def olga(centre: Centre) -> Client:
    return Client(centre, "olga")


@pytest.fixture(scope="module")
def sam(centre: Centre) -> Client:
    return Client(centre, "sam")


def test_the_document_is_openapi() -> None:
    openapi_spec_validator.validate(DOCUMENT)


def test_without_a_session_nothing_is_told(centre: Centre) -> None:
    for path in ("session", "overview", "terminals", "terminals/T0001", "alarms", "commands", "audit", "refusals", "gaps"):
        assert Client(centre).call("GET", path)[0] == 401
    assert Client(centre).post("alarms/actions", {"alarms": ["x"], "action": "note"})[0] == 401


def test_the_cookie_is_for_this_page_alone(centre: Centre) -> None:
    client = Client(centre, "vera")
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= {part.strip() for part in client.set_cookie.split(";")}
    token = client.cookie.split("=")[1]
    assert token not in json.dumps(rows(centre.database, SESSION)), "the table has only its hash"
    assert client.call("DELETE", "session")[0] == 200
    assert client.call("GET", "session")[0] == 401


def test_the_terminals_page_has_everything(olga: Client) -> None:
    found = olga.get("terminals/T0001")
    assert {one["code"] for one in found["alarms"]} == {"cashOutLatched", "terminalOutOfService"}
    assert found["line"]["why"][0] == "cashOutLatched" and found["hours"] and found["events"]
    assert any(one["emptyAt"] for one in found["line"]["units"])
    assert olga.get("terminals/T0001/telemetry?hours=48")["hours"][0]["notesMoved"] >= 0
    oldest = found["events"][-1]["at"]
    assert all(one["at"] < oldest for one in olga.get(f"terminals/T0001/events?before={oldest}")["events"])


def test_alarms_are_acknowledged_owned_noted_shelved_and_recorded(centre: Centre, olga: Client, sam: Client) -> None:
    alarm = next(one for one in olga.get("alarms")["alarms"] if one["code"] == "cashUnitLow")["alarmId"]

    def act(client: Client, action: str, **more: Any) -> tuple[int, Any]:
        return client.post("alarms/actions", {"alarms": [alarm], "action": action, **more})

    def now() -> Any:
        return next(one for one in olga.get("alarms?every=1")["alarms"] if one["alarmId"] == alarm)

    assert now()["standing"] == "unacknowledged"
    assert act(olga, "acknowledge")[0] == 200 and now()["standing"] == "acknowledged" and now()["acknowledgedBy"] == "olga"
    assert act(olga, "own", owner="otto")[0] == 200 and now()["owner"] == "otto"
    assert act(olga, "own", owner="nobody")[0] == 409
    assert act(olga, "note", text="van at noon")[0] == 200
    assert [one["text"] for one in olga.get(f"alarms/notes?alarm={alarm}")["notes"]] == ["van at noon"]
    assert act(olga, "note", text=" ")[0] == 409
    assert act(olga, "shelve", hours=25, text="refit")[0] == 409, "an operator's longest is a day"
    assert act(olga, "shelve", hours=4, text="refit")[0] == 200 and now()["aside"] == "shelved"
    assert act(olga, "unshelve")[0] == 200 and now()["aside"] == ""
    assert act(olga, "outOfService", text="sensor broken")[0] == 403
    assert act(sam, "outOfService", text="sensor broken")[0] == 200 and now()["aside"] == "outOfService"
    assert act(sam, "inService", text="new sensor")[0] == 200
    assert act(Client(centre, "vera"), "acknowledge")[0] == 403
    assert olga.post("alarms/actions", {"alarms": [alarm, "no/such/alarm/1"], "action": "note", "text": "x"})[0] == 404
    assert len(rows(centre.database, NOTE)) == 1, "all of them, or none"
    done = [one["action"] for one in olga.get(f"audit?object={alarm}")["lines"]]
    expected = ["acknowledge", "own", "note", "shelve", "unshelve", "outOfService", "inService"]
    assert done == [f"alarm.{one}" for one in reversed(expected)]


def test_the_page_sends_as_many_alarms_at_once_as_the_api_takes(olga: Client) -> None:
    most = DOCUMENT["paths"]["/alarms/actions"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]["alarms"]
    page = (STATIC / "pages" / "alarms.js").read_text(encoding="utf-8")
    assert f"const AT_ONCE = {most['maxItems']};" in page
    ids = [f"T0001/noCash/-/{number}" for number in range(most["maxItems"] + 1)]
    assert olga.post("alarms/actions", {"alarms": ids[:-1], "action": "acknowledge"})[1]["error"] == "unknownAlarm"
    assert olga.post("alarms/actions", {"alarms": ids, "action": "acknowledge"})[1]["error"] == "badBody"


def order(client: Client, command: str, parameters: dict[str, Any] | None = None, **more: Any) -> tuple[int, Any]:
    body = {"terminal": "T0003", "command": command, "parameters": parameters or {}, "reason": "a test of it", **more}
    return client.post("commands", body)


def stored(centre: Centre, identity: str) -> dict[str, Any]:
    return next(row for row in rows(centre.database, COMMAND) if row["command_id"] == identity)


def test_a_command_is_signed_and_stored_before_it_is_sent(centre: Centre, olga: Client) -> None:
    status, found = order(olga, "journalRange", {"from": 5, "to": 90})
    row = stored(centre, found["commandId"])
    assert status == 201 and row["state"] == "queued"
    data = json.loads(row["signed"])
    signature = bytes.fromhex(data.pop("signature"))
    centre.public.verify(signature, COMMAND_PREFIX + canonical(data))
    assert data["terminal"] == "T0003" and data["role"] == "operator" and data["approvedBy"] is None and data["issuedBy"] == "olga"
    assert set(data) == {
        *("commandId", "terminal", "command", "parameters", "issuedAt", "notBefore", "expiresAt"),
        *("issuedBy", "role", "approvedBy", "reason", "keyId"),
    }


UNWRITABLE = [("half a \ud800 pair", 400), ("a nul \x00 in it", 400), ("turned \u202e round", 409), ("a bell \x07", 409)]


@pytest.mark.parametrize(("reason", "expected"), UNWRITABLE)
def test_a_reason_that_no_database_holds_or_no_page_shows_is_refused(
    reason: str, expected: int, centre: Centre, olga: Client, sam: Client
) -> None:
    alarm = olga.get("alarms")["alarms"][0]["alarmId"]
    before = [len(rows(centre.database, table)) for table in (COMMAND, DESIRED, NOTE, AUDIT)]
    assert order(olga, "status", reason=reason)[0] == expected
    wish = {"configuration": {"fleet": {"telemetry_s": 30}}, "reason": reason}
    assert sam.post("terminals/T0003/configuration", wish)[0] == expected
    assert olga.post("alarms/actions", {"alarms": [alarm], "action": "note", "text": reason})[0] == expected
    assert [len(rows(centre.database, table)) for table in (COMMAND, DESIRED, NOTE, AUDIT)] == before


def test_names_that_no_database_holds_are_refused_at_the_door(olga: Client) -> None:
    for odd in ("T\x000003", "T\ud800"):
        assert order(olga, "status", terminal=odd)[0] == 400
        assert olga.post("alarms/actions", {"alarms": [odd], "action": "own", "owner": odd})[0] == 400
        assert olga.post("session", {"name": odd, "password": odd})[0] == 400
    assert olga.call("GET", "commands?terminal=T%000003")[0] == 400
    assert olga.call("GET", "terminals/T\x000003")[0] == 400


def test_a_reason_is_kept_as_it_was_typed_without_the_blanks_around_it(centre: Centre, olga: Client) -> None:
    identity = order(olga, "status", reason="\u3000已到场\u3000检查设备 🔧 ")[1]["commandId"]
    assert stored(centre, identity)["reason"] == "已到场\u3000检查设备 🔧"


BAD_ORDERS: list[tuple[str, dict[str, Any], dict[str, Any], int]] = [
    ("dispense", {}, {}, 404),
    ("restartWorker", {}, {}, 409),
    ("restartWorker", {"device": "safe"}, {}, 409),
    ("status", {"device": "printer"}, {}, 409),
    ("journalRange", {"from": 1, "to": 201}, {}, 409),
    ("journalRange", {"from": 9, "to": 3}, {}, 409),
    ("journalRange", {"from": 1.5, "to": 3}, {}, 409),
    ("status", {}, {"reason": "x"}, 409),
    ("status", {}, {"lifeS": 5}, 409),
    ("status", {}, {"terminal": "T9999"}, 404),
    ("cancel", {"commandId": "everything"}, {}, 409),
]


@pytest.mark.parametrize(("command", "parameters", "more", "status"), BAD_ORDERS)
def test_what_is_no_command_is_not_stored(
    command: str, parameters: dict[str, Any], more: dict[str, Any], status: int, centre: Centre, olga: Client
) -> None:
    before = len(rows(centre.database, COMMAND))
    assert order(olga, command, parameters, **more)[0] == status
    assert len(rows(centre.database, COMMAND)) == before


def test_taking_out_of_service_needs_two_people_one_of_them_a_supervisor(centre: Centre, olga: Client, sam: Client) -> None:
    identity = order(olga, "leaveService")[1]["commandId"]
    assert stored(centre, identity)["state"] == "awaitingApproval" and stored(centre, identity)["signed"] is None
    assert olga.post(f"commands/{identity}/approve", {})[1]["error"] == "samePerson"
    assert Client(centre, "otto").post(f"commands/{identity}/approve", {})[1]["error"] == "supervisorNeeded"
    assert Client(centre, "vera").post(f"commands/{identity}/approve", {})[0] == 403
    assert sam.post(f"commands/{identity}/approve", {})[0] == 200
    data = json.loads(stored(centre, identity)["signed"])
    assert stored(centre, identity)["state"] == "queued" and data["approvedBy"] == "sam" and data["role"] == "operator"
    assert sam.post(f"commands/{identity}/approve", {})[0] == 409
    own = order(sam, "leaveService")[1]["commandId"]
    assert sam.post(f"commands/{own}/approve", {})[1]["error"] == "samePerson"
    assert sam.post(f"commands/{own}/reject", {})[0] == 200 and stored(centre, own)["state"] == "withdrawn"
    other = order(olga, "leaveService")[1]["commandId"]
    assert sam.post(f"commands/{other}/reject", {})[0] == 200 and stored(centre, other)["state"] == "rejected"
    assert sam.post("commands/no-such-command/approve", {})[0] == 404


def test_a_command_that_nobody_sent_yet_is_withdrawn_by_any_operator(centre: Centre, olga: Client) -> None:
    identity = order(olga, "enterService", lifeS=7 * 86_400)[1]["commandId"]
    assert Client(centre, "vera").post(f"commands/{identity}/withdraw", {"reason": "not now"})[0] == 403
    otto = Client(centre, "otto")
    assert otto.post(f"commands/{identity}/withdraw", {"reason": "x"})[1]["error"] == "reasonMissing"
    assert otto.post(f"commands/{identity}/withdraw", {})[1]["error"] == "badBody"
    assert otto.post(f"commands/{identity}/withdraw", {"reason": "the technician stays"}) == (200, {"cancel": None})
    assert stored(centre, identity)["state"] == "withdrawn"
    done = olga.get(f"audit?object={identity}")["lines"][0]
    assert (done["action"], done["who"], done["detail"]["reason"]) == ("command.withdrawn", "otto", "the technician stays")
    assert otto.post(f"commands/{identity}/withdraw", {"reason": "once more"})[1]["error"] == "over"
    assert otto.post("commands/no-such-command/withdraw", {"reason": "which one"})[0] == 404


def test_a_configuration_is_versioned_signed_and_the_supervisors(centre: Centre, olga: Client, sam: Client) -> None:
    body = {"configuration": {"fleet": {"telemetry_s": 30}, "face": {"accept": "0.44"}}, "reason": "a trial"}
    assert olga.post("terminals/T0003/configuration", body)[0] == 403
    status, found = sam.post("terminals/T0003/configuration", body)
    assert status == 201 and found["version"] == 2, "the terminal says that it has version 1"
    assert sam.post("terminals/T0003/configuration", body)[1]["version"] == 3
    row = rows(centre.database, DESIRED)[0]
    data = json.loads(row["signed"])
    signature = bytes.fromhex(data.pop("signature"))
    centre.public.verify(signature, DESIRED_PREFIX + canonical(data))
    assert set(data) == {"terminal", "version", "configuration", "issuedAt", "issuedBy", "keyId"} and data["version"] == 2
    assert sam.get("terminals/T0003")["desired"]["configuration"] == body["configuration"]
    for wrong in (
        {"bank": {"url": "x"}},
        {"fleet": 5},
        {"cash": {"presets_minor": []}},
        {"face": {"accept": 0.44}},
        {"cash": {"x": 1}},
        [],
    ):
        assert sam.post("terminals/T0003/configuration", {**body, "configuration": wrong})[1]["error"] == "badConfiguration"
    assert sam.post("terminals/T9999/configuration", body)[0] == 404
    assert sam.post("terminals/T0003/configuration", {**body, "reason": ""})[0] == 409


def test_a_viewer_sees_and_sends_nothing(centre: Centre) -> None:
    vera = Client(centre, "vera")
    assert vera.get("commands")["commands"] and order(vera, "status")[0] == 403


def test_a_picture_is_a_picture_or_nothing(centre: Centre, olga: Client) -> None:
    identity = order(olga, "picture", {"device": "printer"})[1]["commandId"]
    for kind, text in (("text/html", "PGI+"), ("image/jpeg", "PGI+"), ("image/jpeg", "not base64!"), ("image/jpeg", 7)):
        with centre.database.write() as connection:
            data = json.dumps({"mediaType": kind, "base64": text})
            connection.execute(update(COMMAND).where(COMMAND.c.command_id == identity).values(result_data=data))
        assert olga.call("GET", f"commands/{identity}/picture")[0] == 404


def test_the_picture_of_an_old_command_is_still_there(centre: Centre, olga: Client) -> None:
    """However many came after it."""
    identity = order(olga, "picture", {"device": "printer"})[1]["commandId"]
    (mine,) = (row for row in rows(centre.database, COMMAND) if row["command_id"] == identity)
    png = b"\x89PNG\r\n\x1a\n and so on"
    data = json.dumps({"mediaType": "image/png", "base64": base64.b64encode(png).decode()})
    with centre.database.write() as connection:
        connection.execute(update(COMMAND).where(COMMAND.c.command_id == identity).values(result_data=data))
        later = [mine | {"command_id": f"later-{n}", "issued_at": mine["issued_at"] + n, "state": "succeeded"} for n in range(1, 601)]
        connection.execute(COMMAND.insert(), later)
    status, headers, raw = asyncio.run(olga._ask("GET", f"commands/{identity}/picture", None, {}))
    assert (status, raw) == (200, png) and (b"content-type", b"image/png") in headers


def test_a_gap_is_accepted_by_a_supervisor_and_recorded(centre: Centre, olga: Client, sam: Client) -> None:
    late = Terminal("T0003", "B004", epoch=5, now=now_ms())
    late.seq["audit"] = 40
    said = [late.cash("1", 77)]
    assert take(centre.database, said, now=now_ms()).acks == []
    assert {"terminal": "T0003", "class": "audit", "epoch": 5, "from": 1, "to": 40}.items() <= olga.get("gaps")["gaps"][0].items()
    body = {"terminal": "T0003", "class": "audit", "epoch": 5}
    assert olga.post("gaps/accept", body)[0] == 403
    assert sam.post("gaps/accept", body)[0] == 200
    assert sam.post("gaps/accept", body)[0] == 409
    assert [ack.upto for ack in take(centre.database, said, now=now_ms()).acks] == [41]
    assert olga.get("audit?object=T0003")["lines"][0]["detail"] == {"class": "audit", "epoch": 5, "from": 1, "to": 40}


def test_the_audit_chain_shows_what_was_changed(centre: Centre, olga: Client) -> None:
    assert olga.get("audit?verify=1")["broken"] is None
    with centre.database.write() as connection:
        connection.execute(update(AUDIT).where(AUDIT.c.n == 3).values(who="somebody"))
        assert audit.first_broken(connection) == 3
        connection.rollback()
    with centre.database.write() as connection:
        connection.execute(AUDIT.delete().where(AUDIT.c.n == 4))
        assert audit.first_broken(connection) == 4
        connection.rollback()
    with centre.database.write() as connection:
        last = max(row["n"] for row in rows(centre.database, AUDIT))
        connection.execute(AUDIT.delete().where(AUDIT.c.n == last))
        assert audit.first_broken(connection) == last, "the end cannot be cut off either"
        connection.rollback()


def test_every_answer_of_the_document_was_looked_at() -> None:
    without_json = {("GET", "/live"), ("GET", "/openapi.json")}
    every = {(method.upper(), path) for path, operations in DOCUMENT["paths"].items() for method in operations}
    assert every - SEEN == without_json
