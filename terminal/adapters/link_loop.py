"""The thread of the bank link: connect, ship, listen, try again. Everything of it happens in one thread, but for the blocking
connect (name, TCP, TLS), which has a short-lived one of its own, so that a request's timeout is never late.
"""

from __future__ import annotations

import math
import queue
import random
import sqlite3
from collections import deque
from collections.abc import Callable
from enum import Enum, unique
from pathlib import Path
from typing import Any

from drivers.transports.base import Clock
from terminal.adapters.backoff import Backoff, boot_delay
from terminal.adapters.clock import WallClock, iso_ms
from terminal.adapters.envelope import encode_envelope
from terminal.adapters.link_config import LinkConfig
from terminal.adapters.link_events import BadMessage, LinkDown, LinkEvent, LinkUp, OutboxAlarm, RequestFailed
from terminal.adapters.link_inbound import SUBSCRIBED, Inbound
from terminal.adapters.link_means import LinkMeans, Session
from terminal.adapters.link_outflow import Outflow
from terminal.adapters.link_renewal import Renewal
from terminal.adapters.mqtt import (
    Acked,
    Arrived,
    Connected,
    Ended,
    Happening,
    MqttAbsent,
    MqttOptions,
    MqttUnreachable,
    Refused,
    Subscribed,
)
from terminal.adapters.outbox import OutboxClass
from terminal.adapters.outbox_sender import Outbox
from terminal.adapters.requests_pending import OpenRequest, PendingRequests
from terminal.adapters.sealing import RowSealer
from terminal.adapters.shipper import Shipper

QUOTA_EXCEEDED, RATE_EXCEEDED = 0x97, 0x9F
HELD_S = 10.0
LONGEST_WAIT_S = 5.0
LEVELS_EVERY_S = 1.0


@unique
class Phase(Enum):
    WAITING = "waiting"
    CONNECTING = "connecting"
    HANDSHAKE = "handshake"
    UP = "up"


