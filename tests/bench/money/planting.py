"""The planted bugs. Each says in one sentence what its author believed, and names the invariants of which one must fall."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from drivers.devices.puloon_lcdm4000 import PuloonLcdm4000
from drivers.errors import OutcomeUnknown
from drivers.transports.base import Deadline
from money.mutants import Digs, instead, mutant, put
from terminal.adapters import store_file
from terminal.adapters.store_file import StoreFailed
from terminal.agent import Agent
from terminal.core import authorising, cash, paying, service, settling
from terminal.core import commands as c
from terminal.core.cash import DispenserResult, UnitResult
from terminal.core.model import Phase
from terminal.core.steps import goto
from terminal.workers.services import dispenser as dispenser_service

# --- what is sent, and when


def _again(digs: Digs, when: re.Pattern[str]) -> None:
    once = PuloonLcdm4000.dispense

    def dispense(self: PuloonLcdm4000, quantities: Any, deadline: Any) -> Any:
        try:
            return once(self, quantities, deadline)
        except OutcomeUnknown as error:
            if not when.search(str(error)):
                raise
            return once(self, quantities, Deadline.after(deadline.clock, 60.0))

    put(digs, PuloonLcdm4000, "dispense", dispense)


@mutant("resendOnSilence", "no answer came, so the dispense is sent again", "neverTwice")
def resend(digs: Digs) -> None:
    _again(digs, re.compile("did not"))


@mutant("resendOnNak", "a NAK proves that the unit did nothing, so the dispense is sent again", "neverTwice")
def resend_on_nak(digs: Digs) -> None:
    _again(digs, re.compile("refused"))


def _card_taken(digs: Digs, change: Any) -> None:
    shipped = paying.on_card_taken

    def on_card_taken(state: Any, event: Any) -> Any:
        after, commands = shipped(state, event)
        return after, change(commands) if any(isinstance(one, c.Dispense) for one in commands) else commands

    instead(digs, shipped, on_card_taken)


@mutant("journalAfterSend", "the command first, so that the customer waits less; the journal follows at once", "intentFirst")
def journal_after(digs: Digs) -> None:
    _card_taken(digs, lambda commands: (commands[1], commands[0], *commands[2:]))


@mutant("noIntent", "the settlement is journalled anyway, so no entry before the dispense", "intentFirst")
def no_intent(digs: Digs) -> None:
    _card_taken(digs, lambda commands: commands[1:])


@mutant("syncLater", "synchronous=NORMAL is durable enough and three times faster", "bankExactlyOnce", "debitedIsPresented")
def sync_later(digs: Digs) -> None:
    shipped = store_file.connect

    def connect(path: Any) -> Any:
        database = shipped(path)
        database.execute("PRAGMA synchronous = NORMAL")
        return database

    instead(digs, shipped, connect)


@mutant("goOnWithoutJournal", "a full disk must not stop a customer: go on without the entry", "intentFirst", "debitedIsPresented")
def without_journal(digs: Digs) -> None:
    shipped = Agent._perform

    def perform(self: Agent, command: Any) -> None:
        try:
            shipped(self, command)
        except StoreFailed:
            if not isinstance(command, c.Record):
                raise

    put(digs, Agent, "_perform", perform)


@mutant("cashBeforeTc", "the bank has approved, so the card's second cryptogram is a formality", "noCashBeforeTc")
def before_tc(digs: Digs) -> None:
    shipped = authorising.on_authorisation

    def on_authorisation(state: Any, event: Any) -> Any:
        after, commands = shipped(state, event)
        if after.phase is not Phase.CONFIRMING_CARD or event.response != "APPR":
            return after, commands
        return goto(after, Phase.RETURNING_CARD, *commands[:-1], seconds=state.config.timeouts.take_card_s)

    instead(digs, shipped, on_authorisation)


@mutant("cashBeforeCard", "the customer is in a hurry: cash at once, the card can be taken meanwhile", "cardBeforeCash")
def before_card(digs: Digs) -> None:
    shipped = authorising.on_second_cryptogram

    def on_second_cryptogram(state: Any, event: Any) -> Any:
        after, commands = shipped(state, event)
        if after.phase is not Phase.RETURNING_CARD:
            return after, commands
        last, more = paying.on_card_taken(after, event)
        return last, (*commands, *more)

    instead(digs, shipped, on_second_cryptogram)


# --- what became of it


@mutant("noLastStatus", "no answer means that nothing happened: nobody is asked", "debitedIsPresented")
def no_last_status(digs: Digs) -> None:
    def on_dispense_failed(state: Any, event: Any) -> Any:
        state, settled = settling.settle_not_executed(state, state.open_dispense)
        return service.tell_customer(replace(state, dispenser_ready=False), None, settled)

    instead(digs, paying.on_dispense_failed, on_dispense_failed)


@mutant("lostWorkerDidNothing", "a worker that died cannot have dispensed", "debitedIsPresented")
def lost_worker(digs: Digs) -> None:
    shipped = paying.on_dispense_failed

    def on_dispense_failed(state: Any, event: Any) -> Any:
        return shipped(state, replace(event, kind="deviceFault") if event.kind == "workerLost" else event)

    instead(digs, shipped, on_dispense_failed)


@mutant("silenceIsSuccess", "no answer, but the command was sent: it will have been carried out", "debitedIsPresented")
def silence_is_success(digs: Digs) -> None:
    def on_dispense_failed(state: Any, event: Any) -> Any:
        dispense = state.open_dispense
        result = DispenserResult("dispense", 0, "", 0, tuple(UnitResult(asked, 0) for asked in dispense.quantities))
        state, settled = settling.settle_dispensed(state, dispense, result)
        return service.tell_customer(state, result, settled)

    instead(digs, paying.on_dispense_failed, on_dispense_failed)


@mutant("timeOutIsFailure", "after so long it has failed: tell the bank so", "debitedIsPresented")
def time_out_is_failure(digs: Digs) -> None:
    shipped = service.on_resolving_time_out

    def on_time_out(state: Any, event: Any) -> Any:
        state, settled = settling.settle_not_executed(state, service.open_dispense_of(state))
        return service.tell_customer(state, None, settled) if state.phase is not Phase.RECOVERING else service.rest(state, settled)

    instead(digs, shipped, on_time_out)


@mutant("noBaseline", "LAST STATUS shows a dispense, so it is this one", "debitedIsPresented")
def no_baseline(digs: Digs) -> None:
    def proves(result: Any, baseline: Any, earlier: Any, quantities: Any) -> bool:
        return cash.possible(result, quantities) and not cash.uncertain(result)

    instead(digs, cash.proves, proves)


@mutant("noEarlier", "what LAST STATUS did not show just before the dispense is of the dispense", "debitedIsPresented")
def no_earlier(digs: Digs) -> None:
    shipped = cash.proves
    instead(digs, shipped, lambda result, baseline, earlier, quantities: shipped(result, baseline, (), quantities))


def _last_status(digs: Digs, not_executed: Any) -> None:
    shipped = service.on_last_status

    def on_last_status(state: Any, event: Any) -> Any:
        dispense = service.open_dispense_of(state)
        if not not_executed(event.result, dispense):
            return shipped(state, event)
        state, settled = settling.settle_not_executed(state, dispense)
        return service.rest(state, settled) if state.phase is Phase.RECOVERING else service.tell_customer(state, None, settled)

    instead(digs, shipped, on_last_status)


@mutant("unchangedIsProof", "LAST STATUS is as before, so nothing happened, whoever may have heard the command", "debitedIsPresented")
def unchanged_is_proof(digs: Digs) -> None:
    _last_status(digs, lambda result, dispense: result == dispense.baseline or result.command == "none")


@mutant("impossibleIsProof", "LAST STATUS speaks of another dispense, so this one did not run", "debitedIsPresented")
def impossible_is_proof(digs: Digs) -> None:
    _last_status(digs, lambda result, dispense: result.command != "none" and not cash.possible(result, dispense.quantities))


@mutant("believeEveryCount", "the unit's counts are right, also after a note stood in the exit", "debitedIsPresented")
def believe_every_count(digs: Digs) -> None:
    put(digs, cash, "UNCERTAIN_ERRORS", frozenset())


# --- counting


@mutant("countRequested", "what was asked for is what was presented", "debitedIsPresented")
def count_requested(digs: Digs) -> None:
    shipped = settling.settle_dispensed

    def settle_dispensed(state: Any, dispense: Any, result: Any) -> Any:
        units = tuple(replace(unit, presented=asked) for unit, asked in zip(result.units, dispense.quantities, strict=True))
        return shipped(state, dispense, replace(result, units=units))

    instead(digs, shipped, settle_dispensed)


def _account(digs: Digs, change: Any) -> None:
    shipped = cash.account
    instead(digs, shipped, lambda units, quantities, result: change(shipped, units, quantities, result))


@mutant("forgetRejects", "rejected notes are still in the machine, so they need not be counted", "countersAreTrue")
def forget_rejects(digs: Digs) -> None:
    def change(shipped: Any, units: Any, quantities: Any, result: Any) -> Any:
        return shipped(units, quantities, replace(result, units=tuple(replace(unit, rejected=0) for unit in result.units)))

    _account(digs, change)


@mutant("rejectsArePresented", "what left the cassette is what the customer has", "debitedIsPresented")
def rejects_are_presented(digs: Digs) -> None:
    shipped = dispenser_service.result_of

    def result_of(result: Any, command: str, types: Any) -> DispenserResult:
        found = shipped(result, command, types)
        return replace(found, units=tuple(replace(unit, presented=unit.presented + unit.rejected) for unit in found.units))

    instead(digs, shipped, result_of)


@mutant("alwaysAccurate", "the counters follow every account, so they are accurate", "countersAreTrue")
def always_accurate(digs: Digs) -> None:
    def change(shipped: Any, units: Any, quantities: Any, result: Any) -> Any:
        return tuple(replace(unit, accuracy=cash.Accuracy.ACCURATE) for unit in shipped(units, quantities, result))

    _account(digs, change)


@mutant("unitsByPosition", "cassettes stand in the order of their types", "debitedIsPresented", "countersAreTrue")
def units_by_position(digs: Digs) -> None:
    def result_of(result: Any, command: str, types: Any) -> DispenserResult:
        units = tuple(UnitResult(cassette.exit, cassette.reject) for cassette in result.cassettes)
        name = "" if result.error.ok else result.error.name
        return DispenserResult(command, result.error.code, name, max(0, result.miss - dispenser_service.MISS_NONE), units)

    instead(digs, dispenser_service.result_of, result_of)


@mutant(
    "typesOfNow", "what the unit counted is of the cassettes that stand there when it is asked", "debitedIsPresented", "countersAreTrue"
)
def types_of_now(digs: Digs) -> None:
    shipped = dispenser_service.result_of

    def result_of(result: Any, command: str, types: Any) -> DispenserResult:
        return shipped(result, command, [cassette.type or before for cassette, before in zip(result.cassettes, types, strict=True)])

    instead(digs, shipped, result_of)


@mutant("countersFromConfiguration", "the configuration says what is in the cassettes, also after a restart", "countersAreTrue")
def counters_from_configuration(digs: Digs) -> None:
    shipped = service.on_started

    def on_started(state: Any, event: Any) -> Any:
        after, commands = shipped(state, event)
        return replace(after, units=state.config.units), commands

    instead(digs, shipped, on_started)
