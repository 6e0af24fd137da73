"""Thousands of MQTT connections in one thread: epoll, non-blocking sockets, one heap of moments.

What a terminal says and when it tries again is a `Talker`'s business; here are only its socket, its window and its time.
"""

from __future__ import annotations

import errno
import heapq
import select
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from simulators.fleet import packets

KEEPALIVE_S = 60
CONNECT_TIMEOUT_S = 5.0
WINDOW = 20
READ_BYTES = 65_536
LONGEST_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Publication:
    """`token` comes back with the PUBACK."""

    topic: str
    payload: bytes
    retain: bool = False
    expiry_s: int | None = None
    key: str | None = None
    token: Any = None


class Talker(Protocol):
    """A terminal without its wire. `now` is monotonic seconds."""

    client_id: str
    base: str

    def will(self) -> bytes: ...

    def connected(self, now: float) -> None:
        """CONNACK and SUBACK have come."""
        ...

    def lost(self, now: float, reason: int, held: bool) -> float:
        """No connection (any more); `held`: there was one. When to try again."""
        ...

    def arrived(self, leaf: str, payload: bytes, now: float) -> None: ...

    def acked(self, token: Any, reason: int, now: float) -> None: ...

    def work(self, now: float, places: int) -> Sequence[Publication]:
        """At most `places` messages to publish now. Called also without a connection, with 0 places, for what time brings."""
        ...

    def next_at(self, now: float) -> float: ...


@dataclass(slots=True)
class _Line:
    """`phase`: idle, connecting, handshake or up. `deadline`: of the next attempt, or of the present one."""

    talker: Talker
    deadline: float
    phase: str = "idle"
    sock: socket.socket | None = None
    decoder: packets.Decoder = field(default_factory=packets.Decoder)
    unsent: bytes = b""
    flying: dict[int, Any] = field(default_factory=dict)
    mid: int = 0
    ping_at: float = 0.0
    due: float = -1.0


