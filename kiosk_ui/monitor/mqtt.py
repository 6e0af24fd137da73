"""MQTT 5 (OASIS, 2019) through paho: one `Session` is one connection, from CONNECT to its end. The monitor's only file naming paho.

paho's own thread and its reconnecting are not used: a callback that raises would kill that thread while `is_connected()` says True,
and its backoff has no jitter. The caller's thread drives the socket, callbacks only enqueue, and every attempt is a fresh client.
PUBACK is sent by `acknowledge` alone (manual_ack), so a message is the broker's until its effect is on disk here.

TCP_NODELAY is set on the socket: Nagle with delayed ACK costs 92 ms a round trip, without it 0.5 ms. The terminal's sibling is
`terminal/adapters/mqtt.py`: why there are two, docs/decisions/0034.
"""

from __future__ import annotations

import random
import select
import socket
import ssl
import struct
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from kiosk_ui.monitor.config import BrokerSection

QOS = 1
CONNECT_TIMEOUT_S = 10.0
MAX_PACKET_BYTES = 1 << 20  # more than a message may have, so that an oversized one can be refused, and counted
READS_AT_ONCE = 512
NO_SUBSCRIBER = 0x10
CROWDED = (0x97, 0x9F)
# what paho's decoder lets out for bytes that are not MQTT
_DECODER_ERRORS = (ValueError, LookupError, TypeError, AttributeError, AssertionError, RuntimeError, OSError, struct.error)


class Unreachable(Exception):
    """No connection: certificate and password files (they may be replaced this moment), name, TCP or TLS; the sentence says which."""


@dataclass(frozen=True, slots=True)
class Connected:
    present: bool


@dataclass(frozen=True, slots=True)
class Subscribed:
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Published:
    """PUBACK of a message of ours."""

    mid: int
    reason: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """`mid` is for `acknowledge`; 0 on a message of QoS 0, which has no PUBACK."""

    topic: str
    payload: bytes = field(repr=False)
    retained: bool
    mid: int


@dataclass(frozen=True, slots=True)
class Ended:
    """CONNACK with an error, DISCONNECT (`reason` is its code), or a wire that broke (0)."""

    reason: int
    text: str


Happening = Connected | Subscribed | Published | Arrived | Ended


class Wakeable(Protocol):
    def fileno(self) -> int: ...


