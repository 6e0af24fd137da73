"""The store as a file: numbers and keys that never come twice, damage and full disks that are named, an outbox with bounds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from store_at_noon import HEAD_KEY, NOON, filled, open_store

from terminal.adapters.journal import Entry
from terminal.adapters.outbox import Bounds, Outgoing, telemetry_path
from terminal.adapters.store import Store
from terminal.adapters.store_file import StoreCorrupt, StoreFailed, StoreInUse, StoreMismatch


def test_transaction_numbers_never_come_twice(tmp_path: Path) -> None:
    store = open_store(tmp_path, first_transaction_number=7)
    assert [store.next_transaction_number() for _ in range(3)] == [7, 8, 9]
    store.close()
    store = open_store(tmp_path, first_transaction_number=7)
    assert store.next_transaction_number() == 10
    store.close()


def test_a_lost_store_is_replaced_by_one_whose_numbers_and_keys_are_new(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    used, epoch = [store.next_transaction_number() for _ in range(50)], store.epoch
    store.close()
    for file in tmp_path.iterdir():
        file.unlink()
    later = datetime.fromtimestamp(NOON.timestamp() + 3600, UTC)
    store = open_store(tmp_path, wall_clock=lambda: later)
    assert store.created
    assert store.next_transaction_number() > max(used)
    assert store.epoch > epoch
    store.close()


def test_no_store_is_made_while_the_clock_is_not_set(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="Set the clock"):
        open_store(tmp_path, wall_clock=lambda: datetime(1970, 1, 1, tzinfo=UTC))
    assert not (tmp_path / "t.sqlite").exists()


def test_a_store_put_back_from_a_copy_gets_keys_of_its_own(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append([], [Outgoing("txn", "txn", "A", {})])
    epoch = store.epoch
    assert store.begin_epoch("restored") == epoch + 1
    store.append([], [Outgoing("txn", "txn", "B", {})])
    with closing(sqlite3.connect(tmp_path / "t.sqlite")) as database:
        assert database.execute("SELECT epoch, seq FROM outbox ORDER BY epoch").fetchall() == [(epoch, 1), (epoch + 1, 1)]
    store.close()
    store = open_store(tmp_path)
    assert store.epoch == epoch + 1
    store.close()


def test_a_damaged_store_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    path = filled(tmp_path)
    for content in (b"", b"not a database, whatever it may be" * 300):
        path.write_bytes(content)
        with pytest.raises(StoreCorrupt, match=r"t\.sqlite"):
            open_store(tmp_path)
        assert path.read_bytes() == content


def test_a_damaged_page_is_found_at_the_opening(tmp_path: Path) -> None:
    path = filled(tmp_path, 200)
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt):
        open_store(tmp_path)


def test_a_store_that_is_gone_while_its_log_is_there_is_not_made_anew(tmp_path: Path) -> None:
    (tmp_path / "t.sqlite-wal").write_bytes(b"x")
    with pytest.raises(StoreCorrupt, match="write-ahead log"):
        open_store(tmp_path)


def test_another_terminals_store_or_key_is_refused(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with pytest.raises(StoreMismatch, match="belongs to terminal T0001"):
        Store.open(path, "T0002", "B001")
    with pytest.raises(StoreMismatch, match="not sealed"):
        open_store(tmp_path, head_key=HEAD_KEY)
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as database:
        database.execute("CREATE TABLE x (y)")
    with pytest.raises(StoreMismatch, match="not a store"):
        Store.open(tmp_path / "other.sqlite", "T0001", "B001")


def test_only_one_has_it_open_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append([Entry("k", None, {})])
    with pytest.raises(StoreInUse):
        open_store(tmp_path)
    assert {file.name: file.stat().st_mode & 0o077 for file in tmp_path.iterdir() if file.stat().st_mode & 0o077} == {}
    store.close()
    store.close()
    open_store(tmp_path).close()


def test_a_full_disk_is_said_and_nothing_half_is_stored(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append([Entry("k", None, {})])
    database = store._database
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFailed, match="full"):
        store.append([Entry("big", None, {"text": "x" * 40_000})], [Outgoing("txn", "txn", "A", {"text": "x" * 40_000})])
    assert [e.kind for e in store.entries()] == ["k"]
    database.execute("PRAGMA max_page_count = 1000000")
    assert store.append([Entry("after", None, {})], [Outgoing("txn", "txn", "A", {})]) == [2]
    assert store.verify().ok
    store.close()


def test_classes_are_bounded_txn_never_and_sequences_stay_without_gaps(tmp_path: Path) -> None:
    store = open_store(tmp_path, bounds=Bounds(txn=10, audit=10, alarm=10, telemetry=10))
    for index in range(13):
        for klass, leaf in (("txn", "txn"), ("audit", "event"), ("alarm", "alarm"), ("telemetry", "telemetry")):
            store.append([Entry(klass, None, {"i": index})], [Outgoing(klass, leaf, "A", {"i": index})])  # type: ignore[arg-type]
    levels = store.outbox_levels()
    assert {klass: (level.rows, level.dropped, level.high) for klass, level in levels.items()} == {
        "txn": (13, 0, True),
        "audit": (10, 3, True),
        "alarm": (10, 3, True),
        "telemetry": (10, 3, True),
    }
    assert store.verify().entries == 52, "the journal keeps what the outbox could not take"
    with closing(sqlite3.connect(tmp_path / "t.sqlite")) as database:
        assert [seq for (seq,) in database.execute("SELECT seq FROM outbox WHERE class = 'audit' ORDER BY seq")] == list(range(1, 11))
    with closing(sqlite3.connect(telemetry_path(tmp_path / "t.sqlite"))) as database:
        assert [seq for (seq,) in database.execute("SELECT seq FROM outbox ORDER BY seq")] == list(range(4, 14))
    store.close()


def test_messages_that_must_be_acknowledged_do_not_expire_and_are_not_too_long(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="do not expire"):
        Outgoing("alarm", "alarm", "A", {}, expires_s=5)
    store = open_store(tmp_path)
    with pytest.raises(ValueError, match="bytes"):
        store.append([Entry("k", None, {})], [Outgoing("telemetry", "telemetry", "A", {"x": "现" * 30_000})])
    assert store.head[0] == 0
    store.close()


def test_damaged_telemetry_is_set_aside_with_a_warning_and_the_terminal_goes_on(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append([], [Outgoing("telemetry", "telemetry", "A", {})])
    store.close()
    telemetry_path(tmp_path / "t.sqlite").write_bytes(b"garbage" * 1000)
    store = open_store(tmp_path)
    assert "set" in store.warnings[0] or "damaged" in store.warnings[0]
    store.append([Entry("k", None, {})], [Outgoing("telemetry", "telemetry", "A", {})])
    assert store.outbox_levels()["telemetry"].rows == 1
    assert [file for file in tmp_path.iterdir() if "damaged" in file.name]
    store.close()


def test_telemetry_keys_are_new_after_every_opening(tmp_path: Path) -> None:
    for _ in range(3):
        store = open_store(tmp_path)
        store.append([], [Outgoing("telemetry", "telemetry", "A", {})])
        store.close()
    with closing(sqlite3.connect(telemetry_path(tmp_path / "t.sqlite"))) as database:
        rows = database.execute("SELECT epoch, seq FROM outbox ORDER BY epoch").fetchall()
    assert len({epoch for epoch, _ in rows}) == 3
    assert {seq for _, seq in rows} == {1}
