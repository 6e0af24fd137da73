"""More planted bugs: what the bank is told, and what a restart makes of things."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from money.mutants import Digs, instead, mutant, put
from terminal.adapters.outbox_sender import Outbox
from terminal.adapters.shipper import Shipper
from terminal.adapters.store import Store
from terminal.core import commands as c
from terminal.core import recovery, settling
from terminal.workers.services import card as card_service

# --- what the bank is told


@mutant("rowGoneOnPuback", "the broker has it, so the row can go", "bankExactlyOnce")
def row_gone(digs: Digs) -> None:
    shipped = Shipper.puback

    def puback(self: Shipper, row: Any, reason: int, now: float) -> None:
        shipped(self, row, reason, now)
        self._rows.forget(row.klass, row.position)

    put(digs, Shipper, "puback", puback)


@mutant("acknowledgeOneMore", "everything up to and including the next number is acknowledged", "bankExactlyOnce")
def one_more(digs: Digs) -> None:
    shipped = Outbox.settle
    put(digs, Outbox, "settle", lambda self, klass, epoch, upto: shipped(self, klass, epoch, upto + 1))


@mutant("noReversal", "nothing was paid, so there is nothing to tell the bank", "bankExactlyOnce")
def no_reversal(digs: Digs) -> None:
    shipped = settling.settle_without_cash

    def settle_without_cash(*arguments: Any, **named: Any) -> Any:
        state, settled = shipped(*arguments, **named)
        return state, c.Record(settled.entries)

    instead(digs, shipped, settle_without_cash)


@mutant("partIsFull", "whoever got cash got it all: presented FULL", "debitedIsPresented")
def part_is_full(digs: Digs) -> None:
    shipped = settling._settled

    def settled(state: Any, transaction_id: str, requested: int, presented: Any, *more: Any) -> Any:
        return shipped(state, transaction_id, requested, requested if presented else presented, *more)

    instead(digs, shipped, settled)


@mutant("doubtIsFailure", "the bank cannot do anything with a doubt: it is told FAIL", "debitedIsPresented")
def doubt_is_failure(digs: Digs) -> None:
    shipped = settling.settle_in_doubt

    def settle_in_doubt(state: Any, dispense: Any, *more: Any) -> Any:
        after, _ = shipped(state, dispense, *more)
        _, settled = settling.settle_without_cash(after, dispense.transaction_id, dispense.amount_minor, "MALF")
        return after, settled

    instead(digs, shipped, settle_in_doubt)


# --- after a restart


@mutant("doubtWithoutLatch", "the bank knows of the doubt; the next customer can be served", "debitedIsPresented")
def doubt_without_latch(digs: Digs) -> None:
    shipped = settling.settle_in_doubt

    def settle_in_doubt(*arguments: Any) -> Any:
        after, settled = shipped(*arguments)
        return replace(after, latch=None), settled

    instead(digs, shipped, settle_in_doubt)


@mutant("latchInMemory", "a restart is a person's way to say that all is well", "debitedIsPresented")
def latch_in_memory(digs: Digs) -> None:
    shipped = recovery.recover
    instead(digs, shipped, lambda lines: replace(shipped(lines), latch=None))


@mutant("forgetOpenDispense", "a dispense that was cut short is the dispenser's business", "debitedIsPresented")
def forget_open_dispense(digs: Digs) -> None:
    shipped = recovery.recover
    instead(digs, shipped, lambda lines: replace(shipped(lines), open_dispense=None))


@mutant("forgetOpenTransaction", "a request without an answer times out at the bank by itself", "bankExactlyOnce")
def forget_open_transaction(digs: Digs) -> None:
    shipped = recovery.recover
    instead(digs, shipped, lambda lines: replace(shipped(lines), open_transaction=None))


@mutant("numbersBeginAnew", "transaction numbers count from the start of the agent", "bankExactlyOnce", "journalExplains")
def numbers_begin_anew(digs: Digs) -> None:
    shipped = recovery.recover
    instead(digs, shipped, lambda lines: replace(shipped(lines), last_transaction=0))


@mutant("cardNumberInLog", "the log is the bank's own, so the whole card number helps whoever reads it", "nothingSecret")
def in_log(digs: Digs) -> None:
    shipped = card_service.info_of

    def info_of(application: Any, candidate: Any) -> Any:
        sys.stderr.write(f"card: {application.pan.reveal()}\n")
        return shipped(application, candidate)

    instead(digs, shipped, info_of)


@mutant("alarmNotSent", "the journal has the doubt, so the operations centre need not be told as well", "bankExactlyOnce")
def alarm_not_sent(digs: Digs) -> None:
    shipped = Store._append_message

    def append_message(self: Store, database: Any, message: Any, stamp: Any) -> None:
        if message.klass != "alarm":
            shipped(self, database, message, stamp)

    put(digs, Store, "_append_message", append_message)
