"""Remote commands: who may send which, stored before they are sent, signed, and followed through their states.

Nothing that moves notes is offered here, and a terminal refuses it whoever signed it. To take a terminal out of service needs two
people, one of them a supervisor.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from kiosk_ui.monitor import command_states as states
from kiosk_ui.monitor.audit import Who, record
from kiosk_ui.monitor.contract import utc_text
from kiosk_ui.monitor.people import may
from kiosk_ui.monitor.prose import prose
from kiosk_ui.monitor.schema import COMMAND, TERMINAL
from kiosk_ui.monitor.signing import COMMAND as COMMAND_PREFIX
from kiosk_ui.monitor.signing import Signer

DEVICES = ("cardReader", "pinPad", "cashDispenser", "printer", "faceVerifier")
JOURNAL_MOST = 200
TWO_PEOPLE = ("leaveService",)
MIN_LIFE_S, MAX_LIFE_S = 30, 7 * 86_400
GRACE_MS = 60_000  # a result that was already on its way when the command expired

# name -> its parameters
CATALOGUE: dict[str, tuple[str, ...]] = {
    "enterService": (),
    "leaveService": (),
    "restartWorker": ("device",),
    "restartAgent": (),
    "status": (),
    "counters": (),
    "journalRange": ("from", "to"),
    "picture": ("device",),
    "selfTest": ("device",),
    "cancel": ("commandId",),
}


class CommandError(ValueError):
    """`code` is stable, the text a sentence."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Ordered:
    """What a person asks for, before it is looked at."""

    terminal: str
    command: str
    parameters: Mapping[str, Any]
    reason: str
    life_s: int


def order(connection: Connection, ordered: Ordered, who: Who, signer: Signer, now: int) -> str:
    """The new command's id. Stored, and signed unless a second person has to agree first."""
    _check(ordered, who)
    branch = connection.execute(select(TERMINAL.c.branch).where(TERMINAL.c.terminal == ordered.terminal)).scalar()
    if branch is None:
        raise CommandError("unknownTerminal", "there is no such terminal")
    identity = str(uuid.uuid4())
    row = {
        "command_id": identity,
        "terminal": ordered.terminal,
        "branch": branch,
        "command": ordered.command,
        "parameters": json.dumps(dict(ordered.parameters)),
        "reason": ordered.reason.strip(),
        "role": "supervisor" if who.role == "supervisor" else "operator",
        "issued_by": who.name,
        "issued_at": now,
        "not_before": now,
        "expires_at": now + ordered.life_s * 1000,
        "approved_by": None,
        "state": states.AWAITING if ordered.command in TWO_PEOPLE else states.QUEUED,
        "state_at": now,
    }
    if row["state"] == states.QUEUED:
        row["signed"] = _signed(row, signer)
    connection.execute(insert(COMMAND).values(row))
    detail = {"terminal": ordered.terminal, "command": ordered.command, "parameters": dict(ordered.parameters), "reason": row["reason"]}
    record(connection, who, "command.order", identity, detail, now)
    return identity


def _check(ordered: Ordered, who: Who) -> None:
    if not may(who.role, "operator"):
        raise CommandError("notAllowed", "only operators and supervisors send commands")
    if ordered.command not in CATALOGUE:
        raise CommandError("unknownCommand", f"a command is one of {', '.join(CATALOGUE)}")
    _check_reason(ordered.reason)
    if not MIN_LIFE_S <= ordered.life_s <= MAX_LIFE_S:
        raise CommandError("badExpiry", f"a command lives {MIN_LIFE_S} to {MAX_LIFE_S} seconds")
    parameters, wanted = ordered.parameters, CATALOGUE[ordered.command]
    if set(parameters) != set(wanted):
        raise CommandError("badParameters", f"{ordered.command} takes {', '.join(wanted) or 'no parameters'}")
    if "device" in wanted and parameters["device"] not in DEVICES:
        raise CommandError("badParameters", f"device is one of {', '.join(DEVICES)}")
    if "from" in wanted:
        first, last = parameters["from"], parameters["to"]
        whole = all(isinstance(one, int) and not isinstance(one, bool) for one in (first, last))
        if not whole or not 1 <= first <= last < first + JOURNAL_MOST:
            raise CommandError("badParameters", f"from and to are journal numbers, {JOURNAL_MOST} entries at most")
    if "commandId" in wanted and not re.fullmatch(r"[0-9a-f-]{36}", str(parameters["commandId"])):
        raise CommandError("badParameters", "commandId is the id of a command")


def _check_reason(reason: str) -> None:
    if prose(reason, 3, 200) is None:
        raise CommandError("reasonMissing", "a reason of 3 to 200 characters is needed")


def _signed(row: Mapping[str, Any], signer: Signer) -> str:
    data = {
        "commandId": row["command_id"],
        "terminal": row["terminal"],
        "command": row["command"],
        "parameters": json.loads(row["parameters"]),
        "issuedAt": utc_text(row["issued_at"]),
        "notBefore": utc_text(row["not_before"]),
        "expiresAt": utc_text(row["expires_at"]),
        "issuedBy": row["issued_by"],
        "role": row["role"],
        "approvedBy": row["approved_by"],
        "reason": row["reason"],
    }
    return json.dumps(signer.sign(COMMAND_PREFIX, data))


