"""Rubbish from a seed, on every topic in both directions, over a real broker: everything is refused and counted, and both sides serve on.

A message begins as a right one and has one to three things spoiled: bytes flipped, cut, replaced; a field taken out, added or replaced
by something odd; too deep, too large, of another version, from another terminal; or sent again as it was. What is left right is counted
as applied or repeated: nothing may be in neither count.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from monitor_database import counters
from monitor_process import MonitorProcess, configuration
from monitor_says import Terminal

from kiosk_ui.monitor.config import BrokerSection, load_config
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.log import now_ms
from kiosk_ui.monitor.mqtt import Arrived, Ended, Published, Session
from scale.link_orders import BASE, Desk, attended
from scale.setting import Fault, line_of, resident_mib, running
from simulators.bank.centre import Centre
from simulators.broker.start import start_broker

IN_FLIGHT = 500
WITHIN_S = 180.0
STRANGER = Centre(Ed25519PrivateKey.from_private_bytes(bytes(32)), "nobody")
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**63,
    1e300,
    "",
    "x" * 300,
    "\0",
    "\ud7ff",
    [],
    {},
    [[[[]]]],
    {"": {}},
    0.5,
    "2026-13-01T00:00:00Z",
)
MONITOR_LEAVES = ("state", "telemetry", "event", "alarm", "txn", "cmd/resp", "reported")
TERMINAL_LEAVES = ("ack", "auth/resp", "cmd", "desired")

Said = tuple[str, bytes]


AT = "2026-11-22T08:00:00.000Z"


@dataclass(slots=True)
class Fuzzed:
    """`uncounted`: messages that came and are in no count. Memory in MiB after a tenth of the messages, and after all."""

    messages: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    uncounted: int = 0
    monitor_mib: tuple[float, float] = (0.0, 0.0)
    terminal_mib: tuple[float, float] = (0.0, 0.0)
    served_after: bool = False


class Spoiler:
    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._terminal = Terminal("T0002", "B001", epoch=7, now=now_ms())
        self._last: dict[str, bytes] = {}

    def to_monitor(self) -> Said:
        leaf = self._chance.choice(MONITOR_LEAVES)
        topic, payload = self._right(leaf)
        return topic, self._spoiled(leaf, payload)

    def to_terminal(self) -> Said:
        leaf, now = self._chance.choice(TERMINAL_LEAVES), datetime.now(UTC)
        if leaf == "cmd":
            message: dict[str, Any] = STRANGER.order(BASE, self._chance.choice(("status", "leaveService", "dispense")), {}, now)
        elif leaf == "desired":
            message = STRANGER.desired(BASE, self._chance.randrange(1, 2**40), {"fleet": {"telemetry_s": 60}}, now)
        else:
            message = {"specversion": "1.0", "id": str(self._chance.random()), "source": "bank/v1", "subject": BASE}
            message |= {"type": "ATMCompletionAcknowledgement", "time": "2026-11-22T08:00:00.000Z", "datacontenttype": "application/json"}
            message["data"] = {"class": "txn", "epoch": 1, "upto": self._chance.randrange(1, 2**60)}
            if leaf == "auth/resp":
                data = {"inResponseTo": str(self._chance.random()), "response": "APPR", "transactionId": "T0001-00000001"}
                message |= {"type": "ATMWithdrawalResponse", "data": data}
        return f"{BASE}/{leaf}", self._spoiled(leaf, json.dumps(message).encode())

    def _right(self, leaf: str) -> Said:
        one, n = self._terminal, self._chance.randrange(50)
        says: dict[str, Callable[[], Said]] = {
            "state": one.state,
            "telemetry": one.telemetry,
            "event": lambda: one.cash("1", n),
            "alarm": lambda: one.alarm("consumableLow", n=n),
            "txn": one.advice,
            "cmd/resp": lambda: one.result(str(UUID(int=n)), "succeeded"),
            "reported": lambda: one.says(
                "reported", "ConfigurationReported", {"version": n + 1, "state": "applied", "active": n + 1, "reason": "", "at": AT}
            ),
        }
        return says[leaf]()

    def _spoiled(self, leaf: str, payload: bytes) -> bytes:
        if self._chance.random() < 0.05 and leaf in self._last and leaf not in ("desired", "ack"):  # there the same again is the same
            return self._last[leaf]
        for _ in range(self._chance.randrange(1, 4)):
            payload = self._chance.choice((self._bytes, self._value, self._value, self._value, self._value, self._whole))(payload)
        self._last[leaf] = payload
        return payload

    def _bytes(self, payload: bytes) -> bytes:
        body, chance = bytearray(payload), self._chance
        for _ in range(chance.randrange(1, 6)):
            if body:
                body[chance.randrange(len(body))] = chance.randrange(256)
        return bytes(body[: chance.randrange(len(body) + 1)] if chance.random() < 0.3 else body)

    def _value(self, payload: bytes) -> bytes:
        try:
            message = json.loads(payload)
        except (ValueError, RecursionError):
            return payload
        place = message
        while isinstance(place, dict) and place:
            name = self._chance.choice(sorted(place))
            if isinstance(place[name], dict) and place[name] and self._chance.random() < 0.7:
                place = place[name]
                continue
            if self._chance.random() < 0.3:
                del place[name]
            else:
                place[name if self._chance.random() < 0.8 else "colour"] = self._chance.choice(ODD)
            break
        return json.dumps(message).encode()

    def _whole(self, payload: bytes) -> bytes:
        """Rarely too large; else too deep, of another version, another's, or no object at all."""
        kind = self._chance.randrange(60)
        if kind == 0:
            return payload[:-1] + b" " * 66_000 + b"}"
        if kind == 1:
            return b"[" * 20_000 + b"]" * 20_000
        swaps = (
            (b":1", b":9"),
            (b'"1.0"', b'"2.0"'),
            (b"B001/T0002", b"B001/T0009"),
            (b"T0001", b"T0002"),
            (b"20", b"\xff\xfe"),
            (b"{", b"["),
        )
        return payload.replace(*self._chance.choice(swaps), 1)


