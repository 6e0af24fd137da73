"""What can be known after a customer has gone: counted at the mechanics, asked at the bank, read from the journal. Plain values."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from crash_bench.branch import Branch, Stuck
from simulators.stage.setting import DENOMINATIONS, TERMINAL
from terminal.adapters.journal import read_entries
from terminal.adapters.journal_chain import verify_chain

DISPENSE = "52"


@dataclass(frozen=True, slots=True)
class Line:
    """A journal entry, without its hashes."""

    seq: int
    kind: str
    transaction_id: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unit:
    """One cassette: what our counters say, and what is in it."""

    unit: str
    counted: int
    accurate: bool
    remaining: int
    tampered: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """Of one customer's visit. `out`: notes that left through the exit during it, by cassette. `heard`: DISPENSE commands that the unit
    heard; `heard_all` is False when its memory of them was lost with its power. `strangers`: transactions that only the bank knows.
    """

    story: str
    journal: tuple[Line, ...]
    trace: tuple[tuple[str, str], ...]
    transactions: Mapping[str, Mapping[str, Any]]
    out: tuple[int, int, int, int]
    units: tuple[Unit, ...]
    heard: int = 0
    heard_all: bool = True
    lost_notes: tuple[str, ...] = ()
    latch: Mapping[str, str] | None = None
    screen: str = "idle"
    screen_texts: tuple[str, ...] = ()
    held_minor: int = 0
    unsent: int = 0
    acknowledged: int = 0
    numbered: int = 0
    discrepancies: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    unbalanced: tuple[str, ...] = ()
    suspense_minor: int = 0
    strangers: tuple[str, ...] = ()
    chain: str = ""
    saw: frozenset[str] = field(default_factory=frozenset)
    stuck: str = ""

    @property
    def out_minor(self) -> int:
        return sum(minor * count for minor, count in zip(DENOMINATIONS, self.out, strict=True))


@dataclass(frozen=True, slots=True)
class Mark:
    """Where things stood before the visit."""

    journal_seq: int
    notes: int
    outside: tuple[int, ...]
    refusals: int
    dispenses: int
    dispenser_pid: int


# --- reading


@contextlib.contextmanager
def store_of(branch: Branch) -> Iterator[sqlite3.Connection]:
    """Read only: the agent goes on meanwhile."""
    database = sqlite3.connect(f"file:{branch.folder / 'journal.sqlite'}?mode=ro", uri=True, timeout=5.0)
    try:
        yield database
    finally:
        database.close()


def asked(branch: Branch, whom: str, do: str, /, **arguments: Any) -> Any:
    """Of a part that is there."""
    for _ in range(5):
        answer = branch.hand(whom, do, **arguments)
        if answer is not None:
            return answer
    raise Stuck(f"{whom} does not answer {do}")


def outside(truth: Mapping[str, Any]) -> tuple[int, ...]:
    """Notes that the customer has or can take, by cassette."""
    lying = [sum(count for cassette, count in truth["outlet"] if cassette == unit) for unit in range(1, 5)]
    return tuple(a + b for a, b in zip(lying, truth["taken"], strict=True))


def latch_of(branch: Branch) -> dict[str, str] | None:
    """What the newest counters in the journal say."""
    found: dict[str, str] | None = _counters(branch)["latch"]
    return found


def _counters(branch: Branch) -> dict[str, Any]:
    with store_of(branch) as database:
        row = database.execute(
            "SELECT data FROM journal WHERE kind IN ('checkpoint', 'transactionSettled') ORDER BY seq DESC LIMIT 1"
        ).fetchone()
    found: dict[str, Any] = json.loads(row[0])
    return found


def unsent(branch: Branch) -> int:
    with store_of(branch) as database:
        return int(database.execute("SELECT count(*) FROM outbox WHERE class = 'txn'").fetchone()[0])


def mark(branch: Branch) -> Mark:
    with store_of(branch) as database:
        seq = database.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()[0]
    truth = asked(branch, "dispenser", "state")
    return Mark(
        seq,
        len(branch.stage.trace()),
        outside(truth),
        len(asked(branch, "bank", "refusals")),
        _dispenses(branch),
        branch.pid("dispenser"),
    )


def _dispenses(branch: Branch) -> int:
    return int(asked(branch, "dispenser", "history")["totals"].get(DISPENSE, 0))


def observe(branch: Branch, story: str, since: Mark, *, tampered: frozenset[str] = frozenset(), stuck: str = "") -> Observation:
    """When all is at rest, or when it will not come to rest (`stuck`)."""
    truth = asked(branch, "dispenser", "state")
    books = asked(branch, "bank", "state")
    with store_of(branch) as database:
        lines = tuple(Line(one.seq, one.kind, one.transaction_id or "", one.data) for one in read_entries(database, since.journal_seq))
        chain = verify_chain(database)
        numbered = database.execute("SELECT coalesce(sum(last_seq), 0) FROM sequence WHERE class = 'txn'").fetchone()[0]
        ours = {row[0] for row in database.execute("SELECT DISTINCT transaction_id FROM journal")}
    same_power = branch.pid("dispenser") == since.dispenser_pid
    view = branch.eyes.view
    mine = {line.transaction_id for line in lines if line.transaction_id}
    return Observation(
        story=story,
        journal=lines,
        trace=tuple((note["kind"], note["name"]) for note in branch.stage.trace()[since.notes :]),
        transactions={one["transaction_id"]: one for one in books["transactions"] if one["transaction_id"] in mine},
        out=tuple(a - b for a, b in zip(outside(truth), since.outside, strict=True)),  # type: ignore[arg-type]
        units=_units(branch, truth, tampered),
        heard=_dispenses(branch) - (since.dispenses if same_power else 0),
        heard_all=same_power,
        lost_notes=_lost_notes(truth),
        latch=latch_of(branch),
        screen=view.get("screen", ""),
        screen_texts=tuple(line["text"] for line in view.get("lines") or ()),
        held_minor=held_besides_doubt(books),
        unsent=unsent(branch),
        acknowledged=_acknowledged(books),
        numbered=int(numbered),
        discrepancies=tuple(f"{one['kind']}: {one['detail']}" for one in books["discrepancies"]),
        refusals=tuple(f"{one['leaf']}: {one['reason']}" for one in books["refusals"][: len(books["refusals"]) - since.refusals]),
        unbalanced=tuple(books["unbalanced"]),
        suspense_minor=sum(account["balance_minor"] for account in books["accounts"] if account["name"] == "suspense"),
        strangers=tuple(one["transaction_id"] for one in books["transactions"] if one["transaction_id"] not in ours),
        chain="" if chain.ok else chain.reason,
        stuck=stuck,
    )


def held_besides_doubt(books: Mapping[str, Any]) -> int:
    """What is held, less what the transactions in doubt hold rightly."""
    in_doubt = sum(one["requested_minor"] for one in books["transactions"] if one["status"] == "inDoubt" and one["account"])
    return sum(account["held_minor"] for account in books["accounts"]) - in_doubt


def _units(branch: Branch, truth: Mapping[str, Any], tampered: frozenset[str]) -> tuple[Unit, ...]:
    left = {str(one["unit"]): one["remaining"] for one in truth["cassettes"]}
    return tuple(
        Unit(
            unit["unit"],
            unit["initial"] - unit["presented"] - unit["rejected"] - unit["unknown"],
            unit["accuracy"] == "accurate",
            left[unit["unit"]],
            unit["unit"] in tampered,
        )
        for unit in _counters(branch)["units"]
    )


def _lost_notes(truth: Mapping[str, Any]) -> tuple[str, ...]:
    """Cassettes whose notes are not all somewhere."""
    wrong = []
    for cassette in truth["cassettes"]:
        at = cassette["unit"] - 1
        path = sum(1 for note in truth["path"] if note["cassette"] == cassette["unit"])
        found = cassette["remaining"] + path + truth["reject_bin"]["notes"][at] + truth["by_hand"][at] + outside(truth)[at]
        if found != cassette["initial"]:
            wrong.append(f"cassette {cassette['unit']}: {cassette['initial']} loaded, {found} found")
    return tuple(wrong)


def _acknowledged(books: Mapping[str, Any]) -> int:
    """How many numbered transaction messages the bank has taken, over all epochs."""
    mine = [one for one in books["terminals"] if one["base"].endswith(f"/{TERMINAL}")]
    return sum(ack["upto"] for one in mine for ack in one["acknowledged"] if ack["class"] == "txn")