class LinkLoop:
    """`run` is the thread. `requests`, `documents`, `closing` and `wake` are how other threads reach it."""

    def __init__(
        self,
        config: LinkConfig,
        store_path: Path,
        inbox: Callable[[LinkEvent], None],
        clock: Clock,
        wall_clock: WallClock,
        chance: random.Random,
        means: LinkMeans,
        sealer: RowSealer | None = None,
    ) -> None:
        self._config, self._store_path, self._inbox, self._clock, self._wall_clock = config, store_path, inbox, clock, wall_clock
        self._means, self._sealer = means, sealer
        self.renewal = Renewal(config.tls, inbox)
        self.wake = means.wake()
        self.requests: deque[OpenRequest] = deque()
        self.documents: dict[str, tuple[str, dict[str, Any]]] = {"state": ("ATMDeviceReport", {})}
        """Retained messages: topic leaf -> type and data. What is `changed` is published as soon as it can be."""
        self.changed: set[str] = set()
        self.clock_offset_ms: int | None = None
        self.rows_stored = False
        self.closing = False
        self.up = False
        self._phase = Phase.WAITING
        self._backoff = Backoff(config.base_backoff_s, config.max_backoff_s, chance)
        self._deadline = clock.now() + boot_delay(config.terminal_id, config.boot_spread_s)
        self._connected: queue.SimpleQueue[tuple[Session, str, bool]] = queue.SimpleQueue()
        self._session: Session | None = None
        self._outflow: Outflow | None = None
        self._pending = PendingRequests()
        self._outbox: Outbox | None = None
        self._shipper: Shipper | None = None
        self._inbound: Inbound | None = None
        self._up_since = 0.0
        self._told = ""
        self._alarmed: dict[OutboxClass, tuple[bool, int]] = {}
        self._levels_at, self._levels_changed = 0.0, True

    def run(self) -> None:
        try:
            while not self._told_to_close():
                self._step()
            self._say_goodbye()
        finally:
            self.up = False
            if self._session is not None:
                self._session.abandon()
            if self._outbox is not None:
                self._outbox.close()
            for request in (*self._pending.expired(math.inf), *self.requests):
                self._inbox(RequestFailed(request.request_id, "timeout" if request.published else "offline"))
            self.wake.close()
            if not self.closing:
                self._inbox(LinkDown("the link's thread ended by a fault of its own", final=True))

    def _told_to_close(self) -> bool:
        self.wake.clear()  # before looking at what other threads may have set, or their call gets lost
        return self.closing

    def _step(self) -> None:
        try:
            self._advance(self._clock.now())
            session = self._session
            for happening in self._wait():
                if self._session is not session:
                    break  # given up on the way: what else that connection had to say does not matter
                self._handle(happening)
            if self._inbound is not None:
                self._levels_changed = self._inbound.settle() or self._levels_changed
                self.clock_offset_ms = self._inbound.clock_offset_ms
        except sqlite3.Error as error:
            self._close_outbox()
            self._down(f"the outbox cannot be read ({error})", seen=False)

    def _advance(self, now: float) -> None:
        for request in self._pending.expired(now):
            self._inbox(RequestFailed(request.request_id, "timeout" if request.published else "offline"))
        while self.requests:
            request = self.requests.popleft()
            if self._phase is Phase.UP:
                self.renewal.asked(now)
                self._pending.add(request)
            else:
                self._inbox(RequestFailed(request.request_id, "offline"))
        if self.rows_stored:
            self.rows_stored, self._levels_changed = False, True
            if self._shipper is not None:
                self._shipper.notify()
        self._check_levels(now)
        if self._phase is Phase.WAITING and now >= self._deadline:
            self._start_connecting(now)
        elif self._phase is Phase.CONNECTING:
            self._finish_connecting(now)
        elif self._phase is Phase.HANDSHAKE and now >= self._deadline:
            self._down("the broker took the connection and says nothing")
        elif self._phase is Phase.UP:
            self._send(now)

    def _start_connecting(self, now: float) -> None:
        if self._outbox is None:
            self._outbox = Outbox(
                self._store_path, self._config.bounds, self._sealer, lambda topic, why: self._inbox(BadMessage(topic, why))
            )
            self._shipper = Shipper(self._outbox, self._config.shipping)
            self._outflow = Outflow(self._config, self._shipper, self._pending, self._inbox)
            self._inbound = Inbound(self._config.base, self._shipper, self._pending, self._inbox, self._wall_clock)
        session = self._means.session(self._options())

        def connect() -> None:
            error, seen = "", True
            try:
                session.connect()
            except MqttUnreachable as failure:
                error, seen = str(failure), not isinstance(failure, MqttAbsent)
            if self.closing:
                session.abandon()
            self._connected.put((session, error, seen))
            self.wake.set()

        self._phase, self._session = Phase.CONNECTING, session
        self._means.thread(connect, "bank-link-connect").start()

    def _options(self) -> MqttOptions:
        config, (_, host, port) = self._config, self._config.address()
        password = config.password.reveal() if config.password else None
        return MqttOptions(
            host, port, config.terminal_id, self.renewal.context(), config.username, password, config.keepalive_s,
            config.connect_timeout_s, config.window, config.clean_start, f"{config.base}/state", self._state("offline"),
        )  # fmt: skip

    def _finish_connecting(self, now: float) -> None:
        while not self._connected.empty():
            session, error, seen = self._connected.get()
            if session is not self._session:
                session.abandon()
            elif error:
                self._down(error, seen=seen)
            else:
                self._phase, self._deadline = Phase.HANDSHAKE, now + self._config.connect_timeout_s

    def _wait(self) -> list[Happening]:
        now = self._clock.now()
        moments = [now + LONGEST_WAIT_S, self._pending.next_expiry()]
        if self._levels_changed and self._outbox is not None:
            moments.append(self._levels_at)
        if self._phase in (Phase.WAITING, Phase.HANDSHAKE):
            moments.append(self._deadline)
        if self._phase is Phase.UP and self._shipper is not None and self._outflow is not None and self._outflow.places() > 0:
            moments.append(self._shipper.next_wakeup(now))
        timeout_s = max(0.0, min(moment for moment in moments if moment is not None) - now)
        if self._session is not None and self._phase in (Phase.HANDSHAKE, Phase.UP):
            return self._session.pump(timeout_s, self.wake)
        self.wake.wait(timeout_s)
        return []

    def _handle(self, happening: Happening) -> None:
        if isinstance(happening, Arrived) and self._inbound is not None:
            self._inbound.arrived(happening)
        elif isinstance(happening, Acked) and self._outflow is not None:
            self._outflow.acked(happening, self._clock.now())
        elif isinstance(happening, Ended):
            # under TLS 1.3 a certificate that is refused shows in no other way
            early = self._phase is Phase.HANDSHAKE
            self._down(f"the broker did not accept the connection: {happening.text}" if early else happening.text, happening.reason)
        elif isinstance(happening, Refused):
            self._down(f"the broker refused the connection: {happening.text}", happening.reason)
        elif isinstance(happening, Connected) and self._session is not None and self._outflow is not None:
            self._outflow.begin(happening.window)
            self._session.subscribe([f"{self._config.base}/{leaf}" for leaf in SUBSCRIBED])
        elif isinstance(happening, Subscribed) and self._phase is Phase.HANDSHAKE:
            self._come_up(happening.refused)

    def _come_up(self, refused: bool) -> None:
        if refused:
            self._down("the broker does not let this terminal subscribe to its own topics")
            return
        now = self._clock.now()
        self._phase, self._up_since, self._told = Phase.UP, now, ""
        self.changed.update(self.documents)
        if self._shipper is not None:
            self._shipper.connected(now)
        self.up = True
        self.renewal.stood()
        self._inbox(LinkUp())

    def _down(self, reason: str, code: int = 0, planned: bool = False, seen: bool = True) -> None:
        """`planned`: nobody is told unless the next attempt fails. `seen`: somebody was there who may have refused the certificate."""
        now = self._clock.now()
        was_up, self.up = self._phase is Phase.UP, False
        if not was_up and seen:
            self.renewal.failed()
        if was_up and now - self._up_since >= HELD_S:
            self._backoff.reset()
        if self._session is not None and self._phase is not Phase.CONNECTING:
            self._session.abandon()
        self._session = None
        if self._shipper is not None:
            self._shipper.disconnected()
        for request in self._pending.unpublished():
            self._pending.drop(request.request_id)
            self._inbox(RequestFailed(request.request_id, "offline"))
        self._phase = Phase.WAITING
        self._deadline = now + self._backoff.delay(crowded=code in (QUOTA_EXCEEDED, RATE_EXCEEDED))
        if not planned and (was_up or reason != self._told):
            self._told = reason
            self._inbox(LinkDown(reason))

    def _send(self, now: float) -> None:
        if self._session is None or self._outflow is None:
            return
        if self._outflow.stalled(now):
            self._down("the broker acknowledges nothing")
            return
        if self.renewal.due(now):
            self._session.disconnect(0.1, self.wake)
            self._down("the connection is made anew with another certificate", planned=True)
            self._deadline = now
            return
        for leaf in sorted(self.changed.copy()):
            self.changed.discard(leaf)  # before it is read: another thread may change it again
            payload = self._state("online") if leaf == "state" else self._document(*self.documents[leaf])
            if not self._outflow.send_document(self._session, leaf, payload, now):
                self.changed.add(leaf)
        self._outflow.send(self._session, now, self._wall_clock().timestamp())

    def _check_levels(self, now: float) -> None:
        if self._outbox is None or now < self._levels_at or not self._levels_changed:
            return
        self._levels_at, self._levels_changed = now + LEVELS_EVERY_S, False
        for klass, level in self._outbox.levels().items():
            high, dropped = self._alarmed.get(klass, (False, level.dropped))
            if level.high != high or level.dropped > dropped:
                raised = level.high or level.dropped > dropped
                self._inbox(OutboxAlarm(klass, raised, level.rows, level.capacity, level.dropped))
            self._alarmed[klass] = (level.high, level.dropped)

    def _state(self, state: str) -> bytes:
        type_, report = self.documents["state"]
        return self._document(type_, {**report, "state": state} if state == "online" else {"state": state})

    def _document(self, type_: str, data: dict[str, Any]) -> bytes:
        time = iso_ms(self._wall_clock())
        return encode_envelope(id_=self._means.identify(), source=self._config.base, type_=type_, time=time, data=data)

    def _say_goodbye(self) -> None:
        """`offline` by our own hand, as the will is not published after a DISCONNECT; a second at most."""
        if self._phase is not Phase.UP or self._session is None:
            return
        number = self._session.publish(f"{self._config.base}/state", self._state("offline"), retain=True)
        until = self._clock.now() + 1.0
        self.wake.clear()
        while (now := self._clock.now()) < until:
            happenings = self._session.pump(until - now, self.wake)
            if any(isinstance(it, Ended) or (isinstance(it, Acked) and it.message_id == number) for it in happenings):
                break
            self.wake.clear()
        self._session.disconnect(0.1, self.wake)

    def _close_outbox(self) -> None:
        if self._outbox is not None:
            self._outbox.close()
        self._outbox = self._shipper = self._inbound = self._outflow = None
