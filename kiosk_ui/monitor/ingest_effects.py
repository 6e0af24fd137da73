"""The effects of a batch on the tables of alarms, commands and counts by the hour. Inside the batch's transaction."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from kiosk_ui.monitor.command_states import advance
from kiosk_ui.monitor.contract import Message, Refused
from kiosk_ui.monitor.database import upsert
from kiosk_ui.monitor.effects import AlarmSaid, CustomerServed, ResultSaid
from kiosk_ui.monitor.schema import ALARM, CASH_HOUR, COMMAND, CUSTOMER_HOUR

_SAID = ("terminal", "code", "device", "severity", "state", "cause", "suppressed", "evidence", "transaction_id", "raised_at", "returned_at")
ALARM_COLUMNS = (*_SAID, "epoch", "seq", "changed_at")


def keep_alarms(connection: Connection, said: Sequence[tuple[Message, AlarmSaid]], now: int) -> None:
    """The newest (epoch, seq) says what an alarm is; when it was raised and when it returned may come in either order."""
    if not said:
        return
    wanted = {alarm.alarm_id for _, alarm in said}
    found = select(*(ALARM.c[name] for name in ("alarm_id", *ALARM_COLUMNS))).where(ALARM.c.alarm_id.in_(wanted))
    rows: dict[str, dict[str, Any]] = {row.alarm_id: dict(row._mapping) for row in connection.execute(found)}
    for message, alarm in said:
        row = rows.setdefault(alarm.alarm_id, {"alarm_id": alarm.alarm_id, "epoch": 0, "seq": 0, "raised_at": None, "returned_at": None})
        times = {"raised_at": row["raised_at"], "returned_at": row["returned_at"]}
        times[f"{alarm.state}_at"] = max(alarm.at, times[f"{alarm.state}_at"] or 0)
        if (message.epoch, message.seq) > (row["epoch"], row["seq"]):
            row |= {
                "terminal": message.terminal,
                "code": alarm.code,
                "device": alarm.device,
                "severity": alarm.severity,
                "state": alarm.state,
                "cause": alarm.cause,
                "suppressed": alarm.suppressed,
                "evidence": json.dumps(alarm.evidence),
                "transaction_id": alarm.transaction_id,
                "epoch": message.epoch,
                "seq": message.seq,
            }
        row |= {**times, "changed_at": now}
    upsert(connection, ALARM, [{"out_of_service": False, **row} for row in rows.values()], changing=ALARM_COLUMNS)


def keep_results(connection: Connection, said: Sequence[tuple[Message, ResultSaid]]) -> list[tuple[Message, Refused]]:
    """Results that are of no command of ours, or of another terminal's, are given back."""
    wrong: list[tuple[Message, Refused]] = []
    if not said:
        return wrong
    wanted = {result.command_id for _, result in said}
    columns = (COMMAND.c.command_id, COMMAND.c.terminal, COMMAND.c.state, COMMAND.c.state_at, COMMAND.c.result_reason)
    rows = {row.command_id: row for row in connection.execute(select(*columns).where(COMMAND.c.command_id.in_(wanted)).with_for_update())}
    states = {name: (row.state, row.result_reason) for name, row in rows.items()}
    for message, result in sorted(said, key=lambda one: (one[0].epoch, one[0].seq)):
        row = rows.get(result.command_id)
        if row is None:
            wrong.append((message, Refused("unknownCommand", "the result is of no command that was sent from here")))
        elif row.terminal != message.terminal:
            wrong.append((message, Refused("wrongTerminal", "the result is of another terminal's command")))
        else:
            state = advance(*states[result.command_id], result.state, result.reason)
            if state is not None:
                states[result.command_id] = (state, result.reason)
                values = {"state": state, "state_at": result.at, "result": result.result, "result_reason": result.reason}
                data = {"result_data": json.dumps(result.data)} if result.data else {}
                connection.execute(update(COMMAND).where(COMMAND.c.command_id == result.command_id).values(**values, **data))
    return wrong


def keep_customers(connection: Connection, said: Sequence[tuple[Message, CustomerServed]]) -> None:
    served: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
    notes: Counter[tuple[str, str, int]] = Counter()
    for message, one in said:
        count = served[message.terminal, one.hour]
        count[0] += 1
        count[1] += one.affected
        for unit, moved in one.notes.items():
            notes[message.terminal, unit, one.hour] += moved
    rows = [{"terminal": t, "hour": hour, "transactions": n, "affected": bad} for (t, hour), (n, bad) in served.items()]
    upsert(connection, CUSTOMER_HOUR, rows, changing=(), adding=("transactions", "affected"))
    used = [{"terminal": t, "unit": unit, "hour": hour, "notes": n} for (t, unit, hour), n in notes.items() if n]
    upsert(connection, CASH_HOUR, used, changing=(), adding=("notes",))
