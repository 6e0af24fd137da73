"""Card out, then cash, then the receipt. The one command that moves money is sent from here, once, after its intent is on disk."""

from __future__ import annotations

from terminal.core import cash
from terminal.core.authorising import fail
from terminal.core.commands import Command, Dispense, EndAgent, PrintReceipt
from terminal.core.customer import begin
from terminal.core.events import (
    NOT_SENT,
    CardInserted,
    CardRemoved,
    CommandFailed,
    NotesDispensed,
    Pressed,
    ReceiptPrinted,
    TimerExpired,
)
from terminal.core.model import Device, OpenDispense, Phase, State
from terminal.core.recovery import accounts_to_json, result_to_json
from terminal.core.service import in_doubt, open_dispense_of, reasons_out_of_service, resolve, rest, tell_customer
from terminal.core.settling import settle_dispensed, settle_not_executed
from terminal.core.steps import Step, ask, goto, online, record, stay, transaction_of
from terminal.core.values import replace

THANKS_S = 5.0
NOTHING_DONE = ("deviceFault", "linkError", "protocolError")
"""Kinds of CommandFailed after which a dispense did not run: the driver says them only before the frame leaves, or for a refusal."""


def on_card_taken(state: State, event: CardRemoved) -> Step:
    """Card before cash. Intent first (fsync), then the command."""
    state = replace(state, card_present=False)
    transaction = transaction_of(state)
    if transaction.baseline is None or not online(state, Device.DISPENSER) or not state.dispenser_ready:
        return fail(state, "dispenserFault")
    dispense = OpenDispense(
        transaction.transaction_id,
        transaction.amount_minor,
        transaction.quantities,
        transaction.baseline,
        state.accounts,
        transaction.cassettes,
        transaction.final_card_data,
    )
    intended = record(
        "dispenseIntended",
        transaction.transaction_id,
        amountMinor=dispense.amount_minor,
        quantities=list(dispense.quantities),
        baseline=result_to_json(dispense.baseline),
        earlier=accounts_to_json(dispense.earlier),
        cassettes=list(dispense.cassettes),
        cardData=dispense.final_card_data,
    )
    deadline_s = state.config.timeouts.dispense_s
    state, command = ask(
        replace(state, open_dispense=dispense), Dispense, deadline_s, quantities=dispense.quantities, cassettes=dispense.cassettes
    )
    return goto(state, Phase.DISPENSING, intended, command, seconds=deadline_s + 5)


def on_card_not_taken(state: State, event: TimerExpired) -> Step:
    """No card, no cash: the bank lets go of its hold, the card stays to be taken."""
    return fail(state, "cardNotTaken", "TIMO")


def on_notes_dispensed(state: State, event: NotesDispensed) -> Step:
    dispense = state.open_dispense
    if dispense is None:
        raise AssertionError("notes dispensed without an open dispense")
    if cash.uncertain(event.result) or not cash.possible(event.result, dispense.quantities):
        return in_doubt(state, event.result.error_name or ("notesMissing" if event.result.missing else "countsImpossible"), event.result)
    state, settled = settle_dispensed(state, dispense, event.result)
    return tell_customer(state, event.result, settled)


def on_dispense_failed(state: State, event: CommandFailed) -> Step:
    """Refused, or never sent: nothing moved. A missing acknowledgement proves nothing (decision 0010): ask the unit what it did."""
    if event.kind not in NOTHING_DONE and event.name != NOT_SENT:
        return resolve(state, Phase.RESOLVING)
    state, settled = settle_not_executed(state, open_dispense_of(state))
    return tell_customer(replace(state, dispenser_ready=False), None, settled)


def on_dispense_time_out(state: State, event: TimerExpired) -> Step:
    return resolve(state, Phase.RESOLVING)


# --- after the cash


def on_presenting_press(state: State, event: Pressed) -> Step:
    if event.option == "receipt" and online(state, Device.PRINTER):
        return print_receipt(state)
    return thank(state) if event.option in ("finish", "receipt") else stay(state)


def print_receipt(state: State) -> Step:
    transaction = transaction_of(state)
    fields = {
        "transaction_id": transaction.transaction_id,
        "masked_pan": state.card.masked_pan if state.card else "",
        "application": state.card.label if state.card else "",
        "aid": state.card.aid if state.card else "",
        "requested_minor": transaction.amount_minor,
        "presented_minor": cash.value_minor(state.units, transaction.presented),
        "authorisation_code": transaction.authorisation_code,
        "balance_minor": transaction.balance_minor,
    }
    timeouts = state.config.timeouts
    state, command = ask(state, PrintReceipt, timeouts.print_s, language=state.language, fields=fields)
    return goto(state, Phase.PRINTING, command, seconds=timeouts.print_s + 5)


def on_presenting_time_out(state: State, event: TimerExpired) -> Step:
    return thank(state)


def on_receipt_printed(state: State, event: ReceiptPrinted) -> Step:
    return thank(replace(state, receipt_printed=True), "takeReceipt")


def on_print_failed(state: State, event: CommandFailed) -> Step:
    """The money is settled; a receipt is a courtesy that failed, and it is said."""
    return thank(state, "noReceipt", record("receiptFailed", transaction_of(state).transaction_id, fault=event.name))


def on_print_time_out(state: State, event: TimerExpired) -> Step:
    return thank(state, "noReceipt")


def thank(state: State, hint: str = "", *commands: Command) -> Step:
    return goto(state, Phase.THANKING, *commands, seconds=THANKS_S, hint=hint)


def on_finished(state: State, event: TimerExpired | Pressed) -> Step:
    """The next customer may already have inserted a card: begin at once."""
    if state.phase is Phase.THANKING and state.card_present and not reasons_out_of_service(state):
        state, commands = rest(replace(state, card_present=False))
        state, more = begin(state)
        return state, (*commands, *more)
    return rest(state)


def on_card_waits(state: State, event: CardInserted) -> Step:
    return stay(replace(state, card_present=True))


# --- giving the card back


def on_ejected(state: State, event: CardRemoved) -> Step:
    return rest(replace(state, card_present=False))


def on_not_taken_yet(state: State, event: TimerExpired) -> Step:
    """No reader here can swallow a card: go on asking. An agent that is to end leaves it where its owner can still take it."""
    if state.stopping:
        return goto(state, Phase.OUT_OF_SERVICE, EndAgent(state.store_failed))
    return goto(state, Phase.EJECTING, seconds=state.config.timeouts.take_card_s, hint="takeCardNow")