def approve(connection: Connection, identity: str, who: Who, signer: Signer, now: int) -> None:
    """The second person agrees: another one, and one of the two a supervisor. From then on the command is on its way."""
    row = _awaiting(connection, identity, now)
    if not may(who.role, "operator"):
        raise CommandError("notAllowed", "only operators and supervisors approve commands")
    if row["issued_by"] == who.name:
        raise CommandError("samePerson", "a second person has to approve this command")
    if "supervisor" not in (who.role, row["role"]):
        raise CommandError("supervisorNeeded", "one of the two has to be a supervisor")
    row |= {"approved_by": who.name, "approved_at": now, "not_before": now, "state": states.QUEUED, "state_at": now}
    changes = {name: row[name] for name in ("approved_by", "approved_at", "not_before", "state", "state_at")}
    connection.execute(update(COMMAND).where(COMMAND.c.command_id == identity).values(**changes, signed=_signed(row, signer)))
    record(connection, who, "command.approve", identity, {"terminal": row["terminal"], "command": row["command"]}, now)


def reject(connection: Connection, identity: str, who: Who, now: int) -> None:
    """Not agreed, or taken back by whoever asked for it."""
    row = _awaiting(connection, identity, now)
    if not may(who.role, "operator"):
        raise CommandError("notAllowed", "only operators and supervisors reject commands")
    state = states.WITHDRAWN if row["issued_by"] == who.name else states.REJECTED
    connection.execute(update(COMMAND).where(COMMAND.c.command_id == identity).values(state=state, state_at=now))
    record(connection, who, f"command.{state}", identity, {"terminal": row["terminal"], "command": row["command"]}, now)


def withdraw(connection: Connection, identity: str, reason: str, who: Who, signer: Signer | None, now: int) -> str | None:
    """Takes a command back. Not sent yet: withdrawn, and None. Sent: the terminal is asked to cancel it; the id of that command.

    The row is locked: nobody makes it `sent` meanwhile. A message that was published and not yet acknowledged by the broker may reach
    the terminal all the same; then the terminal's own word replaces `withdrawn`.
    """
    if not may(who.role, "operator"):
        raise CommandError("notAllowed", "only operators and supervisors withdraw commands")
    _check_reason(reason)
    row = _locked(connection, identity)
    if row["state"] in (states.AWAITING, states.QUEUED):
        connection.execute(update(COMMAND).where(COMMAND.c.command_id == identity).values(state=states.WITHDRAWN, state_at=now))
        detail = {"terminal": row["terminal"], "command": row["command"], "reason": reason.strip()}
        record(connection, who, "command.withdrawn", identity, detail, now)
        return None
    if row["state"] not in (states.SENT, states.DELIVERED) or row["command"] == "cancel":
        raise CommandError("over", "this command can no longer be taken back")
    if signer is None:
        raise CommandError("noKey", "there is no signing key in the configuration, so nobody can ask the terminal to cancel it")
    life_s = min(max((row["expires_at"] - now) // 1000, MIN_LIFE_S), MAX_LIFE_S)  # as long as it may still be done
    return order(connection, Ordered(row["terminal"], "cancel", {"commandId": identity}, reason, life_s), who, signer, now)


def _awaiting(connection: Connection, identity: str, now: int) -> dict[str, Any]:
    found = _locked(connection, identity)
    if found["state"] != states.AWAITING:
        raise CommandError("notAwaiting", "this command does not wait for approval")
    if found["expires_at"] <= now:
        raise CommandError("expired", "this command has expired")
    return found


def _locked(connection: Connection, identity: str) -> dict[str, Any]:
    found = connection.execute(select(COMMAND).where(COMMAND.c.command_id == identity).with_for_update()).first()
    if found is None:
        raise CommandError("unknownCommand", "there is no such command")
    return dict(found._mapping)


def expire(connection: Connection, now: int) -> int:
    """What nobody sent or agreed to in time has expired; what was sent without a final word has timed out. How many changed."""
    never_left = update(COMMAND).where(COMMAND.c.state.in_((states.AWAITING, states.QUEUED)), COMMAND.c.expires_at <= now)
    changed = connection.execute(never_left.values(state=states.EXPIRED, state_at=now)).rowcount
    unheard = update(COMMAND).where(COMMAND.c.state.in_((states.SENT, states.DELIVERED)), COMMAND.c.expires_at <= now - GRACE_MS)
    return changed + connection.execute(unheard.values(state=states.TIMED_OUT, state_at=now)).rowcount


def listed(connection: Connection, *, terminal: str = "", most: int = 50) -> list[dict[str, Any]]:
    """The newest first, without their signed form."""
    columns = [column for column in COMMAND.c if column.name != "signed"]
    wanted = select(*columns).order_by(COMMAND.c.issued_at.desc(), COMMAND.c.command_id).limit(most)
    if terminal:
        wanted = wanted.where(COMMAND.c.terminal == terminal)
    found = []
    for row in connection.execute(wanted):
        one = dict(row._mapping)
        one["parameters"] = json.loads(one["parameters"])
        one["result_data"] = json.loads(one["result_data"]) if one["result_data"] else None
        found.append(one)
    return found
