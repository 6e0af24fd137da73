"""The electronic journal: what an entry is, how entries are chained, what may never stand in one, how to read. Verified in journal_chain.

Hash chain: ``hash = SHA-256(canonical JSON of {at, data, hash-of-the-previous as prev_hash, kind, seq, transaction_id})``.
Canonical JSON here is `json.dumps(sort_keys, separators=(",", ":"), ensure_ascii=False)` in UTF-8 of plain JSON values with
string keys. The first `prev_hash` is SHA-256 over the terminal's id and the moment of the store's creation.

A sealed entry (sealing.py) is chained by its digest: the string ``sealed/1 {digest}`` stands for its data. So the chain is verified
without the key, and sealing the same content under another key changes nothing in it; with the key every sealed entry is opened too.

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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drivers.secret import Secret
from terminal.adapters.sealing import RowSealer, SealError, generation_of, is_sealed_entry

PAGE = 256
COLUMNS = "SELECT seq, at, kind, transaction_id, data, prev_hash, hash FROM journal"
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
    """An entry as it stands. `at` is UTC ISO 8601 with milliseconds. `sealed`: `data` could not be read, by want of this key generation."""

    seq: int
    at: str
    kind: str
    transaction_id: str | None
    data: dict[str, Any]
    prev_hash: str
    hash: str
    sealed: int = 0


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(value: Any) -> str:
    """The one spelling of a JSON value that is hashed. ValueError for NaN and infinities."""
    return _CANONICAL.encode(value)


def genesis_hash(terminal_id: str, created: str) -> str:
    """`prev_hash` of entry 1: ties the chain to this terminal and this creation of the store."""
    return hashlib.sha256(canonical(["smart-branch/journal/v1", terminal_id, created]).encode()).hexdigest()


def entry_hash(seq: int, at: str, kind: str, transaction_id: str | None, data: Mapping[str, Any] | str, prev_hash: str) -> str:
    """The hash of one entry; see the module's text. `data` is a string for a sealed one."""
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
    if isinstance(value, str):
        return plain_text(value, where)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Secret):
        raise SecretInJournal(where, "a secret value")
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, (dict, Mapping)):  # the concrete types first: asking an abstract one costs much more
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"{where}: a key must be a string, not {type(key).__name__}")
            plain_text(key, f"a key of {where}")
        return {key: plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return plain(list(value), where)
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


def read_entries(
    database: sqlite3.Connection,
    after_seq: int = 0,
    kinds: Iterable[str] | None = None,
    transaction_id: str | None = None,
    sealer: RowSealer | None = None,
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
        rows = database.execute(f"{COLUMNS} WHERE seq > ?{conditions} ORDER BY seq LIMIT {PAGE}", (after_seq, *values)).fetchall()
        for row in rows:
            yield journal_entry(row, sealer)
        if len(rows) < PAGE:
            return
        after_seq = rows[-1][0]


def last_entry(database: sqlite3.Connection, kind: str, sealer: RowSealer | None = None) -> JournalEntry | None:
    """The newest entry of `kind`."""
    row = database.execute(f"{COLUMNS} WHERE kind = ? ORDER BY seq DESC LIMIT 1", (kind,)).fetchone()
    return None if row is None else journal_entry(row, sealer)


def journal_entry(row: Sequence[Any], sealer: RowSealer | None = None) -> JournalEntry:
    """A row as an entry. ValueError when `data` is not the JSON object that was written (SealError when a sealed one does not open).

    Without `sealer` a sealed entry has no data, and `sealed` names the key that it wants.
    """
    if is_sealed_entry(row[4]):
        try:
            data = {} if sealer is None else sealer.open_entry(row[0], row[4])
        except SealError as error:
            raise SealError(f"journal entry {row[0]}: {error}") from None
        return JournalEntry(row[0], row[1], row[2], row[3], data, row[5], row[6], generation_of(row[4]) if sealer is None else 0)
    data = json.loads(row[4])
    if not isinstance(data, dict):
        raise ValueError("data is not an object")
    return JournalEntry(row[0], row[1], row[2], row[3], data, row[5], row[6])
