"""A slice of the crash bench: SIGKILL where it hurts most, on one stage of real processes, judged as the bench judges."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from crash_bench import points as p
from crash_bench.branch import Branch
from crash_bench.orders import Order
from crash_bench.plan import Run, Setting, Visit
from crash_bench.play import Played, play

pytestmark = pytest.mark.wire
SETTING = Setting(0, "pcsc", "reset")
DISPENSE, INTENDED, SETTLED = "command Dispense", "command Record:dispenseIntended", "command Record:dispenseAnswered,transactionSettled"

# name: the orders, and how the visit may end
SLICE: dict[str, tuple[tuple[Order, ...], tuple[str, ...]]] = {
    "the agent before its intent is on disk": ((Order(p.AGENT, INTENDED, "before"),), ("none",)),
    "the agent right after its intent": ((Order(p.AGENT, INTENDED, "after"),), ("inDoubt",)),
    "the agent right after the command was sent": ((Order(p.AGENT, DISPENSE, "after"),), ("paid", "inDoubt")),
    "the agent while notes move": ((Order(p.AGENT, DISPENSE, "after", delay_s=0.03),), ("paid",)),
    "the agent with the answer not yet on disk": ((Order(p.AGENT, SETTLED, "before"),), ("paid",)),
    "the agent with the answer on disk, nobody told": ((Order(p.AGENT, SETTLED, "after"),), ("paid",)),
    "the agent while its request is with the bank": ((Order(p.AGENT, "command Authorise", "after"),), ("none", "paid")),
    "the dispenser's worker while notes move": ((Order("cashDispenser", DISPENSE, "after", delay_s=0.03),), ("paid", "inDoubt")),
    "worker and agent, twice in one payout": (
        (Order("cashDispenser", DISPENSE, "after", delay_s=0.03), Order(p.AGENT, "command AskLastStatus", "after")),
        ("paid", "inDoubt"),
    ),
    "the dispenser itself while notes move": ((Order("dispenser", DISPENSE, "after", delay_s=0.04),), ("inDoubt",)),
    "the broker with the card out": ((Order("broker", "view takeCard", "after"),), ("paid",)),
    "the page when the cash lies there": ((Order(p.PAGE, "view takeCash", "before"),), ("paid",)),
}


@pytest.fixture(scope="module")
def branch() -> Iterator[Branch]:
    with Branch(SETTING, lambda *_: None) as stage:
        yield stage


def played(branch: Branch, visit: Visit) -> Played:
    done = play(branch, Run(0, (visit,), 0.0, SETTING))
    assert not done.violations, "\n".join([*done.violations, *done.story])
    return done


@pytest.mark.parametrize("name", SLICE)
def test_a_kill_leaves_money_and_books_right(branch: Branch, name: str) -> None:
    orders, possible = SLICE[name]
    done = played(branch, Visit("withdraws", orders=orders))
    assert not done.missed, "\n".join(done.story)
    assert done.outcomes[0] in possible
    assert done.latched == (done.outcomes[0] == "inDoubt")
    assert done.points <= p.names(), "the list of named points is not whole"


def test_a_bank_that_dies_before_it_acknowledges_books_once(branch: Branch) -> None:
    """The broker goes as well: the outbox resends when the connection is back, and need not wait for its own time limit."""
    done = played(branch, Visit("withdraws", orders=(Order("broker", "view takeReceipt", "after"),), bank_dies_before_ack=True))
    assert (done.outcomes, done.missed) == (["paid"], 0), "\n".join(done.story)
