"""Reading and writing the messages of docs/bank-messages.md (ISO 20022 catp names, CloudEvents 1.0 attributes).

Whatever does not read raises `Malformed` with the path of the field; the text never quotes a value, since it could be a card number.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

NAMESPACE = uuid.UUID("5c1d6f0e-7e3b-5b0a-9c54-9a3c7b1f7a10")  # ours; makes a response's id follow from its request's id
MAX_MINOR = 10**13
MAX_NUMBER = 2**53 - 1  # the largest integer every JSON reader keeps
BASE = re.compile(r"bank/v1/([A-Za-z0-9_.-]{1,64})/([A-Za-z0-9_.-]{1,64})")
TOPIC = re.compile(rf"({BASE.pattern})/(.{{1,32}})")
CLASSES = {"txn": "txn", "event": "audit", "cmd/resp": "audit", "alarm": "alarm", "telemetry": "telemetry"}
ACKNOWLEDGED = ("txn", "audit", "alarm")

Message = dict[str, Any]


class Malformed(ValueError):
    """The message does not obey the contract; the text names the field."""


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object with its path, read field by field."""

    values: Mapping[str, Any]
    path: str = ""

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        return self.values.get(name) is not None

    def text(self, name: str, pattern: str = r"[^\x00-\x1f]{1,128}") -> str:
        value = self.values.get(name)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise Malformed(f"{self.at(name)}: must be text of the form {pattern}")
        return value

    def choice(self, name: str, *allowed: str) -> str:
        value = self.values.get(name)
        if not isinstance(value, str) or value not in allowed:
            raise Malformed(f"{self.at(name)}: must be one of {', '.join(allowed)}")
        return value

    def whole(self, name: str, low: int = 0, high: int = MAX_NUMBER) -> int:
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Malformed(f"{self.at(name)}: must be an integer from {low} to {high}")
        return value

    def flag(self, name: str) -> bool:
        value = self.values.get(name, False)
        if not isinstance(value, bool):
            raise Malformed(f"{self.at(name)}: must be true or false")
        return value

    def hex(self, name: str, low: int = 1, high: int = 4096) -> bytes:
        value = self.values.get(name)
        if not isinstance(value, str) or not re.fullmatch(r"(?:[0-9a-f]{2})*", value) or not low <= len(value) // 2 <= high:
            raise Malformed(f"{self.at(name)}: must be {low} to {high} bytes in lower-case hex")
        return bytes.fromhex(value)

    def object(self, name: str) -> Fields:
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise Malformed(f"{self.at(name)}: must be an object")
        return Fields(value, self.at(name))

    def objects(self, name: str, most: int = 64) -> list[Fields]:
        value = self.values.get(name, [])
        if not isinstance(value, list) or len(value) > most or not all(isinstance(item, dict) for item in value):
            raise Malformed(f"{self.at(name)}: must be a list of at most {most} objects")
        return [Fields(item, f"{self.at(name)}[{number}]") for number, item in enumerate(value)]


@dataclass(frozen=True, slots=True)
class Amount:
    minor: int
    currency: str

    def as_json(self) -> dict[str, Any]:
        return {"minor": self.minor, "currency": self.currency}


def amount(fields: Fields, name: str, low: int = 0) -> Amount:
    found = fields.object(name)
    return Amount(found.whole("minor", low, MAX_MINOR), found.text("currency", r"[A-Z]{3}"))


@dataclass(frozen=True, slots=True)
class Envelope:
    """`epoch` and `seq` are 0 for requests on `auth` and for `state`, which have none."""

    id: str
    base: str
    terminal: str
    type: str
    time: str
    epoch: int
    seq: int
    data: Fields


def base_and_leaf(topic: str) -> tuple[str, str]:
    """``bank/v1/B001/T0001/cmd/resp`` -> its base and ``cmd/resp``; ("", "") for a topic that is no terminal's."""
    found = TOPIC.fullmatch(topic)
    return (found[1], found[4]) if found else ("", "")


