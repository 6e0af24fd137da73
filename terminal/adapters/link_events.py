"""What the bank link tells the agent's inbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from terminal.adapters.outbox import OutboxClass


@dataclass(frozen=True, slots=True)
class LinkUp:
    """Connected, subscribed, `online` published."""


@dataclass(frozen=True, slots=True)
class LinkDown:
    """No connection; told again when the reason changes. `final`: the link's thread has ended and will not come back by itself."""

    reason: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class ResponseArrived:
    """In time, and the first one to this request."""

    request_id: str
    type: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """`offline`: it did not get past the broker. `timeout`: it may have reached the bank, and may have been carried out there."""

    request_id: str
    reason: Literal["timeout", "offline"]


@dataclass(frozen=True, slots=True)
class LateResponse:
    """After the timeout, or to a request of an earlier run: to be journalled, not acted on as an answer."""

    request_id: str
    type: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OrderArrived:
    """ATMDeviceControl on `cmd`: an envelope that can be read. Nothing of `data` is verified."""

    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DesiredArrived:
    """ConfigurationDesired on `desired`: as OrderArrived."""

    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadMessage:
    """Something arrived (or came back) that cannot be used: bad JSON, an impossible acknowledgement, a refused publication.

    `reason` is the code it is counted by.
    """

    topic: str
    why: str
    reason: str = "malformed"


@dataclass(frozen=True, slots=True)
class OutboxAlarm:
    """`raised` at 80 % of a class's capacity or when rows were dropped; not `raised`: it is below again."""

    klass: OutboxClass
    raised: bool
    rows: int
    capacity: int
    dropped: int


LinkEvent = LinkUp | LinkDown | ResponseArrived | RequestFailed | LateResponse | OrderArrived | DesiredArrived | BadMessage | OutboxAlarm
