"""What must be true after every schedule. The judge counts notes and reads the bank's books, the journal and the outbox.

The names of the invariants are those of docs/money.md. What must be true at the moment itself (no second dispense, intent before order,
card before cash, deadlines) is watched where it happens: `World.broke`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from money.ending import excused
from money.kinds import COUNTERS, DOUBT, LOST
from money.world import World
from terminal.adapters.journal import JournalEntry
from terminal.core.cash import Accuracy
from terminal.core.model import Phase

Wrong = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Book:
    """A transaction as the bank has it."""

    transaction_id: str
    status: str
    presented_minor: int
    booked_minor: int
    held_minor: int


def judge(world: World) -> list[Wrong]:
    """Everything that is wrong; empty is what we want."""
    if world.life.agent is None or world.life.store is None:
        return [("servesAgain", "the agent is not up")]
    entries = list(world.life.store.entries())
    books = {book.transaction_id: book for book in _books(world)}
    paid: Counter[str] = Counter()
    for payout in world.payouts:
        paid[payout.transaction_id] += payout.minor
    return [
        *world.broken,
        *_debited_is_presented(world, books, paid),
        *_notes(world),
        *_journal(world, entries, books, paid),
        *_bank(world, books, entries),
        *_serves(world),
        *_caution(world, entries),
        *_secrets(world, entries),
    ]


def _books(world: World) -> Iterator[Book]:
    bank = world.bank.host.store
    booked = {row["id"]: row["minor"] for row in bank.rows(
        "SELECT transaction_id AS id, -sum(amount_minor) AS minor FROM entry JOIN posting ON posting.entry = entry.id"
        " WHERE entry.kind = 'settlement' AND account NOT LIKE 'cash:%' GROUP BY transaction_id"
    )}  # fmt: skip
    held = {row["transaction_id"]: row["amount_minor"] for row in bank.rows("SELECT transaction_id, amount_minor FROM hold")}
    for row in bank.rows("SELECT transaction_id, status, presented_minor FROM withdrawal"):
        identity = row["transaction_id"]
        yield Book(identity, row["status"], row["presented_minor"] or 0, booked.get(identity, 0), held.get(identity, 0))


def _debited_is_presented(world: World, books: dict[str, Book], paid: Counter[str]) -> Iterator[Wrong]:
    latch = world.state.latch
    for identity in sorted({*books, *paid}):
        book = books.get(identity)
        if book is None:
            yield "debitedIsPresented", f"{identity}: {paid[identity]} left the machine, and the bank knows nothing of it"
        elif book.status == "inDoubt":
            if latch is None or latch.transaction_id != identity:
                yield "debitedIsPresented", f"{identity} is in doubt at the bank, and the terminal is not latched for it"
        elif not book.presented_minor == book.booked_minor == paid[identity]:
            yield "debitedIsPresented", f"{identity} ({book.status}): {paid[identity]} left the machine, {book.booked_minor} were debited"


def _notes(world: World) -> Iterator[Wrong]:
    try:
        world.dispenser.mechanics.check()
    except AssertionError as error:
        yield "notesConserved", str(error)
    for kind, (unit, (gone, presented)) in enumerate(zip(world.state.units, out_of(world), strict=True)):
        if unit.accuracy is not Accuracy.ACCURATE:
            continue
        before = world.exchanged.get(kind, (0, 0))
        counted = unit.presented + unit.rejected + unit.unknown
        if counted != gone - before[0] or unit.presented != presented - before[1]:
            yield "countersAreTrue", f"unit {unit.unit} says accurate: {counted} of them out; {gone - before[0]} notes are gone from it"


def out_of(world: World) -> list[tuple[int, int]]:
    """By cassette type: notes that are gone from it, strays left out, and notes that left through the exit."""
    gone = world.dispenser.gone()
    for stray in world.strays:
        gone[world.dispenser.mechanics.cassettes[stray.cassette].type - 1] -= 1
    return [(gone[kind], sum(payout.notes[kind] for payout in world.payouts)) for kind in range(4)]


def _journal(world: World, entries: list[JournalEntry], books: dict[str, Book], paid: Counter[str]) -> Iterator[Wrong]:
    store = world.life.store
    assert store is not None
    verified = store.verify(world.anchor())
    if not verified.ok:
        yield "chainVerifies", verified.reason
    if world.schedule.whole:
        yield from _chain(world)
    kinds: dict[str, list[JournalEntry]] = {}
    for entry in entries:
        kinds.setdefault(entry.transaction_id or "", []).append(entry)
    for identity in sorted({*paid, *world.witness.dispenses_sent}):
        yield from _order(identity, kinds.get(identity, []))
    for identity, book in sorted(books.items()):
        if book.status not in ("settled", "released", "inDoubt"):
            continue
        ends = [entry for entry in kinds.get(identity, []) if entry.kind == "transactionSettled"]
        if not ends:
            yield "journalExplains", f"{identity} is {book.status} at the bank, and the journal has no end of it"
        elif (ends[-1].data["presentedMinor"] or 0) != book.presented_minor:
            yield "journalExplains", f"{identity}: {ends[-1].data['presentedMinor']} in the journal, {book.presented_minor} at the bank"


def _chain(world: World) -> Iterator[Wrong]:
    """The chain once more, from the rows as they lie in the file and the rule as it is written down (journal.py), not from its code."""
    store = world.life.store
    assert store is not None
    previous, sealed = None, 0
    for seq, at, kind, transaction_id, data, before, mark in store._database.execute(
        "SELECT seq, at, kind, transaction_id, data, prev_hash, hash FROM journal ORDER BY seq"
    ):
        fields = {"at": at, "data": _chained(data), "kind": kind, "prev_hash": before, "seq": seq, "transaction_id": transaction_id}
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        if hashlib.sha256(text.encode()).hexdigest() != mark or (previous is not None and before != previous):
            yield "chainVerifies", f"entry {seq} is not what its hash says"
        previous, sealed = mark, sealed + data.startswith("sealed/")
    if not sealed:
        yield "chainVerifies", "the store has keys, and no entry is sealed"


def _chained(data: str) -> Any:
    """A sealed entry is chained by its digest."""
    return " ".join(data.split(" ")[:2]) if data.startswith("sealed/1 ") else json.loads(data)


def _order(identity: str, entries: list[JournalEntry]) -> Iterator[Wrong]:
    """Of a transaction that moved notes: asked, approved, TC, intent."""
    found = [entry.kind for entry in entries]
    wanted = ["authorisationRequested", "authorisationApproved", "cardConfirmed", "dispenseIntended"]
    places = [found.index(kind) if kind in found else -1 for kind in wanted]
    if -1 in places or places != sorted(places):
        yield "journalExplains", f"{identity} moved notes, and the journal has {', '.join(found)}"
        return
    if entries[places[2]].data["kind"] != "TC":
        yield "noCashBeforeTc", f"{identity}: the card's last word was {entries[places[2]].data['kind']}"
    if found.count("dispenseIntended") > 1:
        yield "neverTwice", f"{identity} was intended {found.count('dispenseIntended')} times"


def _bank(world: World, books: dict[str, Book], entries: list[JournalEntry]) -> Iterator[Wrong]:
    bank = world.bank.host
    for sentence in bank.ledger.check():
        yield "bankExactlyOnce", sentence
    for row in bank.store.rows("SELECT transaction_id, kind, detail FROM discrepancy"):
        yield "bankExactlyOnce", f"discrepancy {row['kind']} {row['transaction_id']}: {row['detail']}"
    for row in bank.store.rows("SELECT leaf, reason FROM refusal"):
        yield "bankExactlyOnce", f"refused on {row['leaf']}: {row['reason']}"
    for book in books.values():
        if book.held_minor and book.status != "inDoubt":
            yield "bankExactlyOnce", f"{book.transaction_id} ({book.status}): {book.held_minor} are still held"
        if book.status in ("authorised", "new"):
            yield "bankExactlyOnce", f"{book.transaction_id} never ended at the bank: {book.status}"
    for row in bank.store.rows("SELECT class, epoch, count(*) AS n, max(seq) AS last FROM inbox GROUP BY class, epoch"):
        if row["class"] != "telemetry" and row["n"] != row["last"]:
            yield "bankExactlyOnce", f"{row['class']}: {row['n']} messages for {row['last']} numbers"
    came = {row["class"]: row["n"] for row in bank.store.rows("SELECT class, count(*) AS n FROM inbox GROUP BY class")}
    for klass in ("txn", "alarm", "audit"):
        told, most = world.told[klass], world.told[klass] + world.perhaps_told[klass]
        if not told <= came.get(klass, 0) <= most:
            yield "bankExactlyOnce", f"{klass}: {told} messages were stored for the bank, {came.get(klass, 0)} came"


def _serves(world: World) -> Iterator[Wrong]:
    state = world.state
    if state.phase is not Phase.IDLE and not excused(world):
        yield "servesAgain", f"{state.phase.value} with everything well"
    if state.open_dispense is not None:
        yield "servesAgain", "a dispense is still open"


def _caution(world: World, entries: list[JournalEntry]) -> Iterator[Wrong]:
    """A terminal that latches for no reason is safe, and useless: only what was felt of faults that may lead there excuses it."""
    latch, felt = world.state.latch, ", ".join(sorted(set(world.moments.effects))) or "nothing"
    excuses = set(world.moments.excuses)
    if LOST in excuses:
        doubted = {entry.transaction_id for entry in entries if entry.kind == "dispenseUnknown"}
        told_apart = {payout.transaction_id for payout in world.payouts if not payout.as_before}
        if doubted - told_apart:  # it ended as one before, or the unit refused it: LAST STATUS says what it said before
            excuses |= {DOUBT, COUNTERS}
    if latch is not None and latch.reason not in excuses:
        yield "noDoubtWithoutReason", f"latched ({latch.reason}), and what struck was {felt}"
    inaccurate = [unit.unit for unit in world.state.units if unit.accuracy is not Accuracy.ACCURATE]
    if inaccurate and COUNTERS not in excuses:
        yield "accurateWherePossible", f"unit {', '.join(inaccurate)} says inaccurate, and what struck was {felt}"


def _secrets(world: World, entries: list[JournalEntry]) -> Iterator[Wrong]:
    """Journal, messages, views and what was written to the log."""
    texts = {
        "journal": "\n".join(json.dumps(entry.data) for entry in entries),
        "message": "\n".join(world.published),
        "view": "\n".join(map(str, world.views_shown)),
        "log": world.log(),
    }
    for where, text in texts.items():
        found = world.secrets.found_in(text)
        if found:
            yield "nothingSecret", f"a {found} stands in a {where}"
