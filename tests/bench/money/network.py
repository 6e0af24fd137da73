"""The two clients of the broker in memory: the terminal's MQTT session as the bank link drives it, and the bank's host."""

from __future__ import annotations

import json
import sqlite3
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any

from money.inbox import MemoryWake
from money.sched import Scheduler
from simulators.bank.faults import Faults, sending
from simulators.bank.host import BankHost
from simulators.bank.messages import base_and_leaf
from simulators.broker.memory import HOP_S, BrokerDown, Connection, MemoryBroker, Packet
from terminal.adapters.mqtt import Acked, Arrived, Connected, Ended, Happening, MqttAbsent, MqttOptions, Subscribed

CONNECT_S = 0.01
Point = Callable[[str], None]
Tell = Callable[[str, str], None]


class MemorySession:
    """terminal.adapters.link_means.Session. `point` is told before and after each publication: a process may end there."""

    def __init__(self, options: MqttOptions, schedule: Scheduler, broker: MemoryBroker, point: Point, published: list[str]) -> None:
        self._options, self._schedule, self._broker, self._point, self._published = options, schedule, broker, point, published
        self._happened: deque[Happening] = deque()
        self._wake: MemoryWake | None = None
        self._number = 0
        self._over = False
        will = Packet(options.will_topic, options.will_payload, retain=True)
        self._connection = Connection(options.client_id, will, self._on_packet, lambda: self._tell(Ended(0, "the connection broke")))

    def connect(self) -> None:
        self._schedule.sleep(CONNECT_S)
        try:
            self._broker.connect(self._connection, lambda: self._tell(Connected(self._options.window)))
        except BrokerDown:
            raise MqttAbsent("the broker: connection refused") from None

    def subscribe(self, topics: list[str]) -> None:
        self._broker.subscribe(self._connection, topics)
        self._schedule.later(HOP_S, lambda: self._tell(Subscribed(False)))

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        expiry_s: int | None = None,
        response_topic: str | None = None,
        correlation: bytes | None = None,
        key: str | None = None,
    ) -> int:
        self._number += 1
        number, leaf = self._number, topic.rsplit("/", 1)[1]
        self._point(f"publish<{leaf}")
        self._published.append(payload.decode())
        packet = Packet(topic, payload, response_topic or "", correlation or b"", retain)
        self._broker.publish(self._connection, packet, lambda reason: self._tell(Acked(number, reason, f"0x{reason:02x}")))
        self._point(f"publish>{leaf}")
        return number

    def pump(self, timeout_s: float, wake: Any) -> list[Happening]:
        self._wake = wake
        wake.listen()
        until = self._schedule.now + timeout_s
        while not self._happened and not wake.raised and self._schedule.now < until:
            self._schedule.wait(until)
        happened = list(self._happened)
        self._happened.clear()
        return happened

    def disconnect(self, timeout_s: float, wake: Any) -> None:
        self._over = True
        self._broker.disconnect(self._connection, clean=True)

    def abandon(self) -> None:
        if not self._over:
            self._over = True
            self._broker.disconnect(self._connection, clean=False)

    def _on_packet(self, packet: Packet) -> None:
        self._tell(Arrived(packet.topic, packet.payload, packet.correlation))

    def _tell(self, happening: Happening) -> None:
        if not self._over:
            self._over = isinstance(happening, Ended)
            self._happened.append(happening)
            if self._wake is not None:
                self._schedule.poke(self._wake._task)


