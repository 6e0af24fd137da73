"""The invariants, each a rule over one observation; a rule answers with sentences, none when it holds. Pure: a doctored observation must
be found out (tests/wire/test_crash_bench.py does that).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from crash_bench.observation import Line, Observation

Rule = Callable[[Observation], Iterator[str]]
FINAL = ("settled", "released", "declined", "pinRetry", "faceRetry")


def judge(seen: Observation) -> list[str]:
    """All that is wrong; empty when every invariant holds."""
    return [f"{rule.__name__}: {sentence}" for rule in RULES for sentence in rule(seen)]


def serves(probes: Sequence[Observation]) -> list[str]:
    """Undisturbed customers after the fault: one gets what he asks for. The first may meet a device whose end nobody had noticed."""
    if any(outcome(seen) == "paid" and "takeCash" in seen.saw for seen in probes):
        return []
    saw = sorted({screen for seen in probes for screen in seen.saw})
    return [f"serves_again: {len(probes)} undisturbed customers, and none was paid; they saw {', '.join(saw)}"]


def outcome(seen: Observation) -> str:
    """In one word."""
    if any(one["status"] == "inDoubt" for one in seen.transactions.values()):
        return "inDoubt"
    if not seen.out_minor:
        return "none"
    asked = max((line.data["amountMinor"] for line in of_kind(seen, "dispenseIntended")), default=0)
    return "paid" if seen.out_minor == asked else "partial"


def of_kind(seen: Observation, *kinds: str) -> list[Line]:
    return [line for line in seen.journal if line.kind in kinds]


# --- money


def debited_is_presented(seen: Observation) -> Iterator[str]:
    """Only one of a visit's transactions can have moved notes; when it is in doubt, cash-out is latched and the screen names it."""
    doubtful = [name for name, one in seen.transactions.items() if one["status"] == "inDoubt"]
    debited = sum(one["presented_minor"] or 0 for one in seen.transactions.values())
    if not doubtful:
        if debited != seen.out_minor:
            yield f"debited {debited}, presented {seen.out_minor}"
        return
    if len(doubtful) > 1 or debited:
        yield f"in doubt: {', '.join(doubtful)}, and {debited} debited besides"
    if seen.latch is None or seen.latch["reason"] != "outcomeUnknown" or seen.latch["transactionId"] != doubtful[0]:
        yield f"{doubtful[0]} is in doubt at the bank, and the latch is {seen.latch}"


def notes_are_conserved(seen: Observation) -> Iterator[str]:
    yield from seen.lost_notes
    for unit in seen.units:
        if unit.accurate and not unit.tampered and unit.counted != unit.remaining:
            yield f"unit {unit.unit} claims {unit.counted} accurately, and holds {unit.remaining}"
    if any(count < 0 for count in seen.out):
        yield f"notes came back: {seen.out}"


def dispensed_once(seen: Observation) -> Iterator[str]:
    intents = of_kind(seen, "dispenseIntended")
    for transaction, count in Counter(line.transaction_id for line in intents).items():
        if count > 1:
            yield f"{transaction}: {count} intents"
    if seen.heard > len(intents):
        yield f"the dispenser heard {seen.heard} DISPENSE, the journal has {len(intents)} intents"
    allowed = [sum(line.data["quantities"][at] for line in intents) for at in range(4)]
    if any(out > most for out, most in zip(seen.out, allowed, strict=True)):
        yield f"{seen.out} notes came out, {tuple(allowed)} were intended"
    sent = seen.trace.count(("command", "Dispense"))
    if seen.heard_all and seen.heard < sum(1 for line in of_kind(seen, "dispenseAnswered")):
        yield f"{seen.heard} DISPENSE heard, and more answers journalled ({sent} sent)"


# --- order


def card_before_cash(seen: Observation) -> Iterator[str]:
    """The last that was seen of a card before a dispense is that it went; an agent that was started anew knows of none."""
    last = ""
    for kind, name in seen.trace:
        if kind == "event" and name in ("CardInserted", "CardRemoved", "Started"):
            last = name
        if (kind, name) == ("command", "Dispense") and last != "CardRemoved":
            yield f"dispensed after {last or 'nothing'}"


