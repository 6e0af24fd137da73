"""Data at rest: nothing is read without the key; a row that was moved, cut, forged or taken from elsewhere is refused."""

from __future__ import annotations

import base64
import io
import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.secret import Secret
from terminal.adapters import journal_cli
from terminal.adapters.journal import Entry, canonical, entry_hash
from terminal.adapters.outbox import Outgoing
from terminal.adapters.outbox_sender import Outbox
from terminal.adapters.resealing import generations
from terminal.adapters.sealing import DataKeys, KeyMissing, RowSealer, SealError
from terminal.adapters.shipper import Shipper, ShippingPolicy
from terminal.adapters.store import Store
from terminal.adapters.store_file import StoreCorrupt, StoreMismatch

NOON = datetime(2026, 11, 22, 12, 0, 0, 123_000, tzinfo=UTC)
ONE, TWO = Secret(bytes(range(32))), Secret(bytes(range(32, 64)))
FIRST = DataKeys(1, {1: ONE})
SECOND = DataKeys(2, {1: ONE, 2: TWO})
MARK = "9F2608A1B2C3D4"


def open_store(folder: Path, keys: DataKeys | None = FIRST, **options: Any) -> Store:
    return Store.open(folder / "t.sqlite", "T0001", "B001", wall_clock=lambda: NOON, data_keys=keys, **options)


def fill(store: Store, number: int = 4, first: int = 0) -> None:
    for index in range(first, first + number):
        transaction = f"T0001-{index:08d}"
        advice = Outgoing("txn", "txn", "ATMWithdrawalCompletionAdvice", {"transactionId": transaction, "iccRelatedData": MARK})
        store.append([Entry("transactionSettled", transaction, {"minor": 100 * index, "icc": MARK})], [advice])


def filled(folder: Path, keys: DataKeys | None = FIRST, number: int = 4) -> Path:
    store = open_store(folder, keys)
    fill(store, number)
    store.close()
    return folder / "t.sqlite"


