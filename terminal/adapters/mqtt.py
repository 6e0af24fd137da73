"""MQTT 5 (OASIS, 2019) through paho: one `MqttSession` is one connection, from CONNECT to its end. The only file naming paho.

paho's own thread and its reconnecting are not used: a callback that raises kills that thread while `is_connected()` says True,
its backoff has no jitter, and its queues resend what we account for ourselves. Here the caller's thread drives the socket, the
callbacks only enqueue, and every attempt is a fresh client, so that no message of the last connection lives on.

TCP_NODELAY is set on the socket: Nagle with delayed ACK costs 92 ms a round trip, without it 0.5 ms. The monitor's sibling is
`kiosk_ui/monitor/mqtt.py`: why there are two, docs/decisions/0034.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
import struct
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

QOS = 1
RECEIVE_MAXIMUM = 64
MAX_PACKET_BYTES = 256 * 1024
NOBODY_THERE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN)
# what paho's decoder lets out for bytes that are not MQTT
_DECODER_ERRORS = (ValueError, LookupError, TypeError, AttributeError, AssertionError, RuntimeError, OSError, struct.error)


class MqttUnreachable(Exception):
    """No connection: name, TCP or TLS; the sentence says which."""


class MqttAbsent(MqttUnreachable):
    """Nobody took the connection, so nobody has seen the certificate either."""


@dataclass(frozen=True, slots=True)
class MqttOptions:
    """`tls` None for plain TCP. `will`: topic and payload, retained, published by the broker when the connection breaks."""

    host: str
    port: int
    client_id: str
    tls: ssl.SSLContext | None
    username: str | None
    password: str | None
    keepalive_s: int
    connect_timeout_s: float
    window: int
    clean_start: bool
    will_topic: str
    will_payload: bytes

    def __repr__(self) -> str:
        return f"MqttOptions({self.host}:{self.port}, {self.client_id})"


@dataclass(frozen=True, slots=True)
class Connected:
    """CONNACK with success. `window`: how many unacknowledged messages both sides allow."""

    window: int


@dataclass(frozen=True, slots=True)
class Refused:
    """CONNACK with an error."""

    reason: int
    text: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    """SUBACK; `refused` when any of the topics was."""

    refused: bool


@dataclass(frozen=True, slots=True)
class Acked:
    """PUBACK."""

    message_id: int
    reason: int
    text: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message; `correlation` is empty when it carries none."""

    topic: str
    payload: bytes
    correlation: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The connection is over. `reason` is the DISCONNECT's code, 0 when the wire just broke."""

    reason: int
    text: str


Happening = Connected | Refused | Subscribed | Acked | Arrived | Ended


class Wakeable(Protocol):
    """Something with a descriptor that becomes readable when the loop is to wake up."""

    def fileno(self) -> int: ...


