"""The electronic journal: what an entry is, how entries are chained, what may never stand in one, how to read and verify.

Hash chain: ``hash = SHA-256(canonical JSON of {at, data, hash-of-the-previous as prev_hash, kind, seq, transaction_id})``.
Canonical JSON here is `json.dumps(sort_keys, separators=(",", ":"), ensure_ascii=False)` in UTF-8 of plain JSON values with
string keys. The first `prev_hash` is SHA-256 over the terminal's id and the moment of the store's creation.

What the chain shows and what it does not:

- an entry edited, removed from the middle, inserted or swapped: `verify` names the first bad entry;
- entries removed at the end: the `head` row (number and hash of the last entry, with an HMAC when the store has a head key)
  no longer fits. Whoever can also write the head row AND holds the head key, or puts back an older copy of the whole file,
  is not found out by the file alone. For that every `txn`, `audit` and `alarm` message to the bank carries
  `journalseq` and `journalhash`: the bank knows a head that the shortened journal does not contain (`verify(anchor=...)`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drivers.secret import Secret

PAGE = 256
TRIGGERS = ("journal_no_update", "journal_no_delete")
_PAN = re.compile(r"(?<![0-9A-Za-z])(?:[0-9]{13,19}|[0-9]{4}(?: [0-9]{4}){2} [0-9]{1,7})(?![0-9A-Za-z])")
SHORTEST_PAN = 13
_TRACK2 = re.compile(r"(?<![0-9A-Za-z])([0-9]{13,19})[=Dd][0-9]{4}")


class SecretInJournal(ValueError):
    """A card number, track 2 or a `Secret` was about to be written. Nothing was. `where` names the field, never its value."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what} must not be journalled; nothing was written")
        self.where = where


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be journalled. `kind` is an event's or command's name; `data` holds plain JSON values only."""

    kind: str
    transaction_id: str | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """An entry as it stands. `at` is UTC ISO 8601 with milliseconds."""

    seq: int
    at: str
    kind: str
    transaction_id: str | None
    data: dict[str, Any]
    prev_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """`ok` with `first_bad_seq` None, or the first entry that does not fit and a sentence. `sealed`: the head's HMAC was checked."""

    ok: bool
    entries: int
    head_hash: str
    first_bad_seq: int | None
    reason: str
    sealed: bool = False


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(value: Any) -> str:
    """The one spelling of a JSON value that is hashed. ValueError for NaN and infinities."""
    return _CANONICAL.encode(value)


def genesis_hash(terminal_id: str, created: str) -> str:
    """`prev_hash` of entry 1: ties the chain to this terminal and this creation of the store."""
    return hashlib.sha256(canonical(["smart-branch/journal/v1", terminal_id, created]).encode()).hexdigest()


def entry_hash(seq: int, at: str, kind: str, transaction_id: str | None, data: Mapping[str, Any], prev_hash: str) -> str:
    """The hash of one entry; see the module's text."""
    fields = {"seq": seq, "at": at, "kind": kind, "transaction_id": transaction_id, "data": data, "prev_hash": prev_hash}
    return hashlib.sha256(canonical(fields).encode()).hexdigest()


def head_mac(key: Secret[bytes] | None, terminal_id: str, seq: int, hash_: str) -> str:
    """HMAC-SHA256 over the head; empty without a key."""
    if key is None:
        return ""
    return hmac.new(key.reveal(), canonical([terminal_id, seq, hash_]).encode(), hashlib.sha256).hexdigest()


def plain(value: Any, where: str) -> Any:
    """`value` as plain JSON (tuples become lists), checked for secrets on the way.

    SecretInJournal for a Secret, a card number (13 to 19 digits that satisfy Luhn, ISO/IEC 7812-1, standing alone or in groups
    of four) or track 2; ValueError for what JSON cannot carry. Digits inside a longer hex string are not looked at; a hex
    value of 7 to 9 bytes that happens to be all digits can look like a card number: write such values as ``0x...``.
    """
    if isinstance(value, Secret):
        raise SecretInJournal(where, "a secret value")
    if isinstance(value, str):
        return plain_text(value, where)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (dict, Mapping)):  # the concrete types first: asking an abstract one costs much more
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"{where}: a key must be a string, not {type(key).__name__}")
            plain_text(key, f"a key of {where}")
        return {key: plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple, Sequence)) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    raise ValueError(f"{where}: {type(value).__name__} is not a JSON value")


def plain_text(value: str, where: str) -> str:
    """`value`, when it holds neither a card number nor characters that UTF-8 cannot carry."""
    if len(value) >= SHORTEST_PAN:
        if any(_luhn(found.group().replace(" ", "")) for found in _PAN.finditer(value)):
            raise SecretInJournal(where, "a card number")
        if any(_luhn(found.group(1)) for found in _TRACK2.finditer(value)):
            raise SecretInJournal(where, "track 2 data")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{where}: the text holds half a surrogate pair") from None
    return str(value)


def _luhn(digits: str) -> bool:
    total = 0
    for index, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if index % 2 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return len(digits) <= 19 and total % 10 == 0