def envelope(message: object, *, numbered: bool) -> Envelope:
    if not isinstance(message, dict):
        raise Malformed("the message is not a JSON object")
    fields = Fields(message)
    fields.choice("specversion", "1.0")
    base = fields.text("source", BASE.pattern)
    time = fields.text("time")
    try:
        if datetime.fromisoformat(time).tzinfo is None:
            raise ValueError
    except ValueError:
        raise Malformed("time: must be ISO 8601 with a zone") from None
    epoch, seq = (fields.whole("epoch", 1), fields.whole("seq", 1)) if numbered else (0, 0)
    terminal = base.rsplit("/", 1)[1]
    return Envelope(fields.text("id"), base, terminal, fields.text("type"), time, epoch, seq, fields.object("data"))


def transaction_id(fields: Fields, terminal: str) -> str:
    """A terminal names only its own transactions: another's prefix is refused."""
    return fields.text("transactionId", re.escape(terminal) + r"-[0-9]{8}")


@dataclass(frozen=True, slots=True)
class WithdrawalRequest:
    transaction_id: str
    attempt: int
    amount: Amount
    box: Mapping[str, Any] = field(repr=False)
    pin_format: str
    pin_block: bytes = field(repr=False)
    ksn: bytes
    field55: bytes = field(repr=False)
    face: str


PIN_FORMATS = {"iso9564-0": 8, "iso9564-4": 16}


def pin_block(fields: Fields) -> tuple[str, bytes, bytes]:
    """Format, block and key serial number. A block has one cipher block: 8 bytes of TDES, 16 of AES."""
    block = fields.object("pinBlock")
    form = block.choice("format", *PIN_FORMATS)
    size = PIN_FORMATS[form]
    return form, block.hex("block", size, size), block.hex("ksn", 8, 12)


def withdrawal_request(found: Envelope) -> WithdrawalRequest:
    fields = found.data
    identity = transaction_id(fields, found.terminal)
    face = fields.object("face")
    decision = face.choice("decision", "notRequired", "accepted")
    score = face.values.get("score")
    if (decision == "accepted") != (isinstance(score, (int, float)) and not isinstance(score, bool)):
        raise Malformed("data.face.score: a number when accepted, and only then")
    form, block, ksn = pin_block(fields)
    return WithdrawalRequest(
        identity,
        fields.whole("attempt", 1, 99),
        amount(fields, "amount", 1),
        fields.object("protectedCardData").values,
        form,
        block,
        ksn,
        fields.hex("iccRelatedData", 1, 1024),
        decision,
    )


@dataclass(frozen=True, slots=True)
class Advice:
    """A completion advice. `presented_flag` is "" and `presented` None where the terminal gave none."""

    transaction_id: str
    status: str
    presented_flag: str
    requested: Amount | None
    presented: Amount | None
    notes_minor: int | None
    failure_reason: str
    field55: bytes
    reconciles: bool


def completion_advice(found: Envelope) -> Advice:
    fields = found.data
    notes = fields.objects("notes")
    total = sum(note.whole("minor", 1, MAX_MINOR) * note.whole("presented", 0, 10_000) for note in notes) if fields.has("notes") else None
    for note in notes:
        note.text("unit")
        note.whole("rejected", 0, 10_000)
    return Advice(
        transaction_id(fields, found.terminal),
        fields.choice("transactionStatus", "SCSS", "FAIL", "DOBT"),
        fields.choice("presented", "FULL", "PART", "NONE") if fields.has("presented") else "",
        amount(fields, "requestedAmount") if fields.has("requestedAmount") else None,
        amount(fields, "presentedAmount") if fields.has("presentedAmount") else None,
        total,
        fields.text("failureReason", r"[A-Z]{4}") if fields.has("failureReason") else "",
        fields.hex("iccRelatedData", 0, 1024) if fields.has("iccRelatedData") else b"",
        fields.flag("reconciles"),
    )


def digest(value: object) -> str:
    """The same for the same JSON value, however it was spaced or ordered."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def utc_text(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def outgoing(kind: str, base: str, key: str, data: Mapping[str, Any], now: datetime) -> Message:
    """A message of the bank. Its id follows from `key`, so that a replay in virtual time gives the same bytes."""
    return {
        "specversion": "1.0",
        "id": str(uuid.uuid5(NAMESPACE, f"{kind}|{base}|{key}")),
        "source": "bank/v1",
        "type": kind,
        "subject": base,
        "time": utc_text(now),
        "datacontenttype": "application/json",
        "dataschema": f"smart-branch:{kind}:1",
        "data": dict(data),
    }