def change(path: Path, statement: str, *values: Any) -> None:
    """What somebody with a SQLite shell can do."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        guards = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            database.execute(f"DROP TRIGGER {name}")
        database.execute(statement, values)
        for _, sql in guards:
            database.execute(sql)


def column(path: Path, statement: str) -> Any:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(statement).fetchone()[0]


def verdict(path: Path, keys: DataKeys | None) -> tuple[int, dict[str, Any]]:
    out = io.StringIO()
    code = journal_cli.verify(path, as_json=True, data_keys=keys, out=out)
    return code, json.loads(out.getvalue())


def test_what_is_sealed_is_nowhere_in_the_files_and_reads_back_whole(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fill(store)
    store.append([Entry("checkpoint", None, {"units": [MARK]})], [Outgoing("audit", "event", "DeviceStatusChanged", {"device": MARK})])
    assert [entry.data["icc"] for entry in store.entries(kinds=["transactionSettled"])] == [MARK] * 4
    last = store.last("checkpoint")
    assert last is not None and last.data == {"units": [MARK]} and store.verify().ok
    with closing(Outbox(tmp_path / "t.sqlite", sealer=store.sealer)) as outbox:
        assert [json.loads(row.payload)["data"]["iccRelatedData"] for row in outbox.pending("txn", (0, 0), 9)] == [MARK] * 4
        assert json.loads(outbox.pending("audit", (0, 0), 9)[0].payload)["data"] == {"device": MARK}
    raw = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"transactionSettled" in raw, "the kind is not secret"
    for secret in (MARK.encode(), b"iccRelatedData", b"units", ONE.reveal(), base64.b64encode(MARK.encode())):
        assert secret not in raw
    store.close()


def test_what_the_machine_did_is_readable_without_a_key_unless_it_names_a_transaction(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append(
        [
            Entry("deviceLost", None, {"device": "printer"}),
            Entry("deviceFault", "T0001-00000001", {"device": "printer"}),
            Entry("aKindOfNextYear", None, {"who": "somebody"}),
        ]
    )
    store.close()
    out = io.StringIO()
    assert journal_cli.show(tmp_path / "t.sqlite", out=out) == 0
    lost, fault, unknown = out.getvalue().splitlines()
    assert 'device="printer"' in lost
    assert "sealed with data key generation 1" in fault and "printer" not in fault
    assert "sealed with data key generation 1" in unknown
    out = io.StringIO()
    assert journal_cli.show(tmp_path / "t.sqlite", data_keys=FIRST, out=out) == 0
    assert "sealed with" not in out.getvalue() and 'who="somebody"' in out.getvalue()


def test_the_chain_is_verified_without_the_key_and_more_with_it(tmp_path: Path) -> None:
    path = filled(tmp_path)
    code, said = verdict(path, None)
    assert (code, said["ok"], said["unopened"]) == (0, True, 4)
    code, said = verdict(path, FIRST)
    assert (code, said["unopened"]) == (0, 0)
    out = io.StringIO()
    journal_cli.verify(path, out=out)
    assert "4 sealed entries were not looked into (no data keys" in out.getvalue()
    code, said = verdict(path, DataKeys(2, {2: TWO}))
    assert code == 1 and "generation 1, which the keystore does not hold" in said["reason"]


DATA = "(SELECT data FROM journal WHERE seq = 2)"


@pytest.mark.parametrize(
    ("statement", "bad", "needs_key"),
    [
        (f"UPDATE journal SET data = {DATA} WHERE seq = 3", 3, False),  # another row's, digest and all
        (f"UPDATE journal SET data = substr(data, 1, 74) || substr({DATA}, 75) WHERE seq = 3", 3, True),  # only its content
        ("UPDATE journal SET data = substr(data, 1, 120) WHERE seq = 2", 2, True),  # cut
        ("UPDATE journal SET data = substr(data, 1, 80) WHERE seq = 2", 2, True),
        ("UPDATE journal SET data = 'sealed/1 ' WHERE seq = 2", 2, False),
        ("UPDATE journal SET data = replace(data, ' 1 ', ' 2 ') WHERE seq = 2", 2, True),  # another generation
        ("UPDATE journal SET data = '{}' WHERE seq = 2", 2, False),
        ("""UPDATE journal SET data = '"' || substr(data, 1, 73) || '"' WHERE seq = 2""", 2, False),  # the digest instead of the content
    ],
)
def test_a_sealed_entry_that_was_touched_is_found(tmp_path: Path, statement: str, bad: int, needs_key: bool) -> None:
    path = filled(tmp_path)
    change(path, statement)
    code, said = verdict(path, FIRST)
    assert (code, said["first_bad_seq"]) == (1, bad), said
    assert verdict(path, None)[0] == (0 if needs_key else 1)
    with pytest.raises(StoreCorrupt, match=f"entry {bad}"):
        open_store(tmp_path)


def test_an_entry_of_another_store_does_not_open(tmp_path: Path) -> None:
    """The same terminal, the same key, the same number."""
    mine = filled(tmp_path / "a")
    store = Store.open(tmp_path / "b.sqlite", "T0001", "B001", wall_clock=lambda: NOON.replace(hour=13), data_keys=FIRST)
    fill(store)
    store.close()
    theirs = column(tmp_path / "b.sqlite", "SELECT data FROM journal WHERE seq = 4")
    change(mine, "UPDATE journal SET data = substr(data, 1, 74) || ? WHERE seq = 4", theirs[74:])
    with pytest.raises(StoreCorrupt, match="entry 4: it does not open: it was changed, cut, or belongs to another row or another store"):
        open_store(tmp_path / "a")


def test_a_chain_made_anew_over_forged_content_is_found_with_the_key(tmp_path: Path) -> None:
    """Somebody who can compute hashes, but cannot seal, writes an entry as a plain one: the head's key is what finds that."""
    head_key = Secret(bytes(32))
    store = open_store(tmp_path, head_key=head_key)
    fill(store, 1)
    store.close()
    path = tmp_path / "t.sqlite"
    previous = column(path, "SELECT prev_hash FROM journal WHERE seq = 1")
    forged = {"minor": 999_900}
    hash_ = entry_hash(1, "2026-11-22T12:00:00.123Z", "transactionSettled", "T0001-00000000", forged, previous)
    change(path, "UPDATE journal SET data = ?, hash = ?", canonical(forged), hash_)
    change(path, "UPDATE head SET hash = ?", hash_)
    with pytest.raises(StoreCorrupt, match="the seal of the journal's head"):
        open_store(tmp_path, head_key=head_key)


