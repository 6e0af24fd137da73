"""A dispense that goes wrong: paid in part, jammed, not believed, its answer lost; and what must not lead to one."""

from __future__ import annotations

import dataclasses

import pytest
from core_play import play, recorded, told
from core_ways import (
    FACTORY,
    GOOD,
    ID,
    MEMORY_GONE,
    ONE_BEFORE,
    TO_BANK,
    TO_CARD_BACK,
    TO_DISPENSING,
    account,
    answer,
    approved,
    arqc,
    config,
    dispensed,
    failed,
    idle,
    initialised,
    last_status,
    lost,
    recovered_from,
    tc,
    time_out,
)

from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.cash import Accuracy
from terminal.core.model import Device, Latch, Phase
from terminal.core.views import view_of


def paying() -> play:
    story = idle() >> TO_DISPENSING
    story.since = []
    return story


def lost_answer() -> play:
    """The dispense left, its answer did not come, the worker is gone."""
    story = paying() >> lost(Device.DISPENSER) >> e.DeviceLost(Device.DISPENSER, "workerLost")
    story.since = []
    return story


# --- the dispense


def test_a_refusal_proves_that_nothing_moved() -> None:
    story = paying()
    assert (
        story
        >> failed(Device.DISPENSER, "coverOpen")
        << [recorded("transactionSettled", advice="FAIL"), c.InitialiseDispenser, Phase.FAILED]
    )
    assert story.state.units == config().units
    assert story >> initialised >> time_out << [Phase.IDLE]


def test_a_cassette_that_runs_empty_pays_in_part() -> None:
    story = paying()
    result = account(1, 0, 0, 0, error=0x01)
    assert story >> dispensed(result) << [recorded("dispenseAnswered", "transactionSettled", advice="SCSS"), Phase.PRESENTING]
    advice = story.advices()[0]
    assert (advice["presented"], advice["presentedAmount"]["minor"], advice["failureReason"]) == ("PART", 10_000, "MALF")
    assert view_of(story.state).lines[1].text == "takeCash.partial"
    assert not story.state.units[0].usable and story.state.units[0].accuracy is Accuracy.INACCURATE
    story >> e.Pressed("finish") >> time_out
    assert story.state.phase is Phase.IDLE, "the other cassettes pay"


def test_a_jam_with_notes_out_pays_in_part_and_calls_for_a_reset() -> None:
    story = paying()
    result = account(1, 0, 0, 0, rejected=(1, 0, 0, 0), error=0x20)
    assert (
        story
        >> dispensed(result)
        << [
            recorded("dispenseAnswered", "transactionSettled", advice="SCSS"),
            c.InitialiseDispenser,
            Phase.PRESENTING,
        ]
    )
    assert (story.state.units[0].presented, story.state.units[0].rejected) == (1, 1)
    story >> e.Pressed("finish")
    jammed = (story >> time_out).state
    assert jammed.phase is Phase.OUT_OF_SERVICE
    pending = jammed.pending[Device.DISPENSER.value]
    story.since = []
    assert story >> e.DispenserInitialised(pending, "jamExit") << [recorded("deviceFault"), Phase.OUT_OF_SERVICE]
    assert story >> e.DeviceOnline(Device.DISPENSER) >> initialised << [c.InitialiseDispenser, recorded("serviceChanged"), Phase.IDLE]


def test_a_jam_before_any_note_is_out() -> None:
    story = paying()
    assert (
        story
        >> dispensed(account(0, 0, 0, 0, error=0x02))
        << [
            recorded("dispenseAnswered", "transactionSettled", advice="FAIL"),
            Phase.FAILED,
        ]
    )
    assert story.state.latch == Latch("dispenserFault", ID), "a reset might move the note out, uncounted: a person must look first"
    assert (story.advices()[0]["presented"], story.advices()[0]["failureReason"]) == ("NONE", "MALF")


@pytest.mark.parametrize("error", [0x05, 0x07, 0x08, 0x0A])
def test_an_error_after_which_the_counts_prove_nothing(error: int) -> None:
    story = paying()
    assert (
        story
        >> dispensed(account(2, 0, 0, 0, error=error))
        << [recorded("dispenseUnknown", "transactionSettled", advice="DOBT"), Phase.FAILED]
    )
    latched(story)


