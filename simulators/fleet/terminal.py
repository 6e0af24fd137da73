"""A simulated terminal by a second reading of docs/bank-messages.md: health, telemetry, customers, an alarm now and then; rows are kept
until `ack` covers them and sent again until then. Its memory is not a disk: for the product's own outbox see benchmarks/fleet.py.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from simulators.fleet.loop import Publication

RESEND_S = 30.0
BACKOFF_S = (1.0, 300.0)
ALARM_SHARE = 0.02
COUNTS = (
    *("notesMoved", "notesRejected", "dispenses", "jams", "cardReads", "cardErrors", "apduErrors", "receipts", "printerErrors"),
    *("pinBlocks", "pinPadErrors", "faceChecks", "faceErrors", "transactions", "declines", "doubts", "workerRestarts", "linkDrops"),
)
UNITS = ((10_000, "1"), (5_000, "2"), (2_000, "3"), (1_000, "4"))
LEAVES = {"txn": "txn", "audit": "event", "alarm": "alarm", "telemetry": "telemetry"}


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds. A customer each 108 s is 200 a day at four times the average."""

    telemetry_s: float = 60.0
    customer_s: float = 108.0


@dataclass(slots=True)
class _Row:
    payload: bytes
    sent_at: float | None = None


def _utc() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Terminal:
    """simulators.fleet.loop.Talker."""

    def __init__(self, number: int, epoch: int, rhythm: Rhythm, now: float) -> None:
        self.client_id = f"S{number:05d}"
        self.base = f"bank/v1/B{number % 500:03d}/{self.client_id}"
        self._rhythm, self._chance, self._epoch = rhythm, random.Random(number), epoch
        self._rows: dict[tuple[str, int], _Row] = {}
        self._seq = dict.fromkeys(LEAVES, 0)
        self._customers, self._served, self._attempts = 0, 0, 0
        self._started, self._began = _utc(), now
        self._telemetry_at = now + self._chance.random() * rhythm.telemetry_s
        self._customer_at = now + self._chance.expovariate(1 / rhythm.customer_s)
        self._state_due, self._connected, self._resend_at = False, False, float("inf")

    # --- what the loop asks

    def will(self) -> bytes:
        return self._plain("ATMDeviceReport", {"state": "offline"})

    def connected(self, now: float) -> None:
        self._connected, self._state_due, self._attempts = True, True, 0
        for row in self._rows.values():
            row.sent_at = None

    def lost(self, now: float, reason: int, held: bool) -> float:
        self._connected = False
        widest = min(BACKOFF_S[1], BACKOFF_S[0] * 2 ** min(self._attempts, 30))
        self._attempts += 1
        return now + self._chance.uniform(0.0, widest)

    def arrived(self, leaf: str, payload: bytes, now: float) -> None:
        if leaf != "ack":
            return  # orders are refused by silence: nobody here has the centre's key
        data = json.loads(payload)["data"]
        klass, upto = data["class"], data["upto"]
        if data["epoch"] == self._epoch:
            for key in [key for key in self._rows if key[0] == klass and key[1] <= upto]:
                del self._rows[key]

    def acked(self, token: Any, reason: int, now: float) -> None:
        if token is not None and token[0] == "telemetry" and reason < 0x80:
            self._rows.pop(token, None)

    def work(self, now: float, places: int) -> Sequence[Publication]:
        while now >= self._telemetry_at:
            self._telemetry_at += self._rhythm.telemetry_s
            self._say("telemetry", "TelemetryReport", self._telemetry())
        while now >= self._customer_at:
            self._customer_at += self._chance.expovariate(1 / self._rhythm.customer_s)
            self._serve()
        if not self._connected or places <= 0:
            return []
        found = []
        if self._state_due:
            self._state_due = False
            found.append(Publication(f"{self.base}/state", self._plain("ATMDeviceReport", self._report()), retain=True))
        waiting = [(key, row) for key, row in self._rows.items() if row.sent_at is None or row.sent_at <= now - RESEND_S]
        waiting.sort(key=lambda item: (list(LEAVES).index(item[0][0]), item[0][1]))
        for key, row in waiting[: places - len(found)]:
            row.sent_at = now
            found.append(Publication(f"{self.base}/{LEAVES[key[0]]}", row.payload, key=self._key(*key), token=key))
        self._resend_at = min((row.sent_at + RESEND_S for row in self._rows.values() if row.sent_at is not None), default=float("inf"))
        return found

    def next_at(self, now: float) -> float:
        return min(self._telemetry_at, self._customer_at, self._resend_at if self._connected else float("inf"))

    @property
    def waiting(self) -> int:
        return len(self._rows)

    # --- what it says

    def _key(self, klass: str, seq: int) -> str:
        return f"{self.client_id}/{klass}/{self._epoch}/{seq}"

    def _plain(self, kind: str, data: dict[str, Any], **more: Any) -> bytes:
        fields = {"specversion": "1.0", "id": f"{self.client_id}-{self._chance.getrandbits(64):016x}", "source": self.base, "type": kind}
        fields |= {"time": _utc(), "datacontenttype": "application/json", "dataschema": f"smart-branch:{kind}:1", **more}
        return json.dumps({**fields, "data": data}, separators=(",", ":")).encode()

    def _say(self, klass: str, kind: str, data: dict[str, Any]) -> None:
        self._seq[klass] += 1
        seq = self._seq[klass]
        journal = {"journalseq": sum(self._seq.values()), "journalhash": "0" * 64}
        payload = self._plain(kind, data, id=self._key(klass, seq), epoch=self._epoch, seq=seq, **journal)
        self._rows[klass, seq] = _Row(payload)

    def _serve(self) -> None:
        """A customer: the advice, the cash unit's counters, and the printer's paper getting less."""
        self._customers += 1
        self._served += 1
        money = {"minor": 30_000, "currency": "CNY"}
        advice = {"transactionId": f"{self.client_id}-{self._customers:08d}", "transactionStatus": "SCSS", "presented": "FULL"}
        notes = [{"unit": "1", "minor": 10_000, "presented": 3, "rejected": 0}]
        self._say(
            "txn",
            "ATMWithdrawalCompletionAdvice",
            {**advice, "requestedAmount": money, "presentedAmount": money, "notes": notes, "reconciles": False},
        )
        self._say("audit", "CashUnitChanged", self._unit(*UNITS[0]))
        self._say("audit", "GlobalStatusChanged", {"globalStatus": "INSV", "reasons": []})
        if self._chance.random() < ALARM_SHARE:
            self._alarm()

    def _alarm(self) -> None:
        n = self._seq["alarm"]
        data = {"alarmId": f"{self.client_id}/consumableLow/printer/{n // 2}", "alarm": "consumableLow", "device": "printer"}
        data |= {"severity": "minor", "state": "returned" if n % 2 else "raised", "at": _utc()}
        self._say("alarm", "ATMExceptionAdvice", {**data, "cause": None, "suppressed": False, "evidence": {}})

    def _unit(self, minor: int, name: str) -> dict[str, Any]:
        gone = 3 * self._customers % 1_900 if name == "1" else 0
        data = {"unit": name, "minor": minor, "currency": "CNY", "initial": 2_000, "presented": gone, "rejected": 0, "unknown": 0}
        return data | {"count": 2_000 - gone, "accuracy": "accurate", "status": "ok", "replenishmentStatus": "ok", "lowThreshold": 50}

    def _agent(self) -> dict[str, Any]:
        waiting = dict.fromkeys(LEAVES, 0)
        for klass, _ in self._rows:
            waiting[klass] += 1
        data: dict[str, Any] = {"version": "0.1.0", "startedAt": self._started, "uptime_s": 0, "outbox": waiting}
        data |= {"dropped": dict.fromkeys(LEAVES, 0), "diskFreeBytes": 10 << 30, "clockOffsetMs": 0}
        return data | {"certificateDaysLeft": None, "configurationVersion": 0}

    def _telemetry(self) -> dict[str, Any]:
        counts = dict.fromkeys(COUNTS, 0) | {"transactions": self._served, "notesMoved": 3 * self._served, "dispenses": self._served}
        self._served = 0
        return {"period_s": self._rhythm.telemetry_s, "counts": counts, "timings_ms": {}, "refused": {}, "agent": self._agent()}

    def _report(self) -> dict[str, Any]:
        devices = ("cardReader", "pinPad", "cashDispenser", "printer", "faceVerifier", "page")
        data: dict[str, Any] = {"state": "online", "service": "inService", "reasons": [], "since": self._started, "latched": None}
        data["devices"] = {name: {"device": "online", "detail": "", "restarts": 0} for name in devices}
        return data | {"cashUnits": [self._unit(minor, name) for minor, name in UNITS], "agent": self._agent()}