def test_a_sealed_store_wants_its_keys(tmp_path: Path) -> None:
    filled(tmp_path)
    with pytest.raises(StoreMismatch, match="its rows are sealed, and there is no keystore in the configuration"):
        open_store(tmp_path, None)
    with pytest.raises(StoreCorrupt, match="generation 1, which the keystore does not hold"):
        open_store(tmp_path, DataKeys(2, {2: TWO}))
    with pytest.raises(StoreCorrupt, match="entry 1: it does not open"):
        open_store(tmp_path, DataKeys(1, {1: TWO}))
    open_store(tmp_path).close()


# --- messages


def shipped(path: Path, store: Store) -> tuple[list[int], list[str]]:
    """The numbers that a shipper takes, and what was complained of."""
    said: list[str] = []
    with closing(Outbox(path, sealer=store.sealer, complain=lambda topic, why: said.append(f"{topic}: {why}"))) as outbox:
        shipper = Shipper(outbox, ShippingPolicy(drain_per_s=1000.0))
        shipper.connected(0.0)
        taken = [row.seq for row in shipper.take(0.0, 0.0, 3)]
        while more := shipper.take(1.0, 0.0, 3):
            taken += [row.seq for row in more]
        shipper.connected(2.0)
        shipper.take(2.0, 0.0, 3)
        return taken, said


OTHER = "(SELECT payload FROM outbox WHERE seq = 5)"


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (OTHER, "it does not open"),
        ("CAST(substr(payload, 1, 40) AS BLOB)", "it does not open"),
        ("CAST(substr(payload, 1, 12) AS BLOB)", "it is cut short"),
        ("X''", "neither a message nor a sealed one"),
        ("X'7B7D'", "not sealed, but this store seals: it was put there by another hand"),
        ("CAST('sealed/1 9 0123456789012345678901234567890123456789' AS BLOB)", "generation 9, which the keystore does not hold"),
    ],
)
def test_a_message_that_does_not_open_is_kept_and_told_and_holds_nobody_up(tmp_path: Path, payload: str, why: str) -> None:
    path = filled(tmp_path, number=9)
    change(path, f"UPDATE outbox SET payload = {payload} WHERE seq IN (2, 3, 4)")
    store = open_store(tmp_path)
    taken, said = shipped(path, store)
    assert taken == [1, 5, 6, 7, 8, 9]
    assert len(said) == 3, "each once, also after a new connection"
    assert re.fullmatch(r"bank/v1/B001/T0001/txn: outbox row txn/\d+/2 is kept and not sent: .*", said[0]) and why in said[0]
    assert column(path, "SELECT count(*) FROM outbox") == 9, "nothing is lost"
    store.close()


def test_a_message_under_another_topic_does_not_open(tmp_path: Path) -> None:
    path = filled(tmp_path, number=1)
    change(path, "UPDATE outbox SET topic = 'bank/v1/B001/T0002/txn'")
    store = open_store(tmp_path)
    taken, said = shipped(path, store)
    assert taken == [] and len(said) == 1
    store.close()


# --- beginning, and new keys


def test_a_store_that_was_not_sealed_is_from_now_on(tmp_path: Path) -> None:
    path = filled(tmp_path, None)
    assert MARK.encode() in column(path, "SELECT payload FROM outbox")
    store = open_store(tmp_path)
    fill(store, 1, first=4)
    assert [entry.data["icc"] for entry in store.entries()] == [MARK] * 5 and store.verify().ok
    with closing(sqlite3.connect(path)) as database:
        assert generations(database) == ({0: 4, 1: 1}, {1: 5}), "messages that waited are sealed; the chain keeps its old entries"
    assert shipped(path, store) == ([1, 2, 3, 4, 5], [])
    store.close()


