"""Whatever stops the machine: what was acknowledged is there, what is there is whole, and no number comes twice."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from terminal.adapters.journal import Entry
from terminal.adapters.outbox import Outgoing
from terminal.adapters.store import Store
from terminal.adapters.store_file import StoreFailed

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import sys
from terminal.adapters.journal import Entry
from terminal.adapters.outbox import Outgoing
from terminal.adapters.store import Store
store = Store.open(sys.argv[1], "T0001", "B001")
while True:
    number = store.next_transaction_number()
    kept = [Entry("intent", str(number), {}), Entry("result", str(number), {"text": "x" * (number % 3000)})]
    seqs = store.append(kept, [Outgoing("txn", "txn", "Advice", {"number": number})])
    sys.stdout.write(f"{number} {seqs[-1]}\\n")
    sys.stdout.flush()
"""


def outbox_seqs(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as database:
        return [seq for (seq,) in database.execute("SELECT seq FROM outbox WHERE class = 'txn' ORDER BY seq")]


@pytest.mark.wire
def test_killed_at_any_moment_no_acknowledged_append_is_missing(tmp_path: Path) -> None:
    path, chance = tmp_path / "t.sqlite", random.Random(20261122)
    numbers: list[int] = []
    acknowledged = 0
    for _ in range(8):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        for _ in range(chance.randrange(1, 120)):
            number, acknowledged = (int(word) for word in child.stdout.readline().split())
            numbers.append(number)
        child.send_signal(signal.SIGKILL)
        for line in child.stdout:
            if line.endswith("\n"):
                number, acknowledged = (int(word) for word in line.split())
                numbers.append(number)
        assert child.wait() == -signal.SIGKILL
        child.stdout.close()
        store = Store.open(path, "T0001", "B001")
        result = store.verify()
        assert result.ok, result
        assert acknowledged <= result.entries <= acknowledged + 2
        assert result.entries % 2 == 0, "intent and result of one append stand or fall together"
        assert outbox_seqs(path) == list(range(1, result.entries // 2 + 1)), "no event without its message, no message without its event"
        acknowledged = result.entries
        store.close()
    assert len(numbers) > 100
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("seed", range(12))
def test_a_log_torn_anywhere_leaves_whole_appends(tmp_path: Path, seed: int) -> None:
    """Power loss, seen from the file: the write-ahead log ends anywhere (also inside a frame, with garbage behind)."""
    path, torn, chance = tmp_path / "t.sqlite", tmp_path / "torn" / "t.sqlite", random.Random(seed)
    store = Store.open(path, "T0001", "B001")
    for index in range(20):
        store.append([Entry("a", None, {"i": index}), Entry("b", None, {"i": index})], [Outgoing("txn", "txn", "A", {"i": index})])
    torn.parent.mkdir()
    shutil.copy(path, torn)
    log = Path(f"{path}-wal").read_bytes()
    length = chance.randrange(len(log))
    Path(f"{torn}-wal").write_bytes(log[:length] + chance.randbytes(chance.choice([0, 500, 9000])))
    store.close()
    store = Store.open(torn, "T0001", "B001")
    result = store.verify()
    assert result.ok, result
    assert result.entries % 2 == 0
    assert outbox_seqs(torn) == list(range(1, result.entries // 2 + 1))
    assert [entry.data["i"] for entry in store.entries(kinds=["b"])] == list(range(result.entries // 2))
    assert store.append([Entry("after", None, {})]) == [result.entries + 1]
    store.close()


IO_ERROR_CHILD = """
import resource, signal, sys
from terminal.adapters.journal import Entry
from terminal.adapters.store import Store
from terminal.adapters.store_file import StoreFailed
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store.open(sys.argv[1], "T0001", "B001")
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
done = 0
try:
    while True:
        done = store.append([Entry("k", None, {"text": "x" * 3000})])[-1]
except StoreFailed as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
try:
    store.append([Entry("later", None, {})])
except StoreFailed as error:
    print(error)
print(done)
"""


@pytest.mark.wire
def test_after_an_io_error_the_store_writes_nothing_more_until_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    ran = subprocess.run([sys.executable, "-c", IO_ERROR_CHILD, str(path)], cwd=ROOT, capture_output=True, text=True, check=True)
    first, second, done = ran.stdout.splitlines()
    assert "t.sqlite: disk I/O error" in first
    assert "nothing was written since" in second
    store = Store.open(path, "T0001", "B001")
    assert store.verify().ok
    assert store.head[0] == int(done) > 10
    assert store.append([Entry("again", None, {})]) == [int(done) + 1]
    store.close()


def test_a_creation_cut_short_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "t.sqlite.new").write_bytes(b"half")
    (tmp_path / "t.sqlite.new-wal").write_bytes(b"half")
    store = Store.open(tmp_path / "t.sqlite", "T0001", "B001")
    assert store.created
    assert store.append([Entry("k", None, {})]) == [1]
    store.close()
    assert not (tmp_path / "t.sqlite.new").exists()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailed, match=r"file/t\.sqlite"):
        Store.open(tmp_path / "file" / "t.sqlite", "T0001", "B001")
