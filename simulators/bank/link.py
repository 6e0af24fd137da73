"""The bank on MQTT 5 (paho): its thread only enqueues; one loop handles, commits, then answers.

Every connection gets a new client: nothing stale waits in a library's queue, since what counts is in the store and in the
terminals' outboxes. Reconnection is our own, with full jitter.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import random
import signal
import socket
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from simulators.bank.faults import Faults, sending
from simulators.bank.host import BankHost
from simulators.bank.messages import Message, base_and_leaf

LEAVES = ("auth", "txn", "event", "alarm", "telemetry", "state", "cmd/resp", "reported")
CONNECT_TIMEOUT_S = 5.0
WATCH_S = 1.0
BACKOFF_S = (0.2, 10.0)
KEEPALIVE_S = 15
SESSION_EXPIRY_S = 86400
MAX_PAYLOAD = 262_144
MEASURED = 10_000


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of the bank's own certificate, for a broker that asks for one."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Arrived:
    topic: str
    payload: bytes
    response_topic: str
    correlation: bytes | None


@dataclass(frozen=True, slots=True)
class Changed:
    """`what` is ``connected``, ``subscribed`` or ``lost``. `client` tells whether it is still the present one."""

    client: mqtt.Client
    what: str
    detail: str = ""


@dataclass(order=True, slots=True)
class Due:
    at: float
    number: int
    topic: str = field(compare=False)
    payload: bytes = field(compare=False)
    correlation: bytes | None = field(compare=False)


class BankLink:
    """`tick` and `next_wakeup` are called by one loop; `wake_fd` becomes readable when there is something to do."""

    def __init__(self, host: BankHost, url: str, faults: Faults, *, on_ready: Callable[[], None], tls: Tls | None = None, seed: int = 0):
        parts = urlsplit(url)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise ValueError(f"{url}: a broker is named as mqtt://host:port or mqtts://host:port")
        if (parts.scheme == "mqtts") != (tls is not None):
            raise ValueError(f"{url}: mqtts needs --ca, and mqtt takes none")
        self._host = host
        self._address = (parts.hostname, parts.port or (8883 if tls else 1883))
        self._tls = tls
        self._faults = faults
        self._on_ready = on_ready
        self._random = random.Random(seed)
        self._events: SimpleQueue[Arrived | Changed] = SimpleQueue()
        self.wake_fd, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        os.set_blocking(self.wake_fd, False)
        self._client: mqtt.Client | None = None
        self._failures = 0
        self._connect_at: float | None = 0.0
        self._due: list[Due] = []
        self._number = 0
        self.own_times_s: deque[float] = deque(maxlen=MEASURED)
        self.subscribed = False

    # --- the loop's side

    def next_wakeup(self) -> float | None:
        moments = [due.at for due in self._due[:1]]
        moments.append(self._connect_at if self._connect_at is not None else time.monotonic() + WATCH_S)
        return min(moments)

    def tick(self, now: float) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake_fd, 4096)
        if self._client is None and self._connect_at is not None and now >= self._connect_at:
            self._connect(now)
        while True:
            try:
                event = self._events.get_nowait()
            except Empty:
                break
            if isinstance(event, Arrived):
                self._handle(event)
            elif event.client is self._client:
                self._change(event)
        self._send_due()
        thread = getattr(self._client, "_thread", None)  # is_connected() stays true when paho's thread has died: watch the thread
        if self._client is not None and (thread is None or not thread.is_alive()):
            self._lost("the network thread has ended")

    def send(self, topic: str, message: Message, *, retain: bool = False, expiry_s: int | None = None) -> None:
        """The operations centre's own message. ConnectionError when there is no broker: the centre is told, not the terminal."""
        if self._client is None or not self.subscribed:
            raise ConnectionError("the bank has no connection to the broker")
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if expiry_s is not None:
            properties.MessageExpiryInterval = expiry_s
        payload = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        self._client.publish(topic, payload, qos=1, retain=retain, properties=properties)

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def _connect(self, now: float) -> None:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="bank-host", protocol=mqtt.MQTTv5, reconnect_on_failure=False, userdata=None
        )
        client.suppress_exceptions = True
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(1000)
        if self._tls:
            certificate, key = self._tls.certificate, self._tls.key
            client.tls_set(str(self._tls.ca), str(certificate) if certificate else None, str(key) if key else None)
        client.on_socket_open = self._on_socket_open
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        self._client, self._connect_at = client, None
        try:
            client.connect(*self._address, keepalive=KEEPALIVE_S, clean_start=False, properties=properties)
        except (OSError, ValueError) as error:
            self._lost(str(error))
            return
        client.loop_start()

    def _lost(self, detail: str) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.loop_stop()
        self.subscribed = False
        if self._failures == 0:
            sys.stderr.write(f"bank: no connection to {self._address[0]}:{self._address[1]}: {detail}\n")
        low, high = BACKOFF_S
        self._connect_at = time.monotonic() + self._random.uniform(0, min(high, low * 2**self._failures))
        self._failures = min(self._failures + 1, 16)

    def _change(self, event: Changed) -> None:
        if event.what == "lost":
            self._lost(event.detail)
        elif event.what == "connected" and self._client is not None:
            self._client.subscribe([(f"bank/v1/+/+/{leaf}", SubscribeOptions(qos=1)) for leaf in LEAVES])
        elif event.what == "subscribed":
            self._failures = 0
            self.subscribed = True
            self._on_ready()

    def _handle(self, event: Arrived) -> None:
        base, leaf = base_and_leaf(event.topic)
        if self._faults.down or not base:
            return
        started = time.perf_counter()
        now = datetime.now(UTC)
        try:
            if len(event.payload) > MAX_PAYLOAD:
                raise ValueError(f"{len(event.payload)} bytes are more than {MAX_PAYLOAD}")
            answers = self._host.handle_payload(leaf, base, event.payload, now)
        except (sqlite3.Error, ValueError) as error:
            sys.stderr.write(f"bank: {event.topic}: not handled: {error}\n")
            answers = self._host.system_error(leaf, base, _readable(event.payload), now)
        if leaf == "auth":
            self.own_times_s.append(time.perf_counter() - started)
        if leaf == "txn" and self._faults.crash_before_ack:
            os.kill(os.getpid(), signal.SIGKILL)
        for answer_leaf, message in answers:
            self._answer(event, base, answer_leaf, message)

    def _answer(self, event: Arrived, base: str, leaf: str, message: Message) -> None:
        topic = f"{base}/{leaf}"
        if leaf == "auth/resp" and event.response_topic.startswith(f"{base}/"):  # never into another terminal's topics
            topic = event.response_topic
        how = sending(self._faults, leaf)
        payload = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        for _ in range(how.times):
            self._number += 1
            at = time.monotonic() + how.delay_s if how.delay_s else 0.0
            heapq.heappush(self._due, Due(at, self._number, topic, payload, event.correlation if leaf == "auth/resp" else None))

    def _send_due(self) -> None:
        """What cannot be sent is dropped: the terminal asks again or resends, and gets the stored answer."""
        while self._due and self._due[0].at <= time.monotonic():
            due = heapq.heappop(self._due)
            if self._client is None or not self.subscribed:
                continue
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            if due.correlation is not None:
                properties.CorrelationData = due.correlation
            self._client.publish(due.topic, due.payload, qos=1, properties=properties)

    # --- paho's thread: enqueue only

    def _put(self, event: Arrived | Changed) -> None:
        self._events.put(event)
        with contextlib.suppress(OSError):  # full: it is awake already
            os.write(self._waker, b"\0")

    def _on_socket_open(self, client: mqtt.Client, _data: Any, sock: Any) -> None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        self._put(Changed(client, "lost" if reason.is_failure else "connected", str(reason)))

    def _on_subscribe(self, client: mqtt.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        self._put(Changed(client, "lost" if refused else "subscribed", ", ".join(refused)))

    def _on_disconnect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        self._put(Changed(client, "lost", str(reason)))

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        found = message.properties
        response = getattr(found, "ResponseTopic", "") if found else ""
        correlation = getattr(found, "CorrelationData", None) if found else None
        self._put(Arrived(message.topic, bytes(message.payload), response, correlation))


def _readable(payload: bytes) -> dict[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(payload[:MAX_PAYLOAD])
        if isinstance(found, dict):
            return found
    return {}