class Session:
    """Everything in one thread. Its making reads the files of the broker's section: Unreachable when they do not read."""

    def __init__(self, broker: BrokerSection, client_id: str, window: int, *, clean: bool = False, keep: bool = True) -> None:
        parts = urlsplit(broker.url)
        self._host, self._port = parts.hostname or "", parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        self._broker, self._window, self._clean, self._keep = broker, window, clean, keep
        self._happened: deque[Happening] = deque()
        self._over = False
        client = Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False, manual_ack=True
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(1000)
        if broker.username:
            client.username_pw_set(broker.username, _password(broker.password_file))
        if parts.scheme == "mqtts":
            client.tls_set_context(_tls(broker))
        client.on_socket_open = self._on_socket_open
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        self._client = client

    def connect(self) -> None:
        """Blocks for name, TCP and TLS, sends CONNECT; the CONNACK comes out of `pump`."""
        properties = _properties(PacketTypes.CONNECT)
        properties.ReceiveMaximum = self._window
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        properties.SessionExpiryInterval = self._broker.session_expiry_s if self._keep else 0
        where = f"{self._host}:{self._port}"
        try:
            self._client.connect(self._host, self._port, self._broker.keepalive_s, clean_start=self._clean, properties=properties)
        except ssl.SSLError as error:
            raise Unreachable(f"{where}: TLS: {error.reason or error}") from error
        except (OSError, ValueError) as error:
            raise Unreachable(f"{where}: {getattr(error, 'strerror', None) or error or 'no answer'}") from error

    def subscribe(self, topics: list[str], *, retained: bool = True) -> None:
        """`retained` False: nothing that is retained comes because of it (mosquitto 2.0.11 sends it to shared subscriptions, too)."""
        handling = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if retained else SubscribeOptions.RETAIN_DO_NOT_SEND
        self._client.subscribe([(topic, SubscribeOptions(qos=QOS, retainHandling=handling)) for topic in topics])

    def unsubscribe(self, topics: list[str]) -> None:
        self._client.unsubscribe(topics)

    def acknowledge(self, mid: int) -> None:
        """PUBACK."""
        if mid:
            self._client.ack(mid, QOS)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, expiry_s: int | None = None, key: str | None = None) -> int:
        """QoS 1; the id that its `Published` will carry. What cannot be sent any more ends in `Ended`, without `Published`."""
        properties = _properties(PacketTypes.PUBLISH)
        if expiry_s is not None:
            properties.MessageExpiryInterval = max(1, expiry_s)
        if key is not None:
            properties.UserProperty = ("key", key)
        return int(self._client.publish(topic, payload, QOS, retain, properties).mid)

    def pump(self, timeout_s: float, wake: Wakeable | None = None) -> list[Happening]:
        """Move bytes until something happened, `wake` is readable, or the time is up."""
        sock: Any = self._client.socket()
        if sock is not None and not self._happened:
            if isinstance(sock, ssl.SSLSocket) and sock.pending():
                timeout_s = 0.0
            poll = select.poll()
            if wake is not None:
                poll.register(wake, select.POLLIN)
            poll.register(sock, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
            flags = dict(poll.poll(max(0.0, timeout_s) * 1000)).get(sock.fileno(), 0)
            self._drive(reading=bool(flags & ~select.POLLOUT) or timeout_s == 0.0)
        elif sock is None and not self._over:
            self._end(0, "the connection broke")
        happened = list(self._happened)
        self._happened.clear()
        return happened

    def _drive(self, *, reading: bool) -> None:
        try:
            for _ in range(READS_AT_ONCE if reading else 0):
                before = len(self._happened)
                if self._client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS or len(self._happened) == before:
                    break
            if self._client.want_write():
                self._client.loop_write()
            self._client.loop_misc()
        except _DECODER_ERRORS as error:
            self._end(0, f"the broker sent what cannot be read ({type(error).__name__})")
            self.abandon()

    def disconnect(self) -> None:
        """DISCONNECT; its bytes get a moment to leave."""
        self._client.disconnect()
        self.pump(0.2)
        self.abandon()

    def abandon(self) -> None:
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
            self._end(reason.value, str(reason))
        else:
            self._happened.append(Connected(flags.session_present))

    def _on_disconnect(
        self, client: Client, userdata: object, flags: DisconnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        from_broker = flags.is_disconnect_packet_from_server
        self._end(reason.value if from_broker else 0, str(reason) if from_broker else "the connection broke")

    def _on_subscribe(self, client: Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: Properties | None) -> None:
        self._happened.append(Subscribed(tuple(str(reason) for reason in reasons if reason.value >= 0x80)))

    def _on_publish(self, client: Client, userdata: object, mid: int, reason: ReasonCode, properties: Properties | None) -> None:
        self._happened.append(Published(mid, reason.value))

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        # paho decodes the topic lazily and strictly; a broker that forwards broken UTF-8 must not end this loop
        self._happened.append(
            Arrived(message._topic.decode(errors="replace"), bytes(message.payload), message.retain, message.mid if message.qos else 0)
        )


class Backoff:
    """Full jitter: uniform between 0 and 0.5 s, 1 s, 2 s ... at most `most_s`; the upper half of it when the broker is crowded."""

    def __init__(self, most_s: float, chance: random.Random) -> None:
        self._most_s, self._chance, self._attempts = most_s, chance, 0

    def delay(self, *, crowded: bool = False) -> float:
        if crowded:
            return self._chance.uniform(self._most_s / 2, self._most_s)
        self._attempts = min(self._attempts + 1, 30)
        return self._chance.uniform(0.0, min(self._most_s, 0.25 * 2.0**self._attempts))

    def reset(self) -> None:
        self._attempts = 0


def _password(path: Path | None) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() if path else None
    except (OSError, UnicodeDecodeError) as error:
        raise Unreachable(f"broker.password_file does not read: {error}") from error


def _tls(broker: BrokerSection) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(broker.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if broker.certificate is not None:
            context.load_cert_chain(broker.certificate, broker.private_key)
    except (OSError, ssl.SSLError) as error:
        raise Unreachable(f"the certificate files do not read: {error}") from error
    return context


def _properties(packet_type: int) -> Properties:
    return Properties(packet_type)  # type: ignore[no-untyped-call]  # paho types its methods, but not this one
