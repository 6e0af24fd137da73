"""What breaks: cards pulled, devices lost, a dispenser that pays in part, jams or falls silent, a bank that is gone."""

from __future__ import annotations

import dataclasses

import pytest
from core_play import (
    GOOD,
    MEMORY_GONE,
    NOTHING_BEFORE,
    TO_AMOUNT,
    TO_BANK,
    TO_CARD_BACK,
    TO_CASH,
    TO_DISPENSING,
    TO_PIN,
    TYPE_PIN,
    aac,
    account,
    applications,
    approved,
    arqc,
    at,
    config,
    decided,
    dispensed,
    failed,
    idle,
    initialised,
    last_status,
    lost,
    pin_started,
    play,
    prepared,
    recorded,
    selected,
    tc,
    time_out,
    told,
)

from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.cash import Accuracy
from terminal.core.model import Device, Latch, Phase
from terminal.core.views import view_of

ID = "T0001-00000001"
WITH_CARD = [
    Phase.READING_CARD,
    Phase.CHOOSING_APPLICATION,
    Phase.ENTERING_PIN,
    Phase.CHOOSING_AMOUNT,
    Phase.ENTERING_AMOUNT,
    Phase.STILL_THERE,
    Phase.FETCHING_TEMPLATE,
    Phase.VERIFYING_FACE,
    Phase.PREPARING,
    Phase.AUTHORISING,
    Phase.CONFIRMING_CARD,
]
ASKED = (Phase.AUTHORISING, Phase.CONFIRMING_CARD)


def paying() -> play:
    story = idle() >> TO_DISPENSING
    story.since = []
    return story


def lost_answer() -> play:
    """The dispense left, its answer did not come, the worker is gone."""
    story = paying() >> lost(Device.DISPENSER) >> e.DeviceLost(Device.DISPENSER, "workerLost")
    story.since = []
    return story


# --- the card


@pytest.mark.parametrize("phase", WITH_CARD)
def test_a_card_pulled_ends_the_session_and_says_so(phase: Phase) -> None:
    story = at(phase)
    story >> e.CardRemoved()
    assert story.state.phase is Phase.FAILED
    assert story.state.failure is not None and (story.state.failure.reason, story.state.failure.card) == ("cardRemoved", "taken")
    assert [one["failureReason"] for one in story.advices()] == (["CUCL"] if phase in ASKED else [])
    assert [type(command) for command in story.sent if isinstance(command, c.StopEntry)] == (
        [c.StopEntry] if phase in (Phase.ENTERING_PIN, Phase.ENTERING_AMOUNT) else []
    )
    assert (story >> time_out).state.phase is Phase.IDLE
    assert story.dispenses() == []


def test_a_card_pulled_while_somebody_is_asked_whether_he_is_there_stops_the_pad() -> None:
    story = idle() >> TO_PIN >> time_out
    story.since = []
    assert story >> e.CardRemoved() << [c.StopEntry, Phase.FAILED]


def test_a_card_pulled_after_a_declined_attempt_leaves_nothing_open() -> None:
    story = idle() >> TO_BANK >> decided("DECL", "incorrectPin", ("PINR",)) >> aac >> selected >> pin_started
    story >> e.CardRemoved() >> time_out
    assert (story.state.phase, story.advices()) == (Phase.IDLE, [])


def test_the_failure_screen_stops_asking_for_a_card_that_was_taken() -> None:
    story = idle() >> TO_BANK >> time_out
    assert story.state.failure is not None and story.state.failure.card == "take"
    story >> e.CardRemoved()
    assert story.state.failure is not None and story.state.failure.card == "taken"


def test_a_card_put_back_during_the_failure_screen_is_returned() -> None:
    story = idle() >> TO_BANK >> time_out >> e.CardRemoved() >> e.CardInserted() >> time_out
    assert story.state.phase is Phase.EJECTING


def test_a_reader_that_comes_back_without_the_card_ends_the_wait_for_it() -> None:
    story = at(Phase.EJECTING) >> e.DeviceLost(Device.CARD_READER, "noAnswer")
    assert (story >> time_out).state.phase is Phase.EJECTING
    assert (story >> e.DeviceOnline(Device.CARD_READER) >> e.CardRemoved()).state.phase is Phase.IDLE


# --- devices and link, in every phase


@pytest.mark.parametrize("device", list(Device))
@pytest.mark.parametrize("phase", list(Phase))
def test_a_device_lost_and_back_leaves_a_way_home(phase: Phase, device: Device) -> None:
    """Whatever was going on: with everything back and time passing, the terminal serves again; unless nobody knows what was paid."""
    story = at(phase)
    if phase is Phase.UNKNOWN:
        return
    if story.state.pending.get(device.value):
        story >> lost(device)
    story >> e.DeviceLost(device, "workerLost")
    go_home(story)
    assert story.state.phase is Phase.OUT_OF_SERVICE if story.state.latch else Phase.IDLE
    assert len(story.dispenses()) <= 1
    assert len(story.advices()) <= 1


