"""An MQTT 5 broker in memory, for one thread and virtual time: QoS 1, retained messages, wills, persistent sessions, and a broker's sins.

What it does is what brokers do (OASIS MQTT 5.0, and measured on mosquitto): it acknowledges before anything is on disk or delivered, so
what is queued dies with it; a message without a subscriber is acknowledged with 10h; an offline session's queue has a bound. Time is what
`later` makes of it. Packets are objects here: the codec is the library's business and is tested against real brokers.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

HOP_S = 0.002
QUEUE_MOST = 1_000
HELD_BACK_S = 3.0
NO_SUBSCRIBER, QUOTA_EXCEEDED = 0x10, 0x97
FAULTS = {
    "lose": "acknowledged, and never delivered",
    "duplicate": "delivered twice",
    "reorder": "held back until the next message to the same client has passed it",
    "muteAck": "delivered, but its PUBACK never comes",
    "refuse": "refused with 97h (quota exceeded)",
}

Later = Callable[[float, Callable[[], None]], None]


@dataclass(frozen=True, slots=True)
class Packet:
    """A PUBLISH as far as anybody here looks at it."""

    topic: str
    payload: bytes
    response_topic: str = ""
    correlation: bytes = b""
    retain: bool = False


@dataclass(slots=True)
class BrokerFault:
    """For the next `count` messages whose topic ends in `leaf`."""

    kind: str
    leaf: str
    count: int = 1


class Connection:
    """One client's connection. `on_packet`, `on_end` are called by the broker while it lasts."""

    def __init__(self, client_id: str, will: Packet | None, on_packet: Callable[[Packet], None], on_end: Callable[[], None]) -> None:
        self.client_id = client_id
        self.will = will
        self.on_packet = on_packet
        self.on_end = on_end
        self.alive = True


@dataclass(slots=True)
class Session:
    """What the broker keeps of a client. `persistent`: also while it is away."""

    persistent: bool
    filters: list[str] = field(default_factory=list)
    waiting: deque[Packet] = field(default_factory=deque)
    held_back: Packet | None = None
    connection: Connection | None = None


class BrokerDown(Exception):
    """Nobody listens on that port."""


def _nobody() -> None:
    """The client has hung up itself, or does not listen."""


