"""What comes from the bank: responses, acknowledgements, orders and the desired configuration. Nothing that arrives raises; what cannot
be used is reported.

`clock_offset_ms` is how far the bank's clock is ahead of ours, estimated from the `time` of its live messages (`ack`, `auth/resp`,
`cmd`): a message was under way for some time, so each difference is too small by that much, and the largest of the last sixteen is
nearest to the truth. Retained messages (`desired`) are old and say nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime

from terminal.adapters.clock import WallClock
from terminal.adapters.envelope import BadEnvelope, Envelope, decode_envelope
from terminal.adapters.link_events import BadMessage, DesiredArrived, LateResponse, LinkEvent, OrderArrived, ResponseArrived
from terminal.adapters.mqtt import Arrived
from terminal.adapters.requests_pending import PendingRequests
from terminal.adapters.shipper import Shipper

CLOCK_SAMPLES = 16
SUBSCRIBED = ("ack", "auth/resp", "cmd", "desired")
ORDER, DESIRED = "ATMDeviceControl", "ConfigurationDesired"


class Inbound:
    """`settle` may raise sqlite3.Error; the acknowledgements of one read are applied together."""

    def __init__(
        self, base: str, shipper: Shipper, pending: PendingRequests, inbox: Callable[[LinkEvent], None], wall_clock: WallClock
    ) -> None:
        self._base, self._wall_clock = base, wall_clock
        self._shipper, self._pending, self._inbox = shipper, pending, inbox
        self._acks: set[tuple[str, int, int]] = set()
        self._offsets_ms: deque[int] = deque(maxlen=CLOCK_SAMPLES)
        self.clock_offset_ms: int | None = None
        """Read by another thread."""

    def arrived(self, message: Arrived) -> None:
        try:
            envelope = decode_envelope(message.payload)
            leaf = message.topic.removeprefix(f"{self._base}/")
            if leaf == "auth/resp":
                self._response(envelope, message.correlation)
            elif leaf == "ack":
                self._acks.add(_acknowledgement(envelope))
            elif leaf == "cmd":
                self._inbox(OrderArrived(_of_type(envelope, ORDER)))
            elif leaf == "desired":
                self._inbox(DesiredArrived(_of_type(envelope, DESIRED)))
            else:
                raise BadEnvelope("nothing is expected on this topic")
            if leaf != "desired":
                self._clock_seen(envelope.time)
        except BadEnvelope as error:
            self._inbox(BadMessage(message.topic, str(error)))

    def _clock_seen(self, time: str) -> None:
        try:
            offset_s = (datetime.fromisoformat(time) - self._wall_clock()).total_seconds()
        except (ValueError, TypeError):  # no time, or one without a zone: nothing to learn
            return
        self._offsets_ms.append(round(offset_s * 1000))
        self.clock_offset_ms = max(self._offsets_ms)

    def settle(self) -> bool:
        """Apply the acknowledgements that arrived, the furthest first (what it covers needs no work of its own); any applied?"""
        acks, self._acks = sorted(self._acks, reverse=True), set()
        done: set[tuple[str, int]] = set()
        for klass, epoch, upto in acks:
            if (klass, epoch) in done:
                continue
            fault = self._shipper.acknowledge(klass, epoch, upto)
            if fault:
                self._inbox(BadMessage(f"{self._base}/ack", fault, "impossible"))
            else:
                done.add((klass, epoch))
        return bool(done)

    def _response(self, envelope: Envelope, correlation: bytes) -> None:
        named = envelope.data.get("inResponseTo")
        if not isinstance(named, str) or not named:
            raise BadEnvelope("its inResponseTo is missing or not a string")
        if correlation and correlation != named.encode():
            raise BadEnvelope("its correlation data and its inResponseTo name different requests")
        verdict = self._pending.verdict(named)
        if verdict == "repeated":
            raise BadEnvelope("this request was answered before")
        event = ResponseArrived if verdict == "answer" else LateResponse
        self._inbox(event(named, envelope.type, envelope.data))


def _of_type(envelope: Envelope, type_: str) -> dict[str, object]:
    if envelope.type != type_:
        raise BadEnvelope(f"its type is not {type_}")
    return envelope.data


def _acknowledgement(envelope: Envelope) -> tuple[str, int, int]:
    klass, epoch, upto = envelope.data.get("class"), _number(envelope.data.get("epoch")), _number(envelope.data.get("upto"))
    if not isinstance(klass, str) or epoch is None or upto is None:
        raise BadEnvelope("an acknowledgement needs a class, an epoch and upto")
    return klass, epoch, upto


def _number(value: object) -> int | None:
    """An integer that SQLite can hold."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None
