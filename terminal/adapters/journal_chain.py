"""Verifying the journal: the whole chain, or its last entries and the head (journal.py says what the chain shows and what it does not)."""

from __future__ import annotations

import hmac
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drivers.secret import Secret
from terminal.adapters.journal import COLUMNS, TRIGGERS, canonical, entry_hash, genesis_hash, head_mac, journal_entry
from terminal.adapters.sealing import RowSealer, SealError, chained_as, is_sealed_entry


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """`ok` with `first_bad_seq` None, or the first entry that does not fit and a sentence. `sealed`: the head's HMAC was checked.

    `unopened`: entries whose content was not looked at, as they are sealed and no keys were given.
    """

    ok: bool
    entries: int
    head_hash: str
    first_bad_seq: int | None
    reason: str
    sealed: bool = False
    unopened: int = 0


def verify_chain(
    database: sqlite3.Connection,
    head_key: Secret[bytes] | None = None,
    anchor: tuple[int, str] | None = None,
    progress: Callable[[int], None] = lambda seq: None,
    sealer: RowSealer | None = None,
) -> VerifyResult:
    """Walk the whole chain in one read transaction. `anchor`: a (seq, hash) that the bank has seen and that must be in it."""
    database.execute("BEGIN")
    try:
        return _verify(database, head_key, anchor, progress, sealer)
    finally:
        database.execute("ROLLBACK")


def _verify(
    database: sqlite3.Connection,
    head_key: Secret[bytes] | None,
    anchor: tuple[int, str] | None,
    progress: Callable[[int], None],
    sealer: RowSealer | None,
) -> VerifyResult:
    meta = dict(database.execute("SELECT name, value FROM meta").fetchall())
    previous, count, unopened = genesis_hash(meta.get("terminal_id", ""), meta.get("created", "")), 0, 0

    def bad(seq: int, reason: str) -> VerifyResult:
        return VerifyResult(False, count, previous, seq, reason)

    anchored = anchor is None or anchor[0] == 0
    for row in database.execute(f"{COLUMNS} ORDER BY seq"):
        reason = _entry_fault(row, count + 1, previous, sealer)
        if reason:
            return bad(count + 1, reason)
        count, previous = row[0], row[6]
        unopened += sealer is None and is_sealed_entry(row[4])
        if anchor is not None and count == anchor[0]:
            anchored = hmac.compare_digest(previous, anchor[1])
            if not anchored:
                return bad(count, f"entry {count} is not the one whose hash the bank was told")
        progress(count)
    head = database.execute("SELECT seq, hash, mac FROM head").fetchone()
    reason = _head_fault(head, count, previous, head_key, meta.get("terminal_id", ""))
    if reason:
        return bad(count + 1, reason)
    if not anchored and anchor is not None:
        return bad(count + 1, f"the journal ends at entry {count}, but the bank was told of entry {anchor[0]}: its end was removed")
    names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    if missing := [name for name in TRIGGERS if name not in names]:
        return VerifyResult(False, count, previous, None, f"the guard {', '.join(missing)} against changing entries was removed")
    return VerifyResult(True, count, previous, None, "", head_key is not None, unopened)


def tail_fault(database: sqlite3.Connection, head_key: Secret[bytes] | None, number: int, sealer: RowSealer | None = None) -> str:
    """What is wrong with the last `number` entries and the head, or "": for every opening, where the whole chain takes too long."""
    meta = dict(database.execute("SELECT name, value FROM meta").fetchall())
    rows = database.execute(f"{COLUMNS} ORDER BY seq DESC LIMIT ?", (number + 1,)).fetchall()[::-1]
    if len(rows) <= number:
        count, previous = 0, genesis_hash(meta.get("terminal_id", ""), meta.get("created", ""))
    else:
        count, previous = rows[0][0], rows[0][6]
        rows = rows[1:]
    for row in rows:
        if reason := _entry_fault(row, count + 1, previous, sealer):
            return reason
        count, previous = row[0], row[6]
    head = database.execute("SELECT seq, hash, mac FROM head").fetchone()
    return _head_fault(head, count, previous, head_key, meta.get("terminal_id", ""))


def _entry_fault(row: Sequence[Any], expected: int, previous: str, sealer: RowSealer | None) -> str:
    if row[0] != expected:
        return f"entry {expected} is missing (the next one is {row[0]})"
    try:
        chained: Mapping[str, Any] | str
        if is_sealed_entry(row[4]):
            chained, stored = chained_as(row[4]), True
        else:
            chained = journal_entry(row).data
            stored = canonical(chained) == row[4]
        found = entry_hash(row[0], row[1], row[2], row[3], chained, row[5])
    except (ValueError, TypeError, AttributeError, RecursionError):
        return f"entry {expected} cannot be read"
    if row[5] != previous:
        return f"entry {expected} does not follow the entry before it"
    if found != row[6] or not stored:
        return f"entry {expected} was changed: its hash does not fit"
    return _seal_fault(row, sealer)


def _seal_fault(row: Sequence[Any], sealer: RowSealer | None) -> str:
    if sealer is None or not is_sealed_entry(row[4]):
        return ""
    try:
        sealer.open_entry(row[0], row[4])
    except SealError as error:
        return f"entry {row[0]}: {error}"
    return ""


def _head_fault(head: Sequence[Any] | None, count: int, last: str, key: Secret[bytes] | None, terminal_id: str) -> str:
    if head is None:
        return "the record of the journal's head is gone"
    if (head[0], head[1]) != (count, last):
        return f"the journal ends at entry {count}, but its head says {head[0]}: entries were removed or added at the end"
    if key is not None and not hmac.compare_digest(str(head[2]), head_mac(key, terminal_id, count, last)):
        return "the seal of the journal's head is not made with this terminal's head key"
    return ""
