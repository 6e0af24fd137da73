"""What one connection has published and the broker has not yet acknowledged: the window, and who gets its places."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from terminal.adapters.link_config import LinkConfig
from terminal.adapters.link_events import BadMessage, LinkEvent, RequestFailed
from terminal.adapters.link_means import Session
from terminal.adapters.mqtt import Acked
from terminal.adapters.outbox import OutboxRow
from terminal.adapters.requests_pending import OpenRequest, PendingRequests
from terminal.adapters.shipper import REFUSED, Shipper

NO_SUBSCRIBER = 0x10


@dataclass(slots=True)
class _InFlight:
    """A published message without its PUBACK; neither row nor request: a retained document."""

    sent_at: float
    row: OutboxRow | None = None
    request_id: str | None = None
    leaf: str = ""


class Outflow:
    """`send` and `acked` may raise sqlite3.Error."""

    def __init__(self, config: LinkConfig, shipper: Shipper, pending: PendingRequests, inbox: Callable[[LinkEvent], None]) -> None:
        self._config, self._shipper, self._pending, self._inbox = config, shipper, pending, inbox
        self._window = 1
        self._in_flight: dict[int, _InFlight] = {}
        self._refused: set[str] = set()

    def begin(self, window: int) -> None:
        """A new connection: message ids begin anew."""
        self._window = window
        self._in_flight.clear()

    def places(self) -> int:
        """For the outbox: one place of the window stays free for a request, when there is more than one."""
        return self._window - len(self._in_flight) - (1 if self._window > 1 else 0)

    def stalled(self, now: float) -> bool:
        """The oldest publication has waited for its PUBACK too long."""
        oldest = next(iter(self._in_flight.values()), None)
        return oldest is not None and now - oldest.sent_at >= self._config.puback_timeout_s

    def send(self, session: Session, now: float, unix_s: float) -> None:
        """Requests first, then what the shipper finds due."""
        for request in self._pending.unpublished():
            if len(self._in_flight) >= self._window:
                return
            request.published = True
            self._in_flight[self._publish_request(session, request, now)] = _InFlight(now, request_id=request.request_id)
        for row in self._shipper.take(now, unix_s, self.places()):
            expiry_s = None if row.expires is None else math.ceil(row.expires - unix_s)
            key = f"{self._config.terminal_id}/{row.klass}/{row.epoch}/{row.seq}"
            self._in_flight[session.publish(row.topic, row.payload, expiry_s=expiry_s, key=key)] = _InFlight(now, row=row)

    def send_document(self, session: Session, leaf: str, payload: bytes, now: float) -> bool:
        """A retained message; False when the window is full."""
        if len(self._in_flight) >= self._window:
            return False
        self._in_flight[session.publish(f"{self._config.base}/{leaf}", payload, retain=True)] = _InFlight(now, leaf=leaf)
        return True

    def _publish_request(self, session: Session, request: OpenRequest, now: float) -> int:
        return session.publish(
            f"{self._config.base}/auth",
            request.payload,
            expiry_s=int(request.expires_at - now),
            response_topic=f"{self._config.base}/auth/resp",
            correlation=request.request_id.encode(),
            key=request.request_id,
        )

    def acked(self, acked: Acked, now: float) -> None:
        """PUBACK: what it means for a row is the shipper's; a request that nobody took has failed at once."""
        item = self._in_flight.pop(acked.message_id, None)
        if item is None:
            return
        if item.row is not None:
            self._shipper.puback(item.row, acked.reason, now)
            topic = item.row.topic
        else:
            topic = f"{self._config.base}/{'auth' if item.request_id else item.leaf}"
        if item.request_id and (acked.reason >= REFUSED or acked.reason == NO_SUBSCRIBER) and self._pending.drop(item.request_id):
            self._inbox(RequestFailed(item.request_id, "offline"))
        self._tell_refusal(topic, acked)

    def _tell_refusal(self, topic: str, acked: Acked) -> None:
        if acked.reason < REFUSED:
            self._refused.discard(topic)
        elif topic not in self._refused:
            self._refused.add(topic)
            why = f"the broker refuses what is published there: {acked.text} (0x{acked.reason:02x})"
            self._inbox(BadMessage(topic, why, "refusedByBroker"))
