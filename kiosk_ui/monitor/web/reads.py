"""What can be asked: overview, terminals, alarms, commands, audit, refusals, gaps. Each needs a session; none changes anything."""

from __future__ import annotations

import base64
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, select
from starlette.requests import Request
from starlette.responses import Response

from kiosk_ui.monitor import alarms, audit, commands, desired
from kiosk_ui.monitor.contract import ACKNOWLEDGED
from kiosk_ui.monitor.grading import GRADES, Summary
from kiosk_ui.monitor.log import now_ms
from kiosk_ui.monitor.ranges import Ranges
from kiosk_ui.monitor.schema import COMMAND, CUSTOMER_HOUR, EVENT, PERSON, REFUSAL, RUN, TELEMETRY, TERMINAL
from kiosk_ui.monitor.web.context import Refusal, answer, camel, limit, monitor_of, signed_in
from kiosk_ui.monitor.web.line import line_view

HOUR_MS = 3_600_000
MOST_OF_A_MOMENT = 1_000
PICTURES = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n"}
SUMS = ("notesMoved", "notesRejected", "jams", "transactions", "declines", "cardErrors", "apduErrors", "printerErrors", "workerRestarts")


def _fits(lines: Iterable[Summary], request: Request) -> list[Summary]:
    query = request.query_params
    region, branch, grade, text = (query.get(name, "") for name in ("region", "branch", "grade", "q"))
    soon = now_ms() + monitor_of(request).config.threshold.cash_out_h * HOUR_MS
    special: dict[str, Callable[[Summary], bool]] = {
        "cashOutSoon": lambda one: one.cash_out_at is not None and one.cash_out_at <= soon,
        "affected": lambda one: one.affected > 0,
        "unacknowledged": lambda one: one.unacknowledged > 0,
    }
    if grade and grade not in GRADES and grade not in special:
        raise Refusal(400, "badQuery", f"grade is one of {', '.join((*GRADES, *special))}")
    if grade in special:
        lines = filter(special[grade], lines)
    elif grade:
        lines = (one for one in lines if one.grade == grade)
    return [
        one
        for one in lines
        if (not region or one.region == region)
        and (not branch or one.branch == branch)
        and (not text or text.lower() in f"{one.terminal} {one.branch}".lower())
    ]


def overview(request: Request) -> Response:
    signed_in(request)
    monitor, now = monitor_of(request), now_ms()
    lines = monitor.fleet.lines()
    with monitor.database.read() as connection:
        flood = alarms.flood(connection, now, {one.terminal for one in lines if one.offline})
    named = [{"id": one.id, "zh": one.zh, "en": one.en} for one in monitor.config.region]
    return answer(
        {
            "now": now,
            "tiles": monitor.fleet.overview(lines, now),
            "regions": named,
            "branches": _branches(lines),
            "flood": flood,
            "cashOutHours": monitor.config.threshold.cash_out_h,
            "health": health(request),
        }
    )


