"""A batch of messages, applied in one transaction: each effect once, in whatever order and however often they come.

The rows of the batch's terminals are locked first, in the order of their names; everything else a message changes belongs to its
terminal, so two workers never meet on it. The caller commits, and only then answers what `Outcome` says.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, and_, select
from sqlalchemy.dialects import postgresql, sqlite

from kiosk_ui.monitor import picture as pictures
from kiosk_ui.monitor.contract import ACKNOWLEDGED, Message, Refused
from kiosk_ui.monitor.database import insert_rows, upsert
from kiosk_ui.monitor.effects import AlarmSaid, CustomerServed, Effect, ResultSaid, effect
from kiosk_ui.monitor.ingest_effects import keep_alarms, keep_customers, keep_results
from kiosk_ui.monitor.ranges import Ranges, TooManyGaps
from kiosk_ui.monitor.refusals import Refusal, keep_refusals
from kiosk_ui.monitor.retention import day_of
from kiosk_ui.monitor.schema import COUNTER, EVENT, RUN, TELEMETRY, TERMINAL

RunKey = tuple[str, str, int]
KNOWN_VERSION = 1


@dataclass(frozen=True, slots=True)
class Ack:
    base: str
    klass: str
    epoch: int
    upto: int


@dataclass(slots=True)
class Outcome:
    """`counts` by class and refusal reason; `acks` may be sent once the transaction is on disk."""

    acks: list[Ack] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Row:
    branch: str
    picture: pictures.Picture
    revision: int


@dataclass(slots=True)
class _Run:
    ranges: Ranges
    blocked_since: int | None
    repeats: int
    base: str = ""
    touched: bool = False


class Batch:
    """One use: `apply`, then `store`, inside one transaction. `clock` is ms since 1970.

    The batch's moment is the one at which its rows are locked, not the one at which it began to wait for them: the pages look for
    what changed by time, a little way back.
    """

    def __init__(self, connection: Connection, worker: int, clock: Callable[[], int], event_days: int) -> None:
        self._connection = connection
        self._worker = worker
        self._clock = clock
        self._now = clock()
        self._days = event_days
        self._rows: dict[str, _Row] = {}
        self._runs: dict[RunKey, _Run] = {}
        self._events: list[dict[str, Any]] = []
        self._telemetry: list[dict[str, Any]] = []
        self._effects: list[tuple[Message, Effect]] = []
        self._refused: list[Refusal] = []
        self.outcome = Outcome()

    def apply(self, messages: Sequence[Message], refused: Sequence[Refusal] = ()) -> None:
        """`refused`: what did not even read as an envelope."""
        self._refused.extend(refused)
        if messages:
            self._lock({one.terminal: one.branch for one in messages})
            self._now = self._clock()
            self._load_runs({(one.terminal, one.klass, one.epoch) for one in messages if one.klass})
        for message in messages:
            try:
                self._take(message)
            except Refused as error:
                self._refuse(message, error)

    def store(self, counted: Counter[str]) -> Outcome:
        """Everything to the tables. `counted`: more of the worker's own counters, kept in the same transaction."""
        connection, now = self._connection, self._now
        insert_rows(connection, EVENT, self._events)
        insert_rows(connection, TELEMETRY, self._telemetry)
        keep_alarms(connection, [(m, e) for m, e in self._effects if isinstance(e, AlarmSaid)], now)
        wrong = keep_results(connection, [(m, e) for m, e in self._effects if isinstance(e, ResultSaid)])
        for message, error in wrong:
            self._refuse(message, error)
        keep_customers(connection, [(m, e) for m, e in self._effects if isinstance(e, CustomerServed)])
        keep_refusals(connection, self._refused, now)
        self._store_runs()
        self._store_rows()
        for one in self._refused:
            self.outcome.counts[f"refused.{one.reason}"] += 1
        counts = self.outcome.counts + counted
        rows = [{"worker": self._worker, "name": name, "value": value} for name, value in counts.items()]
        upsert(connection, COUNTER, rows, changing=(), adding=("value",))
        return self.outcome

    def _lock(self, branches: dict[str, str]) -> None:
        names = sorted(branches)
        make = sqlite.insert if self._connection.dialect.name == "sqlite" else postgresql.insert
        found = self._select(names)
        missing = [name for name in names if name not in found]
        if missing:
            empty = json.dumps(pictures.empty())
            rows = [
                {"terminal": name, "branch": branches[name], "revision": 0, "changed_at": self._now, "picture": empty} for name in missing
            ]
            self._connection.execute(make(TERMINAL).on_conflict_do_nothing(), rows)
            found = self._select(names)
        self._rows = found

    def _select(self, names: list[str]) -> dict[str, _Row]:
        wanted = select(TERMINAL.c.terminal, TERMINAL.c.branch, TERMINAL.c.picture, TERMINAL.c.revision)
        wanted = wanted.where(TERMINAL.c.terminal.in_(names)).order_by(TERMINAL.c.terminal).with_for_update()
        return {row.terminal: _Row(row.branch, json.loads(row.picture), row.revision) for row in self._connection.execute(wanted)}

    def _load_runs(self, keys: Iterable[RunKey]) -> None:
        wanted = sorted(keys)
        if not wanted:
            return
        clause = and_(RUN.c.terminal.in_({key[0] for key in wanted}), RUN.c.epoch.in_({key[2] for key in wanted}))
        for row in self._connection.execute(select(RUN).where(clause)):
            self._runs[row.terminal, row._mapping["class"], row.epoch] = _Run(Ranges.parse(row.ranges), row.blocked_since, row.repeats)
        for key in wanted:
            self._runs.setdefault(key, _Run(Ranges(), None, 0))

    def _take(self, message: Message) -> None:
        row = self._rows[message.terminal]
        if message.klass and not self._first_time(message):
            self.outcome.counts[f"repeated.{message.klass}"] += 1
            pictures.heard(row.picture, message, self._now)
            return
        self.outcome.counts[f"taken.{message.klass or message.leaf}"] += 1
        refused: Refused | None = None
        try:
            self._change(row, message)
        except Refused as error:
            refused = error
        if message.klass == "telemetry" and refused is None:
            keys = ("day", "terminal", "epoch", "seq", "at", "data")
            at = pictures.believed(message.at, self._now)
            values = (day_of(at, self._now, self._days), message.terminal, message.epoch, message.seq, at, json.dumps(message.data))
            self._telemetry.append(dict(zip(keys, values, strict=True)))
        elif message.klass and message.klass != "telemetry":
            self._events.append(self._event(message, refused.reason if refused else ""))
        if refused is not None:
            raise refused

    def _change(self, row: _Row, message: Message) -> None:
        if message.version > KNOWN_VERSION:
            raise Refused("unknownVersion", f"version {message.version} of {message.type} is not known")
        found = effect(message, self._now)
        pictures.apply(row.picture, message, self._now)
        if found is not None:
            self._effects.append((message, found))
        pictures.heard(row.picture, message, self._now)
        if message.leaf == "state":
            row.branch = message.branch

    def _first_time(self, message: Message) -> bool:
        run = self._runs[message.terminal, message.klass, message.epoch]
        run.base = message.base
        try:
            new = run.ranges.add(message.seq, squeeze=message.klass not in ACKNOWLEDGED)
        except TooManyGaps:
            raise Refused("tooManyGaps", "too many numbers are missing before this one") from None
        gap = run.ranges.gap
        if gap is None:
            run.touched |= new or run.blocked_since is not None
            run.blocked_since, run.repeats = None, 0
        elif run.blocked_since is None:
            run.blocked_since, run.touched = self._now, True
        elif not new and message.seq == gap[1] + 1:
            run.repeats, run.touched = run.repeats + 1, True
        else:
            run.touched |= new
        if not new and message.klass in ACKNOWLEDGED:
            self._compare(message)
        return new

    def _compare(self, message: Message) -> None:
        """The same number with another content: kept, not applied, and acknowledged as the first one was."""
        where = and_(
            EVENT.c.day == self._day(message),
            EVENT.c.terminal == message.terminal,
            EVENT.c["class"] == message.klass,
            EVENT.c.epoch == message.epoch,
            EVENT.c.seq == message.seq,
        )
        known = self._connection.execute(select(EVENT.c.digest).where(where)).scalar()
        if known is not None and known != message.digest:
            self._refuse(message, Refused("reused", "this epoch and seq came before with another content"))

    def _event(self, message: Message, unread: str) -> dict[str, Any]:
        return {
            "day": self._day(message),
            "terminal": message.terminal,
            "class": message.klass,
            "epoch": message.epoch,
            "seq": message.seq,
            "type": message.type,
            "at": message.at,
            "received_at": self._now,
            "digest": message.digest,
            "unread": unread,
            "data": json.dumps(message.data),
        }

    def _day(self, message: Message) -> int:
        return day_of(message.at, self._now, self._days)

    def _refuse(self, message: Message, error: Refused) -> None:
        topic = f"{message.base}/{message.leaf}"
        self._refused.append(Refusal(topic, error.reason, error.detail, json.dumps({"id": message.id, "data": message.data}).encode()))

    def _store_runs(self) -> None:
        rows = []
        for (terminal, klass, epoch), run in self._runs.items():
            if run.base and klass in ACKNOWLEDGED and run.ranges.upto:
                self.outcome.acks.append(Ack(run.base, klass, epoch, run.ranges.upto))
            if run.touched:
                row = {"terminal": terminal, "class": klass, "epoch": epoch, "ranges": str(run.ranges)}
                rows.append(row | {"blocked_since": run.blocked_since, "repeats": run.repeats, "changed_at": self._now})
        upsert(self._connection, RUN, rows, changing=("ranges", "blocked_since", "repeats", "changed_at"))

    def _store_rows(self) -> None:
        rows = [
            {
                "terminal": name,
                "branch": row.branch,
                "revision": row.revision + 1,
                "changed_at": self._now,
                "picture": json.dumps(row.picture),
            }
            for name, row in self._rows.items()
        ]
        upsert(self._connection, TERMINAL, rows, changing=("branch", "revision", "changed_at", "picture"))