def test_old_rows_stay_readable_and_are_sealed_anew_on_demand(tmp_path: Path) -> None:
    path = filled(tmp_path)
    store = open_store(tmp_path, SECOND)
    fill(store, 1, first=4)
    head = store.head
    assert [entry.data["minor"] for entry in store.entries()] == [0, 100, 200, 300, 400]
    with closing(sqlite3.connect(path)) as database:
        assert generations(database) == ({1: 4, 2: 1}, {1: 4, 2: 1})
    steps: list[tuple[int, int]] = []
    done = store.reseal(lambda at, of: steps.append((at, of)))
    assert (done.entries, done.messages, done.refused) == (4, 4, ()) and steps == [(5, 5)]
    assert (again := store.reseal()).entries == again.messages == 0
    assert store.head == head and store.verify().ok
    store.close()
    with closing(sqlite3.connect(path)) as database:
        assert generations(database) == ({2: 5}, {2: 5})
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.execute("UPDATE journal SET data = '{}'")
    store = open_store(tmp_path, DataKeys(2, {2: TWO}))
    assert [entry.data["minor"] for entry in store.entries()] == [0, 100, 200, 300, 400]
    assert shipped(path, store) == ([1, 2, 3, 4, 5], [])
    store.close()


def test_sealing_anew_may_be_cut_short_and_goes_on_later(tmp_path: Path) -> None:
    class PowerCut(Exception):
        pass

    def cut(at: int, of: int) -> None:
        raise PowerCut

    store = open_store(tmp_path)
    store.append([Entry("transactionSettled", f"T0001-{i:08d}", {"i": i}) for i in range(1200)])
    store.close()
    store = open_store(tmp_path, SECOND)
    with pytest.raises(PowerCut):
        store.reseal(cut)
    assert store.verify().ok and [entry.data["i"] for entry in store.entries()] == list(range(1200))
    assert store.reseal().entries == 700
    assert store.verify().ok
    store.close()


def test_a_row_that_does_not_open_is_left_as_it_is(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fill(store, 80)
    store.close()
    path = tmp_path / "t.sqlite"
    change(path, "UPDATE journal SET data = substr(data, 1, 120) WHERE seq = 2")
    change(path, "UPDATE outbox SET payload = CAST(substr(payload, 1, 40) AS BLOB) WHERE seq = 2")
    store = open_store(tmp_path, SECOND)
    done = store.reseal()
    assert (done.entries, done.messages) == (79, 79)
    assert [sentence.split(":")[0] for sentence in done.refused] == [f"outbox row txn/{store.epoch}/2", "journal entry 2"]
    with pytest.raises(SealError, match="journal entry 2: "):
        list(store.entries())
    store.close()


# --- the box itself


SEALER = RowSealer(FIRST, "store")


@given(st.dictionaries(st.text(max_size=8), st.one_of(st.integers(), st.text(max_size=20), st.none())), st.integers(1, 10**9), st.data())
def test_no_changed_bit_opens(data: dict[str, Any], seq: int, draw: st.DataObject) -> None:
    text = SEALER.seal_entry(seq, data)
    assert SEALER.open_entry(seq, text) == data
    box = bytearray(base64.b64decode(text.rsplit(" ", 1)[1]))
    bit = draw.draw(st.integers(0, len(box) * 8 - 1))
    box[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealError):
        SEALER.open_entry(seq, f"{text.rsplit(' ', 1)[0]} {base64.b64encode(box).decode()}")
    for other in (seq + 1, seq - 1):
        with pytest.raises(SealError):
            SEALER.open_entry(other, text)


@given(st.binary(max_size=200))
def test_rubbish_is_refused_with_a_sentence(rubbish: bytes) -> None:
    for attempt in (rubbish, b"sealed/1 1 " + rubbish):
        with pytest.raises(SealError):
            SEALER.open_payload("txn", 1, 1, "topic", attempt)
    with pytest.raises(SealError):
        SEALER.open_entry(1, rubbish.decode("latin-1"))


def test_the_same_content_never_looks_the_same(tmp_path: Path) -> None:
    """Neither its ciphertext nor its digest: amounts are guessed too easily."""
    one, two = SEALER.seal_entry(1, {"minor": 100}), SEALER.seal_entry(1, {"minor": 100})
    assert one.split(" ")[1] != two.split(" ")[1] and one.split(" ")[3] != two.split(" ")[3]


def test_keys_are_checked_before_anything_is_sealed_with_them() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        DataKeys(1, {1: Secret(b"short")})
    with pytest.raises(ValueError, match="current generation"):
        DataKeys(2, {1: ONE})
    with pytest.raises(KeyMissing):
        RowSealer(DataKeys(2, {2: TWO}), "store").open_entry(1, SEALER.seal_entry(1, {}))
