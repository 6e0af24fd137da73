"""A terminal's health as the bank sees it: core state and facts in, the data of the `state` message and the alarms' conditions out. Pure.

Words: XFS4IoT Common.Status and Storage (device, status, replenishmentStatus, count accuracy); docs/bank-messages.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from terminal.core.cash import CashUnit
from terminal.core.model import Device, DeviceStatus, Phase, State
from terminal.core.service import reasons_out_of_service
from terminal.fleet.alarms import Condition
from terminal.fleet.wear import KINDS, Score

MIB = 1 << 20
NEAR_END = "nearEnd"
CONSUMABLES = frozenset({"paperLow"})
NO_FAULT = frozenset({"outOfServiceByOperator", "stopping"})
"""Reasons to be out of service that are nobody's fault."""


@dataclass(frozen=True, slots=True)
class Depth:
    """Of one outbox class: rows, its bound, and how many were dropped over the store's life."""

    rows: int
    capacity: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What the core does not know. None where it cannot be known."""

    version: str
    started_at: str
    uptime_s: int = 0
    page: str = "starting"
    restarts: Mapping[str, int] = field(default_factory=dict)
    outbox: Mapping[str, Depth] = field(default_factory=dict)
    disk_free_bytes: int | None = None
    clock_offset_ms: int | None = None
    certificate_days_left: int | None = None
    configuration_version: int = 0
    configuration_rolled_back: bool = False
    low_threshold: int = 0
    wear: Mapping[str, Score] = field(default_factory=dict)


def service_of(state: State) -> str:
    """A terminal that serves a customer is in service, whatever has gone wrong meanwhile."""
    return "outOfService" if state.phase in (Phase.UNKNOWN, Phase.RECOVERING, Phase.OUT_OF_SERVICE) else "inService"


def health(state: State, facts: Facts, since: str) -> dict[str, Any]:
    """The data of `state`, but for its own field `state`. `since`: when `service` last changed."""
    service = service_of(state)
    return {
        "service": service,
        "reasons": list(reasons_out_of_service(state)) if service == "outOfService" else [],
        "since": since,
        "devices": devices(state, facts),
        "cashUnits": cash_units(state, facts.low_threshold),
        "latched": None if state.latch is None else {"transactionId": state.latch.transaction_id, "cause": state.latch.reason},
        "agent": agent(facts),
    }


def devices(state: State, facts: Facts) -> dict[str, Any]:
    found = {
        device.value: {"device": one.status.value, "detail": one.detail, "restarts": facts.restarts.get(device.value, 0)}
        for device, one in state.devices.items()
    }
    return {**found, "page": {"device": facts.page, "detail": "", "restarts": facts.restarts.get("page", 0)}}


def cash_units(state: State, low_threshold: int) -> list[dict[str, Any]]:
    return [
        {
            "unit": unit.unit,
            "minor": unit.denomination_minor,
            "currency": state.config.currency,
            "initial": unit.initial,
            "presented": unit.presented,
            "rejected": unit.rejected,
            "unknown": unit.unknown,
            "count": unit.count,
            "accuracy": unit.accuracy.value,
            "status": "ok" if unit.usable else "inoperative",
            "replenishmentStatus": replenishment(unit, low_threshold, near_end(state)),
            "lowThreshold": low_threshold,
        }
        for unit in state.units
    ]


def near_end(state: State) -> frozenset[str]:
    """Cassettes that the dispenser's own sensor calls nearly empty."""
    known = state.devices.get(Device.DISPENSER)
    details = known.detail.split(",") if known else []
    return frozenset(one.removeprefix(NEAR_END) for one in details if one.startswith(NEAR_END))


def replenishment(unit: CashUnit, low_threshold: int, sensed: frozenset[str]) -> str:
    """XFS4IoT replenishmentStatus: empty by count, low by count (at the threshold already; XFS4IoT: below it) or by the sensor."""
    if unit.count == 0:
        return "empty"
    return "low" if unit.count <= low_threshold or unit.unit in sensed else "ok"


def agent(facts: Facts) -> dict[str, Any]:
    return {
        "version": facts.version,
        "startedAt": facts.started_at,
        "uptime_s": facts.uptime_s,
        "outbox": {klass: one.rows for klass, one in facts.outbox.items()},
        "dropped": {klass: one.dropped for klass, one in facts.outbox.items()},
        "diskFreeBytes": facts.disk_free_bytes,
        "clockOffsetMs": facts.clock_offset_ms,
        "certificateDaysLeft": facts.certificate_days_left,
        "configurationVersion": facts.configuration_version,
    }


# --- conditions of alarms


