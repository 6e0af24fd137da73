"""A light terminal of the fleet bench: the product's own outbox, shipper, back-off and reading of acknowledgements, without thread, disk
or devices.

Its outbox is the real one on an SQLite database in memory: 5,000 disks would measure the disk. What it notes: how long each `audit` and
`alarm` row took from its storing to the monitor's acknowledgement (which follows the commit of its effect), when it was connected
again, and what it sent first.
"""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from scale.messages import advice, alarm, cash, device, report, telemetry
from simulators.fleet.loop import Publication
from terminal.adapters.backoff import Backoff, boot_delay
from terminal.adapters.clock import iso_ms, utc_now
from terminal.adapters.envelope import base_topic, encode_envelope
from terminal.adapters.link_events import LinkEvent
from terminal.adapters.link_inbound import Inbound
from terminal.adapters.link_loop import HELD_S, QUOTA_EXCEEDED, RATE_EXCEEDED
from terminal.adapters.mqtt import Arrived
from terminal.adapters.outbox import SCHEMA, Bounds, Outgoing, Stamp, insert_row, next_seq
from terminal.adapters.outbox_sender import Outbox
from terminal.adapters.requests_pending import PendingRequests
from terminal.adapters.shipper import Shipper, ShippingPolicy

BRANCHES = 500
HEAD = (1, hashlib.sha256(b"light").hexdigest())
ALARM_SHARE = 0.02
NEVER = float("inf")
PRODUCT = ShippingPolicy()


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds; a customer each 108 s is 200 a day at four times the average. The rest are the product's own settings."""

    telemetry_s: float = 60.0
    customer_s: float = 108.0
    base_backoff_s: float = 1.0
    max_backoff_s: float = 300.0
    shipping: ShippingPolicy = PRODUCT


@dataclass(slots=True)
class Figures:
    """Of the whole fleet, since the last `clear`. `connected_at`: first connection after an outage, by terminal."""

    since: float = 0.0
    lags_s: list[float] = field(default_factory=list)
    """Of rows that were stored after `since`."""
    waiting: int = 0
    """Rows that wait for the monitor's acknowledgement, now: not cleared."""
    stored: int = 0
    published: int = 0
    refused: int = 0
    connected_at: dict[str, float] = field(default_factory=dict)
    txn_done_at: dict[str, float] = field(default_factory=dict)
    telemetry_done_at: dict[str, float] = field(default_factory=dict)
    out_of_order: int = 0
    """Terminals that sent telemetry while an advice of the outage had not even been sent."""

    def clear(self, now: float) -> None:
        self.since = now
        for one in (self.lags_s, self.connected_at, self.txn_done_at, self.telemetry_done_at):
            one.clear()
        self.stored = self.published = self.refused = self.out_of_order = 0


class LightOutbox(Outbox):
    """The sender's view and the store's, on one connection in memory."""

    def __init__(self, stamp: tuple[str, str], epoch: int) -> None:
        self._bounds, self._sealer = Bounds(), None
        self._complain, self._refused = lambda topic, why: None, set()
        self._main = self._telemetry = sqlite3.connect(":memory:", isolation_level=None, cached_statements=24)
        self._main.executescript(SCHEMA)
        self._stamp, self._epoch = stamp, epoch

    def put(self, message: Outgoing) -> tuple[str, int]:
        """As Store._append_message; the row's class and number."""
        seq = next_seq(self._main, message.klass, self._epoch)
        insert_row(self._main, message.row(self._epoch, seq, Stamp(*self._stamp, utc_now(), HEAD)))
        return message.klass, seq


