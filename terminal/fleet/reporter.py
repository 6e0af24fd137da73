"""Tells the bank how the terminal is: the retained `state`, what changed in it as events, and telemetry now and then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from terminal.adapters.outbox import Outgoing
from terminal.adapters.store import Kept
from terminal.core import events as e
from terminal.core.model import State
from terminal.fleet.counts import Counts
from terminal.fleet.health import Facts, agent, health, service_of
from terminal.fleet.post import TELEMETRY_LIVES_S, Post
from terminal.fleet.wear import KINDS, Score, watch

SPACE = "wear"


class Reporter:
    def __init__(self, post: Post) -> None:
        self._post = post
        self.counts = Counts()
        self._since, self._service = post.at, ""
        self._published: dict[str, Any] = {}
        self._told: dict[str, Any] = {}
        """What the bank was last told by events: devices and cash units."""
        self._publish_at, self._owed = post.now, False
        self._telemetry_at = post.now + post.settings.telemetry_s
        self._telemetry_from = post.now
        for name, value in post.kept(SPACE).items():
            if name in KINDS:
                post.wear[name] = Score(name, **value)

    # --- counting

    def saw(self, event: e.Event, before: State) -> None:
        self.counts.saw(event, before, self._post.state, self._post.now)
        service = service_of(self._post.state)
        if service != self._service:
            self._service, self._since = service, self._post.at

    # --- the retained state, and its changes as events

    def look(self, facts: Facts) -> None:
        """Publish what changed, not more often than every `state_every_s`; tell devices and cash units as events."""
        now, report = self._post.now, self.health(facts)
        self._tell_changes(report)
        changed = _without_agent(report) != _without_agent(self._published)
        self._owed = changed and now < self._publish_at
        if changed and not self._owed:
            self._publish_at = now + self._post.settings.state_every_s
            self._published = report
            self._post.agent.ports.link.report(report)

    def connected(self, facts: Facts) -> None:
        """A new connection publishes what is there: let it be fresh."""
        self._published = self.health(facts)
        self._post.agent.ports.link.report(self._published)

    def health(self, facts: Facts) -> dict[str, Any]:
        return health(self._post.state, facts, self._since)

    def next_publication(self) -> float | None:
        """A change that came too soon after the last publication is published then; None when there is none."""
        return self._publish_at if self._owed else None

    def _tell_changes(self, report: Mapping[str, Any]) -> None:
        told = {"devices": report["devices"], "cashUnits": {unit["unit"]: unit for unit in report["cashUnits"]}}
        if told == self._told or not self._post.may_write:
            return
        messages = [Outgoing("audit", "event", type_, data) for type_, data in _changes(self._told, told)]
        if not messages or self._post.agent.record([], messages):
            self._told = told

    # --- telemetry

    def next_telemetry(self) -> float:
        return self._telemetry_at

    def telemetry(self, facts: Facts) -> None:
        """Counts and times since the last one; wear is watched on the way."""
        now, settings = self._post.now, self._post.settings
        if now < self._telemetry_at or not self._post.may_write:
            return
        period_s, self._telemetry_from, self._telemetry_at = now - self._telemetry_from, now, now + settings.telemetry_s
        counts, timings, refused = self.counts.take()
        data = {"period_s": round(period_s, 1), "counts": counts, "timings_ms": timings, "refused": refused, "agent": agent(facts)}
        message = Outgoing("telemetry", "telemetry", "TelemetryReport", data, expires_s=TELEMETRY_LIVES_S)
        self._post.agent.record([], [message], self._worn(counts))

    def _worn(self, counts: Mapping[str, int]) -> list[Kept]:
        kept = []
        for kind in KINDS.values():
            before = self._post.wear.get(kind.name, Score(kind.name))
            usual = self._post.settings.usual.get(kind.name, kind.per_opportunity)
            after = watch(before, counts[kind.seen], counts[kind.opportunities], usual, self._post.at)
            if after != before:
                self._post.wear[kind.name] = after
                fields = {name: value for name, value in asdict(after).items() if name != "name"}
                kept.append(Kept(SPACE, kind.name, fields))
        return kept


def _without_agent(report: Mapping[str, Any]) -> dict[str, Any]:
    """Of the agent's own figures only the configuration's version is worth a publication."""
    found = {name: value for name, value in report.items() if name != "agent"}
    return {**found, "configuration": report.get("agent", {}).get("configurationVersion")}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A device that comes up well at the agent's start, or is not there, has not changed: `state` says so."""
    known, units = before.get("devices", {}), before.get("cashUnits", {})
    for name, one in after["devices"].items():
        old = known.get(name, {"device": "starting", "detail": ""})
        to = {"device": one["device"], "detail": one["detail"]}
        was = {"device": old["device"], "detail": old["detail"]}
        came_up = was["device"] == "starting" and to["device"] in ("online", "noDevice") and not to["detail"]
        if to != was and not came_up:
            yield "DeviceStatusChanged", {"device": name, "from": was, "to": to}
    for unit, counted in after["cashUnits"].items():
        if units and units.get(unit) != counted:
            yield "CashUnitChanged", dict(counted)