@pytest.mark.parametrize(
    "impossible", [account(3, 0, 0, 0), account(1, 0, 0, 0), account(2, 0, 0, 0, command="purge"), account(0, 2, 0, 0, error=1)]
)
def test_counts_that_cannot_be(impossible: object) -> None:
    story = paying()
    assert story >> dispensed(impossible) << [recorded("dispenseUnknown", "transactionSettled", advice="DOBT"), Phase.FAILED]  # type: ignore[arg-type]
    latched(story)


def latched(story: play) -> None:
    """DOBT is said, the latch (of which an alarm is made) stands, and nothing opens cash-out again."""
    advice = story.advices()[0]
    assert advice["presentedAmount"] is None and "presented" not in advice
    assert story.state.latch is not None and story.state.latch.reason == "outcomeUnknown"
    assert story.state.latch is not None and story.state.latch.transaction_id == ID
    assert story.state.failure is not None and story.state.failure.money == "inDoubt"
    assert story.state.units[0].unknown == 2 and story.state.units[0].accuracy is Accuracy.INACCURATE
    assert (story >> time_out).state.phase is Phase.OUT_OF_SERVICE
    story.since = []
    assert (
        story
        >> e.DeviceLost(Device.DISPENSER, "powerOff")
        >> e.DeviceOnline(Device.DISPENSER)
        << [recorded("deviceLost"), Phase.OUT_OF_SERVICE]
    )
    assert view_of(story.state).lines[-1].values == {"reference": ID}


# --- an answer that is lost


def test_the_answer_is_lost_and_last_status_knows() -> None:
    story = lost_answer()
    assert story >> e.DeviceOnline(Device.DISPENSER) << [c.AskLastStatus, Phase.RESOLVING]
    assert (
        story
        >> last_status(GOOD)
        << [
            recorded("dispenseAnswered", "transactionSettled", advice="SCSS"),
            c.InitialiseDispenser,
            Phase.PRESENTING,
        ]
    )
    assert story >> initialised >> e.Pressed("finish") >> time_out << [Phase.IDLE]
    assert len(story.dispenses()) == 1


@pytest.mark.parametrize("how", [("linkError", "linkError"), ("protocolError", "protocolError"), ("workerLost", e.NOT_SENT)])
def test_the_command_was_never_sent(how: tuple[str, str]) -> None:
    """The line failed before anything was sent, or there was no worker to take the command: whatever LAST STATUS says is not of it."""
    story = paying()
    kind, name = how
    assert (
        story
        >> failed(Device.DISPENSER, name, kind)
        << [recorded("transactionSettled", advice="FAIL"), c.InitialiseDispenser, Phase.FAILED]
    )
    assert story.state.units == config().units
    assert story >> initialised >> time_out << [Phase.IDLE]


SENT = [
    failed(Device.DISPENSER, "acknowledged", "outcomeUnknown"),
    failed(Device.DISPENSER, "notAcknowledged", "outcomeUnknown"),
    lost(Device.DISPENSER),
]


@pytest.mark.parametrize("how", SENT)
def test_an_unchanged_account_of_a_command_that_may_have_been_heard_is_no_proof(how: object) -> None:
    story = paying() >> how >> e.DeviceOnline(Device.DISPENSER)  # type: ignore[operator]
    story.since = []
    assert story >> last_status(ONE_BEFORE) << [recorded("dispenseUnknown", "transactionSettled", advice="DOBT"), Phase.FAILED]
    latched(story)


def test_a_note_that_the_unit_lost_sight_of_is_doubt() -> None:
    story = paying()
    missing = dataclasses.replace(account(0, 0, 0, 0, error=0x04), missing=1)
    assert story >> dispensed(missing) << [recorded("dispenseUnknown", "transactionSettled", advice="DOBT"), Phase.FAILED]
    latched(story)


@pytest.mark.parametrize("says", [MEMORY_GONE, account(0, 3, 0, 0), account(2, 0, 0, 0, error=0x07), account(2, 0, 0, 0, command="purge")])
def test_last_status_proves_nothing(says: object) -> None:
    story = lost_answer() >> e.DeviceOnline(Device.DISPENSER)
    story.since = []
    assert story >> last_status(says) << [recorded("dispenseUnknown", "transactionSettled", advice="DOBT"), Phase.FAILED]  # type: ignore[arg-type]
    latched(story)