@pytest.mark.parametrize("phase", list(Phase))
def test_the_link_down_moves_only_the_resting_phases(phase: Phase) -> None:
    story = at(phase)
    before = story.state.phase
    story >> e.LinkDown("gone")
    assert story.state.phase is (Phase.OUT_OF_SERVICE if before is Phase.IDLE else before)
    assert not story.state.link_up


def go_home(story: play) -> None:
    """Everything that can come does: devices answer, the customer goes, time passes."""
    for device in Device:
        if story.state.devices[device].status != "online" and device is not Device.DISPENSER:
            story >> e.DeviceOnline(device)
    story >> e.CardRemoved() >> e.LinkUp() >> e.DeviceOnline(Device.DISPENSER)
    for _ in range(12):
        if story.state.phase in (Phase.IDLE, Phase.OUT_OF_SERVICE) and not story.state.pending.get(Device.DISPENSER.value):
            return
        if story.state.pending.get(Device.DISPENSER.value):
            asked = [command for command in story.sent if isinstance(command, c.DeviceCommand) and command.device is Device.DISPENSER][-1]
            if isinstance(asked, c.InitialiseDispenser):
                story >> initialised
            elif isinstance(asked, c.AskLastStatus):
                story >> last_status(NOTHING_BEFORE)
            elif isinstance(asked, c.Dispense):
                story >> dispensed(account(*asked.quantities))
            else:
                story >> prepared
        elif story.state.timer:
            story >> time_out
        else:
            story >> failed(next(device for device in Device if device.value in story.state.pending))


def test_the_pin_pad_lost_during_entry() -> None:
    story = idle() >> TO_PIN
    story.since = []
    assert story >> e.DeviceLost(Device.PIN_PAD, "workerLost") << [recorded("deviceLost"), c.ReleaseCard, Phase.FAILED]
    assert story.state.failure is not None and story.state.failure.reason == "pinPadFault"


def test_the_reader_lost_during_pin_entry_stops_the_pad() -> None:
    """The pad would collect digits that nobody waits for."""
    story = idle() >> TO_PIN
    story.since = []
    assert story >> e.DeviceLost(Device.CARD_READER, "workerLost") << [recorded("deviceLost"), c.StopEntry, Phase.FAILED]


def test_the_pad_fails_while_it_makes_the_block() -> None:
    story = idle() >> TO_PIN >> TYPE_PIN[:-1]
    story.since = []
    assert story >> failed(Device.PIN_PAD, "keyNotFound") << [c.StopEntry, c.ReleaseCard, Phase.FAILED]


def test_the_reader_lost_while_the_bank_is_asked() -> None:
    story = idle() >> TO_BANK
    story.since = []
    assert (
        story
        >> e.DeviceLost(Device.CARD_READER, "workerLost")
        << [recorded("deviceLost"), recorded("transactionSettled", advice="FAIL"), Phase.FAILED]
    )
    assert story.advices()[0]["failureReason"] == "CDER"


def test_a_device_given_up_is_out_of_service() -> None:
    story = idle() >> e.DeviceLost(Device.PRINTER, "workerLost")
    story.since = []
    assert story >> e.DeviceGaveUp(Device.PRINTER) << [recorded("deviceGaveUp"), Phase.IDLE]
    assert story.state.devices[Device.PRINTER].status == "hardwareError"


def test_a_printer_away_changes_the_screen_not_the_service() -> None:
    story = idle() >> e.DeviceLost(Device.PRINTER, "paperOut") >> TO_CASH
    assert "receipt" not in [option.id for option in view_of(story.state).options]
    story.since = []
    assert story >> e.Pressed("receipt") << [Phase.THANKING]


@pytest.mark.parametrize("trouble", [failed(Device.PRINTER, "paperOut"), time_out])
def test_a_receipt_that_does_not_come(trouble: e.Event) -> None:
    story = idle() >> TO_CASH >> e.Pressed("receipt") >> trouble
    assert view_of(story.state).hint == "hint.noReceipt"
    assert len(story.advices()) == 1


def test_something_noted_moves_nothing() -> None:
    story = idle()
    assert story >> e.DeviceNoted(Device.DISPENSER, "nearEnd1") << [Phase.IDLE]
    assert story.state.devices[Device.DISPENSER].detail == "nearEnd1"


# --- the dispenser before the bank is asked


def test_the_dispenser_says_no_before_the_bank_is_asked() -> None:
    story = idle() >> TO_BANK[:-2]
    story.since = []
    assert story >> failed(Device.DISPENSER, "cassetteMissing1") << [c.InitialiseDispenser, c.ReleaseCard, Phase.FAILED]
    assert "authorisationRequested" not in story.kinds()
    assert story >> e.CardRemoved() >> initialised >> time_out << [Phase.IDLE]


