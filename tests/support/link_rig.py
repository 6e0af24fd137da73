"""A bank link and what stands around it: the terminal's store and outbox, a consumer that answers and acknowledges for the bank."""

from __future__ import annotations

import json
import queue
import socket
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from terminal.adapters.bank_link import BankLink
from terminal.adapters.journal import Entry
from terminal.adapters.link_config import LinkConfig
from terminal.adapters.link_events import LinkEvent
from terminal.adapters.outbox import Bounds, OutboxClass, Outgoing
from terminal.adapters.outbox_sender import Outbox
from terminal.adapters.shipper import ShippingPolicy
from terminal.adapters.store import Store

BASE = "bank/v1/B001/T0001"
PATIENCE_S = 20.0
QUICK = ShippingPolicy(resend_s=0.3, resend_max_s=1.0, drain_per_s=200.0)
LEAF = {"txn": "txn", "audit": "event", "alarm": "alarm", "telemetry": "telemetry"}
E = TypeVar("E")


class Bank:
    """A consumer of its own: paho with its own thread, everything that arrives in a queue."""

    def __init__(self, port: int, *topics: str) -> None:
        self.arrived: queue.Queue[MQTTMessage] = queue.Queue()
        ready: queue.Queue[bool] = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = lambda client, userdata, message: self.arrived.put(message)
        self._client.on_subscribe = lambda *_: ready.put(True)
        self._client.on_socket_open = lambda client, userdata, sock: sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client.connect("127.0.0.1", port)
        self._client.subscribe([(f"{BASE}/{topic}", 1) for topic in topics])
        self._client.loop_start()
        ready.get(timeout=PATIENCE_S)

    def next(self) -> tuple[str, dict[str, Any], MQTTMessage]:
        message = self.arrived.get(timeout=PATIENCE_S)
        return message.topic.removeprefix(f"{BASE}/"), json.loads(message.payload), message

    def publish(self, leaf: str, payload: bytes, correlation: bytes | None = None) -> None:
        properties = Properties(PacketTypes.PUBLISH)
        if correlation is not None:
            properties.CorrelationData = correlation
        self._client.publish(f"{BASE}/{leaf}", payload, 1, properties=properties)

    def answer(self, request: MQTTMessage, **data: Any) -> None:
        payload = envelope({"inResponseTo": json.loads(request.payload)["id"], **data})
        properties = Properties(PacketTypes.PUBLISH)
        properties.CorrelationData = request.properties.CorrelationData  # type: ignore[union-attr]
        self._client.publish(request.properties.ResponseTopic, payload, 1, properties=properties)  # type: ignore[union-attr]

    def acknowledge(self, klass: str, epoch: int, upto: int) -> None:
        self.publish("ack", envelope({"class": klass, "epoch": epoch, "upto": upto}))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def envelope(data: Any) -> bytes:
    fields = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": BASE,
        "type": "ATMWithdrawalResponse",
        "time": "2026-11-22T08:00:00.123Z",
    }
    return json.dumps({**fields, "datacontenttype": "application/json", "data": data}).encode()


def next_of(inbox: queue.Queue[LinkEvent], kind: type[E]) -> E:
    """The next event of this kind; those before it are passed over. queue.Empty when none comes."""
    while True:
        event = inbox.get(timeout=PATIENCE_S)
        if isinstance(event, kind):
            return event


class Terminal:
    """Store and link, as the agent has them."""

    def __init__(self, folder: Path, url: str, **config: Any) -> None:
        self.path = folder / "t.sqlite"
        self.inbox: queue.Queue[LinkEvent] = queue.Queue()
        bounds = config.get("bounds", Bounds())
        self.store = Store.open(self.path, "T0001", "B001", bounds=bounds)
        options = {"boot_spread_s": 0.0, "base_backoff_s": 0.05, "max_backoff_s": 0.2, "shipping": QUICK, **config}
        self.link = BankLink(LinkConfig(url, "T0001", "B001", **options), self.path, self.inbox.put)
        self.link.start()

    def event(self, kind: type[E]) -> E:
        return next_of(self.inbox, kind)

    def put(self, klass: OutboxClass, **data: Any) -> None:
        self.store.append([Entry("e", None, {})], [Outgoing(klass, LEAF[klass], "A", data)])
        self.link.notify()

    def wait_empty(self, klass: OutboxClass) -> None:
        with closing(Outbox(self.path)) as outbox:
            until = time.monotonic() + PATIENCE_S
            while outbox.levels()[klass].rows:
                assert time.monotonic() < until, "the outbox never emptied"

    def close(self) -> None:
        assert self.link.close()
        self.store.close()