def conditions(state: State, facts: Facts) -> list[Condition]:
    """Everything that an alarm may be made of, as it is now."""
    return [*_device_conditions(state), *_cash_conditions(state, facts), *_agent_conditions(state, facts)]


def _device_conditions(state: State) -> Iterator[Condition]:
    for device, one in state.devices.items():
        name, evidence = device.value, {"detail": one.detail}
        if one.status is DeviceStatus.NO_DEVICE:
            continue
        if one.status is DeviceStatus.STARTING:  # nothing is known of it yet: what stood before the start stands
            for code in ("deviceOutOfService", "deviceOffline", "deviceFault", "deviceTampered", "consumableLow"):
                yield Condition(code, name)
            continue
        offline, online = one.status is DeviceStatus.OFFLINE, one.status is DeviceStatus.ONLINE
        yield Condition("deviceTampered", name, offline and one.detail == "tampered", evidence=evidence)
        yield Condition("deviceOutOfService", name, one.status is DeviceStatus.HARDWARE_ERROR, evidence=evidence)
        yield Condition("deviceOffline", name, offline, evidence=evidence)
        yield Condition("consumableLow", name, online and one.detail in CONSUMABLES, evidence=evidence)
        fault = online and device is Device.DISPENSER and not state.dispenser_ready and bool(one.detail)
        yield Condition("deviceFault", name, fault, evidence=evidence)


def _cash_conditions(state: State, facts: Facts) -> Iterator[Condition]:
    dispenser, latch = Device.DISPENSER.value, state.latch
    for code, reason in (("cashOutLatched", "outcomeUnknown"), ("dispenserBlocked", "dispenserFault")):
        holds = latch is not None and latch.reason == reason
        identity = latch.transaction_id if latch is not None and holds else None
        yield Condition(code, dispenser, holds, evidence={"cause": reason}, transaction_id=identity)
    reasons = reasons_out_of_service(state)
    yield Condition("noCash", None, "noCash" in reasons if not set(reasons) - {"noCash"} else None)
    for unit in cash_units(state, facts.low_threshold):
        name, status = f"cashUnit{unit['unit']}", unit["replenishmentStatus"]
        evidence = {"count": unit["count"], "accuracy": unit["accuracy"]}
        yield Condition("cashUnitEmpty", name, status == "empty", evidence=evidence)
        yield Condition("cashUnitLow", name, status == "low", evidence=evidence)
        yield Condition("cashUnitInoperative", name, unit["status"] == "inoperative", evidence=evidence)


def _agent_conditions(state: State, facts: Facts) -> Iterator[Condition]:
    reasons = reasons_out_of_service(state)
    starting = any(one.status is DeviceStatus.STARTING for one in state.devices.values())
    out = service_of(state) == "outOfService" and bool(set(reasons) - NO_FAULT)
    yield Condition("terminalOutOfService", None, None if out and starting else out, evidence={"reasons": list(reasons)})
    yield Condition("hostUnreachable", None, not state.link_up)
    fullest = max(facts.outbox.items(), key=lambda one: one[1].rows / one[1].capacity, default=None)
    percent = None if fullest is None else 100.0 * fullest[1].rows / fullest[1].capacity
    evidence = {} if fullest is None else {"class": fullest[0], "rows": fullest[1].rows, "capacity": fullest[1].capacity}
    yield Condition("outboxHigh", value=percent, evidence=evidence)
    free = facts.disk_free_bytes
    yield Condition("diskLow", value=None if free is None else free / MIB, evidence={"freeBytes": free})
    offset = facts.clock_offset_ms
    yield Condition("clockWrong", value=None if offset is None else abs(offset) / 1000, evidence={"offsetMs": offset})
    days = facts.certificate_days_left
    yield Condition("certificateExpiring", value=None if days is None else float(days), evidence={"daysLeft": days})
    rolled_back = {"version": facts.configuration_version}
    yield Condition("configurationRolledBack", None, facts.configuration_rolled_back, evidence=rolled_back)
    yield from _wear_conditions(facts)


def _wear_conditions(facts: Facts) -> Iterator[Condition]:
    """The worst of each device."""
    for device in sorted({kind.device for kind in KINDS.values()}):
        scores = [facts.wear.get(kind.name, Score(kind.name)) for kind in KINDS.values() if kind.device == device]
        worst = max(scores, key=lambda one: one.score)
        evidence = {
            "measure": worst.name, "score": round(worst.score, 2), "seen": worst.seen, "opportunities": worst.opportunities,
            "since": worst.since, "usualPer10000": round(KINDS[worst.name].per_opportunity * 10_000, 3),
        }  # fmt: skip
        yield Condition("serviceSoon", device, value=worst.score, evidence=evidence)
