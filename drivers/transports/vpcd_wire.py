"""The reader's side of the vpcd wire, for machines without pcscd: the card is a TCP client of ours.

Frame: two bytes of length, big-endian, then the bytes. One byte is a control (00 power off, 01 power on, 02 reset, 04 asks for the
answer to reset); longer is an APDU. Connected means inserted, closed means pulled. Unlike PC/SC this transport keeps its deadlines.
"""

from __future__ import annotations

import contextlib
import select
import socket

from drivers.errors import ConfigurationFault, LinkError, LinkTimeout
from drivers.protocols.apdu import Exchange, is_t0
from drivers.transports.base import CardPresence, Clock, Deadline

POLL_S = 0.1
POWER_OFF, POWER_ON, ASK_ATR = b"\x00", b"\x01", b"\x04"
ATR_WITHIN_S = 2.0
MAX_ATR = 33


class _Wire:
    """One connected card."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def gone(self) -> bool:
        """Whether the card was pulled: end of stream with nothing left to read."""
        try:
            return self._socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def send(self, frame: bytes) -> None:
        data = len(frame).to_bytes(2, "big") + frame
        try:
            sent = self._socket.send(data)
        except OSError as error:
            raise LinkError(f"the card is gone: {error.strerror}") from error
        if sent != len(data):  # an APDU is far smaller than a socket's buffer: full means that nobody reads
            raise LinkError("the card does not take the command")

    def receive(self, deadline: Deadline) -> bytes:
        size = int.from_bytes(self._exactly(2, deadline), "big")
        return self._exactly(size, deadline)

    def _exactly(self, count: int, deadline: Deadline) -> bytes:
        data = b""
        while len(data) < count:
            self._quick()
            if not select.select([self._socket], [], [], deadline.remaining())[0]:
                raise LinkTimeout("the card did not answer in time")
            try:
                part = self._socket.recv(count - len(data))
            except OSError as error:
                raise LinkError(f"the card is gone: {error.strerror}") from error
            if not part:
                raise LinkError("the card was pulled in the middle of a command")
            data += part
        return data

    def _quick(self) -> None:
        """Without it every answer waits 40 ms for a delayed acknowledgement."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def close(self) -> None:
        self._socket.close()


class VpcdChannel:
    """A powered card of one insertion. After an answer that did not come, the wire is out of step and stays closed."""

    def __init__(self, wire: _Wire, atr: bytes, generation: int) -> None:
        self._wire: _Wire | None = wire
        self._t0 = is_t0(atr)
        self.generation = generation

    def transmit(self, apdu: bytes, deadline: Deadline) -> bytes:
        exchange = Exchange(apdu, t0=self._t0)
        while exchange.outgoing is not None:
            if self._wire is None:
                raise LinkError("the card's channel is closed")
            if deadline.expired:
                raise LinkTimeout("the time for the card ran out")
            try:
                self._wire.send(exchange.outgoing)
                answer = self._wire.receive(deadline)
            except LinkError:
                # a late answer must not answer the next command: this insertion is over
                self._wire.close()
                self._wire = None
                raise
            exchange.incoming(answer)
        return exchange.answer

    def close(self) -> None:
        if self._wire is not None:
            with contextlib.suppress(LinkError):
                self._wire.send(POWER_OFF)
            self._wire = None


class VpcdReader:
    """Listens on `host`:`port` (0 takes a free one, see `port`). One card at a time; a second one waits until the first is pulled."""

    def __init__(self, host: str, port: int, clock: Clock) -> None:
        self._clock = clock
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind((host, port))
        except OSError as error:
            self._listener.close()
            raise ConfigurationFault(f"the card reader cannot listen on {host}:{port}: {error.strerror}") from error
        self._listener.listen(4)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._wire: _Wire | None = None
        self._presence = CardPresence(False, b"", 0)

    def wait_change(self, last: CardPresence | None, deadline: Deadline) -> CardPresence:
        while True:
            self._look()
            if self._presence != last or deadline.expired:
                return self._presence
            self._wait(deadline)

    def _wait(self, deadline: Deadline) -> None:
        """Until the listener or the wire has something, at most a moment. A pending answer would spin: then only time passes."""
        if self._wire is not None:
            self._clock.sleep(min(POLL_S, deadline.remaining()))
        else:
            select.select([self._listener], [], [], min(POLL_S, deadline.remaining()))

    def _look(self) -> None:
        if self._listener.fileno() < 0:
            raise LinkError("the card reader is closed")
        if self._wire is not None and self._wire.gone():
            self._wire.close()
            self._wire = None
            self._presence = CardPresence(False, b"", self._presence.generation)
        if self._wire is None:
            with contextlib.suppress(BlockingIOError):
                connection, _ = self._listener.accept()
                self._wire = _Wire(connection)
                self._presence = CardPresence(True, self._ask_atr(self._wire), self._presence.generation + 1)

    def _ask_atr(self, wire: _Wire) -> bytes:
        """Empty when the card is mute: present, and not to be used."""
        try:
            wire.send(ASK_ATR)
            return wire.receive(Deadline.after(self._clock, ATR_WITHIN_S))[:MAX_ATR]
        except LinkError:
            return b""

    def connect(self) -> VpcdChannel:
        self._look()
        if self._wire is None:
            raise LinkError("there is no card")
        if not self._presence.atr:
            raise LinkError("the card is mute")
        self._wire.send(POWER_ON)
        return VpcdChannel(self._wire, self._presence.atr, self._presence.generation)

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        self._listener.close()