class Loop:
    """`address` may be changed: it holds for attempts from then on."""

    def __init__(self, address: tuple[str, int], talkers: Sequence[Talker], first_at: Callable[[Talker], float]) -> None:
        self.address = address
        self._poll = select.epoll()
        self._lines = [_Line(one, first_at(one)) for one in talkers]
        self._by_file: dict[int, _Line] = {}
        self._heap: list[tuple[float, int]] = []
        self.up = 0
        for number in range(len(self._lines)):
            self._plan(number, time.monotonic())
        self._numbers = {id(line): number for number, line in enumerate(self._lines)}

    def run(self, until: Callable[[], bool]) -> None:
        while not until():
            self.turn()

    def turn(self) -> None:
        now = time.monotonic()
        wait = min(LONGEST_WAIT_S, max(0.0, self._heap[0][0] - now)) if self._heap else LONGEST_WAIT_S
        for file, flags in self._poll.poll(wait):
            line = self._by_file.get(file)
            if line is not None:
                self._event(line, flags)
        now = time.monotonic()
        while self._heap and self._heap[0][0] <= now:
            due, number = heapq.heappop(self._heap)
            line = self._lines[number]
            if line.due == due:
                line.due = -1.0
                self._time(line, now)
                self._plan(number, now)

    def nudge(self) -> None:
        """Something was given to the talkers from outside."""
        now = time.monotonic()
        for number, line in enumerate(self._lines):
            self._time(line, now)
            self._plan(number, now)

    def close(self) -> None:
        """All hang up without a word: the broker publishes their wills."""
        for line in self._lines:
            self._drop(line)
        self._poll.close()

    def _plan(self, number: int, now: float) -> None:
        line = self._lines[number]
        moments = [line.talker.next_at(now)]
        if line.phase != "up":
            moments.append(line.deadline)
        else:
            moments.append(line.ping_at)
            if len(line.flying) >= WINDOW:
                moments.pop(0)
        due = max(min(moments), now + 0.001)
        if due != line.due:
            line.due = due
            heapq.heappush(self._heap, (due, number))

    def _time(self, line: _Line, now: float) -> None:
        if line.phase == "idle" and now >= line.deadline:
            self._connect(line, now)
        elif line.phase in ("connecting", "handshake") and now >= line.deadline:
            self._end(line, 0, now)
        if line.phase == "up" and now >= line.ping_at:
            line.ping_at = now + KEEPALIVE_S / 2
            self._send(line, packets.PINGREQ)
        self._work(line, now)

    def _work(self, line: _Line, now: float) -> None:
        places = WINDOW - len(line.flying) if line.phase == "up" else 0
        out = b""
        for one in line.talker.work(now, places):
            line.mid = line.mid % 65_535 + 1
            line.flying[line.mid] = one.token
            out += packets.publish(line.mid, one.topic, one.payload, retain=one.retain, expiry_s=one.expiry_s, key=one.key)
        if out:
            self._send(line, out)

    # --- the wire

    def _connect(self, line: _Line, now: float) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.phase, line.deadline, line.sock = "connecting", now + CONNECT_TIMEOUT_S, sock
        line.decoder, line.unsent = packets.Decoder(), b""
        error = sock.connect_ex(self.address)
        if error not in (0, errno.EINPROGRESS):
            self._end(line, 0, now)
            return
        self._by_file[sock.fileno()] = line
        self._poll.register(sock, select.EPOLLIN | select.EPOLLOUT)

    def _event(self, line: _Line, flags: int) -> None:
        now, sock = time.monotonic(), line.sock
        assert sock is not None
        if line.phase == "connecting" and flags & (select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP):
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._end(line, 0, now)
            else:
                line.phase = "handshake"
                talker = line.talker
                self._send(line, packets.connect(talker.client_id, KEEPALIVE_S, f"{talker.base}/state", talker.will()))
        elif flags & select.EPOLLOUT and line.unsent:
            rest, line.unsent = line.unsent, b""
            self._send(line, rest)
        if flags & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and line.sock is sock:
            self._read(line, now)
        self._plan(self._numbers[id(line)], now)

    def _send(self, line: _Line, data: bytes) -> None:
        if line.sock is None:
            return
        if line.unsent:
            line.unsent += data
            return
        try:
            sent = line.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the reading side sees the end
        line.unsent = data[sent:]
        self._poll.modify(line.sock, select.EPOLLIN | (select.EPOLLOUT if line.unsent else 0))

    def _read(self, line: _Line, now: float) -> None:
        assert line.sock is not None
        try:
            data = line.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(line, 0, now)
            return
        try:
            for packet in line.decoder.feed(data):
                self._packet(line, packet, now)
                if line.sock is None:
                    return
        except packets.BadPacket:
            self._end(line, 0, now)
            return
        if line.phase == "up":
            self._work(line, now)

    def _packet(self, line: _Line, packet: packets.Packet, now: float) -> None:
        talker = line.talker
        if packet.kind == packets.PUBACK and packet.mid in line.flying:
            talker.acked(line.flying.pop(packet.mid), packet.reason, now)
        elif packet.kind == packets.PUBLISH:
            if packet.mid:
                self._send(line, packets.puback(packet.mid))
            talker.arrived(packet.topic.removeprefix(f"{talker.base}/"), packet.payload, now)
        elif packet.kind == packets.CONNACK and packet.reason < 0x80:
            self._send(line, packets.subscribe(1, [f"{talker.base}/{leaf}" for leaf in ("ack", "auth/resp", "cmd", "desired")]))
        elif packet.kind == packets.SUBACK and packet.reason < 0x80:
            line.phase, line.mid, line.ping_at = "up", 1, now + KEEPALIVE_S / 2
            self.up += 1
            talker.connected(now)
        elif packet.kind in (packets.CONNACK, packets.SUBACK, packets.DISCONNECT):
            self._end(line, packet.reason, now)

    def _end(self, line: _Line, reason: int, now: float) -> None:
        held = line.phase == "up"
        self._drop(line)
        line.deadline = line.talker.lost(now, reason, held)

    def _drop(self, line: _Line) -> None:
        self.up -= line.phase == "up"
        if line.sock is not None:
            self._by_file.pop(line.sock.fileno(), None)
            line.sock.close()
        line.phase, line.sock, line.unsent = "idle", None, b""
        line.flying.clear()
