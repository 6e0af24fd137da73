"""The orders that were taken: each state is journalled, stored for the bank and remembered in one transaction, before anything follows.

The memory is the dedupe table: an order's id is remembered for a week longer than the order holds, so that it is never done twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from terminal.adapters.clock import iso_ms
from terminal.adapters.journal import Entry
from terminal.adapters.outbox import Outgoing
from terminal.adapters.store import Kept
from terminal.fleet.allowance import Allowance
from terminal.fleet.orders import Order, Refusal, moment
from terminal.fleet.post import Post

SPACE = "order"
REMEMBERED = timedelta(days=7)
RESULT = "ATMDeviceControlResult"
OPEN = ("received", "waiting", "executing")
OrderState = Literal["received", "waiting", "executing", "succeeded", "failed", "cancelled", "expired"]


@dataclass(slots=True)
class OpenOrder:
    """`until`: monotonic limit of what is executing. `answer`: what came of it, not yet reported."""

    order: Order
    state: OrderState
    until: float | None = None
    answer: Outcome | None = None
    number: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """`result` is ISO 20022 caam's: SUCC, NSUP, HRDW, TIMO, FMTE, CNTE, SECR, SYNE, UKRF."""

    state: OrderState
    result: str | None = None
    reason: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


SUCCEEDED = Outcome("succeeded", "SUCC")


def failed(result: str, reason: str) -> Outcome:
    return Outcome("failed", result, reason)


class OrderBook:
    def __init__(self, post: Post) -> None:
        self._post = post
        self._rows: dict[str, dict[str, Any]] = post.kept(SPACE)
        self.open: dict[str, OpenOrder] = {}
        self._refusals = Allowance(post.now)

    def unfinished(self) -> list[tuple[Order, OrderState]]:
        """What an earlier life took and did not end."""
        return [(_order(name, row), row["state"]) for name, row in self._rows.items() if row["state"] in OPEN]

    def first_result(self, command_id: str) -> dict[str, Any] | None:
        """What was said of this order, when it came before."""
        row = self._rows.get(command_id)
        return None if row is None else {name: row[name] for name in ("state", "result", "at")}

    def note(self, order: Order, outcome: Outcome) -> bool:
        """The next state of an order. False: the disk refused, nothing happened."""
        at = self._post.at
        outcome = _sendable(outcome)
        said = {"commandId": order.command_id, "command": order.command, "state": outcome.state, "result": outcome.result}
        entry = {**said, "reason": outcome.reason, "issuedBy": order.issued_by, "role": order.role, "approvedBy": order.approved_by}
        row = {**_row(order), "state": outcome.state, "result": outcome.result, "at": at}
        kind = {"received": "orderReceived", "waiting": "orderWaits", "executing": "orderBegun"}.get(outcome.state, "orderEnded")
        result = {**said, "reason": outcome.reason, "data": dict(outcome.data), "at": at}
        forgotten = self._outdated()
        kept = [Kept(SPACE, order.command_id, row), *(Kept(SPACE, name, None) for name in forgotten)]
        if not self._post.agent.record([Entry(kind, None, entry)], [Outgoing("audit", "cmd/resp", RESULT, result)], kept):
            return False
        self._rows[order.command_id] = row
        for name in forgotten:
            del self._rows[name]
        if outcome.state in OPEN:
            opened = self.open.get(order.command_id) or OpenOrder(order, outcome.state)
            opened.state = outcome.state
            self.open[order.command_id] = opened
        else:
            self.open.pop(order.command_id, None)
        return True

    def refuse(self, refusal: Refusal, first: Mapping[str, Any] | None = None) -> None:
        """Told to the centre and audited; of a flood only some, the others are counted (telemetry)."""
        if not self._refusals.take(self._post.now):
            return
        at, said = self._post.at, {"commandId": refusal.command_id, "command": refusal.command, "reason": refusal.reason}
        outgoing = [Outgoing("audit", "event", "SecurityEvent", {"event": "orderRefused", **said, "topic": "cmd", "at": at})]
        if refusal.command_id is not None:
            data = {} if first is None else {"first": dict(first)}
            result = {**said, "state": "refused", "result": refusal.result, "data": data, "at": at}
            outgoing.append(Outgoing("audit", "cmd/resp", RESULT, result))
        self._post.agent.record([Entry("orderRefused", None, said)], outgoing)

    def _outdated(self) -> list[str]:
        edge = self._post.moment - REMEMBERED
        return [name for name, row in self._rows.items() if row["state"] not in OPEN and _expires(row) < edge][:64]


def _sendable(outcome: Outcome) -> Outcome:
    """Too large for a message, or with something in it that may not leave: said, not sent."""
    try:
        Outgoing("audit", "cmd/resp", RESULT, {"data": outcome.data}).checked()
    except ValueError:
        return failed("FMTE", "cannotBeSent")
    return outcome


def _row(order: Order) -> dict[str, Any]:
    return {
        "command": order.command,
        "parameters": dict(order.parameters),
        "issuedBy": order.issued_by,
        "role": order.role,
        "approvedBy": order.approved_by,
        "reason": order.reason,
        "expires": iso_ms(order.expires),
    }


def _expires(row: Mapping[str, Any]) -> datetime:
    found = moment(row["expires"])
    assert found is not None
    return found


def _order(name: str, row: Mapping[str, Any]) -> Order:
    said = (row["command"], row["parameters"], row["issuedBy"], row["role"], row["approvedBy"], row["reason"])
    return Order(name, *said, expires=_expires(row))
