"""What comes from the bank: responses and acknowledgements. Nothing that arrives raises; what cannot be used is reported."""

from __future__ import annotations

from collections.abc import Callable

from terminal.adapters.envelope import BadEnvelope, Envelope, decode_envelope
from terminal.adapters.link_events import BadMessage, LateResponse, LinkEvent, ResponseArrived
from terminal.adapters.mqtt import Arrived
from terminal.adapters.requests_pending import PendingRequests
from terminal.adapters.shipper import Shipper


class Inbound:
    """`settle` may raise sqlite3.Error; the acknowledgements of one read are applied together."""

    def __init__(self, base: str, shipper: Shipper, pending: PendingRequests, inbox: Callable[[LinkEvent], None]) -> None:
        self._response_topic, self._ack_topic = f"{base}/auth/resp", f"{base}/ack"
        self._shipper, self._pending, self._inbox = shipper, pending, inbox
        self._acks: set[tuple[str, int, int]] = set()

    def arrived(self, message: Arrived) -> None:
        try:
            envelope = decode_envelope(message.payload)
            if message.topic == self._response_topic:
                self._response(envelope, message.correlation)
            elif message.topic == self._ack_topic:
                self._acks.add(_acknowledgement(envelope))
            else:
                raise BadEnvelope("nothing is expected on this topic")
        except BadEnvelope as error:
            self._inbox(BadMessage(message.topic, str(error)))

    def settle(self) -> bool:
        """Apply the acknowledgements that arrived, the furthest first (what it covers needs no work of its own); any applied?"""
        acks, self._acks = sorted(self._acks, reverse=True), set()
        done: set[tuple[str, int]] = set()
        for klass, epoch, upto in acks:
            if (klass, epoch) in done:
                continue
            fault = self._shipper.acknowledge(klass, epoch, upto)
            if fault:
                self._inbox(BadMessage(self._ack_topic, fault))
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


def _acknowledgement(envelope: Envelope) -> tuple[str, int, int]:
    klass, epoch, upto = envelope.data.get("class"), _number(envelope.data.get("epoch")), _number(envelope.data.get("upto"))
    if not isinstance(klass, str) or epoch is None or upto is None:
        raise BadEnvelope("an acknowledgement needs a class, an epoch and upto")
    return klass, epoch, upto


def _number(value: object) -> int | None:
    """An integer that SQLite can hold."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None
