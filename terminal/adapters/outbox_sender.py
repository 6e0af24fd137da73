"""The outbox as its sender sees it: on connections of its own, reading and deleting, in the thread of the bank link."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from terminal.adapters.outbox import (
    ACKNOWLEDGED,
    BUSY_TIMEOUT_S,
    Bounds,
    Level,
    OutboxClass,
    OutboxRow,
    levels,
    telemetry_path,
)
from terminal.adapters.sealing import RowSealer, SealError, is_sealed_payload

Complaint = Callable[[str, str], None]


class Outbox:
    """The sender's view, on connections of its own. Every method may raise sqlite3.Error.

    It only reads and deletes. Its deletions are not fsynced: one that the power takes back is a message sent twice, with the
    same key.

    Sealed rows are opened on the way out. One that does not open, or is not sealed in a store that seals, is not sent and not
    deleted: `complain` hears of it once (topic, sentence), and those behind it go on.
    """

    def __init__(
        self,
        path: Path,
        bounds: Bounds | None = None,
        sealer: RowSealer | None = None,
        complain: Complaint = lambda topic, why: None,
    ) -> None:
        self._bounds = bounds or Bounds()
        self._sealer, self._complain = sealer, complain
        self._refused: set[tuple[str, int, int]] = set()
        self._main = _connect(path)
        self._telemetry = self._connect_telemetry(path)

    def _connect_telemetry(self, path: Path) -> sqlite3.Connection:
        return _connect(telemetry_path(path))

    def _of(self, klass: OutboxClass) -> sqlite3.Connection:
        return self._telemetry if klass == "telemetry" else self._main

    def pending(self, klass: OutboxClass, after: tuple[int, int], limit: int) -> list[OutboxRow]:
        """Rows after a position (epoch, seq), oldest first."""
        statement = "SELECT * FROM outbox WHERE class = ? AND (epoch, seq) > (?, ?) ORDER BY epoch, seq LIMIT ?"
        readable: list[OutboxRow] = []
        while (wanted := limit - len(readable)) > 0:
            rows = [OutboxRow(*row) for row in self._of(klass).execute(statement, (klass, *after, wanted))]
            readable += [found for row in rows if (found := self._opened(row)) is not None]
            if len(rows) < wanted:
                break
            after = rows[-1].position
        return readable

    def row(self, klass: OutboxClass, position: tuple[int, int]) -> OutboxRow | None:
        statement = "SELECT * FROM outbox WHERE class = ? AND epoch = ? AND seq = ?"
        row = self._of(klass).execute(statement, (klass, *position)).fetchone()
        return None if row is None else self._opened(OutboxRow(*row))

    def newest(self, klass: OutboxClass) -> tuple[int, int]:
        """The position of the youngest row; (0, 0) when there is none."""
        statement = "SELECT epoch, seq FROM outbox WHERE class = ? ORDER BY epoch DESC, seq DESC LIMIT 1"
        row = self._of(klass).execute(statement, (klass,)).fetchone()
        return (0, 0) if row is None else (row[0], row[1])

    def assigned(self, klass: OutboxClass) -> dict[int, int]:
        """Per epoch the last number given out."""
        return dict(self._of(klass).execute("SELECT epoch, last_seq FROM sequence WHERE class = ?", (klass,)).fetchall())

    def settle(self, klass: OutboxClass, epoch: int, upto: int) -> int:
        """The bank has them: delete; how many there were."""
        statement = "DELETE FROM outbox WHERE class = ? AND epoch = ? AND seq <= ?"
        return self._of(klass).execute(statement, (klass, epoch, upto)).rowcount

    def forget(self, klass: OutboxClass, position: tuple[int, int]) -> None:
        """Delete one row (telemetry: acknowledged by the broker, or expired)."""
        self._of(klass).execute("DELETE FROM outbox WHERE class = ? AND epoch = ? AND seq = ?", (klass, *position))

    def _opened(self, row: OutboxRow) -> OutboxRow | None:
        sealed = is_sealed_payload(row.payload)
        if row.klass not in ACKNOWLEDGED or (self._sealer is None and not sealed):
            return row
        try:
            if self._sealer is None:
                raise SealError("it is sealed, and there are no data keys")
            if not sealed:
                raise SealError("it is not sealed, but this store seals: it was put there by another hand")
            return replace(row, payload=self._sealer.open_payload(row.klass, row.epoch, row.seq, row.topic, row.payload))
        except SealError as error:
            if (row.klass, *row.position) not in self._refused:
                self._refused.add((row.klass, *row.position))
                self._complain(row.topic, f"outbox row {row.klass}/{row.epoch}/{row.seq} is kept and not sent: {error}")
            return None

    def levels(self) -> dict[OutboxClass, Level]:
        return levels(self._main, ACKNOWLEDGED, self._bounds) | levels(self._telemetry, ("telemetry",), self._bounds)

    def close(self) -> None:
        self._main.close()
        self._telemetry.close()


def _connect(path: Path) -> sqlite3.Connection:
    # mode=rw: a store that is not there is the store's business to make or to miss, never the sender's
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    database.execute("PRAGMA synchronous = NORMAL")
    return database
