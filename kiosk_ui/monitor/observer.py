"""The server's own thread: keeps the fleet's lines, raises the offline alarm, gives up gaps, throws away what is old."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from sqlalchemy import Connection, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from kiosk_ui.monitor import alarms
from kiosk_ui.monitor.audit import MONITOR, Who, record
from kiosk_ui.monitor.config import Config
from kiosk_ui.monitor.contract import ACKNOWLEDGED
from kiosk_ui.monitor.database import Database, first_line
from kiosk_ui.monitor.fleet import Fleet
from kiosk_ui.monitor.log import now_ms, say
from kiosk_ui.monitor.ranges import Ranges
from kiosk_ui.monitor.retention import prepare_days, throw_away
from kiosk_ui.monitor.schema import RUN, TERMINAL

EVERY_S = 0.5
ALARMS_EVERY_S = 5.0
ADOPT_EVERY_S = 20.0
THROW_AWAY_EVERY_S = 3600.0
REPEATS = 3


class Ingest(Protocol):
    """`hearing_since`: ms since 1970 from when on every worker has heard and stored; None while one does not."""

    @property
    def hearing_since(self) -> int | None: ...

    def running(self) -> bool:
        """Every worker is there."""


class Observer:
    def __init__(self, config: Config, database: Database, fleet: Fleet, ingest: Ingest) -> None:
        self._config, self._database, self._fleet, self._ingest = config, database, fleet, ingest
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        self._due = {"alarms": 0.0, "adopt": 0.0, "old": 0.0}
        self.fault = ""
        self.refreshed_at = 0

    def start(self) -> None:
        self._thread.start()

    def alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self.turn(now_ms(), time.monotonic())
                self.fault = ""
            except SQLAlchemyError as error:
                if not self.fault:
                    say(f"the database: {first_line(error)}")
                self.fault = first_line(error)
            self._over.wait(EVERY_S)

    def turn(self, now: int, moment: float) -> None:
        hearing_since = self._ingest.hearing_since
        with self._database.read() as connection:
            self._fleet.refresh(connection, now, hearing_since)
        self.refreshed_at = now
        if self._is_due("alarms", moment, ALARMS_EVERY_S):
            self._offline_alarms(now, hearing_since)
        if self._is_due("adopt", moment, ADOPT_EVERY_S):
            with self._database.write() as connection:
                adopt(connection, now, int(self._config.ingest.adopt_after_s * 1000))
        if self._is_due("old", moment, THROW_AWAY_EVERY_S):
            with self._database.write() as connection:
                prepare_days(connection, self._config.retention, now)
            if throw_away(self._database, self._config.retention, now, int(self._config.server.session_hours * 3_600_000)):
                self._due["old"] = moment  # the pages come between two parts

    def _is_due(self, what: str, moment: float, every_s: float) -> bool:
        if moment < self._due[what]:
            return False
        self._due[what] = moment + every_s
        return True

    def _offline_alarms(self, now: int, hearing_since: int | None) -> None:
        """None is raised until the ingest has been hearing for as long as an alarm waits: a terminal's word may be on its way."""
        wait = self._config.threshold.offline_alarm_after_s * 1000
        lines = self._fleet.lines()
        since = {one.terminal: one.heard if one.silent else one.link_at for one in lines if one.offline and one.link != "unknown"}
        due = {} if hearing_since is None else {name: at for name, at in since.items() if now - max(at, hearing_since) >= wait}
        away = {one.terminal for one in lines if one.offline or one.unsure}
        with self._database.write() as connection:
            alarms.keep_offline_alarms(connection, due, away, now)


def adopt(connection: Connection, now: int, after_ms: int) -> list[str]:
    """Gives up numbers that a terminal no longer has (they were acknowledged elsewhere, or the database here was lost). It sends from
    its oldest on and again until it is acknowledged, so it does not have them when what lies behind the gap came again and again
    while they did not, or when new numbers still come after all that time.
    """
    long_ago = RUN.c.blocked_since < now - after_ms
    gone = or_(RUN.c.repeats >= REPEATS, RUN.c.changed_at - RUN.c.blocked_since > after_ms)
    wanted = select(RUN).where(long_ago, gone, RUN.c["class"].in_(ACKNOWLEDGED))
    return [
        accept_gap(connection, row.terminal, row._mapping["class"], row.epoch, MONITOR, now) for row in connection.execute(wanted).all()
    ]


def accept_gap(connection: Connection, terminal: str, klass: str, epoch: int, who: Who, now: int) -> str:
    """The first missing numbers of this run are declared lost, and recorded; "" when none is missing."""
    connection.execute(select(TERMINAL.c.terminal).where(TERMINAL.c.terminal == terminal).with_for_update())  # as the ingest does
    clause = RUN.c.terminal == terminal, RUN.c["class"] == klass, RUN.c.epoch == epoch
    row = connection.execute(select(RUN).where(*clause).with_for_update()).first()
    ranges = Ranges.parse(row.ranges) if row is not None else Ranges()
    missing = ranges.fill_gap()
    if missing is None:
        return ""
    since = now if ranges.gap else None
    connection.execute(update(RUN).where(*clause).values(ranges=str(ranges), blocked_since=since, repeats=0, changed_at=now))
    detail = {"class": klass, "epoch": epoch, "from": missing[0], "to": missing[1]}
    record(connection, who, "gap.accept", terminal, detail, now)
    return f"{terminal}/{klass}/{epoch}: {missing[0]}-{missing[1]}"
