"""Reading a message of the bank link (docs/bank-messages.md): topic and envelope, strictly; data, later and tolerantly (`facts`).

Whatever does not read raises `Refused` with a reason that is counted; no text quotes a value of the message.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from typing import Any, NoReturn

MAX_MESSAGE_BYTES = 65_536
MAX_NUMBER = 2**53 - 1  # the largest integer that every JSON reader keeps
LEAVES = ("state", "telemetry", "event", "alarm", "txn", "cmd/resp", "reported")
CLASSES = {"telemetry": "telemetry", "event": "audit", "cmd/resp": "audit", "alarm": "alarm", "txn": "txn"}
ACKNOWLEDGED = ("audit", "alarm")
TOPIC = re.compile(r"(bank/v1/([A-Za-z0-9_.-]{1,64})/([A-Za-z0-9_.-]{1,64}))/(state|telemetry|event|alarm|txn|cmd/resp|reported)")
SCHEMA = re.compile(r"smart-branch:([A-Za-z][A-Za-z0-9]{0,63}):([1-9][0-9]{0,8})")
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_ID = re.compile(r"[\x21-\x7e]{1,200}")

REASONS = (
    *("notOurTopic", "oversized", "notJson", "badEnvelope", "unknownVersion", "wrongSource", "badNumber", "unknownType", "badData"),
    *("wrongTerminal", "unknownCommand", "reused", "tooManyGaps", "notStored"),
)


class Refused(Exception):
    """`reason` is one of REASONS; `detail` names the field."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Message:
    """`klass`, `epoch` and `seq` are "" and 0 on `state` and `reported`. Times in ms since 1970 UTC; `at` is the terminal's own.

    `digest` is of the value in classes that are acknowledged, else of the bytes.
    """

    base: str
    branch: str
    terminal: str
    leaf: str
    klass: str
    id: str
    type: str
    at: int
    epoch: int
    seq: int
    data: dict[str, Any] = field(repr=False)
    digest: str
    retained: bool = False
    version: int = 1
    journal: int = 0


def read(topic: str, payload: bytes, *, retained: bool = False) -> Message:
    found = TOPIC.fullmatch(topic)
    if found is None:
        raise Refused("notOurTopic", "the topic is none of the contract's")
    base, branch, terminal, leaf = found[1], found[2], found[3], found[4]
    if len(payload) > MAX_MESSAGE_BYTES:
        raise Refused("oversized", f"{len(payload)} bytes are more than {MAX_MESSAGE_BYTES}")
    fields = _object(payload)
    if fields.get("specversion") != "1.0":
        raise Refused("unknownVersion", "specversion is not 1.0")
    if fields.get("source") != base:
        raise Refused("wrongSource", "source is not the base of the topic")
    klass = CLASSES.get(leaf, "")
    data = fields.get("data")
    if not isinstance(data, dict):
        raise Refused("badEnvelope", "data is not an object")
    return Message(
        base,
        branch,
        terminal,
        leaf,
        klass,
        _text(fields, "id", _ID),
        _text(fields, "type", _TYPE),
        _time(fields.get("time")),
        _number(fields, "epoch") if klass else 0,
        _number(fields, "seq") if klass else 0,
        data,
        digest([fields["type"], data]) if klass in ACKNOWLEDGED else hashlib.sha256(payload).hexdigest(),
        retained,
        _version(fields.get("dataschema")),
        _journal(fields.get("journalseq")),
    )


def digest(value: object) -> str:
    """The same for the same JSON value, however it was spaced or ordered."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def milliseconds(text: object) -> int | None:
    """ISO 8601 with a zone -> ms since 1970; None when it is not that."""
    if not isinstance(text, str) or len(text) > 40:
        return None
    try:
        found = datetime.fromisoformat(text)
        return int(found.timestamp() * 1000) if found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def utc_text(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _object(payload: bytes) -> dict[str, Any]:
    try:
        found = json.loads(payload.decode(), parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise Refused("notJson", "it is not JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise Refused("badEnvelope", "it is not a JSON object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    """1e999 reads as infinity, which no JSON can carry on."""
    found = float(text)
    if not isfinite(found):
        raise ValueError("too large")
    return found


def _text(fields: dict[str, Any], name: str, form: re.Pattern[str]) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not form.fullmatch(value):
        raise Refused("badEnvelope", f"{name} is missing or of another form")
    return value


def _number(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_NUMBER:
        raise Refused("badNumber", f"{name} is not an integer from 1 on")
    return value


def _journal(value: object) -> int:
    """The number of the terminal's newest journal entry when it stored the message; 0 when it does not say."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_NUMBER else 0


def _time(value: object) -> int:
    at = milliseconds(value)
    if at is None:
        raise Refused("badEnvelope", "time is not ISO 8601 with a zone")
    return at


def _version(value: object) -> int:
    """Of the data; 1 when the message does not say (the contract's first messages did not)."""
    if value is None:
        return 1
    found = SCHEMA.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Refused("unknownVersion", "dataschema is not smart-branch:{name}:{version}")
    return int(found[2])