def test_a_baseline_that_looks_like_this_dispense_proves_nothing() -> None:
    same = account(2, 0, 0, 0)
    story = (
        idle()
        >> TO_BANK[:-2]
        >> (lambda state: e.DispenserPrepared(state.pending[Device.DISPENSER.value], same, FACTORY))
        >> arqc
        >> approved
        >> tc
    )
    story >> e.CardRemoved() >> lost(Device.DISPENSER) >> e.DeviceLost(Device.DISPENSER, "x") >> e.DeviceOnline(Device.DISPENSER)
    story.since = []
    assert story >> last_status(same) << [recorded("dispenseUnknown", "transactionSettled", advice="DOBT"), Phase.FAILED]


def test_last_status_is_read_with_the_cassettes_that_stood_there() -> None:
    """What the unit counted belongs to the places of then; it is in the journal, and asked for again after a restart."""
    exchanged = answer(e.DispenserPrepared, baseline=ONE_BEFORE, cassettes=(2, 1, 3, 4))
    story = idle() >> TO_BANK[:-2] >> exchanged >> arqc >> approved >> tc >> e.CardRemoved() >> lost(Device.DISPENSER)
    story.since = []
    assert story >> e.DeviceOnline(Device.DISPENSER) << [told(c.AskLastStatus, cassettes=(2, 1, 3, 4)), Phase.RESOLVING]
    found = recovered_from(story.journal).open_dispense
    assert found is not None and found.cassettes == (2, 1, 3, 4)


def test_the_worker_is_asked_at_once_when_it_lives() -> None:
    story = paying()
    assert story >> failed(Device.DISPENSER, "outcomeUnknown", "outcomeUnknown") << [c.AskLastStatus, Phase.RESOLVING]
    assert story >> failed(Device.DISPENSER, "linkError", "linkError") << [c.AskLastStatus, Phase.RESOLVING]
    assert story >> last_status(GOOD) << [recorded("dispenseAnswered", "transactionSettled", advice="SCSS"), Phase.PRESENTING]


def test_a_dispenser_silent_until_the_time_out() -> None:
    story = paying()
    late = dispensed(GOOD)(story.state)
    assert story >> time_out << [c.AskLastStatus, Phase.RESOLVING]
    assert story >> late << [c.Ignore, Phase.RESOLVING], "the answer to a question that is no longer open; LAST STATUS will say it"
    assert story >> time_out << [recorded("dispenseUnknown", "transactionSettled", advice="DOBT"), Phase.FAILED]
    latched(story)


def test_a_worker_that_comes_back_before_its_loss_is_told_does_not_hide_it() -> None:
    story = paying()
    assert story >> e.DeviceOnline(Device.DISPENSER) << [Phase.DISPENSING]
    assert (
        story
        >> dispensed(GOOD)
        << [
            recorded("dispenseAnswered", "transactionSettled", advice="SCSS"),
            c.InitialiseDispenser,
            Phase.PRESENTING,
        ]
    )


def test_the_bank_link_is_down_while_cash_is_paid() -> None:
    """The advice goes to the outbox; the customer gets what is his."""
    story = idle() >> TO_CARD_BACK >> e.LinkDown("gone") >> e.CardRemoved() >> dispensed(GOOD)
    assert story.state.phase is Phase.PRESENTING
    assert [one["transactionStatus"] for one in story.advices()] == ["SCSS"]


def test_a_reader_that_dies_while_the_card_is_awaited_is_no_reason_to_pay() -> None:
    """Blind, nobody can tell a taken card from one that is still in: not even when a new reader says at once that the slot is empty."""
    story = idle() >> TO_CARD_BACK
    story.since = []
    assert (
        story
        >> e.DeviceLost(Device.CARD_READER, "workerLost")
        << [
            recorded("deviceLost"),
            recorded("transactionSettled", advice="FAIL"),
            Phase.FAILED,
        ]
    )
    story >> e.DeviceOnline(Device.CARD_READER) >> e.CardRemoved()
    assert story.dispenses() == []
