"""All terminals in memory, one short line each, kept up to date from the database by one thread. The pages read from here.

Rows that changed are found by time, with some seconds of overlap (a transaction commits later than the moment it wrote), and by
revision; once a minute by revision alone, for a commit that took longer than that, or a clock that was set. `revision` of the
whole grows with every change, so that a page knows when to look again.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection, func, select

from kiosk_ui.monitor import alarms
from kiosk_ui.monitor.config import Config
from kiosk_ui.monitor.effects import SEVERITIES
from kiosk_ui.monitor.forecast import DAYS, empty_at
from kiosk_ui.monitor.grading import GRADES, Summary, judge, listen, summarise
from kiosk_ui.monitor.schema import CASH_HOUR, CUSTOMER_HOUR, RUN, TERMINAL

OVERLAP_MS = 5_000
SLOWLY_MS = 15_000
EVERY_ROW_MS = 60_000
FORECAST_MS = 30 * 60_000
HOUR_MS = 3_600_000
AT_ONCE = 500
FORECASTS_AT_ONCE = 200


class Fleet:
    """`refresh` in one thread, everything else from any."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._lines: dict[str, Summary] = {}
        self._seen_to = 0
        self._slow_at = 0
        self._every_row_at = 0
        self.revision = 0
        self.alarm_revision = 0

    # --- readers

    def lines(self) -> list[Summary]:
        """The worst first."""
        with self._lock:
            found = list(self._lines.values())
        return sorted(found, key=lambda one: (one.rank, one.terminal))

    def line(self, terminal: str) -> Summary | None:
        with self._lock:
            return self._lines.get(terminal)

    def offline(self) -> set[str]:
        with self._lock:
            return {name for name, one in self._lines.items() if one.offline}

    def overview(self, lines: Iterable[Summary], now: int) -> dict[str, int]:
        soon = now + self._config.threshold.cash_out_h * HOUR_MS
        found: Counter[str] = Counter(dict.fromkeys((*GRADES, "terminals", "cashOutSoon", "affected", "unacknowledged"), 0))
        for one in lines:
            found["terminals"] += 1
            found[one.grade] += 1
            found["cashOutSoon"] += one.cash_out_at is not None and one.cash_out_at <= soon
            found["affected"] += one.affected
            found["unacknowledged"] += one.unacknowledged
        return dict(found)

    # --- the thread that keeps it

    def refresh(self, connection: Connection, now: int, hearing_since: int | None) -> bool:
        """True when anything changed. `hearing_since`: see `grading.listen`."""
        fresh = self._changed(connection, now)
        changed = set(fresh)
        lines = {**self._lines, **fresh}
        for name, one in lines.items():
            silent = one.silent
            listen(one, now, self._config.threshold.silent_after_s, hearing_since)
            if one.silent != silent:
                changed.add(name)
        changed |= self._set_alarms(connection, lines, now)
        if now - self._slow_at >= SLOWLY_MS:
            self._slow_at = now
            changed |= self._set_slow(connection, lines, now)
        changed |= self._set_forecasts(connection, lines, now)
        for name, one in lines.items():
            before = one.grade, one.why, one.rank
            judge(one, now, self._config.threshold)
            if (one.grade, one.why, one.rank) != before:
                changed.add(name)
        with self._lock:
            self._lines = lines
            self.revision += bool(changed)
        return bool(changed)

    def _changed(self, connection: Connection, now: int) -> dict[str, Summary]:
        wanted = select(TERMINAL.c.terminal, TERMINAL.c.revision)
        if abs(now - self._every_row_at) < EVERY_ROW_MS:
            wanted = wanted.where(TERMINAL.c.changed_at >= self._seen_to - OVERLAP_MS)
        else:
            self._every_row_at = now
        due = [row.terminal for row in connection.execute(wanted) if self._revision(row.terminal) != row.revision]
        self._seen_to = now
        found = {}
        for start in range(0, len(due), AT_ONCE):
            part = select(TERMINAL).where(TERMINAL.c.terminal.in_(due[start : start + AT_ONCE]))
            for row in connection.execute(part):
                region = self._config.region_of(row.branch)
                found[row.terminal] = self._inherit(summarise(row.terminal, row.branch, region, row.revision, json.loads(row.picture)))
        return found

    def _revision(self, terminal: str) -> int:
        known = self._lines.get(terminal)
        return known.revision if known else -1

    def _inherit(self, one: Summary) -> Summary:
        """What is not in the picture."""
        old = self._lines.get(one.terminal)
        if old is not None:
            one.empty_at, one.forecast_at, one.forecast_counts = old.empty_at, old.forecast_at, old.forecast_counts
            one.open_alarms, one.unacknowledged, one.worst = old.open_alarms, old.unacknowledged, old.worst
            one.affected, one.blocked, one.silent = old.affected, old.blocked, old.silent
        return one

    def _set(self, lines: dict[str, Summary], of: Callable[[str], dict[str, Any]]) -> set[str]:
        changed = set()
        for name, one in lines.items():
            for field, value in of(name).items():
                if getattr(one, field) != value:
                    setattr(one, field, value)
                    changed.add(name)
        return changed

    def _set_alarms(self, connection: Connection, lines: dict[str, Summary], now: int) -> set[str]:
        tally = alarms.tally(connection, now, {name for name, one in lines.items() if one.offline})

        def of(name: str) -> dict[str, Any]:
            number, fresh, severities = tally.get(name, (0, 0, Counter[str]()))
            worst = next((severity for severity in SEVERITIES if severities[severity]), "")
            return {"open_alarms": number, "unacknowledged": fresh, "worst": worst}

        changed = self._set(lines, of)
        self.alarm_revision += bool(changed)
        return changed

    def _set_slow(self, connection: Connection, lines: dict[str, Summary], now: int) -> set[str]:
        day = select(CUSTOMER_HOUR.c.terminal, func.sum(CUSTOMER_HOUR.c.affected)).where(CUSTOMER_HOUR.c.hour > now // HOUR_MS - 24)
        affected = {name: int(n) for name, n in connection.execute(day.group_by(CUSTOMER_HOUR.c.terminal))}
        waiting = now - self._config.ingest.adopt_after_s * 1000 / 2
        blocked = set(
            connection.execute(
                select(RUN.c.terminal).where(RUN.c.blocked_since < waiting, RUN.c["class"].in_(("audit", "alarm")))
            ).scalars()
        )
        return self._set(lines, lambda name: {"affected": affected.get(name, 0), "blocked": name in blocked})

    def _set_forecasts(self, connection: Connection, lines: dict[str, Summary], now: int) -> set[str]:
        due = []
        for one in lines.values():
            counts = tuple(unit.count for unit in one.units)
            if counts and (now - one.forecast_at > FORECAST_MS or (counts != one.forecast_counts and now - one.forecast_at > SLOWLY_MS)):
                due.append(one)
        due = sorted(due, key=lambda one: one.forecast_at)[:FORECASTS_AT_ONCE]
        if not due:
            return set()
        used: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        clause = CASH_HOUR.c.terminal.in_([one.terminal for one in due]), CASH_HOUR.c.hour >= now // HOUR_MS - 24 * DAYS
        for row in connection.execute(select(CASH_HOUR).where(*clause)):
            used[row.terminal, row.unit].append((row.hour, row.notes))
        changed = set()
        for one in due:
            ends = {unit.unit: empty_at(unit.count, used[one.terminal, unit.unit], now) for unit in one.units if unit.count is not None}
            found = {unit: at for unit, at in ends.items() if at is not None}
            if {unit: at // 600_000 for unit, at in found.items()} != {unit: at // 600_000 for unit, at in one.empty_at.items()}:
                changed.add(one.terminal)
            one.empty_at, one.forecast_at, one.forecast_counts = found, now, tuple(unit.count for unit in one.units)
        return changed
