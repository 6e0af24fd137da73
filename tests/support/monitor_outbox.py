"""Terminals on a real broker: an outbox that sends again until the acknowledgement, and a hand that answers commands."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

WITHIN_S = 90.0
AGAIN_S = 1.0
TICK = threading.Event()  # never set: its wait is a pause that can be shortened nowhere


def until(what: Callable[[], Any], within_s: float = WITHIN_S) -> Any:
    """The first true value of `what`."""
    end = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < end, "it never came"
        TICK.wait(0.05)
    return found


class Wire:
    """One MQTT connection for many terminals."""

    def __init__(self, url: str, name: str = "terminals") -> None:
        parts = urlsplit(url)
        self.heard: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.connected = threading.Event()
        self.subscribed = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, name, protocol=mqtt.MQTTv5)
        self.client.max_inflight_messages_set(200)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = lambda _c, _d, message: self.heard.put((message.topic, json.loads(message.payload)))
        self.client.connect(parts.hostname or "", parts.port or 1883)
        self.client.loop_start()
        assert self.subscribed.wait(WITHIN_S)

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe([("bank/v1/+/+/ack", 1), ("bank/v1/+/+/cmd", 1)])

    def publish(self, said: tuple[str, bytes], *, retain: bool = False, qos: int = 1) -> None:
        self.client.publish(*said, qos=qos, retain=retain)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Outboxes:
    """Rows of all terminals' acknowledged classes: sent in order, again after a second, until `ack` covers them."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.rows: dict[tuple[str, str, int], dict[int, tuple[str, bytes]]] = {}
        self.sent = 0

    def add(self, said: tuple[str, bytes]) -> None:
        topic, payload = said
        message = json.loads(payload)
        _, klass, epoch, seq = message["id"].split("/")
        if klass in ("audit", "alarm"):
            self.rows.setdefault((message["source"], klass, int(epoch)), {})[int(seq)] = said
        self.wire.publish((topic, payload))
        self.sent += 1

    def hear(self, pause_s: float) -> None:
        try:
            topic, message = self.wire.heard.get(timeout=pause_s)
        except queue.Empty:
            return
        if topic.endswith("/ack"):
            data = message["data"]
            rows = self.rows.get((topic.removesuffix("/ack"), data["class"], data["epoch"]), {})
            for seq in [seq for seq in rows if seq <= data["upto"]]:
                del rows[seq]

    def open(self) -> int:
        return sum(len(rows) for rows in self.rows.values())

    def deliver(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Until nothing is left."""
        end, again = time.monotonic() + WITHIN_S, time.monotonic() + AGAIN_S
        while self.open():
            assert time.monotonic() < end, f"{self.open()} rows were never acknowledged"
            self.hear(0.05)
            meanwhile()
            if time.monotonic() > again and self.wire.heard.empty():
                again = time.monotonic() + AGAIN_S
                for rows in self.rows.values():
                    for seq in sorted(rows)[:50]:
                        self.wire.publish(rows[seq])
                        self.sent += 1
