"""Alarms on the operators' side (ISA-18.2): acknowledge, owner, note, shelve for a time, out of service; and the monitor's own alarm.

`standing` of an alarm: unacknowledged, acknowledged, returned (over, but nobody has acknowledged it), closed. Beside it, an alarm may
be set aside: shelved (until a time), suppressed by design (a root cause hides it, or its terminal is offline), out of service.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, and_, func, insert, or_, select, update

from kiosk_ui.monitor.audit import Who, record
from kiosk_ui.monitor.database import upsert
from kiosk_ui.monitor.ingest_effects import ALARM_COLUMNS
from kiosk_ui.monitor.people import may
from kiosk_ui.monitor.prose import prose
from kiosk_ui.monitor.schema import ALARM, NOTE, PERSON

OFFLINE = "terminalOffline"
MAX_SHELF_H = {"operator": 24, "supervisor": 24 * 14}
FLOOD_MS, FLOOD_MORE_THAN = 600_000, 10
ACTIONS = ("acknowledge", "own", "disown", "note", "shelve", "unshelve", "outOfService", "inService")


class AlarmError(ValueError):
    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def still_open(now: int) -> Any:
    """Clause: what asks somebody for something now, unless its terminal is offline (`hidden`)."""
    aside = or_(ALARM.c.suppressed, ALARM.c.out_of_service, func.coalesce(ALARM.c.shelved_until, 0) > now)
    return and_(or_(ALARM.c.state == "raised", ALARM.c.acknowledged_at.is_(None)), ~aside)


def hidden(terminal: str, code: str, offline: Collection[str]) -> bool:
    """Suppressed by design: an offline terminal has one alarm, that it is offline."""
    return terminal in offline and code != OFFLINE


def standing(row: Mapping[str, Any]) -> str:
    if row["state"] == "raised":
        return "acknowledged" if row["acknowledged_at"] else "unacknowledged"
    return "closed" if row["acknowledged_at"] else "returned"


def aside(row: Mapping[str, Any], now: int, offline: Collection[str]) -> str:
    if row["out_of_service"]:
        return "outOfService"
    if (row["shelved_until"] or 0) > now:
        return "shelved"
    return "suppressed" if row["suppressed"] or hidden(row["terminal"], row["code"], offline) else ""


def shown(row: Mapping[str, Any], now: int, offline: Collection[str]) -> dict[str, Any]:
    names = ("alarm_id", *ALARM_COLUMNS, "acknowledged_at", "acknowledged_by", "owner", "shelved_until", "shelved_by", "out_of_service")
    found = {name: row[name] for name in names if name not in ("epoch", "seq", "changed_at")}
    return found | {"evidence": json.loads(row["evidence"]), "standing": standing(row), "aside": aside(row, now, offline)}


def act(connection: Connection, alarm_id: str, action: str, arguments: Mapping[str, Any], who: Who, now: int) -> None:
    """One action of ACTIONS, recorded. AlarmError says what is wrong with it."""
    if not may(who.role, "operator"):
        raise AlarmError("notAllowed", "only operators and supervisors work with alarms")
    row = connection.execute(select(ALARM).where(ALARM.c.alarm_id == alarm_id).with_for_update()).first()
    if row is None:
        raise AlarmError("unknownAlarm", "there is no such alarm")
    values: dict[str, Any] = {}
    detail: dict[str, Any] = {}
    if action == "acknowledge":
        values = {} if row.acknowledged_at else {"acknowledged_at": now, "acknowledged_by": who.name}
    elif action == "own":
        values = detail = {"owner": _owner(connection, str(arguments.get("owner") or who.name))}
    elif action == "disown":
        values = {"owner": None}
    elif action == "note":
        detail = {"text": _text(arguments.get("text"))}
        connection.execute(insert(NOTE).values(alarm_id=alarm_id, at=now, who=who.name, **detail))
    elif action == "shelve":
        detail = {"hours": _hours(arguments.get("hours"), who), "reason": _text(arguments.get("text"))}
        values = {"shelved_until": now + detail["hours"] * 3_600_000, "shelved_by": who.name}
    elif action == "unshelve":
        values = {"shelved_until": None, "shelved_by": None}
    elif action in ("outOfService", "inService"):
        if not may(who.role, "supervisor"):
            raise AlarmError("notAllowed", "only supervisors take alarms out of service")
        detail = {"reason": _text(arguments.get("text"))}
        values = {"out_of_service": action == "outOfService"}
    else:
        raise AlarmError("unknownAction", f"an action is one of {', '.join(ACTIONS)}")
    connection.execute(update(ALARM).where(ALARM.c.alarm_id == alarm_id).values(**values, changed_at=now))
    record(connection, who, f"alarm.{action}", alarm_id, detail, now)


def _owner(connection: Connection, name: str) -> str:
    if connection.execute(select(PERSON.c.name).where(PERSON.c.name == name, PERSON.c.closed.is_(False))).first() is None:
        raise AlarmError("unknownPerson", "there is no person of this name")
    return name


def _text(value: object) -> str:
    found = prose(value, 1, 500)
    if found is None:
        raise AlarmError("textMissing", "a text of 1 to 500 characters is needed")
    return found


def _hours(value: object, who: Who) -> int:
    most = MAX_SHELF_H[who.role]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise AlarmError("badHours", f"an alarm is shelved for 1 to {most} hours")
    return value


def listed(
    connection: Connection, now: int, offline: Collection[str], *, terminal: str = "", every: bool = False, most: int = 500
) -> list[dict[str, Any]]:
    """The newest of what is open (or of all), as the pages show them; the caller sorts."""
    wanted = select(ALARM).order_by(func.coalesce(ALARM.c.raised_at, ALARM.c.returned_at).desc(), ALARM.c.alarm_id).limit(most)
    if terminal:
        wanted = wanted.where(ALARM.c.terminal == terminal)
    if not every:
        wanted = wanted.where(or_(ALARM.c.state == "raised", ALARM.c.acknowledged_at.is_(None)))
    return [shown(dict(row._mapping), now, offline) for row in connection.execute(wanted)]


def notes(connection: Connection, alarm_id: str) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in connection.execute(select(NOTE).where(NOTE.c.alarm_id == alarm_id).order_by(NOTE.c.id))]


def flood(connection: Connection, now: int, offline: Collection[str]) -> list[dict[str, Any]]:
    """Codes of which more than ten alarms were raised in ten minutes: to be looked at as one thing."""
    wanted = select(ALARM.c.code, ALARM.c.terminal, func.count()).where(ALARM.c.raised_at > now - FLOOD_MS)
    alarms, terminals = Counter[str](), Counter[str]()
    for code, terminal, n in connection.execute(wanted.where(still_open(now)).group_by(ALARM.c.code, ALARM.c.terminal)):
        if not hidden(terminal, code, offline):
            alarms[code] += n
            terminals[code] += 1
    return [{"code": code, "alarms": n, "terminals": terminals[code]} for code, n in sorted(alarms.items()) if n > FLOOD_MORE_THAN]


def keep_offline_alarms(connection: Connection, due: Mapping[str, int], away: Collection[str], now: int) -> bool:
    """The monitor's own alarm: raised for each terminal in `due` (since when), over for one that is not among those still `away`.
    True when any changed.
    """
    known = connection.execute(select(ALARM).where(ALARM.c.code == OFFLINE, ALARM.c.state == "raised", ALARM.c.epoch == 0)).all()
    standing_now = {row.terminal for row in known}
    rows: list[dict[str, Any]] = []
    for row in known:
        if row.terminal not in away:
            rows.append({**{name: row._mapping[name] for name in ("alarm_id", *ALARM_COLUMNS)}, "state": "returned", "returned_at": now})
    for terminal, since in due.items():
        if terminal not in standing_now:
            said = {"terminal": terminal, "code": OFFLINE, "device": "", "severity": "major", "state": "raised", "cause": None}
            rest = {"suppressed": False, "evidence": "{}", "transaction_id": None, "raised_at": since, "returned_at": None}
            rows.append({"alarm_id": f"{terminal}/{OFFLINE}/-/{since // 1000}", **said, **rest, "epoch": 0, "seq": 0})
    upsert(connection, ALARM, [{**row, "changed_at": now, "out_of_service": False} for row in rows], changing=ALARM_COLUMNS)
    return bool(rows)


def tally(connection: Connection, now: int, offline: Collection[str]) -> dict[str, tuple[int, int, Counter[str]]]:
    """For each terminal with open alarms: how many, how many unacknowledged, and of which severity. As the list has them."""
    kinds = (ALARM.c.terminal, ALARM.c.code, ALARM.c.severity, ALARM.c.state, ALARM.c.acknowledged_at.is_(None))
    found: dict[str, tuple[int, int, Counter[str]]] = {}
    for terminal, code, severity, state, fresh, n in connection.execute(
        select(*kinds, func.count()).where(still_open(now)).group_by(*kinds)
    ):
        if hidden(terminal, code, offline):
            continue
        have = found.get(terminal, (0, 0, Counter()))
        severities = have[2] + Counter({severity: n}) if state == "raised" else have[2]
        found[terminal] = (have[0] + n, have[1] + (n if fresh else 0), severities)
    return found
