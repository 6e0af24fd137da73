"""The bank link against a broker written here from the MQTT 5 text, byte by byte, that does what a good broker never does:
a small Receive Maximum, refusals, silence, garbage, no PUBACK. It shares no code with the terminal or with paho.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import link_rig
import pytest
from link_rig import PATIENCE_S

from terminal.adapters.journal import Entry
from terminal.adapters.link_events import BadMessage, LinkDown, LinkUp, RequestFailed
from terminal.adapters.outbox import Outgoing
from terminal.adapters.shipper import ShippingPolicy

pytestmark = [pytest.mark.wire, pytest.mark.placeholders]
CONNECT, PUBLISH, SUBSCRIBE, DISCONNECT = 1, 3, 8, 14


class PeerBroker:
    """One connection at a time, driven step by step by the test."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(PATIENCE_S)
        self.url = f"mqtt://127.0.0.1:{self.server.getsockname()[1]}"
        self.wire: socket.socket | None = None

    def accept(self) -> dict[str, object]:
        """Take the next connection and read its CONNECT (3.1)."""
        self.hang_up()
        self.wire, _ = self.server.accept()
        self.wire.settimeout(PATIENCE_S)
        kind, _, body = self.read()
        assert kind == CONNECT
        assert body[:7] == b"\x00\x04MQTT\x05"
        length = body[10]  # property length; below 128 here
        properties = body[11 : 11 + length]
        rest = body[11 + length :]
        (size,) = struct.unpack(">H", rest[:2])
        return {"flags": body[7], "client": rest[2 : 2 + size].decode(), "properties": properties}

    def read(self) -> tuple[int, int, bytes]:
        """Type, flags, body of one packet."""
        first = self._exactly(1)[0]
        length, shift = 0, 0
        while True:
            byte = self._exactly(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return first >> 4, first & 15, self._exactly(length)

    def _exactly(self, number: int) -> bytes:
        assert self.wire is not None
        data = b""
        while len(data) < number:
            part = self.wire.recv(number - len(data))
            if not part:
                raise ConnectionError("hung up")
            data += part
        return data

    def send(self, data: bytes) -> None:
        assert self.wire is not None
        self.wire.sendall(data)

    def connack(self, reason: int = 0, properties: bytes = b"") -> None:
        self.send(bytes([0x20, 3 + len(properties), 0, reason, len(properties)]) + properties)

    def welcome(self, receive_maximum: int | None = None) -> None:
        """CONNACK, SUBACK, and PUBACK for the `online` state."""
        self.accept()
        self.connack(0, b"" if receive_maximum is None else b"\x21" + struct.pack(">H", receive_maximum))
        kind, _, body = self.read()
        assert kind == SUBSCRIBE
        self.send(b"\x90\x05" + body[:2] + b"\x00\x01\x01")
        topic, number, _ = self.publication()
        assert topic.endswith("/state")
        self.puback(number)

    def publication(self) -> tuple[str, int, bytes]:
        """Topic, packet identifier, payload with properties before it."""
        kind, flags, body = self.read()
        assert kind == PUBLISH
        assert flags & 0b0110 == 0b0010, "QoS 1"
        (size,) = struct.unpack(">H", body[:2])
        (number,) = struct.unpack(">H", body[2 + size : 4 + size])
        return body[2 : 2 + size].decode(), number, body[4 + size :]

    def puback(self, number: int, reason: int = 0) -> None:
        self.send(b"\x40\x03" + struct.pack(">H", number) + bytes([reason]))

    def silent_for(self, seconds: float) -> bool:
        """Nothing comes in that time (an observation of silence has to take time)."""
        assert self.wire is not None
        return not select.select([self.wire], [], [], seconds)[0]

    def hang_up(self) -> None:
        if self.wire is not None:
            self.wire.close()
            self.wire = None


class Terminal(link_rig.Terminal):
    """One that does not resend while a test looks."""

    def __init__(self, folder: Path, url: str, **config: float) -> None:
        super().__init__(folder, url, shipping=ShippingPolicy(resend_s=60, drain_per_s=1000), **config)

    def puts(self, number: int) -> None:
        self.store.append([Entry("e", None, {})] * number, [Outgoing("txn", "txn", "A", {})] * number)
        self.link.notify()


@pytest.fixture
def peer() -> Iterator[PeerBroker]:
    peer = PeerBroker()
    yield peer
    peer.hang_up()
    peer.server.close()


@pytest.fixture
def terminal(tmp_path: Path, peer: PeerBroker) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path, peer.url)
    yield terminal
    terminal.link.close(0.0)
    peer.hang_up()
    terminal.link.close()
    terminal.store.close()


def test_the_first_packet_is_as_agreed(peer: PeerBroker, terminal: Terminal) -> None:
    found = peer.accept()
    assert found["client"] == "T0001"
    assert int(str(found["flags"])) == 0b0010_1110, "will retained, will QoS 1, will, clean start; no user name, no password"
    assert b"\x21" in bytes(found["properties"]), "our own Receive Maximum"  # type: ignore[call-overload]