class MemoryBroker:
    """`up` False: connecting fails. Faults are armed in `faults`."""

    def __init__(self, later: Later) -> None:
        self.up = True
        self.faults: list[BrokerFault] = []
        self._later = later
        self._held: list[Callable[[], None]] | None = None
        self._unanswered: list[Connection] = []
        self._sessions: dict[str, Session] = {}
        self._retained: dict[str, Packet] = {}

    # --- clients

    def connect(self, connection: Connection, on_connected: Callable[[], None] = _nobody, *, persistent: bool = False) -> None:
        """Takes over an older connection of the same client (MQTT 5, 3.1.4). `on_connected` is the CONNACK. BrokerDown."""
        if not self.up:
            raise BrokerDown
        self._unanswered.append(connection)
        self._do(lambda: self._connect(connection, on_connected, persistent))

    def _connect(self, connection: Connection, on_connected: Callable[[], None], persistent: bool) -> None:
        self._unanswered.remove(connection)
        session = self._sessions.get(connection.client_id)
        if session is not None and session.connection is not None:
            self._cut(session)
        if session is None or not persistent:
            session = self._sessions[connection.client_id] = Session(persistent)
        session.connection = connection
        on_connected()

    def subscribe(self, connection: Connection, filters: list[str]) -> None:
        """Retained messages follow; so does what waited for a session that was kept."""
        self._do(lambda: self._subscribe(connection, filters))

    def _subscribe(self, connection: Connection, filters: list[str]) -> None:
        session = self._of(connection)
        if session is None:
            return
        session.filters = sorted({*session.filters, *filters})
        for packet in [one for one in self._retained.values() if _wanted(session, one.topic)]:
            self._deliver(session, packet)
        waiting, session.waiting = session.waiting, deque()
        for packet in waiting:
            self._deliver(session, packet)

    def publish(self, connection: Connection, packet: Packet, on_ack: Callable[[int], None]) -> None:
        """QoS 1: `on_ack(reason)` is the PUBACK; it may never come."""
        if self._held is not None or self._of(connection) is not None:
            self._later(HOP_S, lambda: self._received(connection, packet, on_ack))

    def disconnect(self, connection: Connection, *, clean: bool) -> None:
        """`clean`: a DISCONNECT, which forgets the will."""
        connection.will = None if clean else connection.will
        connection.on_end = _nobody
        self._do(lambda: self._disconnect(connection))

    def _disconnect(self, connection: Connection) -> None:
        session = self._of(connection)
        if session is not None:
            self._cut(session)

    # --- faults

    def cut(self, client_id: str) -> bool:
        """The connection breaks; both ends notice, and the will is published. False when there is none."""
        session = self._sessions.get(client_id)
        if session is None or session.connection is None:
            return False
        self._cut(session)
        return True

    def crash(self) -> None:
        """Everything it has not handed over is gone, however well it was acknowledged; so are sessions and retained messages."""
        self.up = False
        self._held = None
        sessions, self._sessions = self._sessions, {}
        self._retained.clear()
        unanswered, self._unanswered = self._unanswered, []
        for connection in unanswered:
            connection.alive = False
            self._later(HOP_S, connection.on_end)
        for session in sessions.values():
            open_, session.connection = session.connection, None
            if open_ is not None:
                open_.alive = False
                self._later(HOP_S, open_.on_end)

    def restart(self) -> None:
        self.up = True

    def stop(self) -> None:
        """The process stands still (SIGSTOP): what clients send lies in its sockets, and connecting gets no CONNACK."""
        self._held = [] if self._held is None else self._held

    def go_on(self) -> None:
        """It reads what has come, in its order."""
        held, self._held = self._held or [], None
        for action in held:
            action()

    def _do(self, action: Callable[[], None]) -> None:
        if self._held is None:
            action()
        else:
            self._held.append(action)

    # --- inside

    def _of(self, connection: Connection) -> Session | None:
        session = self._sessions.get(connection.client_id)
        return session if session is not None and session.connection is connection else None

    def _cut(self, session: Session) -> None:
        connection, session.connection = session.connection, None
        if connection is None:
            return
        connection.alive = False
        self._later(HOP_S, connection.on_end)
        if connection.will is not None:
            self._route(connection.will)

    def _received(self, connection: Connection, packet: Packet, on_ack: Callable[[int], None]) -> None:
        if self._held is not None:
            self._held.append(lambda: self._received(connection, packet, on_ack))
            return
        if self._of(connection) is None:
            return
        if self._take("refuse", packet.topic):
            self._acknowledge(connection, on_ack, QUOTA_EXCEEDED)
            return
        reason = 0 if self._take("lose", packet.topic) else self._route(packet)
        if not self._take("muteAck", packet.topic):
            self._acknowledge(connection, on_ack, reason)

    def _acknowledge(self, connection: Connection, on_ack: Callable[[int], None], reason: int) -> None:
        self._later(HOP_S, lambda: on_ack(reason) if connection.alive else None)

    def _route(self, packet: Packet) -> int:
        """The reason of its PUBACK."""
        if packet.retain:
            self._retained[packet.topic] = packet
        wanted = [session for session in self._sessions.values() if _wanted(session, packet.topic)]
        twice = bool(wanted) and self._take("duplicate", packet.topic)
        for session in wanted:
            if self._take("reorder", packet.topic) and session.held_back is None:
                session.held_back = packet
                self._later(HELD_BACK_S, lambda session=session: self._let_go(session))  # type: ignore[misc]
                continue
            for _ in range(2 if twice else 1):
                self._deliver(session, packet)
            self._let_go(session)
        return 0 if wanted else NO_SUBSCRIBER

    def _let_go(self, session: Session) -> None:
        packet, session.held_back = session.held_back, None
        if packet is not None:
            self._deliver(session, packet)

    def _deliver(self, session: Session, packet: Packet) -> None:
        connection = session.connection
        if connection is None:
            if session.persistent and len(session.waiting) < QUEUE_MOST:
                session.waiting.append(packet)
            return
        self._later(HOP_S, lambda: self._hand_over(session, connection, packet))

    def _hand_over(self, session: Session, connection: Connection, packet: Packet) -> None:
        if connection.alive:
            connection.on_packet(packet)
        elif session.persistent and self._sessions.get(connection.client_id) is session:
            session.waiting.append(packet)

    def _take(self, kind: str, topic: str) -> bool:
        fault = next((one for one in self.faults if one.kind == kind and topic.endswith(one.leaf)), None)
        if fault is None:
            return False
        fault.count -= 1
        if fault.count <= 0:
            self.faults.remove(fault)
        return True


def _wanted(session: Session, topic: str) -> bool:
    return any(_matches(one, topic) for one in session.filters)


@functools.lru_cache(maxsize=1024)
def _matches(filter_: str, topic: str) -> bool:
    """`+` is one level; `#` is not used here."""
    if filter_ == topic:
        return True
    if "+" not in filter_:
        return False
    asked, given = filter_.split("/"), topic.split("/")
    return len(asked) == len(given) and all(a in ("+", b) for a, b in zip(asked, given, strict=True))
