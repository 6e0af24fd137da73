"""How fast events get from `append` to the bank's acknowledgement and out of the outbox again, beside what paho and the disk can do."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from monitor_process import MonitorProcess, configuration
from paho.mqtt.enums import CallbackAPIVersion

from scale.messages import cash
from scale.sender import BRANCH, TERMINAL, open_store
from scale.setting import cpu_s, end, line_of, process, running
from simulators.broker.start import Broker, start_broker

BACKLOG_GROUP = 1_000
PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True)
class Rate:
    """`cpu_us` is the sending process's processor time for an event."""

    per_s: float
    events: int
    cpu_us: float


@contextmanager
def bank(folder: Path, *, monitor: bool = False) -> Iterator[Broker]:
    """A mosquitto and somebody who acknowledges: the light consumer, or branch-monitor with one worker on SQLite."""
    with start_broker(folder / "broker", kind="mosquitto") as broker:
        if not monitor:
            with running("scale.consumer", "--url", broker.url, said="subscribed"):
                yield broker
            return
        served = MonitorProcess(configuration(folder, broker.url), "--workers", "1")
        try:
            served.wait_subscribed(1)
            yield broker
        finally:
            served.stop()


def outbox(folder: Path, broker: Broker, events: int, *options: object) -> Rate:
    """A new sender process on the store of `folder`: until nothing waits (or `--drain-rows` went)."""
    child = process("scale.sender", "--store", folder / "terminal.sqlite", "--url", broker.url, "--events", events, *options)
    try:
        found: dict[str, Any] = json.loads(line_of(child, "done "))
    finally:
        end(child)
    return Rate(found["events"] / found["seconds"], found["events"], found["cpu_s"] / found["events"] * 1e6)


def fill(folder: Path, rows: int, tell: Any) -> None:
    """So many events wait: as they were stored while the link was down."""
    store = open_store(folder / "terminal.sqlite")
    for done in range(0, rows, BACKLOG_GROUP):
        store.append([], [cash(number) for number in range(done, min(rows, done + BACKLOG_GROUP))])
        tell(f"backlog {done:,} of {rows:,}")
    store.close()


def _no_delay(client: mqtt.Client, userdata: object, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class PlainPaho:
    """paho alone, as its manual has it: its thread, its queue, QoS 1; counted is what got a PUBACK. Nothing is stored anywhere."""

    def __init__(self, url: str, window: int) -> None:
        parts = urlsplit(url)
        self._connected, self._all, self._count, self._wanted = threading.Event(), threading.Event(), 0, 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "plain-paho", protocol=mqtt.MQTTv5)
        self._client.max_inflight_messages_set(window)
        self._client.on_socket_open = _no_delay
        self._client.on_connect = lambda *_: self._connected.set()
        self._client.on_publish = lambda *_: self._acked()
        self._client.connect(parts.hostname or "", parts.port or 1883)
        self._client.loop_start()
        if not self._connected.wait(PATIENCE_S):
            raise TimeoutError("paho: no connection")

    def _acked(self) -> None:
        self._count += 1
        if self._count == self._wanted:
            self._all.set()

    def rate(self, messages: list[tuple[str, bytes]]) -> Rate:
        self._wanted = len(messages)
        cpu, began = time.process_time(), time.monotonic()
        for topic, payload in messages:
            self._client.publish(topic, payload, 1)
        if not self._all.wait(PATIENCE_S):
            raise TimeoutError(f"paho: {self._count} of {self._wanted} were acknowledged")
        took = time.monotonic() - began
        return Rate(len(messages) / took, len(messages), (time.process_time() - cpu) / len(messages) * 1e6)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def paho(broker: Broker, events: int, window: int) -> Rate:
    """The same messages. Their topic has the consumer as a subscriber, as the outbox's has."""
    topic = f"bank/v1/{BRANCH}/{TERMINAL}/event"
    said: dict[str, Any] = {"specversion": "1.0", "source": topic.removesuffix("/event"), "type": "CashUnitChanged"}
    said["time"] = "2026-11-22T08:00:00.000Z"
    said |= {
        "datacontenttype": "application/json",
        "dataschema": "smart-branch:CashUnitChanged:1",
        "journalseq": 1,
        "journalhash": "0" * 64,
    }
    messages = []
    for number in range(1, events + 1):
        numbered = {**said, "id": f"{TERMINAL}/audit/1/{number}", "epoch": 1, "seq": number, "data": cash(number).data}
        messages.append((topic, json.dumps(numbered, separators=(",", ":")).encode()))
    client = PlainPaho(broker.url, window)
    try:
        return client.rate(messages)
    finally:
        client.close()


@dataclass(frozen=True, slots=True)
class Backlogged:
    """Rates with so many rows before the new ones: of the first and of the last part that was drained."""

    rows: int
    first: Rate
    last: Rate
    store_mib: float


def with_backlog(folder: Path, rows: int, part: int, tell: Any) -> Backlogged:
    """New events go on being stored while the backlog is sent; the store keeps its size, so the first and the last part may differ."""
    fill(folder, rows, tell)
    with bank(folder) as broker:
        rates = []
        for _ in range(3):
            tell("backlog: draining")
            rates.append(outbox(folder, broker, part // 4, "--drain-rows", part, "--ack-window", 512, "--window", 64))
    size = sum(path.stat().st_size for path in folder.glob("terminal.sqlite*")) / 2**20
    return Backlogged(rows, rates[0], rates[-1], size)


__all__ = ["Backlogged", "Rate", "bank", "cpu_s", "outbox", "paho", "with_backlog"]