_COLUMNS = "SELECT seq, at, kind, transaction_id, data, prev_hash, hash FROM journal"


def read_entries(
    database: sqlite3.Connection, after_seq: int = 0, kinds: Iterable[str] | None = None, transaction_id: str | None = None
) -> Iterator[JournalEntry]:
    """Entries in order, a page at a time: no read transaction stays open between pages, so a slow reader holds nothing up."""
    wanted = None if kinds is None else list(kinds)
    conditions, values = "", []
    if wanted is not None:
        conditions += f" AND kind IN ({','.join('?' * len(wanted))})"
        values += wanted
    if transaction_id is not None:
        conditions += " AND transaction_id = ?"
        values.append(transaction_id)
    while True:
        rows = database.execute(f"{_COLUMNS} WHERE seq > ?{conditions} ORDER BY seq LIMIT {PAGE}", (after_seq, *values)).fetchall()
        for row in rows:
            yield journal_entry(row)
        if len(rows) < PAGE:
            return
        after_seq = rows[-1][0]


def last_entry(database: sqlite3.Connection, kind: str) -> JournalEntry | None:
    """The newest entry of `kind`."""
    row = database.execute(f"{_COLUMNS} WHERE kind = ? ORDER BY seq DESC LIMIT 1", (kind,)).fetchone()
    return None if row is None else journal_entry(row)


def journal_entry(row: Sequence[Any]) -> JournalEntry:
    """A row as an entry. ValueError when `data` is not the JSON object that was written."""
    data = json.loads(row[4])
    if not isinstance(data, dict):
        raise ValueError("data is not an object")
    return JournalEntry(row[0], row[1], row[2], row[3], data, row[5], row[6])


def verify_chain(
    database: sqlite3.Connection,
    head_key: Secret[bytes] | None = None,
    anchor: tuple[int, str] | None = None,
    progress: Callable[[int], None] = lambda seq: None,
) -> VerifyResult:
    """Walk the whole chain in one read transaction. `anchor`: a (seq, hash) that the bank has seen and that must be in it."""
    database.execute("BEGIN")
    try:
        return _verify(database, head_key, anchor, progress)
    finally:
        database.execute("ROLLBACK")


def _verify(
    database: sqlite3.Connection, head_key: Secret[bytes] | None, anchor: tuple[int, str] | None, progress: Callable[[int], None]
) -> VerifyResult:
    meta = dict(database.execute("SELECT name, value FROM meta").fetchall())
    previous, count = genesis_hash(meta.get("terminal_id", ""), meta.get("created", "")), 0

    def bad(seq: int, reason: str) -> VerifyResult:
        return VerifyResult(False, count, previous, seq, reason)

    anchored = anchor is None or anchor[0] == 0
    for row in database.execute(f"{_COLUMNS} ORDER BY seq"):
        reason = _entry_fault(row, count + 1, previous)
        if reason:
            return bad(count + 1, reason)
        count, previous = row[0], row[6]
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
    return VerifyResult(True, count, previous, None, "", head_key is not None)


def tail_fault(database: sqlite3.Connection, head_key: Secret[bytes] | None, number: int) -> str:
    """What is wrong with the last `number` entries and the head, or "": for every opening, where the whole chain takes too long."""
    meta = dict(database.execute("SELECT name, value FROM meta").fetchall())
    rows = database.execute(f"{_COLUMNS} ORDER BY seq DESC LIMIT ?", (number + 1,)).fetchall()[::-1]
    if len(rows) <= number:
        count, previous = 0, genesis_hash(meta.get("terminal_id", ""), meta.get("created", ""))
    else:
        count, previous = rows[0][0], rows[0][6]
        rows = rows[1:]
    for row in rows:
        if reason := _entry_fault(row, count + 1, previous):
            return reason
        count, previous = row[0], row[6]
    head = database.execute("SELECT seq, hash, mac FROM head").fetchone()
    return _head_fault(head, count, previous, head_key, meta.get("terminal_id", ""))


def _entry_fault(row: Sequence[Any], expected: int, previous: str) -> str:
    if row[0] != expected:
        return f"entry {expected} is missing (the next one is {row[0]})"
    try:
        entry = journal_entry(row)
        found = entry_hash(entry.seq, entry.at, entry.kind, entry.transaction_id, entry.data, entry.prev_hash)
    except (ValueError, TypeError, RecursionError):
        return f"entry {expected} cannot be read"
    if entry.prev_hash != previous:
        return f"entry {expected} does not follow the entry before it"
    intact = found == entry.hash and canonical(entry.data) == row[4]
    return "" if intact else f"entry {expected} was changed: its hash does not fit"


def _head_fault(head: Sequence[Any] | None, count: int, last: str, key: Secret[bytes] | None, terminal_id: str) -> str:
    if head is None:
        return "the record of the journal's head is gone"
    if (head[0], head[1]) != (count, last):
        return f"the journal ends at entry {count}, but its head says {head[0]}: entries were removed or added at the end"
    if key is not None and not hmac.compare_digest(str(head[2]), head_mac(key, terminal_id, count, last)):
        return "the seal of the journal's head is not made with this terminal's head key"
    return ""