class Gun:
    """Publishes with a window of its own."""

    def __init__(self, url: str) -> None:
        self._session = Session(BrokerSection(url), "bench-fuzz", 1000, clean=True, keep=False)
        self._session.connect()
        self._out = 0

    def fire(self, said: Said) -> None:
        while self._out >= IN_FLIGHT:
            self.pump(1.0)
        self._session.publish(*said)
        self._out += 1

    def pump(self, timeout_s: float) -> None:
        for happening in self._session.pump(timeout_s):
            if isinstance(happening, Ended):
                raise Fault(f"the broker ended the fuzzer's connection: {happening.text}")
            if isinstance(happening, Published):
                self._out -= 1
            elif isinstance(happening, Arrived):
                self._session.acknowledge(happening.mid)

    def empty(self) -> None:
        while self._out:
            self.pump(1.0)

    def close(self) -> None:
        self._session.disconnect()


def _wait(what: Callable[[], bool], said: str) -> None:
    until = time.monotonic() + WITHIN_S
    while not what():
        if time.monotonic() > until:
            raise Fault(said)
        time.sleep(0.2)


def to_monitor(folder: Path, count: int, seed: int, found: Fuzzed, tell: Callable[[str], Any]) -> None:
    with start_broker(folder / "broker", kind="mosquitto") as broker:
        path = configuration(folder, broker.url)
        served = MonitorProcess(path, "--workers", "1")
        database = Database(load_config(path).database, folder)
        gun = Gun(broker.url)
        try:
            served.wait_subscribed(1)
            (worker,) = served.worker_pids()
            spoiler, memory = Spoiler(seed), []
            for number in range(1, count + 1):
                gun.fire(spoiler.to_monitor())
                if number in (max(1, count // 10), count):
                    gun.empty()
                    _wait(lambda number=number: counters(database)["received"] >= number, "the monitor does not take what comes")  # type: ignore[misc]
                    memory.append(resident_mib(worker) + resident_mib(served.process.pid))
                tell(f"fuzz to the monitor: {number:,} of {count:,}")
            counted = counters(database)
            told = sum(value for name, value in counted.items() if name.split(".")[0] in ("taken", "repeated", "refused"))
            # the first worker hears `state` and `reported` twice while it asks for what is retained
            found.uncounted += max(0, counted["received"] - told) + max(0, count - counted["received"])
            found.refused.update({name.removeprefix("refused."): value for name, value in counted.items() if name.startswith("refused.")})
            found.monitor_mib = (memory[0], memory[-1])
            gun.fire(Terminal("T0003", "B001", now=now_ms()).cash("1", 5))
            gun.empty()
            _wait(lambda: counters(database)["received"] > count, "the monitor takes nothing any more")
            found.served_after = served.worker_pids() == [worker]
        finally:
            gun.close()
            database.close()
            served.stop()


def to_terminal(folder: Path, count: int, seed: int, found: Fuzzed, tell: Callable[[str], Any]) -> None:
    leaves = "txn,event,alarm,cmd/resp"
    with (
        start_broker(folder / "broker", kind="mosquitto") as broker,
        running("scale.consumer", "--url", broker.url, "--leaves", leaves, said="subscribed"),
        attended(folder, broker) as child,
    ):

        def heard() -> dict[str, dict[str, int]]:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
            answer: dict[str, dict[str, int]] = json.loads(line_of(child, "heard "))
            return answer

        def messages() -> int:
            return sum(value for name, value in heard()["events"].items() if name not in ("LinkUp", "LinkDown", "OutboxAlarm"))

        gun, spoiler, memory = Gun(broker.url), Spoiler(seed), []
        for number in range(1, count + 1):
            gun.fire(spoiler.to_terminal())
            if number in (max(1, count // 10), count):
                gun.empty()
                _quiet(messages)
                memory.append(resident_mib(child.pid))
            tell(f"fuzz to the terminal: {number:,} of {count:,}")
        gun.close()
        said = heard()
        late, came = said["events"].get("LateResponse", 0), said["events"].get("DesiredArrived", 0)
        looked_at = sum(value for name, value in said["refused"].items() if name.startswith("desired/"))
        superseded = came + said["events"].get("BadMessage desired/malformed", 0) - looked_at  # `desired` is retained: the newest counts
        found.refused.update({**said["refused"], "lateResponse": late, "supersededDesired": superseded})
        found.uncounted += abs(count - late - superseded - sum(said["refused"].values()))
        found.terminal_mib = (memory[0], memory[-1])
        desk = Desk(broker.url)
        found.served_after = desk.order("status")[0]["state"] == "succeeded" and child.poll() is None and found.served_after
        desk.close()


def _quiet(count: Callable[[], int]) -> None:
    """Until nothing more comes."""
    last = -1
    while (now := count()) != last:
        last = now
        time.sleep(0.5)


def play(folder: Path, count: int, seed: int, tell: Callable[[str], Any]) -> Fuzzed:
    """Half of `count` in each direction."""
    found = Fuzzed(count // 2 * 2)
    for name, side in (("monitor", to_monitor), ("terminal", to_terminal)):
        (folder / name).mkdir()
        side(folder / name, count // 2, seed, found, tell)
    return found
