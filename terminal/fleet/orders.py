"""The centre's orders (`ATMDeviceControl`), read and judged. Pure: keys and the moment are arguments.

An order is signed with Ed25519 over canonical JSON of `data` without its `signature`, behind the prefix ORDER_PREFIX: keys sorted,
no blanks, UTF-8, integers only. It is addressed, holds for a time (by this device's clock, which need not be the centre's to the
second) and is taken once. What moves notes is never done from afar, whoever signs it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from terminal.adapters.journal import canonical, plain
from terminal.core.model import Device

ORDER_PREFIX = b"smart-branch/command/v1\n"
DESIRED_PREFIX = b"smart-branch/desired/v1\n"
CLOCKS_APART = timedelta(seconds=30)
"""So far this clock may be behind the centre's before `notBefore` counts: a centre orders from its own now on. From there on the alarm
`clockWrong` stands. The end is not stretched: what has expired by this clock is never done."""
RANGE_MOST = 200
ROLES = ("operator", "supervisor")
NAME = re.compile(r"[A-Za-z]{1,32}", re.ASCII)
ORDER_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
SIGNATURE = re.compile(r"[0-9a-f]{128}", re.ASCII)
DEVICES = frozenset(device.value for device in Device)
COMMANDS = frozenset(
    {"enterService", "leaveService", "restartWorker", "restartAgent", "status", "counters", "journalRange", "picture", "selfTest", "cancel"}
)
MOVES_NOTES = frozenset(
    {
        *("dispense", "testDispense", "present", "retract", "reject", "count", "purge", "reset", "resetDispenser", "initialise"),
        *("exchange", "startExchange", "endExchange", "cashIn", "cashInEnd", "cashInRollback", "deposit", "calibrate", "moveNotes"),
    }
)
TWO_PEOPLE = frozenset({"leaveService"})
"""Not on one person's word, whoever that is: another one has approved it (`approvedBy`). That one of the two is a supervisor is the
centre's to hold: an order carries the role of who gave it, not of who approved it."""
RESULTS = {"malformed": "FMTE", "unknownCommand": "NSUP"}
"""ISO 20022 caam result per reason of refusal; SECR for all others."""
FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "commandId": str, "terminal": str, "command": str, "parameters": dict, "issuedAt": str, "notBefore": str, "expiresAt": str,
    "issuedBy": str, "role": str, "approvedBy": (str, type(None)), "reason": str, "keyId": str, "signature": str,
}  # fmt: skip
PARAMETERS: Mapping[str, Mapping[str, type]] = {
    "restartWorker": {"device": str},
    "selfTest": {"device": str},
    "picture": {"device": str},
    "journalRange": {"from": int, "to": int},
    "cancel": {"commandId": str},
}
Keys = Mapping[str, Ed25519PublicKey]


@dataclass(frozen=True, slots=True)
class Order:
    """Verified: it is the centre's, for this terminal, and it is time."""

    command_id: str
    command: str
    parameters: Mapping[str, Any]
    issued_by: str
    role: str
    approved_by: str | None
    reason: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class Refusal:
    """`command_id` None when it could not be read: there is nobody to answer to."""

    reason: str
    command_id: str | None = None
    command: str | None = None

    @property
    def result(self) -> str:
        return RESULTS.get(self.reason, "SECR")


def read_order(data: Mapping[str, Any], keys: Keys, terminal: str, now: datetime) -> Order | Refusal:
    """Signature first: nothing of an order whose sender is not known is answered but that."""
    command_id, command = data.get("commandId"), data.get("command")
    known = command_id if isinstance(command_id, str) and ORDER_ID.fullmatch(command_id) else None
    name = command if isinstance(command, str) and NAME.fullmatch(command) else None

    def refuse(reason: str) -> Refusal:
        return Refusal(reason, known, name)

    times = [moment(data.get(field)) for field in ("issuedAt", "notBefore", "expiresAt")]
    if known is None or name is None or not well_formed(data, FIELDS) or None in times or data["role"] not in ROLES:
        return refuse("malformed")
    fault = signature_fault(data, keys, ORDER_PREFIX)
    if fault:
        return refuse(fault)
    _, begins, expires = times
    assert begins is not None and expires is not None
    if data["terminal"] != terminal:
        return refuse("wrongTerminal")
    if now >= expires:
        return refuse("expired")
    if now < begins - CLOCKS_APART:
        return refuse("notYet")
    order = Order(known, name, data["parameters"], data["issuedBy"], data["role"], data["approvedBy"], data["reason"], expires)
    fault = order_fault(order)
    return refuse(fault) if fault else order


def order_fault(order: Order) -> str:
    """Why a verified order is not done all the same; ""."""
    if order.command in MOVES_NOTES:
        return "movesNotes"
    if order.command not in COMMANDS:
        return "unknownCommand"
    if not parameters_fit(order):
        return "malformed"
    return "wrongRole" if order.command in TWO_PEOPLE and not has_second_person(order) else ""


def has_second_person(order: Order) -> bool:
    """Nobody approves his own order, nor does a name of blanks."""
    given, approved = (name.strip().casefold() for name in (order.issued_by, order.approved_by or ""))
    return approved not in ("", given)


def parameters_fit(order: Order) -> bool:
    wanted, given = PARAMETERS.get(order.command, {}), order.parameters
    if not well_formed(given, wanted):
        return False
    match order.command:
        case "restartWorker" | "selfTest" | "picture":
            return given["device"] in DEVICES
        case "journalRange":
            return bool(1 <= given["from"] <= given["to"] < min(given["from"] + RANGE_MOST, 2**63))
        case "cancel":
            return bool(ORDER_ID.fullmatch(given["commandId"]))
    return True


def well_formed(data: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    """These fields and no others, of these types; text of 256 characters at most, and nothing in it that may not be journalled."""
    if set(data) != set(fields):
        return False
    for name, kind in fields.items():
        value = data[name]
        if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, str) and len(value) > 256):
            return False
    try:
        plain({name: value for name, value in data.items() if name != "signature"}, "order")
    except (ValueError, RecursionError):
        return False
    return True


def signature_fault(data: Mapping[str, Any], keys: Keys, prefix: bytes) -> str:
    """unknownKey, badSignature, malformed (what canonical JSON does not allow), or ""."""
    key = keys.get(data["keyId"])
    if key is None:
        return "unknownKey"
    if not SIGNATURE.fullmatch(data["signature"]):
        return "malformed"
    signed = {name: value for name, value in data.items() if name != "signature"}
    try:
        if not integers_only(signed):
            return "malformed"
        key.verify(bytes.fromhex(data["signature"]), prefix + canonical(signed).encode())
    except InvalidSignature:
        return "badSignature"
    except (ValueError, RecursionError):
        return "malformed"
    return ""


def integers_only(value: Any) -> bool:
    """No float anywhere: two programs do not write the same one alike. No integer that some JSON reader would make a float of."""
    if isinstance(value, float) or (isinstance(value, int) and abs(value) >= 2**53):
        return False
    if isinstance(value, Mapping):
        return all(integers_only(item) for item in value.values())
    return all(integers_only(item) for item in value) if isinstance(value, list) else True


def moment(text: object) -> datetime | None:
    """ISO 8601 with a zone."""
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