class LightTerminal:
    """simulators.fleet.loop.Talker."""

    def __init__(self, number: int, epoch: int, rhythm: Rhythm, figures: Figures, now: float) -> None:
        self.client_id, branch = f"F{number:05d}", f"B{number % BRANCHES:03d}"
        self.base = base_topic(branch, self.client_id)
        self.boot_delay_s = boot_delay(self.client_id, 60.0)
        self._rhythm, self._figures, self._chance = rhythm, figures, random.Random(number)
        self._outbox = LightOutbox((self.client_id, branch), epoch)
        self._shipper = Shipper(self._outbox, rhythm.shipping)
        self._inbound = Inbound(self.base, self._shipper, PendingRequests(), self._heard, utc_now)
        self._backoff = Backoff(rhythm.base_backoff_s, rhythm.max_backoff_s, self._chance)
        self._started = iso_ms(utc_now())
        self._telemetry_at = now + self._chance.random() * rhythm.telemetry_s
        self._customer_at = now + self._chance.expovariate(1 / rhythm.customer_s)
        self._customers = self._alarms = 0
        self._stored_at: dict[tuple[str, int], float] = {}
        self._connected = self._state_due = False
        self._up_since = 0.0
        self._owed: dict[str, set[int]] = {}
        self._unsent: set[int] = set()

    def _heard(self, event: LinkEvent) -> None:
        self._figures.refused += 1

    # --- what the loop asks

    def will(self) -> bytes:
        return self._document({"state": "offline"})

    def connected(self, now: float) -> None:
        self._connected, self._state_due, self._up_since = True, True, now
        self._shipper.connected(now)
        self._figures.connected_at.setdefault(self.client_id, now)

    def lost(self, now: float, reason: int, held: bool) -> float:
        """As LinkLoop._down."""
        if held and now - self._up_since >= HELD_S:
            self._backoff.reset()
        self._connected = False
        self._shipper.disconnected()
        return now + self._backoff.delay(crowded=reason in (QUOTA_EXCEEDED, RATE_EXCEEDED))

    def arrived(self, leaf: str, payload: bytes, now: float) -> None:
        self._inbound.arrived(Arrived(f"{self.base}/{leaf}", payload, b""))
        self._inbound.settle()
        if leaf == "ack":
            data = json.loads(payload)["data"]
            self._acknowledged(data["class"], data["upto"], now)

    def _acknowledged(self, klass: str, upto: int, now: float) -> None:
        for key in [key for key in self._stored_at if key[0] == klass and key[1] <= upto]:
            stored_at = self._stored_at.pop(key)
            self._figures.waiting -= 1
            if stored_at >= self._figures.since:
                self._figures.lags_s.append(now - stored_at)
        if klass == "txn":
            self._paid_back("txn", {seq for seq in self._owed.get("txn", ()) if seq <= upto}, now)

    def acked(self, token: Any, reason: int, now: float) -> None:
        if token is not None:
            self._shipper.puback(token, reason, now)
            if token.klass == "telemetry":
                self._paid_back("telemetry", {token.seq}, now)

    def _paid_back(self, klass: str, seqs: set[int], now: float) -> None:
        owed = self._owed.get(klass)
        if owed:
            owed -= seqs
            if not owed:
                done = self._figures.txn_done_at if klass == "txn" else self._figures.telemetry_done_at
                done[self.client_id] = now

    def work(self, now: float, places: int) -> Sequence[Publication]:
        while now >= self._telemetry_at:
            self._telemetry_at += self._rhythm.telemetry_s
            self.put(telemetry(self._started), now)
        while now >= self._customer_at:
            self._customer_at += self._chance.expovariate(1 / self._rhythm.customer_s)
            self.serve(now)
        if not self._connected or places <= 1:
            return []
        found = []
        if self._state_due:
            self._state_due = False
            found.append(Publication(f"{self.base}/state", self._document({**report(self._started), "state": "online"}), retain=True))
        unix_s = time.time()
        for row in self._shipper.take(now, unix_s, places - 1 - len(found)):
            expiry_s = None if row.expires is None else max(1, int(row.expires - unix_s))
            key = f"{self.client_id}/{row.klass}/{row.epoch}/{row.seq}"
            found.append(Publication(row.topic, row.payload, expiry_s=expiry_s, key=key, token=row))
            if row.klass == "txn":
                self._unsent.discard(row.seq)
            elif row.klass == "telemetry" and self._unsent:
                self._figures.out_of_order += 1
                self._unsent.clear()
        self._figures.published += len(found)
        return found

    def next_at(self, now: float) -> float:
        ships_at = self._shipper.next_wakeup(now)
        return min(self._telemetry_at, self._customer_at, NEVER if ships_at is None else ships_at)

    # --- what happens there

    def serve(self, now: float) -> None:
        """A customer: three messages, and an alarm now and then."""
        self._customers += 1
        for message in (advice(self.client_id, self._customers), cash(self._customers), device(self._customers)):
            self.put(message, now)
        if self._chance.random() < ALARM_SHARE:
            self.put(alarm(self.client_id, self._alarms), now)
            self._alarms += 1

    def put(self, message: Outgoing, now: float) -> None:
        klass, seq = self._outbox.put(message)
        if klass in ("audit", "alarm"):
            self._stored_at[klass, seq] = now
            self._figures.waiting += 1
        if self._owed and klass in ("txn", "telemetry") and not self._connected:
            self._owed.setdefault(klass, set()).add(seq)
            if klass == "txn":
                self._unsent.add(seq)
        self._figures.stored += 1
        self._shipper.notify()

    def outage(self, now: float, reports: int, customers: int) -> None:
        """The line is gone, and has been for some time: so much has gathered. What comes until the line is back belongs to it."""
        self._owed, self._unsent = {"txn": set(), "telemetry": set()}, set()
        for _ in range(reports):
            self.put(telemetry(self._started), now)
        for _ in range(customers):
            self.serve(now)

    def _document(self, data: dict[str, Any]) -> bytes:
        identity = f"{self.client_id}-{self._chance.getrandbits(64):016x}"
        return encode_envelope(id_=identity, source=self.base, type_="ATMDeviceReport", time=iso_ms(utc_now()), data=data)