def certificate_before_cash(seen: Observation) -> Iterator[str]:
    """Approved by the bank, TC from the card, then the intent; the answer after it."""
    for intent in of_kind(seen, "dispenseIntended"):
        before = [line for line in seen.journal if line.transaction_id == intent.transaction_id and line.seq < intent.seq]
        if not any(line.kind == "authorisationApproved" for line in before):
            yield f"{intent.transaction_id}: intended without an approval"
        if not any(line.kind == "cardConfirmed" and line.data["kind"] == "TC" for line in before):
            yield f"{intent.transaction_id}: intended without TC"
    intended = {line.transaction_id: line.seq for line in of_kind(seen, "dispenseIntended")}
    for line in of_kind(seen, "dispenseAnswered", "dispenseUnknown"):
        if line.seq < intended.get(line.transaction_id, line.seq + 1):
            yield f"{line.transaction_id}: {line.kind} without an intent before it"


# --- bank and journal


def known_at_the_bank_once(seen: Observation) -> Iterator[str]:
    if seen.unsent:
        yield f"{seen.unsent} messages still in the outbox"
    if seen.acknowledged != seen.numbered:
        yield f"{seen.numbered} messages numbered, {seen.acknowledged} acknowledged"
    if seen.held_minor:
        yield f"{seen.held_minor} still held"
    yield from (f"{one}: only the bank knows it" for one in seen.strangers)
    if seen.suspense_minor:
        yield f"suspense pays {seen.suspense_minor}"
    yield from (f"discrepancy {one}" for one in seen.discrepancies)
    yield from (f"refused {one}" for one in seen.refusals)
    yield from (f"ledger {one}" for one in seen.unbalanced)
    for line in of_kind(seen, "dispenseIntended"):
        status = seen.transactions.get(line.transaction_id, {}).get("status", "nothing")
        if status not in (*FINAL, "inDoubt"):
            yield f"{line.transaction_id}: intended here, at the bank {status}"
    settled = Counter(line.transaction_id for line in of_kind(seen, "transactionSettled"))
    yield from (f"{name}: settled {count} times" for name, count in settled.items() if count > 1)


def every_transaction_ends(seen: Observation) -> Iterator[str]:
    """What the bank was asked for, or what was intended, is settled or was declined."""
    ended = {line.transaction_id: line.seq for line in of_kind(seen, "transactionSettled", "authorisationDeclined")}
    for line in of_kind(seen, "authorisationRequested", "dispenseIntended"):
        if ended.get(line.transaction_id, 0) < line.seq:
            yield f"{line.transaction_id}: {line.kind}, and no end in the journal"


def chain_verifies(seen: Observation) -> Iterator[str]:
    if seen.chain:
        yield seen.chain


# --- people


def serves_again(seen: Observation) -> Iterator[str]:
    if seen.screen == "idle":
        if seen.latch is not None:
            yield f"idle, although latched: {seen.latch}"
    elif seen.latch is None:
        yield f"shows {seen.screen or 'nothing'} ({', '.join(seen.screen_texts)}) without a latch"
    elif not seen.screen_texts:
        yield "latched, and the screen gives no reason"
    elif seen.latch["reason"] == "outcomeUnknown" and seen.latch["transactionId"] not in seen.screen_texts:
        yield f"latched, and the screen does not name {seen.latch['transactionId']}: {', '.join(seen.screen_texts)}"


def nothing_waits_for_ever(seen: Observation) -> Iterator[str]:
    if seen.stuck:
        yield seen.stuck
    yield from (one for one in seen.saw if one.startswith("ignored"))


RULES: tuple[Rule, ...] = (
    debited_is_presented,
    notes_are_conserved,
    dispensed_once,
    card_before_cash,
    certificate_before_cash,
    known_at_the_bank_once,
    every_transaction_ends,
    chain_verifies,
    serves_again,
    nothing_waits_for_ever,
)