def test_the_dispenser_lost_after_it_said_yes_is_no_reason_to_ask_the_bank() -> None:
    story = idle() >> TO_BANK[:-2] >> prepared
    story.since = []
    assert story >> e.DeviceLost(Device.DISPENSER, "noAnswer") << [recorded("deviceLost"), c.ReleaseCard, Phase.FAILED]
    assert story >> arqc << [c.Ignore, Phase.FAILED]


def test_the_dispenser_comes_anew_while_it_is_prepared() -> None:
    """Its fault changed: it is initialised, and the old question's answer will not be waited for without end."""
    story = idle() >> TO_BANK[:-2]
    story.since = []
    assert story >> e.DeviceOnline(Device.DISPENSER) << [c.InitialiseDispenser, c.ReleaseCard, Phase.FAILED]


def test_the_dispenser_being_initialised_cannot_pay() -> None:
    story = idle() >> TO_AMOUNT >> e.DeviceOnline(Device.DISPENSER)
    story.since = []
    assert story >> e.Pressed("amount:20000") << [recorded("transactionStarted"), c.ReleaseCard, Phase.FAILED]
    assert story >> e.CardRemoved() >> initialised >> time_out << [Phase.IDLE]


def test_a_dispenser_that_was_away_since_its_baseline_pays_nothing() -> None:
    """LAST STATUS may have changed meanwhile: a lost answer could not be judged any more."""
    story = idle() >> TO_CARD_BACK >> e.DeviceLost(Device.DISPENSER, "noAnswer") >> e.DeviceOnline(Device.DISPENSER) >> initialised
    story.since = []
    assert story >> e.CardRemoved() << [recorded("transactionSettled", advice="FAIL"), Phase.FAILED]
    assert story >> time_out << [Phase.IDLE]


def test_the_dispenser_is_away_when_the_card_is_taken() -> None:
    story = idle() >> TO_CARD_BACK >> e.DeviceLost(Device.DISPENSER, "noAnswer")
    story.since = []
    assert story >> e.CardRemoved() << [recorded("transactionSettled", advice="FAIL"), Phase.FAILED]
    assert story.dispenses() == []


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


@pytest.mark.parametrize("how", [("linkError", "linkError"), ("workerLost", e.NOT_SENT)])
def test_the_command_never_arrived(how: tuple[str, str]) -> None:
    """The line failed before anything was sent, or there was no worker to take the command; and LAST STATUS has not changed."""
    story = paying()
    kind, name = how
    assert story >> failed(Device.DISPENSER, name, kind) << [c.AskLastStatus, Phase.RESOLVING]
    assert story >> last_status(NOTHING_BEFORE) << [recorded("transactionSettled", advice="FAIL"), Phase.FAILED]
    assert story.state.units == config().units
    assert story >> time_out << [Phase.IDLE]


SENT = [
    failed(Device.DISPENSER, "acknowledged", "outcomeUnknown"),
    failed(Device.DISPENSER, "notAcknowledged", "outcomeUnknown"),
    lost(Device.DISPENSER),
]


@pytest.mark.parametrize("how", SENT)
def test_an_unchanged_account_of_a_command_that_may_have_been_heard_is_no_proof(how: object) -> None:
    story = paying() >> how >> e.DeviceOnline(Device.DISPENSER)  # type: ignore[operator]
    story.since = []
    assert story >> last_status(NOTHING_BEFORE) << [recorded("dispenseUnknown", "transactionSettled", advice="DOBT"), Phase.FAILED]
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
        idle() >> TO_BANK[:-2] >> (lambda state: e.DispenserPrepared(state.pending[Device.DISPENSER.value], same)) >> arqc >> approved >> tc
    )
    story >> e.CardRemoved() >> lost(Device.DISPENSER) >> e.DeviceLost(Device.DISPENSER, "x") >> e.DeviceOnline(Device.DISPENSER)
    story.since = []
    assert story >> last_status(same) << [recorded("dispenseUnknown", "transactionSettled", advice="DOBT"), Phase.FAILED]


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


def test_a_pad_that_cannot_stop_ends_no_session() -> None:
    story = idle() >> TO_AMOUNT >> e.Pressed("other") >> e.Pressed("back")
    story.since = []
    assert story >> failed(Device.PIN_PAD) << [c.Ignore, Phase.CHOOSING_AMOUNT]


def test_a_command_that_failed_after_its_question_was_dropped() -> None:
    story = idle() >> e.CardInserted()
    failure = failed(Device.CARD_READER)(story.state)
    story >> applications
    story.since = []
    assert story >> failure << [told(c.Ignore, event="CommandFailed"), Phase.READING_CARD]