@pytest.mark.parametrize("receive_maximum", [1, 3])
def test_the_receive_maximum_of_the_broker_is_never_exceeded(peer: PeerBroker, terminal: Terminal, receive_maximum: int) -> None:
    peer.welcome(receive_maximum)
    terminal.event(LinkUp)
    terminal.puts(12)
    outstanding: list[int] = []
    got = 0
    while got < 12:
        topic, number, _ = peer.publication()
        assert topic.endswith("/txn")
        got += 1
        outstanding.append(number)
        assert len(outstanding) <= receive_maximum
        if got == max(1, receive_maximum - 1):
            assert peer.silent_for(0.2), "the window is full (a place is kept for a request)"
            if receive_maximum > 1:
                terminal.link.request("ATMWithdrawalRequest", {}, 60.0)
                topic, number, _ = peer.publication()
                assert topic.endswith("/auth"), "the live path does not wait behind the outbox"
                outstanding.append(number)
                assert len(outstanding) <= receive_maximum
                assert peer.silent_for(0.2)
        if len(outstanding) >= max(1, receive_maximum - 1):
            for number in outstanding:
                peer.puback(number)
            outstanding.clear()


def test_a_refused_connection_is_tried_again_and_the_reason_told_once(peer: PeerBroker, terminal: Terminal) -> None:
    for _ in range(3):
        peer.accept()
        peer.connack(0x87)
    peer.welcome()
    assert "Not authorized" in terminal.event(LinkDown).reason
    assert isinstance(terminal.inbox.get(timeout=PATIENCE_S), LinkUp)


@pytest.mark.parametrize("reason", [0x97, 0x9F])
def test_a_crowded_broker_is_left_alone_for_the_longest_time(tmp_path: Path, peer: PeerBroker, reason: int) -> None:
    terminal = Terminal(tmp_path, peer.url, max_backoff_s=2.0)
    peer.accept()
    peer.connack(reason)
    told = time.monotonic()
    terminal.event(LinkDown)
    peer.hang_up()
    peer.accept()
    assert time.monotonic() - told >= 1.0, "never sooner than half of max_backoff_s; later on a busy machine"
    terminal.link.close(0.0)
    peer.hang_up()
    assert terminal.link.close()
    terminal.store.close()


def test_a_broker_that_says_nothing_is_given_up(tmp_path: Path, peer: PeerBroker) -> None:
    terminal = Terminal(tmp_path, peer.url, connect_timeout_s=0.3)
    peer.accept()
    assert "says nothing" in terminal.event(LinkDown).reason
    peer.welcome()
    terminal.event(LinkUp)
    terminal.link.close(0.0)
    peer.hang_up()
    assert terminal.link.close()
    terminal.store.close()


def test_a_broker_that_acknowledges_nothing_is_given_up_and_the_row_comes_again(tmp_path: Path, peer: PeerBroker) -> None:
    terminal = Terminal(tmp_path, peer.url, puback_timeout_s=0.3)
    peer.welcome()
    terminal.puts(1)
    first = peer.publication()
    assert "acknowledges nothing" in terminal.event(LinkDown).reason
    peer.welcome()
    again = peer.publication()
    assert first[0] == again[0]
    assert first[2] == again[2], "same key, same bytes"
    terminal.link.close(0.0)
    peer.hang_up()
    assert terminal.link.close()
    terminal.store.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff\xff\xff\xff",
        b"\x00\x00",
        b"\x32\x01\x00",
        b"\x40\x01\x00",
        b"\x20\x00",
        b"\x90\x00",
        b"\x32\x05\x00\x09abc",
        b"\xe0\x02\x8b",
    ],
)
def test_garbage_ends_the_connection_not_the_link(peer: PeerBroker, terminal: Terminal, garbage: bytes) -> None:
    peer.welcome()
    terminal.event(LinkUp)
    peer.send(garbage)
    peer.hang_up()
    assert not terminal.event(LinkDown).final
    peer.welcome()
    terminal.event(LinkUp)


@pytest.mark.parametrize("topic", [b"\xff\xfe", b"elsewhere", b""])
def test_a_message_on_a_strange_topic_is_reported(peer: PeerBroker, terminal: Terminal, topic: bytes) -> None:
    peer.welcome()
    terminal.event(LinkUp)
    body = struct.pack(">H", len(topic)) + topic + b"\x00\x07" + b"\x00" + b"{}"
    peer.send(bytes([0x32, len(body)]) + body)
    got = terminal.inbox.get(timeout=PATIENCE_S)
    assert isinstance(got, (BadMessage, LinkDown)), got


def test_what_the_broker_refuses_to_take_stays_and_is_told(peer: PeerBroker, terminal: Terminal) -> None:
    peer.welcome()
    terminal.event(LinkUp)
    terminal.puts(1)
    peer.puback(peer.publication()[1], 0x87)
    refused = terminal.event(BadMessage)
    assert refused.topic.endswith("/txn")
    assert "Not authorized" in refused.why
    assert terminal.store.outbox_levels()["txn"].rows == 1
    request_id = terminal.link.request("ATMWithdrawalRequest", {}, 3600.0)
    peer.puback(peer.publication()[1], 0x99)
    assert terminal.event(RequestFailed) == RequestFailed(request_id, "offline")


def test_a_request_on_a_breaking_link_is_not_sent_twice_and_times_out(peer: PeerBroker, terminal: Terminal) -> None:
    peer.welcome()
    terminal.event(LinkUp)
    request_id = terminal.link.request("ATMWithdrawalRequest", {}, 1.0)
    assert peer.publication()[0].endswith("/auth")
    peer.hang_up()
    terminal.event(LinkDown)
    peer.welcome()
    assert terminal.event(RequestFailed) == RequestFailed(request_id, "timeout"), "it may have reached the bank"
    assert peer.silent_for(0.2), "and it is not sent again"


def test_closing_while_nothing_answers_is_quick(tmp_path: Path, peer: PeerBroker) -> None:
    terminal = Terminal(tmp_path, peer.url, connect_timeout_s=30.0)
    peer.accept()
    assert terminal.link.close()
    terminal.store.close()