def _branches(lines: Iterable[Summary]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for one in lines:
        found[one.region, one.branch][one.grade] += 1
    return [
        {"region": region, "branch": branch, "worst": next(grade for grade in GRADES if grades[grade]), "grades": dict(grades)}
        for (region, branch), grades in sorted(found.items())
    ]


def health(request: Request) -> dict[str, Any]:
    """`silenceJudgedFrom`: until then, and while it is null, no terminal is called silent; 0: silence never counts."""
    monitor = monitor_of(request)
    hearing_since, after_s = monitor.ingest.hearing_since, monitor.config.threshold.silent_after_s
    judged_from = hearing_since if hearing_since is None else hearing_since + int(after_s * 1000)
    return {
        "database": monitor.observer.fault or "ok",
        "broker": "ok" if monitor.sender.connected else "away",
        "ingest": "deaf" if hearing_since is None else "ok",
        "silenceJudgedFrom": judged_from if after_s > 0 else 0,
        "refreshedAt": monitor.observer.refreshed_at,
    }


def terminals(request: Request) -> Response:
    signed_in(request)
    lines = _fits(monitor_of(request).fleet.lines(), request)
    first, most = limit(request, "offset", 0, 10**7), limit(request, "limit", 200, 5000)
    return answer({"now": now_ms(), "total": len(lines), "terminals": [line_view(one) for one in lines[first : first + most]]})


def terminal(request: Request) -> Response:
    signed_in(request)
    monitor, name, now = monitor_of(request), request.path_params["terminal"], now_ms()
    line = monitor.fleet.line(name)
    if line is None:
        raise Refusal(404, "unknownTerminal", "there is no such terminal")
    with monitor.database.read() as connection:
        picture = json.loads(connection.execute(select(TERMINAL.c.picture).where(TERMINAL.c.terminal == name)).scalar() or "{}")
        sent = commands.listed(connection, terminal=name, most=50)
        found = {
            "now": now,
            "line": line_view(line),
            "picture": picture,
            "alarms": alarms.listed(connection, now, monitor.fleet.offline(), terminal=name, every=True, most=50),
            "commands": [camel(one) for one in sent],
            "events": events_of(connection, name, None, 25),
            "hours": _customer_hours(connection, name, now),
            "gaps": gaps_of(connection, [name]),
            "desired": desired.newest(connection, name),
        }
    found["alarms"] = [camel(one) for one in found["alarms"]]
    found["desired"] = camel(found["desired"]) if found["desired"] else None
    return answer(found)


def _customer_hours(connection: Connection, name: str, now: int) -> list[dict[str, int]]:
    wanted = select(CUSTOMER_HOUR).where(CUSTOMER_HOUR.c.terminal == name, CUSTOMER_HOUR.c.hour > now // HOUR_MS - 48)
    rows = connection.execute(wanted.order_by(CUSTOMER_HOUR.c.hour))
    return [{"hour": row.hour, "transactions": row.transactions, "affected": row.affected} for row in rows]


def events_of(connection: Connection, name: str, before: int | None, most: int) -> list[dict[str, Any]]:
    """The newest first, `most` of them and what else is of the last one's millisecond: the next are asked for by that."""
    wanted = select(EVENT).where(EVENT.c.terminal == name)
    wanted = wanted.order_by(EVENT.c.at.desc(), EVENT.c.seq.desc(), EVENT.c["class"], EVENT.c.epoch.desc())
    if before is not None:
        wanted = wanted.where(EVENT.c.at < before)
    rows = list(connection.execute(wanted.limit(most)))
    if len(rows) == most > 0:
        last = rows[-1].at
        so_far = sum(row.at == last for row in rows)
        rows += connection.execute(wanted.where(EVENT.c.at == last).offset(so_far).limit(MOST_OF_A_MOMENT))
    keep = ("class", "epoch", "seq", "type", "at", "received_at", "unread")
    return [camel({name: row._mapping[name] for name in keep}) | {"data": json.loads(row.data)} for row in rows]


def events(request: Request) -> Response:
    signed_in(request)
    before = limit(request, "before", 0, 2**53)
    with monitor_of(request).database.read() as connection:
        return answer({"events": events_of(connection, request.path_params["terminal"], before or None, limit(request, "limit", 100, 500))})


def telemetry(request: Request) -> Response:
    """By the hour: sums of the counts, and the medians of the timings averaged."""
    signed_in(request)
    hours, now = limit(request, "hours", 48, 24 * 14), now_ms()
    sums: dict[int, Counter[str]] = defaultdict(Counter)
    slow: dict[int, list[int]] = defaultdict(list)
    wanted = select(TELEMETRY.c.at, TELEMETRY.c.data).where(
        TELEMETRY.c.terminal == request.path_params["terminal"], TELEMETRY.c.at > now - hours * HOUR_MS
    )
    with monitor_of(request).database.read() as connection:
        for at, text in connection.execute(wanted):
            data = json.loads(text)
            counts = data.get("counts") or {}
            sums[at // HOUR_MS].update({name: counts[name] for name in SUMS if isinstance(counts.get(name), int)})
            dispense = (data.get("timings_ms") or {}).get("dispense") or {}
            if isinstance(dispense, dict) and isinstance(dispense.get("p50"), (int, float)):
                slow[at // HOUR_MS].append(int(dispense["p50"]))
    found = [
        {"hour": hour, **sums[hour], "dispenseMs": sum(slow[hour]) // len(slow[hour]) if slow[hour] else None} for hour in sorted(sums)
    ]
    return answer({"hours": found})


def alarm_list(request: Request) -> Response:
    signed_in(request)
    monitor, now, query = monitor_of(request), now_ms(), request.query_params
    offline = monitor.fleet.offline()
    with monitor.database.read() as connection:
        rows = alarms.listed(connection, now, offline, terminal=query.get("terminal", ""), every=query.get("every") == "1", most=2000)
        flood = alarms.flood(connection, now, offline)
        people = connection.execute(select(PERSON.c.name).where(PERSON.c.closed.is_(False)).order_by(PERSON.c.name)).scalars().all()
    found = []
    for row in rows:
        line = monitor.fleet.line(row["terminal"])
        found.append(camel(row) | {"branch": line.branch if line else "", "region": line.region if line else ""})
    region, branch = query.get("region", ""), query.get("branch", "")
    found = [one for one in found if (not region or one["region"] == region) and (not branch or one["branch"] == branch)]
    return answer({"now": now, "alarms": found, "flood": flood, "people": list(people)})


def alarm_notes(request: Request) -> Response:
    signed_in(request)
    with monitor_of(request).database.read() as connection:
        return answer({"notes": [camel(one) for one in alarms.notes(connection, request.query_params.get("alarm", ""))]})


def command_list(request: Request) -> Response:
    signed_in(request)
    with monitor_of(request).database.read() as connection:
        sent = commands.listed(connection, terminal=request.query_params.get("terminal", ""), most=limit(request, "limit", 100, 500))
    return answer({"now": now_ms(), "commands": [camel(one) for one in sent]})


def command_picture(request: Request) -> Response:
    """The picture of a device that a command brought: JPEG or PNG, and nothing else under that name."""
    signed_in(request)
    with monitor_of(request).database.read() as connection:
        wanted = select(COMMAND.c.result_data).where(COMMAND.c.command_id == request.path_params["command"])
        data = json.loads(connection.execute(wanted).scalar() or "{}")
    kind, text = data.get("mediaType"), data.get("base64")
    try:
        picture = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError:
        picture = b""
    if kind not in PICTURES or not picture.startswith(PICTURES[kind]):
        raise Refusal(404, "noPicture", "this command brought no picture")
    return Response(picture, media_type=kind)


def audit_list(request: Request) -> Response:
    signed_in(request)
    query, before = request.query_params, limit(request, "before", 0, 2**53)
    with monitor_of(request).database.read() as connection:
        found = audit.lines(
            connection,
            before=before or None,
            most=limit(request, "limit", 100, 500),
            subject=query.get("object", ""),
            who=query.get("who", ""),
        )
        broken = audit.first_broken(connection) if query.get("verify") == "1" else None
    return answer({"lines": found, "broken": broken})


def refusals(request: Request) -> Response:
    signed_in(request)
    with monitor_of(request).database.read() as connection:
        found = connection.execute(select(REFUSAL).order_by(REFUSAL.c.id.desc()).limit(limit(request, "limit", 100, 500))).all()
    return answer({"refusals": [camel(dict(row._mapping)) for row in found]})


def gaps_of(connection: Connection, names: Sequence[str] | None) -> list[dict[str, Any]]:
    wanted = select(RUN).where(RUN.c.blocked_since.is_not(None), RUN.c["class"].in_(ACKNOWLEDGED)).order_by(RUN.c.blocked_since).limit(500)
    if names is not None:
        wanted = wanted.where(RUN.c.terminal.in_(names))
    found = []
    for row in connection.execute(wanted):
        missing = Ranges.parse(row.ranges).gap
        if missing:
            one = {"terminal": row.terminal, "class": row._mapping["class"], "epoch": row.epoch, "since": row.blocked_since}
            found.append(one | {"from": missing[0], "to": missing[1]})
    return found


def gaps(request: Request) -> Response:
    signed_in(request)
    with monitor_of(request).database.read() as connection:
        return answer({"gaps": gaps_of(connection, None)})
