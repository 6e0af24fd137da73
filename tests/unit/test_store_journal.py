"""The journal tells the truth: what is in it stays as written, what was touched is found, what is secret is refused."""

from __future__ import annotations

import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_at_noon import HEAD_KEY, NOON, filled, open_store

from drivers.secret import Secret
from terminal.adapters import journal_cli
from terminal.adapters.journal import Entry, SecretInJournal, entry_hash, genesis_hash, plain
from terminal.adapters.outbox import Outgoing
from terminal.adapters.store_file import StoreCorrupt, StoreMismatch


def tamper(path: Path, *statements: str) -> None:
    """What somebody with a SQLite shell can do."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("DROP TRIGGER journal_no_update")
        database.execute("DROP TRIGGER journal_no_delete")
        for statement in statements:
            database.execute(statement)
        for verb in ("update", "delete"):
            guard = f"BEFORE {verb} ON journal BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
            database.execute(f"CREATE TRIGGER journal_no_{verb} {guard}")


def test_an_event_and_its_message_are_stored_together_and_read_back(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert store.created
    numbers = store.append(
        [Entry("presented", "T0001-00000001", {"minor": 10000, "notes": (1, 2)}), Entry("cardEjected", "T0001-00000001", {})],
        [Outgoing("txn", "txn", "ATMWithdrawalCompletionAdvice", {"说明": "现金"})],
    )
    assert numbers == [1, 2]
    first, second = store.entries()
    assert (first.seq, first.kind, first.data, first.at) == (1, "presented", {"minor": 10000, "notes": [1, 2]}, "2026-11-22T12:00:00.123Z")
    assert second.prev_hash == first.hash
    assert store.head == (2, second.hash)
    with closing(sqlite3.connect(tmp_path / "t.sqlite")) as database:
        topic, payload = database.execute("SELECT topic, payload FROM outbox").fetchone()
    message = json.loads(payload)
    assert topic == "bank/v1/B001/T0001/txn"
    assert message["id"] == f"T0001/txn/{store.epoch}/1"
    assert (message["journalseq"], message["journalhash"]) == (2, second.hash)
    assert (message["data"], message["time"], message["source"]) == ({"说明": "现金"}, "2026-11-22T12:00:00.123Z", "bank/v1/B001/T0001")
    store.close()


def test_the_hash_is_the_one_written_down(tmp_path: Path) -> None:
    """Computed by hand: `printf '%s' '<the canonical text>' | sha256sum`."""
    assert genesis_hash("T0001", "2026-11-22T12:00:00.123Z") == "4b90d3f3643196559f73788105e817e0e66f3ca8da1c7dd6e9bdd328eacd84fb"
    assert (
        entry_hash(1, "2026-11-22T12:00:00.123Z", "presented", None, {"b": 1, "a": "现"}, "00")
        == "12583d558f34bae6383feb420e804e68ba0df253226efcd9ad0d0a9e2b3eb1f2"
    )


def test_reading_by_kind_transaction_and_checkpoint(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append([Entry("checkpoint", None, {}), Entry("a", "T0001-00000001", {}), Entry("b", "T0001-00000002", {})])
    assert [e.seq for e in store.entries(after_seq=1)] == [2, 3]
    assert [e.seq for e in store.entries(kinds=["a", "checkpoint"])] == [1, 2]
    assert [e.seq for e in store.entries(kinds=[])] == []
    assert [e.seq for e in store.entries(transaction_id="T0001-00000002")] == [3]
    assert [e.seq for e in store.since_last("nothing of this kind")] == [1, 2, 3]
    store.append([Entry("checkpoint", None, {}), Entry("c", None, {})])
    assert [e.kind for e in store.since_last("checkpoint")] == ["checkpoint", "c"]
    last = store.last("a")
    assert last is not None
    assert last.seq == 2
    assert store.last("z") is None
    store.close()


def test_many_entries_are_read_in_pages(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append([Entry("k", None, {"i": i}) for i in range(700)])
    assert [e.data["i"] for e in store.entries()] == list(range(700))
    assert store.verify().entries == 700
    store.close()


@pytest.mark.parametrize(
    ("statement", "bad"),
    [
        ("""UPDATE journal SET data = '{"minor":1}' WHERE seq = 3""", 3),
        ("""UPDATE journal SET data = '{"minor": 200}' WHERE seq = 3""", 3),
        ("UPDATE journal SET at = '2020-01-01T00:00:00.000Z' WHERE seq = 2", 2),
        ("UPDATE journal SET kind = 'rejected' WHERE seq = 6", 6),
        ("UPDATE journal SET transaction_id = NULL WHERE seq = 1", 1),
        ("UPDATE journal SET data = 'x' WHERE seq = 4", 4),
        ("UPDATE journal SET hash = prev_hash WHERE seq = 5", 5),
        ("DELETE FROM journal WHERE seq = 1", 1),
        ("DELETE FROM journal WHERE seq = 4", 4),
        ("DELETE FROM journal WHERE seq > 4", 5),
        ("DELETE FROM journal", 1),
        ("INSERT INTO journal SELECT seq + 1, at, kind, transaction_id, data, prev_hash, hash FROM journal WHERE seq = 6", 7),
        ("UPDATE meta SET value = 'T0002' WHERE name = 'terminal_id'", 1),
    ],
)
def test_whatever_is_touched_is_found(tmp_path: Path, statement: str, bad: int) -> None:
    path = filled(tmp_path)
    assert journal_cli.verify(path, out=io.StringIO()) == 0
    tamper(path, statement)
    out = io.StringIO()
    assert journal_cli.verify(path, as_json=True, out=out) == 1
    assert json.loads(out.getvalue())["first_bad_seq"] == bad


def test_two_swapped_entries_are_found(tmp_path: Path) -> None:
    path = filled(tmp_path)
    tamper(
        path,
        "UPDATE journal SET seq = 99 WHERE seq = 2",
        "UPDATE journal SET seq = 2 WHERE seq = 3",
        "UPDATE journal SET seq = 3 WHERE seq = 99",
    )
    out = io.StringIO()
    assert journal_cli.verify(path, out=out) == 1
    assert "entry 2 does not follow the entry before it" in out.getvalue()


def test_a_store_whose_end_was_cut_is_not_opened(tmp_path: Path) -> None:
    path = filled(tmp_path)
    tamper(path, "DELETE FROM journal WHERE seq = 6")
    with pytest.raises(StoreCorrupt, match="removed or added at the end"):
        open_store(tmp_path)


def cut_with_forged_head(path: Path) -> None:
    cut = "DELETE FROM journal WHERE seq > 4"
    tamper(path, cut, "UPDATE head SET seq = 4, hash = (SELECT hash FROM journal WHERE seq = 4)")


def test_a_forged_head_is_found_by_its_seal(tmp_path: Path) -> None:
    path = filled(tmp_path, head_key=HEAD_KEY)
    cut_with_forged_head(path)
    with pytest.raises(StoreCorrupt, match="seal"):
        open_store(tmp_path, head_key=HEAD_KEY)


def test_without_a_seal_a_forged_head_is_found_by_what_the_bank_was_told(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with closing(sqlite3.connect(path)) as database:
        (payload,) = database.execute("SELECT payload FROM outbox ORDER BY seq DESC LIMIT 1").fetchone()
    told = json.loads(payload)
    cut_with_forged_head(path)
    out = io.StringIO()
    assert journal_cli.verify(path, out=out) == 0, "the file alone cannot show it"
    assert journal_cli.verify(path, anchor=f"{told['journalseq']}:{told['journalhash']}", out=out) == 1
    assert "its end was removed" in out.getvalue()


def test_a_journal_rewritten_as_a_whole_is_found_by_what_the_bank_was_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    told = open_store(tmp_path / "a")
    told.append([Entry("dispensed", None, {"minor": 5})])
    anchor = f"{told.head[0]}:{told.head[1]}"
    told.close()
    path = filled(tmp_path)
    out = io.StringIO()
    assert journal_cli.verify(path, anchor=anchor, out=out) == 1
    assert "not the one whose hash the bank was told" in out.getvalue()


def test_sqlite_itself_refuses_to_change_an_entry(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with closing(sqlite3.connect(path)) as database:
        for statement in ("UPDATE journal SET data = '{}'", "DELETE FROM journal"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                database.execute(statement)


def test_removed_guards_are_found(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TRIGGER journal_no_delete")
    out = io.StringIO()
    assert journal_cli.verify(path, out=out) == 1
    assert "journal_no_delete" in out.getvalue()
    with pytest.raises(StoreMismatch, match="removed"):
        open_store(tmp_path)


PAN = "6228480000000015"


@pytest.mark.parametrize(
    "data",
    [
        {"pan": Secret(PAN)},
        {"deep": [{"er": (Secret(b"x"),)}]},
        {"pan": PAN},
        {"text": f"card {PAN} refused"},
        {"text": "6228 4800 0000 0015"},
        {"track2": f"{PAN}=3012201"},
        {"track2": f"{PAN}D3012201123F"},
        {PAN: 1},
    ],
)
def test_a_secret_is_refused_before_anything_is_written(tmp_path: Path, data: dict[str, Any]) -> None:
    store = open_store(tmp_path)
    clean = Entry("k", None, {})
    for entries, outgoing in (
        ([clean, Entry("leak", None, data)], []),
        ([clean], [Outgoing("txn", "txn", "Leak", data)]),
        ([clean], [Outgoing("telemetry", "telemetry", "Leak", data)]),
    ):
        with pytest.raises(SecretInJournal) as caught:
            store.append(entries, outgoing)
        assert PAN not in str(caught.value).replace(" ", "")
    with pytest.raises(SecretInJournal):
        store.append([Entry("k", PAN, {})])
    assert list(store.entries()) == []
    assert all(level.rows == 0 for level in store.outbox_levels().values())
    store.close()


@pytest.mark.parametrize("value", ["6228480000000016", "622848******0015", "T0001-00000001", "1" * 20, "9f2608" + PAN + "9f10", "0x" + PAN])
def test_what_is_not_a_card_number_is_kept(value: str) -> None:
    assert plain({"v": value}, "e") == {"v": value}


@pytest.mark.parametrize("value", [b"bytes", {1: 2}, {"x": object()}, "\ud800", NOON, {1, 2}])
def test_what_json_cannot_carry_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="e"):
        plain({"v": value}, "e")


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(value=JSON_VALUES)
def test_any_json_hashes_the_same_after_it_was_stored(value: Any) -> None:
    try:
        data = plain({"v": value}, "e")
    except SecretInJournal:
        return
    stored = json.loads(json.dumps(data, ensure_ascii=False))
    assert entry_hash(1, "t", "k", None, stored, "") == entry_hash(1, "t", "k", None, {"v": value}, "")


def test_show_prints_sentences_and_json_while_the_agent_runs(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append([Entry("presented", "T0001-00000001", {"minor": 10000}), Entry("tick", None, {"说": "好"})])
    path, out = tmp_path / "t.sqlite", io.StringIO()
    assert journal_cli.show(path, out=out) == 0
    assert journal_cli.show(path, kinds=["tick"], as_json=True, out=out) == 0
    assert journal_cli.show(path, last=1, out=out) == 0
    assert journal_cli.verify(path, out=out) == 0
    lines = out.getvalue().splitlines()
    assert "presented  minor=10000" in lines[0]
    assert json.loads(lines[2])["data"] == {"说": "好"}
    assert "tick" in lines[3]
    assert "whole: 2 entries" in lines[4]
    store.close()


def test_show_reads_a_resting_store_and_says_what_cannot_be_read(tmp_path: Path) -> None:
    path, out = filled(tmp_path), io.StringIO()
    assert journal_cli.show(path, transaction_id="T0001-00000003", out=out) == 0
    assert len(out.getvalue().splitlines()) == 1
    (tmp_path / "text").write_text("hello")
    assert journal_cli.show(tmp_path / "nowhere", out=out) == 2
    assert journal_cli.show(tmp_path / "text", out=out) == 2
    assert journal_cli.verify(path, anchor="nonsense", out=out) == 2
    assert journal_cli.verify(tmp_path / "nowhere", as_json=True, out=out) == 2
    said = out.getvalue().splitlines()
    assert "no such file" in said[1]
    assert "not a readable store" in said[2]
