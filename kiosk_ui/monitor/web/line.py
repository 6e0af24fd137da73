"""A terminal's line as the API shows it (schema `Line` of openapi.json)."""

from __future__ import annotations

from typing import Any

from kiosk_ui.monitor.grading import Summary, Unit


def unit_view(unit: Unit, empty_at: int | None) -> dict[str, Any]:
    return {
        "unit": unit.unit,
        "minor": unit.minor,
        "currency": unit.currency,
        "count": unit.count,
        "initial": unit.initial,
        "accuracy": unit.accuracy,
        "status": unit.status,
        "replenishmentStatus": unit.replenishment,
        "emptyAt": empty_at,
    }


def line_view(one: Summary) -> dict[str, Any]:
    return {
        "terminal": one.terminal,
        "branch": one.branch,
        "region": one.region,
        "grade": one.grade,
        "why": list(one.why),
        "link": "offline" if one.offline else "online",
        "linkAt": one.heard if one.silent else one.link_at,
        "heard": one.heard,
        "service": one.service,
        "since": one.since,
        "reasons": list(one.reasons),
        "latched": one.latched,
        "devices": dict(one.devices),
        "units": [unit_view(unit, one.empty_at.get(unit.unit)) for unit in one.units],
        "cashOutAt": one.cash_out_at,
        "version": one.version,
        "waiting": one.waiting,
        "alarms": one.open_alarms,
        "unacknowledged": one.unacknowledged,
        "worst": one.worst,
        "affected": one.affected,
        "clockOffsetMs": one.clock_offset_ms,
        "certificateDaysLeft": one.certificate_days,
        "messagesMissing": one.blocked,
    }
