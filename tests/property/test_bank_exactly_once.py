"""Any interleaving, duplication, reordering and loss with resend of requests and advices: the books balance, every transaction takes
effect once, the debit is what was presented."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.bank.__main__ import bank_keys
from simulators.bank.books import Books
from simulators.bank.cards import load_cast
from simulators.bank.host import BankHost
from simulators.bank.keys import BankKeys
from simulators.bank.probe import Probe
from simulators.bank.store import Store

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def made_keys() -> BankKeys:
    with tempfile.TemporaryDirectory() as folder:
        return bank_keys(Path(folder))


KEYS = made_keys()
CAST = load_cast(None, KEYS)
OUTCOMES = ("full", "part", "none", "doubt-full", "doubt-none", "doubt", "silence")


@dataclass(slots=True)
class Story:
    """One customer: what is asked, what comes out of the machine when it is approved."""

    number: int
    card: str
    minor: int
    outcome: str
    wrong_pin: bool
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


stories = st.lists(
    st.builds(
        Story,
        number=st.just(0),
        card=st.sampled_from(["everyday", "two-applications", "little-money", "host-blocked"]),
        minor=st.integers(1, 30).map(lambda notes: notes * 100_00),
        outcome=st.sampled_from(OUTCOMES),
        wrong_pin=st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


class World:
    """Many customers at one terminal, and a network that does what it likes with their messages."""

    def __init__(self, told: list[Story], seed: int) -> None:
        self.host = BankHost(Store(None), CAST, KEYS, NOW)
        self.books = Books(self.host)
        self.probe = Probe.for_bank(KEYS.public_hex)
        self.random = random.Random(seed)
        self.told = told
        self.seq = 0
        self.presented: dict[str, int] = {}
        self.outbox: dict[int, dict[str, Any]] = {}
        for number, story in enumerate(told, 1):
            story.number = number
            story.sent = []

    def ask(self, story: Story, attempt: int, pin: str | None) -> dict[str, Any] | None:
        """A request that may be lost before or after the bank; duplicates may come at any time later."""
        message = self.probe.withdrawal(story.card, story.minor, story.number, NOW, attempt=attempt, pin=pin)
        story.sent.append(("auth", message))
        if self.random.random() < 0.2:
            return None
        [(_, answer)] = self.host.handle("auth", message, NOW)
        data: dict[str, Any] = answer["data"]
        return None if self.random.random() < 0.2 else data

    def advise(self, story: Story, status: str, presented: int = 0, reconciles: bool = False) -> None:
        self.seq += 1
        message = self.probe.advice(
            story.number, status, self.seq, NOW, requested_minor=story.minor, presented_minor=presented or None, reconciles=reconciles
        )
        story.sent.append(("txn", message))
        self.outbox[self.seq] = message

    def visit(self, story: Story) -> None:
        """What a terminal does: retry the PIN, fail what it got no answer to, tell what the customer got."""
        identity = self.probe.transaction_id(story.number)
        answer = self.ask(story, 1, "999999" if story.wrong_pin else None)
        if answer is not None and answer.get("reason") == "incorrectPin":
            answer = self.ask(story, 2, None)
        if answer is None:
            self.advise(story, "FAIL")
            return
        if answer["response"] != "APPR":
            return
        part = max(100_00, story.minor // 2)
        if story.outcome == "silence":
            return
        if story.outcome.startswith("doubt"):
            self.advise(story, "DOBT")
        if story.outcome in ("full", "doubt-full"):
            self.presented[identity] = story.minor
            self.advise(story, "SCSS", story.minor, reconciles=story.outcome != "full")
        elif story.outcome == "part":
            self.presented[identity] = part
            self.advise(story, "SCSS", part)
        elif story.outcome in ("none", "doubt-none"):
            self.advise(story, "FAIL", reconciles=story.outcome != "none")

    def network(self, messages: Iterable[tuple[str, dict[str, Any]]]) -> None:
        for leaf, message in messages:
            for answer_leaf, answer in self.host.handle(leaf, message, NOW):
                if answer_leaf == "ack" and self.random.random() < 0.5:
                    for seq in [seq for seq in self.outbox if seq <= answer["data"]["upto"]]:
                        del self.outbox[seq]

    def run(self) -> None:
        for story in self.told:
            self.visit(story)
            everything = [item for each in self.told for item in each.sent]
            self.network(self.random.choices(everything, k=self.random.randrange(4)))
        while self.outbox:
            waiting = [("txn", message) for message in self.outbox.values()]
            self.random.shuffle(waiting)
            self.network(waiting)
        everything = [item for each in self.told for item in each.sent]
        self.random.shuffle(everything)
        self.network(everything)


@settings(max_examples=60, deadline=None)
@given(stories, st.integers(0, 2**32))
def test_a_terminal_that_obeys_is_settled_to_the_note(told: list[Story], seed: int) -> None:
    world = World(told, seed)
    world.run()
    assert world.host.ledger.check() == []
    assert world.books.discrepancies() == []
    total = dict.fromkeys(CAST.accounts, 0)
    for story in told:
        identity = world.probe.transaction_id(story.number)
        found = {row["transaction_id"]: row for row in world.books.transactions(100)}.get(identity)
        presented = world.presented.get(identity, 0)
        total[story.card] += presented
        if found is None:
            assert presented == 0
            continue
        debit = sum(-p["amount_minor"] for p in world.books.transaction(identity)["postings"] if p["account"] == story.card)
        assert debit == presented == (found["presented_minor"] or 0)
        held = world.host.store.number("SELECT sum(amount_minor) FROM hold WHERE transaction_id = ?", identity)
        assert held == (story.minor if found["status"] in ("authorised", "inDoubt") and found["account"] else 0)
        settled = sum(1 for kind, _ in story.sent if kind == "txn") > 0 and story.outcome not in ("doubt", "silence")
        assert not settled or found["status"] in ("settled", "released")
    for name, opening in CAST.accounts.items():
        assert world.books.account(name)["balance_minor"] == opening - total[name]
    upto = world.host.store.number("SELECT upto FROM acknowledged WHERE class = 'txn'")
    assert upto == world.seq


statuses = st.sampled_from(["SCSS", "FAIL", "DOBT"])
hostile = st.lists(
    st.tuples(st.integers(1, 3), statuses, st.integers(0, 40).map(lambda n: n * 100_00), st.booleans()), min_size=1, max_size=8
)


@settings(max_examples=60, deadline=None)
@given(hostile, st.lists(st.integers(1, 3), max_size=4), st.randoms(use_true_random=False))
def test_whatever_a_terminal_says_is_booked_at_most_once_and_never_out_of_nothing(
    said: list[tuple[int, str, int, bool]], asked: list[int], order: random.Random
) -> None:
    """Contradictions, amounts that do not fit, advices without requests: the books still balance and nothing is silent."""
    host = BankHost(Store(None), CAST, KEYS, NOW)
    books = Books(host)
    probe = Probe.for_bank(KEYS.public_hex)
    messages: list[tuple[str, dict[str, Any]]] = [
        ("txn", probe.advice(number, status, seq, NOW, requested_minor=500_00, presented_minor=minor, reconciles=reconciles))
        for seq, (number, status, minor, reconciles) in enumerate(said, 1)
    ]
    messages += [("auth", probe.withdrawal("everyday", 500_00, number, NOW, attempt=at)) for at, number in enumerate(asked, 1)]
    messages += order.choices(messages, k=len(messages))
    order.shuffle(messages)
    for leaf, message in messages:
        host.handle(leaf, message, NOW)
    for leaf, message in messages:
        before = list(host.store.connection.iterdump())
        host.handle(leaf, message, NOW)
        if leaf == "txn":
            assert list(host.store.connection.iterdump()) == before, "a repeated advice changes nothing at all"
    assert host.ledger.check() == []
    paid = 0
    for row in books.transactions(100):
        found = books.transaction(row["transaction_id"])
        settlements = [posting for posting in found["postings"] if posting["kind"] == "settlement"]
        assert len(settlements) == (2 if row["status"] == "settled" else 0)
        assert sum(p["amount_minor"] for p in settlements if p["account"] == "cash:T0001") == (row["presented_minor"] or 0)
        paid += row["presented_minor"] or 0
    gone = -books.account("suspense")["balance_minor"] + 500_000 - books.account("everyday")["balance_minor"]
    assert gone == paid