class MqttSession:
    """`connect()` may run in another thread; everything after it in one thread."""

    def __init__(self, options: MqttOptions) -> None:
        self._options = options
        self._happened: deque[Happening] = deque()
        self._over = False
        client = Client(CallbackAPIVersion.VERSION2, options.client_id, protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False)
        client.connect_timeout = options.connect_timeout_s
        client.max_inflight_messages_set(0)  # no limit there: the window is kept by the caller, who knows the broker's
        client.username_pw_set(options.username, options.password)
        if options.tls is not None:
            client.tls_set_context(options.tls)
        client.will_set(options.will_topic, options.will_payload, qos=QOS, retain=True)
        client.on_socket_open = self._on_socket_open
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        self._client = client

    def connect(self) -> None:
        """Blocks for name, TCP and TLS (each at most connect_timeout_s), sends CONNECT; the CONNACK comes out of `pump`."""
        properties = _properties(PacketTypes.CONNECT)
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        options = self._options
        where = f"{options.host}:{options.port}"
        try:
            self._client.connect(options.host, options.port, options.keepalive_s, clean_start=options.clean_start, properties=properties)
        except ssl.SSLError as error:
            raise MqttUnreachable(f"{where}: TLS: {error.reason or error}") from error
        except TimeoutError as error:
            raise MqttAbsent(f"{where}: no answer") from error
        except (OSError, ValueError) as error:
            absent = isinstance(error, socket.gaierror) or getattr(error, "errno", None) in NOBODY_THERE
            kind = MqttAbsent if absent else MqttUnreachable
            raise kind(f"{where}: {getattr(error, 'strerror', None) or error}") from error

    def subscribe(self, topics: list[str]) -> None:
        self._client.subscribe([(topic, SubscribeOptions(qos=QOS)) for topic in topics])

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
        """QoS 1; the message id that its `Acked` will carry. What cannot be sent any more ends in `Ended`, without `Acked`."""
        properties = _properties(PacketTypes.PUBLISH)
        if expiry_s is not None:
            properties.MessageExpiryInterval = max(1, expiry_s)
        if response_topic is not None:
            properties.ResponseTopic = response_topic
        if correlation is not None:
            properties.CorrelationData = correlation
        if key is not None:
            properties.UserProperty = ("key", key)
        return int(self._client.publish(topic, payload, QOS, retain, properties).mid)

    def pump(self, timeout_s: float, wake: Wakeable) -> list[Happening]:
        """Move bytes until something happened, `wake` is readable, or the time is up."""
        sock: Any = self._client.socket()
        if sock is not None and not self._happened:
            if isinstance(sock, ssl.SSLSocket) and sock.pending():
                timeout_s = 0.0
            poll = select.poll()
            poll.register(wake, select.POLLIN)
            poll.register(sock, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
            ready = dict(poll.poll(max(0.0, timeout_s) * 1000))
            flags = ready.get(sock.fileno(), 0)
            self._drive(reading=bool(flags & ~select.POLLOUT) or timeout_s == 0.0, writing=bool(flags & select.POLLOUT))
        elif sock is None and not self._happened and not self._over:
            self._end(0, "the connection broke")
        happened = list(self._happened)
        self._happened.clear()
        return happened

    def _drive(self, reading: bool, writing: bool) -> None:
        try:
            if writing:
                self._client.loop_write()
            if reading:
                self._client.loop_read()
            self._client.loop_misc()
        except _DECODER_ERRORS as error:
            self._end(0, f"the broker sent what cannot be read ({type(error).__name__})")
            self.abandon()

    def disconnect(self, timeout_s: float, wake: Wakeable) -> None:
        """DISCONNECT (the will is not published), and give its bytes a moment to leave."""
        self._client.disconnect()
        self.pump(timeout_s, wake)
        self.abandon()

    def abandon(self) -> None:
        """Close the socket without a word: the broker publishes the will."""
        self._over = True
        sock: Any = self._client.socket()
        if sock is not None:
            sock.close()

    # paho's callbacks: enqueue, and nothing else

    def _end(self, reason: int, text: str) -> None:
        if not self._over:
            self._over = True
            self._happened.append(Ended(reason, text))

    def _on_socket_open(self, client: Client, userdata: object, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_connect(self, client: Client, userdata: object, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None) -> None:
        if reason.value >= 0x80:
            self._happened.append(Refused(reason.value, str(reason)))
            return
        theirs = getattr(properties, "ReceiveMaximum", 65_535)  # MQTT 5, 3.2.2.3.3: absent means 65,535
        self._happened.append(Connected(max(1, min(self._options.window, int(theirs)))))

    def _on_disconnect(
        self, client: Client, userdata: object, flags: DisconnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        from_broker = flags.is_disconnect_packet_from_server
        self._end(reason.value if from_broker else 0, str(reason) if from_broker else "the connection broke")

    def _on_subscribe(
        self, client: Client, userdata: object, message_id: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        self._happened.append(Subscribed(any(reason.value >= 0x80 for reason in reasons)))

    def _on_publish(self, client: Client, userdata: object, message_id: int, reason: ReasonCode, properties: Properties | None) -> None:
        self._happened.append(Acked(message_id, reason.value, str(reason)))

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        correlation = getattr(message.properties, "CorrelationData", b"")
        # paho decodes the topic lazily and strictly; a broker that forwards broken UTF-8 must not end this thread
        self._happened.append(Arrived(message._topic.decode(errors="replace"), bytes(message.payload), bytes(correlation)))


def _properties(packet_type: int) -> Properties:
    return Properties(packet_type)  # type: ignore[no-untyped-call]  # paho types its methods, but not this one
