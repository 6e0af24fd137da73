"""What the benches' terminals say: messages of the contract, with figures that grow by a number."""

from __future__ import annotations

from typing import Any

from terminal.adapters.clock import iso_ms, utc_now
from terminal.adapters.outbox import Outgoing
from terminal.fleet.counts import Counts
from terminal.fleet.health import Facts, agent

MINOR, NOTES = 10_000, 3
TELEMETRY_LIVES_S = 7 * 86_400.0


def advice(terminal: str, number: int) -> Outgoing:
    """A customer got three notes of 100."""
    money = {"minor": MINOR * NOTES, "currency": "CNY"}
    data: dict[str, Any] = {
        "transactionId": f"{terminal}-{number:08d}",
        "transactionStatus": "SCSS",
        "presented": "FULL",
        "requestedAmount": money,
        "presentedAmount": money,
        "notes": [{"unit": "1", "minor": MINOR, "presented": NOTES, "rejected": 0}],
        "reconciles": False,
    }
    return Outgoing("txn", "txn", "ATMWithdrawalCompletionAdvice", data)


def cash(number: int) -> Outgoing:
    """The counters of cash unit 1 after the customer of this number."""
    count = 2_000 - number * NOTES % 2_000
    data = {
        "unit": "1",
        "minor": MINOR,
        "currency": "CNY",
        "initial": 2_000,
        "presented": 2_000 - count,
        "rejected": 0,
        "unknown": 0,
        "count": count,
        "accuracy": "accurate",
        "status": "ok",
        "replenishmentStatus": "ok",
        "lowThreshold": 50,
    }
    return Outgoing("audit", "event", "CashUnitChanged", data)


def device(number: int) -> Outgoing:
    """The printer comes and goes."""
    states = [{"device": "online", "detail": ""}, {"device": "offline", "detail": "link"}]
    data = {"device": "printer", "from": states[number % 2], "to": states[1 - number % 2]}
    return Outgoing("audit", "event", "DeviceStatusChanged", data)


def alarm(terminal: str, number: int) -> Outgoing:
    """Raised and returned by turns."""
    data: dict[str, Any] = {
        "alarmId": f"{terminal}/deviceOffline/printer/{number // 2}",
        "alarm": "deviceOffline",
        "device": "printer",
        "severity": "major",
        "state": "raised" if number % 2 == 0 else "returned",
        "at": iso_ms(utc_now()),
        "cause": None,
        "suppressed": False,
        "evidence": {},
    }
    return Outgoing("alarm", "alarm", "ATMExceptionAdvice", data)


def telemetry(started_at: str) -> Outgoing:
    """A minute's report, as the terminal's own reporter makes it."""
    counts, timings, refused = Counts().take()
    data = {"period_s": 60.0, "counts": counts, "timings_ms": timings, "refused": refused, "agent": agent(Facts("0.1.0", started_at))}
    return Outgoing("telemetry", "telemetry", "TelemetryReport", data, expires_s=TELEMETRY_LIVES_S)


def report(started_at: str) -> dict[str, Any]:
    """The retained state: every device well, four cash units."""
    devices = ("cardReader", "pinPad", "cashDispenser", "printer", "faceVerifier", "page")
    unit = cash(0).data
    return {
        "service": "inService",
        "reasons": [],
        "since": started_at,
        "devices": {name: {"device": "online", "detail": "", "restarts": 0} for name in devices},
        "cashUnits": [{**unit, "unit": str(one), "minor": minor} for one, minor in enumerate((10_000, 5_000, 2_000, 1_000), 1)],
        "latched": None,
        "agent": agent(Facts("0.1.0", started_at)),
    }
