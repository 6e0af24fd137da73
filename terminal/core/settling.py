"""How a transaction ends: one journal entry with the counters as they are after it, and the completion advice, in one record.

SCSS: cash was presented (FULL or PART). FAIL: none was. DOBT: nobody can say; cash-out is latched until a person reconciles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from terminal.core.cash import PATH_ERRORS, CashUnit, DispenserResult, Units, account, account_unknown, remember, value_minor
from terminal.core.commands import Entry, Outgoing, Record
from terminal.core.model import Latch, OpenDispense, State
from terminal.core.recovery import accounts_to_json, latch_to_json, result_to_json, units_to_json
from terminal.core.steps import amount
from terminal.core.values import replace


def settle_without_cash(
    state: State, transaction_id: str, requested_minor: int, reason: str, card_data: str = "", advise: bool = True
) -> tuple[State, Record]:
    """No dispense command was ever sent for it. `advise` when the bank may know of the transaction."""
    return _settled(state, transaction_id, requested_minor, 0, "FAIL", reason, [], card_data, advise)


def settle_dispensed(state: State, dispense: OpenDispense, result: DispenserResult) -> tuple[State, Record]:
    """The dispenser's account is known: what passed the exit is what the customer has."""
    presented = [unit.presented for unit in result.units]
    presented_minor = value_minor(state.units, presented)
    status = "SCSS" if presented_minor else "FAIL"
    reason = "" if presented_minor == dispense.amount_minor else "MALF"
    notes = _notes(state.units, result)
    state = replace(
        state,
        units=account(state.units, dispense.quantities, result),
        accounts=remember(state.accounts, result),
        open_dispense=None,
    )
    if result.error in PATH_ERRORS:
        state = replace(state, latch=Latch("dispenserFault", dispense.transaction_id))
    state, settled = _settled(
        state, dispense.transaction_id, dispense.amount_minor, presented_minor, status, reason, notes, dispense.final_card_data, True
    )
    answered = Entry("dispenseAnswered", dispense.transaction_id, result_to_json(result))
    return state, Record((answered, *settled.entries), settled.outgoing)


def settle_not_executed(state: State, dispense: OpenDispense) -> tuple[State, Record]:
    """The command provably never ran."""
    state = replace(state, open_dispense=None)
    return settle_without_cash(state, dispense.transaction_id, dispense.amount_minor, "MALF", dispense.final_card_data)


def settle_in_doubt(state: State, dispense: OpenDispense, cause: str, result: DispenserResult | None = None) -> tuple[State, Record]:
    """Latch first, tell the bank DOBT, and pay nobody until a person has counted."""
    state = replace(
        state,
        units=account_unknown(state.units, dispense.quantities),
        latch=Latch("outcomeUnknown", dispense.transaction_id),
        accounts=remember(state.accounts, result if result is not None and result.command == "dispense" else None),
        open_dispense=None,
    )
    state, settled = _settled(
        state, dispense.transaction_id, dispense.amount_minor, None, "DOBT", "MALF", [], dispense.final_card_data, True
    )
    data = {"cause": cause, "lastStatus": None if result is None else result_to_json(result)}
    return state, Record((Entry("dispenseUnknown", dispense.transaction_id, data), *settled.entries), settled.outgoing)


def reconcile(state: State, requested_minor: int, presented_minor: int, by: str) -> tuple[State, Record]:
    """A person has counted: the latch opens, and the bank hears what was really presented. Counters stay inaccurate until an exchange.

    The count is a sum of money: of which notes it was made nobody says, and an empty list would say "of none".
    """
    if state.latch is None:
        raise ValueError("cash-out is not latched: there is nothing to reconcile")
    transaction_id = state.latch.transaction_id
    state = replace(state, latch=None)
    status, reason = ("SCSS", "") if presented_minor else ("FAIL", "MALF")
    if presented_minor not in (0, requested_minor):
        reason = "MALF"
    state, settled = _settled(state, transaction_id, requested_minor, presented_minor, status, reason, [], "", True)
    said = {name: value for name, value in settled.outgoing[0].data.items() if name != "notes"}
    advice = Outgoing("txn", settled.outgoing[0].type, {**said, "reconciles": True})
    counted = Entry("cashOutReconciled", transaction_id, {"by": by, "presentedMinor": presented_minor})
    return state, Record((counted, *settled.entries), (advice,))


def release(state: State, by: str) -> tuple[State, Record]:
    """A person has looked at the dispenser and cleared its path: it may be initialised and pay again."""
    if state.latch is None or state.latch.reason != "dispenserFault":
        raise ValueError("cash-out is not latched for a dispenser fault: there is nothing to release")
    looked = Entry("dispenserReleased", state.latch.transaction_id, {"by": by})
    state = replace(state, latch=None)
    return state, Record((looked, Entry("checkpoint", None, checkpoint(state))))


def exchange(state: State, unit: str, count: int, by: str) -> tuple[State, Record]:
    """A cassette was replaced by one with `count` counted notes: its counters begin anew, and it is usable."""
    before = next((one for one in state.units if one.unit == unit), None)
    if before is None:
        raise ValueError(f"there is no unit {unit!r}; known are {', '.join(one.unit for one in state.units)}")
    fresh = CashUnit(unit, before.denomination_minor, count)
    exchanged = {"unit": unit, "by": by, "before": units_to_json((before,))[0], "count": count}
    state = replace(state, units=tuple(fresh if one is before else one for one in state.units))
    return state, Record((Entry("cashUnitExchanged", None, exchanged), Entry("checkpoint", None, checkpoint(state))))


def checkpoint(state: State) -> Mapping[str, Any]:
    """What recovery starts from."""
    known: dict[str, Any] = {"units": units_to_json(state.units), "latch": latch_to_json(state.latch)}
    known["accounts"] = accounts_to_json(state.accounts)
    return {**known, "lastTransaction": state.last_transaction, "closedByOperator": state.closed_by_operator}


def _notes(units: Units, result: DispenserResult) -> list[dict[str, Any]]:
    return [
        {"unit": unit.unit, "minor": unit.denomination_minor, "presented": seen.presented, "rejected": seen.rejected}
        for unit, seen in zip(units, result.units, strict=True)
        if seen.presented or seen.rejected
    ]


def _settled(
    state: State,
    transaction_id: str,
    requested_minor: int,
    presented_minor: int | None,
    status: str,
    reason: str,
    notes: Sequence[Mapping[str, Any]],
    card_data: str,
    advise: bool,
) -> tuple[State, Record]:
    presented = None
    if presented_minor is not None and presented_minor <= requested_minor:  # there is no word for more than was asked for
        presented = {0: "NONE", requested_minor: "FULL"}.get(presented_minor, "PART")
    advice: dict[str, Any] = {
        "transactionId": transaction_id,
        "transactionStatus": status,
        "requestedAmount": amount(state, requested_minor),
        "presentedAmount": amount(state, presented_minor),
        "notes": list(notes),
        "reconciles": False,
    }
    if presented:
        advice["presented"] = presented
    if reason:
        advice["failureReason"] = reason
    if card_data:
        advice["iccRelatedData"] = card_data
    settled = {
        "status": status,
        "presented": presented,
        "requestedMinor": requested_minor,
        "presentedMinor": presented_minor,
        "reason": reason,
        **checkpoint(state),
    }
    outgoing = (Outgoing("txn", "ATMWithdrawalCompletionAdvice", advice),) if advise else ()
    return state, Record((Entry("transactionSettled", transaction_id, settled),), outgoing)
