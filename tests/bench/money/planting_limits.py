"""Still more planted bugs: waiting without a limit, and more caution than there is reason for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from money.mutants import Digs, instead, mutant, put
from terminal.adapters.requests_pending import PendingRequests
from terminal.core import authorising, cash, paying, service, settling
from terminal.core import commands as c
from terminal.core.cash import Accuracy, CashUnit
from terminal.core.model import Latch, Phase
from terminal.workers.supervisor import WorkerProcess

# --- waiting without a limit


@mutant("busyIsLeftAlone", "a worker that has a command is busy, and will answer in the end", "deadlines")
def busy_is_left_alone(digs: Digs) -> None:
    shipped, deadline = WorkerProcess.tick, WorkerProcess.next_deadline

    def tick(self: WorkerProcess) -> None:
        if not self._in_flight or self._child is None:
            shipped(self)

    put(digs, WorkerProcess, "tick", tick)
    put(digs, WorkerProcess, "next_deadline", lambda self: None if self._in_flight and self._child else deadline(self))


@mutant("silenceIsRest", "a worker that was asked nothing has nothing to say", "deadlines")
def silence_is_rest(digs: Digs) -> None:
    shipped, deadline = WorkerProcess.tick, WorkerProcess.next_deadline

    def tick(self: WorkerProcess) -> None:
        if self._in_flight or self._child is None:
            shipped(self)

    put(digs, WorkerProcess, "tick", tick)
    put(digs, WorkerProcess, "next_deadline", lambda self: None if not self._in_flight and self._child else deadline(self))


def _without_timer(digs: Digs, shipped: Any, phase: Phase) -> None:
    def without(*arguments: Any, **named: Any) -> Any:
        state, commands = shipped(*arguments, **named)
        if state.phase is not phase:
            return state, commands
        return replace(state, timer=0), tuple(one for one in commands if not isinstance(one, c.StartTimer))

    instead(digs, shipped, without)


@mutant("cardMayStay", "whoever has been promised cash takes the card: no time limit", "deadlines")
def card_may_stay(digs: Digs) -> None:
    _without_timer(digs, authorising.on_second_cryptogram, Phase.RETURNING_CARD)


@mutant("resolveForEver", "the dispenser must say what it did, however long that takes", "deadlines")
def resolve_for_ever(digs: Digs) -> None:
    _without_timer(digs, service.resolve, Phase.RESOLVING)


@mutant("requestsDoNotExpire", "the session has a time limit of its own for the bank: the link needs none", "deadlines")
def requests_do_not_expire(digs: Digs) -> None:
    shipped = PendingRequests.expired
    put(digs, PendingRequests, "expired", lambda self, now: shipped(self, now) if now == float("inf") else [])
    put(digs, PendingRequests, "next_expiry", lambda self: None)


# --- too much caution


@mutant("printerFaultLatches", "after a printer fault somebody should look at the machine before it pays again", "noDoubtWithoutReason")
def printer_fault_latches(digs: Digs) -> None:
    shipped = paying.on_print_failed

    def on_print_failed(state: Any, event: Any) -> Any:
        after, commands = shipped(state, event)
        return replace(after, latch=Latch("dispenserFault", state.transaction.transaction_id)), commands

    instead(digs, shipped, on_print_failed)


@mutant("silentBankIsDoubt", "the bank may have booked what it did not answer: the transaction is in doubt", "noDoubtWithoutReason")
def silent_bank_is_doubt(digs: Digs) -> None:
    shipped = authorising.on_no_answer

    def on_no_answer(state: Any, event: Any) -> Any:
        after, commands = shipped(state, event)
        return replace(after, latch=Latch("outcomeUnknown", state.transaction.transaction_id)), commands

    instead(digs, shipped, on_no_answer)


@mutant("emptyCassetteIsDoubt", "after any error of the dispenser nobody knows what the customer holds", "noDoubtWithoutReason")
def error_is_doubt(digs: Digs) -> None:
    instead(digs, cash.uncertain, lambda result: result.error != 0 or result.missing > 0)


@mutant(
    "restartMakesInaccurate", "nobody saw what happened while the agent was down: the counters are not accurate", "accurateWherePossible"
)
def restart_makes_inaccurate(digs: Digs) -> None:
    shipped = service.on_started

    def on_started(state: Any, event: Any) -> Any:
        after, commands = shipped(state, event)
        if event.recovered.first_start:
            return after, commands
        return replace(after, units=tuple(replace(unit, accuracy=Accuracy.INACCURATE) for unit in after.units)), commands

    instead(digs, shipped, on_started)


@mutant(
    "leftCashMakesInaccurate",
    "cash that is left lying may have been pushed back in: the counters are not accurate",
    "accurateWherePossible",
)
def left_cash_makes_inaccurate(digs: Digs) -> None:
    shipped = paying.on_presenting_time_out

    def on_presenting_time_out(state: Any, event: Any) -> Any:
        after, commands = shipped(state, event)
        return replace(after, units=tuple(replace(unit, accuracy=Accuracy.INACCURATE) for unit in after.units)), commands

    instead(digs, shipped, on_presenting_time_out)


@mutant("keepAReserve", "the last notes of a cassette stick together: five stay in", "servesAgain")
def keep_a_reserve(digs: Digs) -> None:
    put(digs, CashUnit, "count", property(lambda unit: max(0, unit.initial - unit.presented - unit.rejected - unit.unknown - 5)))


@mutant("exchangeKeepsDoubt", "an exchanged cassette stays inaccurate until the next count", "accurateWherePossible")
def exchange_keeps_doubt(digs: Digs) -> None:
    shipped = settling.exchange

    def exchange(state: Any, unit: str, count: int, by: str) -> Any:
        after, made = shipped(state, unit, count, by)
        units = tuple(replace(one, accuracy=Accuracy.INACCURATE) if one.unit == unit else one for one in after.units)
        after = replace(after, units=units)
        return after, c.Record((made.entries[0], c.Entry("checkpoint", None, settling.checkpoint(after))))

    instead(digs, shipped, exchange)
