"""Orders over a real broker: signed here, verified, executed, journalled and answered by a real agent; the time there and back."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kiosk_ui.monitor.config import BrokerSection
from kiosk_ui.monitor.mqtt import Arrived, Ended, Session, Subscribed
from scale.setting import Fault, running
from simulators.bank.centre import Centre
from simulators.broker.start import Broker, start_broker

BASE = "bank/v1/B001/T0001"
CENTRE = Centre(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
READ_ONLY = ("status", "counters", "journalRange")
ENDS = ("succeeded", "failed", "refused", "cancelled", "expired")
WITHIN_S = 30.0
PAUSE_S = 0.02
"""Between two orders: the acknowledgement of the last one's result is not to stand in the next one's way."""


class Desk:
    """The centre's connection: one order at a time."""

    def __init__(self, url: str, name: str = "bench-centre") -> None:
        self.session = Session(BrokerSection(url), name, 1000, clean=True, keep=False)
        self.session.connect()
        self.session.subscribe([f"{BASE}/cmd/resp"])
        self._until(lambda one: isinstance(one, Subscribed))

    def _until(self, wanted: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + WITHIN_S
        while (left := deadline - time.monotonic()) > 0:
            for happening in self.session.pump(left):
                if isinstance(happening, Ended):
                    raise Fault(f"the centre's connection ended: {happening.text}")
                if isinstance(happening, Arrived):
                    self.session.acknowledge(happening.mid)
                if wanted(happening):
                    return happening
        raise Fault("no answer to an order")

    def order(self, command: str, parameters: dict[str, Any] | None = None) -> tuple[dict[str, Any], float]:
        """The final result, and the seconds from before it was signed."""
        began = time.perf_counter()
        message = CENTRE.order(BASE, command, parameters or {}, datetime.now(UTC))
        self.session.publish(f"{BASE}/cmd", json.dumps(message).encode(), expiry_s=300)
        found: dict[str, Any] = {}

        def final(happening: Any) -> bool:
            if not isinstance(happening, Arrived):
                return False
            found.update(json.loads(happening.payload)["data"])
            return found["commandId"] == message["data"]["commandId"] and found["state"] in ENDS

        self._until(final)
        return found, time.perf_counter() - began

    def close(self) -> None:
        self.session.disconnect()


@contextmanager
def attended(folder: Path, broker: Broker) -> Iterator[subprocess.Popen[str]]:
    with running("scale.attended", "--folder", folder, "--url", broker.url, "--centre-key", CENTRE.public_hex, said="up") as child:
        yield child


def round_trips_s(folder: Path, count: int) -> list[float]:
    """Read-only orders by turns, each answered with `succeeded`; Fault for any other answer."""
    times = []
    with start_broker(folder / "broker", kind="mosquitto") as broker:
        leaves = "txn,event,alarm,cmd/resp"
        with running("scale.consumer", "--url", broker.url, "--leaves", leaves, said="subscribed"), attended(folder, broker):
            desk = Desk(broker.url)
            for number in range(count):
                command = READ_ONLY[number % len(READ_ONLY)]
                found, took = desk.order(command, {"from": 1, "to": 20} if command == "journalRange" else None)
                if found["state"] != "succeeded":
                    raise Fault(f"{command}: {found}")
                times.append(took)
                time.sleep(PAUSE_S)
            desk.close()
    return times
