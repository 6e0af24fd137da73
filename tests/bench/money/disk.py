"""The terminal's disk: real SQLite files in memory (tmpfs), and what a kill, a power cut, a full or a lying disk leaves of them.

What counts as synced follows SQLite's own promise: in WAL mode with synchronous=FULL the log is synced at every commit of the store; the
sender's deletions (synchronous=NORMAL) and telemetry are not. After a kill everything written is there, synced or not; after a power cut
the synced part is, and of what came behind it any beginning, torn anywhere, with garbage in the last page.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random

from drivers.secret import Secret
from terminal.adapters.outbox import telemetry_path
from terminal.adapters.sealing import DataKeys
from terminal.adapters.store import Store
from terminal.adapters.store_file import StoreFailed

NAME = "terminal.sqlite"
SHARED_MEMORY = Path("/dev/shm")
FULL = 2  # PRAGMA synchronous
NO_LIMIT = 1_073_741_823


def folder_in_memory() -> Path:
    """A folder of this process, on tmpfs where there is one."""
    return Path(tempfile.mkdtemp(prefix="money-", dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None))


@dataclass(frozen=True, slots=True)
class StoreKeys:
    """What a keystore would hold; without them rows are not sealed."""

    head: Secret[bytes] | None = None
    data: DataKeys | None = None


UNSEEN: set[tuple[str, int, int]] = set()
"""Messages (class, epoch, seq) of an append whose fsync failed. SQLite shows nobody a commit that it could not sync (tried
with 3.40.1 and a failing fsync: the index of the log is written behind the sync): until a restart reads the log anew the sender sees none
of them."""


class Blank:
    """A store as it is after its creation, to be copied for every schedule."""

    def __init__(self, folder: Path, terminal_id: str, branch_id: str, moment: datetime, keys: StoreKeys) -> None:
        self.keys = keys
        path = folder / ("blank" if keys.data is None else "blank-sealed") / NAME
        Store.open(
            path, terminal_id, branch_id, wall_clock=lambda: moment, first_transaction_number=1, head_key=keys.head, data_keys=keys.data
        ).close()
        self.files = {file.name: file.read_bytes() for file in (path, telemetry_path(path))}


class Disk:
    """`path` is the store's file now; after every end of the agent it is another one with what was left."""

    def __init__(self, folder: Path, blank: Blank, chance: Random, *, telemetry: bool) -> None:
        self._folder = folder
        self._telemetry = telemetry
        self._chance = chance
        self._number = 0
        UNSEEN.clear()
        self._synced: dict[str, int] = {}
        self._log = ""
        self.refusals = 0
        """So many appends to come are refused: the disk is full."""
        self.lies = 0
        """So many appends to come are written, and their fsync fails: told as failed, there after a restart, perhaps after a power cut."""
        self.lied = 0
        self.full = False
        """SQLite itself finds no more pages."""
        self.path = folder / "0" / NAME
        os.makedirs(f"{folder}/0")
        for name, content in blank.files.items():
            if telemetry or name == NAME:
                with open(f"{folder}/0/{name}", "wb", buffering=0) as file:
                    file.write(content)

    # --- what SQLite promises

    def synced(self, store: Store) -> None:
        """An append of the store has returned: its log is on disk up to here, if the connection syncs at every commit."""
        (synchronous,) = store._database.execute("PRAGMA synchronous").fetchone()
        if synchronous >= FULL:
            self._synced[self._log] = os.stat(self._log).st_size

    def opened(self) -> None:
        """Recovery read what is there; opening telemetry commits once, synced."""
        self._log = f"{self.path}-wal"
        for log in (self._log, f"{telemetry_path(self.path)}-wal") if self._telemetry else (self._log,):
            self._synced[log] = os.stat(log).st_size if os.path.exists(log) else 0

    # --- what goes wrong

    def before_append(self, store: Store) -> None:
        if self.lies:
            self._before = _messages(store)
        if self.refusals:
            self.refusals -= 1
            raise StoreFailed("no space left on the simulated disk")
        pages = store._database.execute("PRAGMA page_count").fetchone()[0] if self.full else NO_LIMIT
        if self.full or self._limited:
            store._database.execute(f"PRAGMA max_page_count = {pages}")
            self._limited = self.full

    _limited = False
    _before: set[tuple[str, int, int]] = set()

    def after_append(self, store: Store) -> None:
        if not self.lies:
            self.synced(store)
        else:
            self.lies -= 1
            self.lied += 1
            UNSEEN.update(_messages(store) - self._before)
            store._broken = "the simulated disk said that it could not sync"
            raise StoreFailed(store._broken)

    def heal(self) -> None:
        self.refusals = self.lies = 0
        self.full = False

    # --- what is left

    def survive(self, *, power: bool) -> None:
        """The process is gone (`power`: the machine with it). From now on `path` is what the next one finds."""
        UNSEEN.clear()
        old, self._number = self.path.parent, self._number + 1
        new = self._folder / str(self._number)
        new.mkdir()
        for file in old.iterdir():
            if file.name.endswith(("-shm", ".lock")):
                continue
            content, synced = file.read_bytes(), self._synced.get(str(file), 0)
            if power and file.name.endswith("-wal"):
                content = self._torn(content, synced)
                synced = len(content)
            (new / file.name).write_bytes(content)
            self._synced[str(new / file.name)] = synced  # also for an end that comes before anybody has opened it again
        self.path = new / NAME

    def _torn(self, log: bytes, synced: int) -> bytes:
        synced = min(synced, len(log))
        end = self._chance.randrange(synced, len(log) + 1)
        garbage = self._chance.randbytes(self._chance.choice((0, 24, 700))) if end < len(log) else b""
        return log[:end] + garbage

    def throw_away(self) -> None:
        for number in range(self._number + 1):
            folder = f"{self._folder}/{number}"
            for name in os.listdir(folder):
                os.unlink(f"{folder}/{name}")
            os.rmdir(folder)
        os.rmdir(self._folder)


def _messages(store: Store) -> set[tuple[str, int, int]]:
    return set(store._database.execute("SELECT class, epoch, seq FROM outbox"))
