"""``branch-terminal journal verify|show``: reads the journal beside the running agent, changes nothing.

Sealed entries (sealing.py) are opened when the data keys are there. Without them the chain is verified all the same, and it is said how
many entries were not looked into; `show` prints the rest of such an entry.

Exit codes: 0 the journal is whole (or was shown), 1 it is not, 2 it cannot be read.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from drivers.secret import Secret
from terminal.adapters.journal import JournalEntry, read_entries
from terminal.adapters.journal_chain import VerifyResult, verify_chain
from terminal.adapters.keys import KeyFileError, read_key
from terminal.adapters.sealing import DataKeys
from terminal.adapters.store_file import row_sealer

WHOLE, BROKEN, UNREADABLE = 0, 1, 2
HEAD_KEY_BYTES = 32
FOLLOW_EVERY_S = 0.25
MAX_SHOWN = 160


def verify(
    path: Path | str,
    *,
    as_json: bool = False,
    head_key_file: Path | None = None,
    head_key: Secret[bytes] | None = None,
    data_keys: DataKeys | None = None,
    anchor: str | None = None,
    out: TextIO | None = None,
) -> int:
    """Check the whole chain. `anchor`: ``number:hash`` as the bank was told (`journalseq`, `journalhash`)."""
    out = out or sys.stdout
    try:
        key = head_key if head_key_file is None else read_key(head_key_file, HEAD_KEY_BYTES)
        result = _verify(Path(path), key, data_keys, None if anchor is None else _anchor(anchor))
    except (KeyFileError, ValueError, OSError, sqlite3.Error) as error:
        return _unreadable(path, error, as_json, out)
    print(json.dumps(asdict(result)) if as_json else _verdict(Path(path), result), file=out)
    return WHOLE if result.ok else BROKEN


def show(
    path: Path | str,
    *,
    after_seq: int = 0,
    last: int | None = None,
    kinds: Sequence[str] | None = None,
    transaction_id: str | None = None,
    follow: bool = False,
    as_json: bool = False,
    data_keys: DataKeys | None = None,
    out: TextIO | None = None,
) -> int:
    """Print entries, one a line; `last` only the newest so many numbers; `follow` until interrupted (Ctrl-C, closed pipe)."""
    out = out or sys.stdout
    try:
        with closing(open_read_only(Path(path))) as database:
            if last is not None:
                ((newest,),) = database.execute("SELECT COALESCE(MAX(seq), 0) FROM journal").fetchall()
                after_seq = max(after_seq, newest - last)
            for entry in _following(database, after_seq, kinds, transaction_id, data_keys, follow):
                print(json.dumps(asdict(entry), ensure_ascii=False) if as_json else _line(entry), file=out, flush=follow)
    except (KeyboardInterrupt, BrokenPipeError):
        return WHOLE
    except (ValueError, OSError, sqlite3.Error) as error:
        return _unreadable(path, error, as_json, out)
    return WHOLE


def open_read_only(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. FileNotFoundError, or sqlite3.Error when it is no store."""
    if not path.is_file():
        raise FileNotFoundError("there is no such file")
    uri = f"{path.resolve().as_uri()}?mode=ro"
    try:
        return _opened(uri)
    except sqlite3.OperationalError:
        if Path(f"{path}-wal").exists():
            raise
        # nobody has it open (no write-ahead log), and this user may not make one: read the file as it lies there
        return _opened(f"{uri}&immutable=1")


def _opened(uri: str) -> sqlite3.Connection:
    database = sqlite3.connect(uri, uri=True, timeout=5.0, isolation_level=None)
    try:
        database.execute("SELECT seq FROM journal LIMIT 1").fetchone()
    except sqlite3.Error:
        database.close()
        raise
    return database


def _verify(path: Path, key: Secret[bytes] | None, data_keys: DataKeys | None, anchor: tuple[int, str] | None) -> VerifyResult:
    with closing(open_read_only(path)) as database:
        return verify_chain(database, key, anchor, sealer=row_sealer(database, data_keys))


def _following(
    database: sqlite3.Connection,
    after_seq: int,
    kinds: Sequence[str] | None,
    transaction_id: str | None,
    data_keys: DataKeys | None,
    follow: bool,
) -> Iterator[JournalEntry]:
    sealer = row_sealer(database, data_keys)
    while True:
        for entry in read_entries(database, after_seq, kinds, transaction_id, sealer):
            after_seq = entry.seq
            yield entry
        if not follow:
            return
        time.sleep(FOLLOW_EVERY_S)


def _anchor(text: str) -> tuple[int, str]:
    number, colon, hash_ = text.partition(":")
    if not colon or not number.isdecimal() or len(hash_) != 64:
        raise ValueError("an anchor is the entry's number, a colon and its hash (64 hex digits)")
    return int(number), hash_.lower()


def _verdict(path: Path, result: VerifyResult) -> str:
    if not result.ok:
        return f"{path}: the journal is NOT whole: {result.reason}. {result.entries} entries before it fit."
    if result.entries == 0:
        return f"{path}: the journal is whole and empty."
    sealed = "its head's seal fits" if result.sealed else "its head's seal was not checked (no head key given)"
    if result.unopened:
        sealed += f"; {result.unopened} sealed entries were not looked into (no data keys: see [keystore])"
    return f"{path}: the journal is whole: {result.entries} entries, the last is {result.entries}:{result.head_hash}; {sealed}."


def _line(entry: JournalEntry) -> str:
    data = " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in entry.data.items())
    if entry.sealed:
        data = f"(sealed with data key generation {entry.sealed})"
    data = data if len(data) <= MAX_SHOWN else f"{data[: MAX_SHOWN - 1]}…"
    return f"{entry.seq:>8}  {entry.at}  {entry.transaction_id or '-':<16}  {entry.kind}  {data}".rstrip()


def _unreadable(path: Path | str, error: Exception, as_json: bool, out: TextIO) -> int:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if isinstance(error, sqlite3.Error):
        reason = f"not a readable store ({error})"
    print(json.dumps({"ok": None, "reason": reason}) if as_json else f"{path}: {reason}.", file=out)
    return UNREADABLE
