"""What breaks: cards pulled, devices lost, a dispenser that pays in part, jams or falls silent, a bank that is gone."""

from __future__ import annotations

import pytest
from core_play import play, recorded, told
from core_ways import (
    ONE_BEFORE,
    TO_AMOUNT,
    TO_BANK,
    TO_CARD_BACK,
    TO_CASH,
    TO_PIN,
    TYPE_PIN,
    aac,
    account,
    applications,
    arqc,
    at,
    decided,
    dispensed,
    failed,
    idle,
    initialised,
    last_status,
    lost,
    pin_started,
    prepared,
    selected,
    time_out,
)

from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device, Phase
from terminal.core.views import view_of

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
                story >> last_status(ONE_BEFORE)
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
