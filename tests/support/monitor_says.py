"""Messages of terminals made by hand for the monitor's tests. `says` and what stands on it keep the contract (docs/schemas)."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from contract import fault

NOW = 1_790_000_000_000  # 2026-09-21T14:13:20Z
CLASSES = {"event": "audit", "cmd/resp": "audit", "alarm": "alarm", "txn": "txn", "telemetry": "telemetry"}
COUNTS = (
    *("notesMoved", "notesRejected", "dispenses", "jams", "cardReads", "cardErrors", "apduErrors", "receipts", "printerErrors"),
    *("pinBlocks", "pinPadErrors", "faceChecks", "faceErrors", "transactions", "declines", "doubts", "workerRestarts", "linkDrops"),
)
ORDER = "00000000-0000-4000-8000-000000000001"
UNITS = ((10_000, "1"), (5_000, "2"), (2_000, "3"), (1_000, "4"))


def utc(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unit(name: str, minor: int, count: int, *, initial: int = 200, replenishment: str = "ok", status: str = "ok") -> dict[str, Any]:
    return {
        "unit": name,
        "minor": minor,
        "currency": "CNY",
        "initial": initial,
        "presented": max(0, initial - count),
        "rejected": 0,
        "unknown": 0,
        "count": count,
        "accuracy": "accurate",
        "status": status,
        "replenishmentStatus": replenishment,
        "lowThreshold": 50,
    }


def altered(said: tuple[str, bytes], **changes: Any) -> tuple[str, bytes]:
    """With other data, which need not be of the contract."""
    message = json.loads(said[1])
    message["data"] |= changes
    return said[0], json.dumps(message, ensure_ascii=False).encode()


class Terminal:
    """Numbers its messages as an outbox does."""

    def __init__(self, name: str = "T0001", branch: str = "B001", *, epoch: int = 1, now: int = NOW) -> None:
        self.name, self.base, self.epoch, self.now = name, f"bank/v1/{branch}/{name}", epoch, now
        self.seq: Counter[str] = Counter()

    def message(self, leaf: str, kind: str, data: dict[str, Any], *, at: int | None = None, **more: Any) -> dict[str, Any]:
        klass = CLASSES.get(leaf)
        at = self.now if at is None else at
        found = {"specversion": "1.0", "id": f"{self.name}/{leaf}/{at}", "source": self.base, "type": kind, "time": utc(at)}
        if klass:
            self.seq[klass] += 1
            found |= {"id": f"{self.name}/{klass}/{self.epoch}/{self.seq[klass]}", "epoch": self.epoch, "seq": self.seq[klass]}
        found |= {"datacontenttype": "application/json", "dataschema": f"smart-branch:{kind}:1", "data": data}
        return found | more

    def says(self, leaf: str, kind: str, data: dict[str, Any], **more: Any) -> tuple[str, bytes]:
        said = self.odd(leaf, kind, data, **more)
        assert not (found := fault(*said)), found
        return said

    def odd(self, leaf: str, kind: str, data: dict[str, Any], **more: Any) -> tuple[str, bytes]:
        """What need not be of the contract."""
        return f"{self.base}/{leaf}", json.dumps(self.message(leaf, kind, data, **more), ensure_ascii=False).encode()

    def agent(self, **more: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"version": "0.1.0", "startedAt": utc(self.now - 3_600_000), "uptime_s": 3600, "configurationVersion": 1}
        found |= {"outbox": {"txn": 0, "audit": 0, "alarm": 0, "telemetry": 1}, "dropped": {}, "diskFreeBytes": 20_000_000_000}
        return found | {"clockOffsetMs": 12, "certificateDaysLeft": 200} | more

    def state(self, *, counts: tuple[int, ...] = (150, 160, 170, 180), at: int | None = None, **more: Any) -> tuple[str, bytes]:
        devices = ("cardReader", "pinPad", "cashDispenser", "printer", "faceVerifier", "page")
        data: dict[str, Any] = {"state": "online", "service": "inService", "reasons": [], "since": utc(self.now - 60_000), "latched": None}
        data |= {"devices": {name: {"device": "online", "detail": "", "restarts": 0} for name in devices}, "agent": self.agent()}
        data["cashUnits"] = [unit(name, minor, count) for (minor, name), count in zip(UNITS, counts, strict=True)]
        return self.says("state", "ATMDeviceReport", data | more, at=at)

    def offline(self, at: int | None = None) -> tuple[str, bytes]:
        return self.says("state", "ATMDeviceReport", {"state": "offline"}, at=at)

    def telemetry(self, *, at: int | None = None, **counts: int) -> tuple[str, bytes]:
        timings = {"dispense": {"n": 1, "p50": 2100, "max": 2100}}
        data: dict[str, Any] = {"period_s": 60, "counts": {**dict.fromkeys(COUNTS, 0), "notesMoved": 4, **counts}, "timings_ms": timings}
        data |= {"refused": {}, "agent": self.agent()}
        return self.says("telemetry", "TelemetryReport", data, at=at)

    def device(self, name: str, to: str, detail: str = "", *, at: int | None = None) -> tuple[str, bytes]:
        data = {"device": name, "from": {"device": "online", "detail": ""}, "to": {"device": to, "detail": detail}}
        return self.says("event", "DeviceStatusChanged", data, at=at)

    def cash(self, name: str, count: int, *, at: int | None = None, **more: Any) -> tuple[str, bytes]:
        minor = next(minor for minor, one in UNITS if one == name)
        return self.says("event", "CashUnitChanged", unit(name, minor, count, **more), at=at)

    def alarm(
        self,
        code: str,
        state: str = "raised",
        *,
        device: str | None = None,
        severity: str = "major",
        n: int = 1,
        at: int | None = None,
        **more: Any,
    ) -> tuple[str, bytes]:
        data = {"alarmId": f"{self.name}/{code}/{device or '-'}/{n}", "alarm": code, "device": device, "severity": severity, "state": state}
        data |= {"at": utc(self.now if at is None else at), "cause": None, "suppressed": False, "evidence": {}}
        return self.says("alarm", "ATMExceptionAdvice", data | more, at=at)

    def advice(
        self, status: str = "SCSS", *, notes: int = 3, at: int | None = None, failure: str | None = None, **more: Any
    ) -> tuple[str, bytes]:
        number = self.seq["txn"] + 1
        data: dict[str, Any] = {"transactionId": f"{self.name}-{number:08d}", "transactionStatus": status, "reconciles": False}
        data["requestedAmount"] = {"minor": 30_000, "currency": "CNY"}
        data["presentedAmount"] = None
        if status != "DOBT":
            data |= {"presented": "FULL" if status == "SCSS" else "NONE", "presentedAmount": {"minor": 30_000, "currency": "CNY"}}
            data["notes"] = [{"unit": "1", "minor": 10_000, "presented": notes if status == "SCSS" else 0, "rejected": 1}]
        if failure:
            data["failureReason"] = failure
        return self.says("txn", "ATMWithdrawalCompletionAdvice", data | more, at=at)

    def result(self, command_id: str, state: str, *, command: str = "status", at: int | None = None, **more: Any) -> tuple[str, bytes]:
        data = {"commandId": command_id, "command": command, "state": state, "result": None, "reason": "", "data": {}}
        data |= {"at": utc(self.now if at is None else at)}
        return self.says("cmd/resp", "ATMDeviceControlResult", data | more, at=at)
