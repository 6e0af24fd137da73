"""What a numbered message changes beside the terminal's picture: alarms, results of commands, counts by the hour. Pure readers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kiosk_ui.monitor.contract import Message, Refused, milliseconds
from kiosk_ui.monitor.picture import WORD, believed, whole, word

HOUR_MS = 3_600_000
SEVERITIES = ("critical", "major", "minor", "warning")
RESULT_STATES = ("received", "waiting", "executing", "succeeded", "failed", "refused", "cancelled", "expired")
OWN_WISH = ("CUCL", "CUDC")  # the customer's own doing (FailureReason7Code)
MAX_NOTES = 10_000


@dataclass(frozen=True, slots=True)
class AlarmSaid:
    """`state` raised or returned; the newest (epoch, seq) counts."""

    alarm_id: str
    code: str
    device: str
    severity: str
    state: str
    at: int
    cause: str | None
    suppressed: bool
    evidence: dict[str, Any]
    transaction_id: str | None


@dataclass(frozen=True, slots=True)
class ResultSaid:
    command_id: str
    state: str
    result: str | None
    reason: str | None
    data: dict[str, Any]
    at: int


@dataclass(frozen=True, slots=True)
class CustomerServed:
    """`affected`: it ended otherwise than the customer wanted. `notes`: left their unit, to the customer or the reject bin."""

    hour: int
    affected: bool
    notes: dict[str, int]


Effect = AlarmSaid | ResultSaid | CustomerServed


def effect(message: Message, received: int) -> Effect | None:
    """Refused when the data does not read. A time that is ahead of `received` is not believed: what hangs on it would never be over."""
    if message.leaf == "alarm":
        if message.type != "ATMExceptionAdvice":
            raise Refused("unknownType", "alarm carries ATMExceptionAdvice")
        return _alarm(message, received)
    if message.type == "ATMDeviceControlResult" and message.klass == "audit":
        return _result(message, received)
    if message.leaf == "cmd/resp":
        raise Refused("unknownType", "cmd/resp carries ATMDeviceControlResult")
    if message.leaf == "txn" and message.type == "ATMWithdrawalCompletionAdvice":
        return _advice(message, received)
    return None


def _alarm(message: Message, received: int) -> AlarmSaid:
    data = message.data
    identity = alarm_id(data, "alarmId", message.terminal)
    assert identity is not None
    severity, state = word(data, "severity"), word(data, "state")
    if severity not in SEVERITIES or state not in ("raised", "returned"):
        raise Refused("badData", "data.severity or data.state is none that is known")
    evidence = data.get("evidence", {})
    if not isinstance(evidence, dict) or not isinstance(data.get("suppressed", False), bool):
        raise Refused("badData", "data.evidence or data.suppressed is of another form")
    return AlarmSaid(
        identity,
        str(word(data, "alarm")),
        word(data, "device", optional=True) or "",
        str(severity),
        str(state),
        believed(milliseconds(data.get("at")) or message.at, received),
        alarm_id(data, "cause", message.terminal, optional=True),
        data.get("suppressed", False),
        evidence,
        word(data, "transactionId", optional=True),
    )


def alarm_id(data: dict[str, Any], name: str, terminal: str, *, optional: bool = False) -> str | None:
    """``{terminal}/{code}/{device or -}/{n}``: a terminal names only its own alarms."""
    value = data.get(name)
    if optional and value in (None, ""):
        return None
    parts = value.split("/") if isinstance(value, str) else []
    if len(parts) != 4 or not all(WORD.fullmatch(part) for part in parts):
        raise Refused("badData", f"data.{name} is not an alarm's id")
    if parts[0] != terminal:
        raise Refused("wrongTerminal", f"data.{name} is another terminal's")
    return str(value)


def _result(message: Message, received: int) -> ResultSaid:
    data = message.data
    state = word(data, "state")
    if state not in RESULT_STATES:
        raise Refused("badData", "data.state is none that is known")
    found = data.get("data")
    if found is not None and not isinstance(found, dict):
        raise Refused("badData", "data.data is not an object")
    return ResultSaid(
        str(word(data, "commandId")),
        str(state),
        word(data, "result", optional=True),
        word(data, "reason", optional=True),
        found or {},
        believed(milliseconds(data.get("at")) or message.at, received),
    )


def _advice(message: Message, received: int) -> CustomerServed | None:
    data = message.data
    if data.get("reconciles") is True:
        return None
    status, failure = word(data, "transactionStatus"), word(data, "failureReason", optional=True)
    notes: dict[str, int] = {}
    listed = data.get("notes") or []
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise Refused("badData", "data.notes is not a list of objects")
    for one in listed[:64]:
        unit, moved = str(word(one, "unit")), (whole(one, "presented") or 0) + (whole(one, "rejected") or 0)
        if not 0 <= moved <= MAX_NOTES:
            raise Refused("badData", "data.notes: more than a dispenser moves")
        notes[unit] = notes.get(unit, 0) + moved
    whole_amount = status == "SCSS" and data.get("presented") in ("FULL", None)
    return CustomerServed(believed(message.at, received) // HOUR_MS, not whole_amount and failure not in OWN_WISH, notes)
