"""A door before a broker that lets so many connections a second in. `python -m scale.throttle --to PORT --per-s 200`.

Says `port N`. Until a line comes on its standard input nobody listens there (connecting is refused); from then on connections are
accepted at the rate, and whoever waits longer than the kernel's queue holds waits for nothing, as before a broker that is busy with
handshakes.
"""

from __future__ import annotations

import argparse
import contextlib
import select
import socket
import sys
import time

from simulators.fleet.__main__ import allow_files

QUEUE = 512
READ_BYTES = 65_536
TURN_S = 0.005


class Door:
    def __init__(self, upstream: int, per_s: float) -> None:
        self._upstream, self._per_s = upstream, per_s
        self._poll = select.epoll()
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._listener.setblocking(False)
        self._peers: dict[int, tuple[socket.socket, socket.socket]] = {}
        self._rests: dict[int, bytes] = {}
        self._opened_at, self._accepted = 0.0, 0

    def open(self) -> None:
        self._listener.listen(QUEUE)
        self._opened_at = time.monotonic()

    def turn(self) -> None:
        for file, flags in self._poll.poll(TURN_S):
            if file in self._peers:
                self._move(file, flags)
        if self._opened_at:
            self._accept()

    def _accept(self) -> None:
        """The rate holds over every moment: what was not used is not saved up, but for a tenth of a second."""
        allowed = (time.monotonic() - self._opened_at) * self._per_s
        self._accepted = max(self._accepted, int(allowed - self._per_s / 10))
        while self._accepted < allowed:
            try:
                near, _ = self._listener.accept()
            except BlockingIOError:
                return
            self._accepted += 1
            far = socket.create_connection(("127.0.0.1", self._upstream))
            for one, other in ((near, far), (far, near)):
                one.setblocking(False)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._peers[one.fileno()] = one, other
                self._poll.register(one, select.EPOLLIN)

    def _move(self, file: int, flags: int) -> None:
        one, other = self._peers[file]
        if flags & select.EPOLLOUT:
            self._send(one, b"")
        if flags & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            try:
                data = one.recv(READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if data:
                self._send(other, data)
            else:
                self._hang_up(one, other)

    def _send(self, to: socket.socket, data: bytes) -> None:
        file = to.fileno()
        if file not in self._peers:
            return
        data = self._rests.pop(file, b"") + data
        sent = 0
        with contextlib.suppress(BlockingIOError, OSError):
            sent = to.send(data)
        if data[sent:]:
            self._rests[file] = data[sent:]
        self._poll.modify(to, select.EPOLLIN | (select.EPOLLOUT if data[sent:] else 0))

    def _hang_up(self, *both: socket.socket) -> None:
        for one in both:
            self._rests.pop(one.fileno(), None)
            if self._peers.pop(one.fileno(), None) is not None:
                one.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scale.throttle")
    parser.add_argument("--to", type=int, required=True)
    parser.add_argument("--per-s", type=float, required=True)
    parser.add_argument("--files", type=int, default=1024)
    arguments = parser.parse_args()
    allow_files(arguments.files)
    door = Door(arguments.to, arguments.per_s)
    print(f"port {door.port}", flush=True)
    sys.stdin.readline()
    door.open()
    while not select.select([sys.stdin], [], [], 0)[0]:
        door.turn()
    return 0


if __name__ == "__main__":
    sys.exit(main())
