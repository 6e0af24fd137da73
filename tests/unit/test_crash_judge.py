"""The crash bench's judge is not blind: a sound observation passes, and each doctored one is found out by the rule that it breaks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from crash_bench import plan, points
from crash_bench.judge import judge, outcome, serves
from crash_bench.observation import Line, Observation, Unit

TX = "T0001-00000007"
QUANTITIES = [3, 0, 0, 0]
JOURNAL = (
    Line(10, "transactionStarted", TX, {"number": 7, "amountMinor": 30_000}),
    Line(11, "authorisationRequested", TX, {"amountMinor": 30_000}),
    Line(12, "authorisationApproved", TX, {}),
    Line(13, "cardConfirmed", TX, {"kind": "TC"}),
    Line(14, "dispenseIntended", TX, {"amountMinor": 30_000, "quantities": QUANTITIES}),
    Line(15, "dispenseAnswered", TX, {}),
    Line(16, "transactionSettled", TX, {"status": "SCSS"}),
)
SOUND = Observation(
    story="withdraws",
    journal=JOURNAL,
    trace=(("event", "CardInserted"), ("event", "CardRemoved"), ("command", "Dispense"), ("event", "NotesDispensed")),
    transactions={TX: {"status": "settled", "presented_minor": 30_000}},
    out=(3, 0, 0, 0),
    units=tuple(Unit(str(unit), 100, True, 100) for unit in range(1, 5)),
    heard=1,
    acknowledged=1,
    numbered=1,
)
DOUBT = replace(
    SOUND,
    journal=(*JOURNAL[:5], Line(15, "dispenseUnknown", TX, {}), Line(16, "transactionSettled", TX, {"status": "DOBT"})),
    transactions={TX: {"status": "inDoubt", "presented_minor": None}},
    out=(1, 0, 0, 0),
    units=(Unit("1", 97, False, 99), *SOUND.units[1:]),
    latch={"reason": "outcomeUnknown", "transactionId": TX},
    screen="outOfService",
    screen_texts=("closed", TX),
)


def without(*kinds: str) -> tuple[Line, ...]:
    return tuple(line for line in JOURNAL if line.kind not in kinds)


def again(kind: str, seq: int) -> Line:
    return replace(next(line for line in JOURNAL if line.kind == kind), seq=seq)


DOCTORED: dict[str, tuple[Observation, str]] = {
    "one note too many": (replace(SOUND, out=(4, 0, 0, 0)), "dispensed_once"),
    "one note too many, though it was intended": (replace(SOUND, out=(2, 0, 0, 0)), "debited_is_presented"),
    "a missing debit": (replace(SOUND, transactions={TX: {"status": "released", "presented_minor": 0}}), "debited_is_presented"),
    "a debit that the bank never made": (replace(SOUND, transactions={}), "debited_is_presented"),
    "debited twice": (
        replace(SOUND, transactions={**SOUND.transactions, "T0001-00000008": {"status": "settled", "presented_minor": 30_000}}),
        "debited_is_presented",
    ),
    "a second dispense on the wire": (replace(SOUND, heard=2), "dispensed_once"),
    "a dispense after the unit forgot the first": (replace(SOUND, heard=2, heard_all=False), "dispensed_once"),
    "a second intent": (replace(SOUND, journal=(*JOURNAL, again("dispenseIntended", 17))), "dispensed_once"),
    "answered, though nothing was heard": (replace(SOUND, heard=0), "dispensed_once"),
    "a note is nowhere": (replace(SOUND, lost_notes=("cassette 1: 400 loaded, 399 found",)), "notes_are_conserved"),
    "a wrong counter that claims to be right": (replace(SOUND, units=(Unit("1", 100, True, 99),)), "notes_are_conserved"),
    "cash with the card still in": (replace(SOUND, trace=(SOUND.trace[0], *SOUND.trace[2:])), "card_before_cash"),
    "cash from an agent that saw no card": (replace(SOUND, trace=(("event", "Started"), *SOUND.trace[2:])), "card_before_cash"),
    "cash without a certificate": (replace(SOUND, journal=without("cardConfirmed")), "certificate_before_cash"),
    "cash without an approval": (replace(SOUND, journal=without("authorisationApproved")), "certificate_before_cash"),
    "an outbox that does not drain": (replace(SOUND, unsent=1), "known_at_the_bank_once"),
    "a message the bank never took": (replace(SOUND, acknowledged=0), "known_at_the_bank_once"),
    "a hold that stays": (replace(SOUND, held_minor=30_000), "known_at_the_bank_once"),
    "cash nobody was authorised to get": (replace(SOUND, suspense_minor=-30_000), "known_at_the_bank_once"),
    "a discrepancy": (replace(SOUND, discrepancies=("conflictingAdvice: ...",)), "known_at_the_bank_once"),
    "a message the bank could not read": (replace(SOUND, refusals=("txn: ...",)), "known_at_the_bank_once"),
    "books that do not balance": (replace(SOUND, unbalanced=("entry 3 is out by 100",)), "known_at_the_bank_once"),
    "a transaction only the bank knows": (replace(SOUND, strangers=("T0001-00000009",)), "known_at_the_bank_once"),
    "settled twice": (replace(SOUND, journal=(*JOURNAL, again("transactionSettled", 17))), "known_at_the_bank_once"),
    "never settled": (replace(SOUND, journal=without("transactionSettled")), "every_transaction_ends"),
    "asked again after a refusal, and forgotten": (
        replace(
            SOUND,
            journal=(*JOURNAL[:2], Line(12, "authorisationDeclined", TX, {}), again("authorisationRequested", 13)),
            trace=(),
            transactions={},
            out=(0, 0, 0, 0),
            heard=0,
        ),
        "every_transaction_ends",
    ),
    "a broken chain": (replace(SOUND, chain="entry 12 was changed"), "chain_verifies"),
    "idle, though latched": (replace(DOUBT, screen="idle"), "serves_again"),
    "out of service for nothing": (replace(SOUND, screen="outOfService", screen_texts=("closed",)), "serves_again"),
    "a dark screen": (replace(SOUND, screen=""), "serves_again"),
    "latched without a reference": (replace(DOUBT, screen_texts=("closed",)), "serves_again"),
    "in doubt, and not latched": (replace(DOUBT, latch=None), "debited_is_presented"),
    "in doubt, and another one latched": (
        replace(DOUBT, latch={"reason": "outcomeUnknown", "transactionId": "T0001-00000006"}),
        "debited_is_presented",
    ),
    "in doubt, and debited besides": (
        replace(DOUBT, transactions={**DOUBT.transactions, "T0001-00000008": {"status": "settled", "presented_minor": 10_000}}),
        "debited_is_presented",
    ),
    "waits for ever": (replace(SOUND, stuck="the customer still waits"), "nothing_waits_for_ever"),
    "a card nobody notices": (replace(SOUND, saw=frozenset({"idle", "ignored on idle"})), "nothing_waits_for_ever"),
}


@pytest.mark.parametrize("sound", [SOUND, DOUBT], ids=["paid", "in doubt and latched"])
def test_what_is_right_is_called_right(sound: Observation) -> None:
    assert judge(sound) == []


@pytest.mark.parametrize("name", DOCTORED)
def test_what_is_wrong_is_found_by_its_rule(name: str) -> None:
    observation, rule = DOCTORED[name]
    assert any(sentence.startswith(f"{rule}: ") for sentence in judge(observation)), judge(observation)


def test_an_outcome_is_what_came_out() -> None:
    assert outcome(SOUND) == "paid"
    assert outcome(replace(SOUND, out=(1, 0, 0, 0))) == "partial"
    assert outcome(replace(SOUND, out=(0, 0, 0, 0))) == "none"
    assert outcome(DOUBT) == "inDoubt"


def test_a_terminal_that_pays_no_customer_does_not_serve() -> None:
    paid = replace(SOUND, saw=frozenset({"takeCash"}))
    refused = replace(SOUND, out=(0, 0, 0, 0), saw=frozenset({"failure"}))
    assert serves([refused, paid]) == []
    assert serves([refused, refused]) and serves([replace(paid, saw=frozenset())])


def test_a_run_is_the_same_however_many_are_planned() -> None:
    assert plan.runs(7, 60)[:20] == plan.runs(7, 20)
    assert plan.runs(7, 20) != plan.runs(8, 20)


def test_the_default_number_of_runs_deals_every_point_of_the_agent_and_every_target() -> None:
    dealt: Any = [order for run in plan.runs(1, 300) for visit in run.visits for order in visit.orders]
    listed = {(point, side) for story in points.OF_STORY.values() for point in story for side in points.sides_of(point)}
    assert listed <= {(order.point, order.side) for order in dealt if order.target == points.AGENT}
    assert {order.target for order in dealt} == {points.AGENT, *points.OTHERS}