class BankAtBroker:
    """The bank's host with its disk (`store`) behind the broker. A crash loses what was not committed, and all answers on their way."""

    LEAVES = ("auth", "txn", "event", "alarm", "telemetry", "state", "cmd/resp")
    THINKS_S = 0.05
    RECONNECT_S = 0.5

    def __init__(
        self, make_host: Callable[[], BankHost], schedule: Scheduler, broker: MemoryBroker, wall: Callable[[], datetime], tell: Tell
    ) -> None:
        self._make_host, self._schedule, self._broker, self._wall, self._tell = make_host, schedule, broker, wall, tell
        self.point: Point = lambda name: None
        self.host = make_host()
        self.faults = Faults(self.host.planned)
        self.alive = True
        self.received = 0
        self.lives = 0
        self._held: list[Callable[[], None]] | None = None
        self._connection: Connection | None = None
        self._connect()

    def _connect(self) -> None:
        if self._held is not None:
            self._held.append(self._connect)
            return
        if not self.alive or self._connection is not None:
            return
        life = self.lives
        connection = Connection("bank-host", None, lambda packet: self._arrived(life, packet), self._lost)
        try:
            self._broker.connect(connection, persistent=True)
        except BrokerDown:
            self._schedule.later(self.RECONNECT_S, self._connect)
            return
        self._connection = connection
        self._broker.subscribe(connection, [f"bank/v1/+/+/{leaf}" for leaf in self.LEAVES])

    def _lost(self) -> None:
        self._connection = None
        self._schedule.later(self.RECONNECT_S, self._connect)

    def crash(self, away_s: float) -> None:
        """kill -9 of the host; it comes back with what its disk has."""
        connection, self._connection = self._connection, None
        self.alive = False
        self._held = None
        self.lives += 1
        if connection is not None:
            self._broker.disconnect(connection, clean=False)
        self._schedule.later(away_s, self._start)

    def stop(self) -> None:
        """Its process stands still: it reads nothing, and what it was about to say stays unsaid."""
        self._held = [] if self._held is None else self._held

    def go_on(self) -> None:
        held, self._held = self._held or [], None
        for action in held:
            action()

    def _start(self) -> None:
        if self.alive:
            return
        planned, risky = self.faults, set(self.host.planned.risky)
        self.host = self._make_host()
        self.host.planned.risky.intersection_update(risky)  # over after the faults are, also for a host that was away then
        self.faults = Faults(self.host.planned)
        self.faults.down = planned.down
        self.alive = True
        self._connect()

    def _arrived(self, life: int, packet: Packet) -> None:
        leaf = packet.topic.rsplit("/", 1)[1]
        delay = self.THINKS_S if leaf == "auth" else HOP_S
        self._schedule.later(delay, lambda: self._handle(life, packet))

    def _handle(self, life: int, packet: Packet) -> None:
        if self._held is not None:
            self._held.append(lambda: self._handle(life, packet))
            return
        if life != self.lives or not self.alive or self.faults.down:
            return
        base, leaf = base_and_leaf(packet.topic)
        self.point(f"bank<{leaf}")
        if life != self.lives:
            return
        self.received += 1
        try:
            answers = self.host.handle_payload(leaf, base, packet.payload, self._wall())
        except sqlite3.Error as error:
            raise AssertionError(f"the bank's own store failed: {error}") from error
        self.point(f"bank>{leaf}")
        if life != self.lives or (leaf == "txn" and self.faults.crash_before_ack):
            if life == self.lives:
                self.crash(2.0)
            return
        for answer_leaf, message in answers:
            self._answer(packet, base, answer_leaf, message)

    def _answer(self, packet: Packet, base: str, leaf: str, message: Any) -> None:
        how = sending(self.faults, leaf)
        to_auth = leaf == "auth/resp"
        answer = Packet(
            packet.response_topic if to_auth and packet.response_topic else f"{base}/{leaf}",
            json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode(),
            correlation=packet.correlation if to_auth else b"",
        )
        life = self.lives
        for number in range(how.times):
            self._schedule.later(how.delay_s + number * HOP_S, lambda: self._send(life, answer))

    def _send(self, life: int, answer: Packet) -> None:
        if self._held is not None:
            self._held.append(lambda: self._send(life, answer))
            return
        if life == self.lives and self._connection is not None:
            self._broker.publish(self._connection, answer, lambda reason: None)
