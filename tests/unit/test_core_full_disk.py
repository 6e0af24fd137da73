"""A disk that takes nothing more: nothing leaves without its entry, the customer is told, and the next start ends what is open."""

from __future__ import annotations

import pytest
from core_play import play
from core_stories import STORIES, Story, restarted
from core_ways import GOOD, ID, ONE_BEFORE, arqc, at, config, dispensed, idle, prepared, time_out

from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device, Phase, State
from terminal.core.recovery import Recovered
from terminal.core.views import view_of


def records_of(story: Story) -> int:
    begun = idle()
    before = begun._records
    begun >> story
    return begun._records - before


@pytest.mark.parametrize("name", STORIES)
def test_the_disk_refuses_every_record_in_turn(name: str) -> None:
    """The state stays as it was, nothing that should have followed leaves, the customer is told; the restart settles what is open."""
    script, result = STORIES[name]
    for number in range(1, records_of(script) + 1):
        story = idle()
        story.disk_full_at = story._records + number
        seen = len(story.sent)
        try:
            story >> script
        except AssertionError as error:
            assert "was asked nothing" in str(error) or "no timer" in str(error), error  # the script goes on, the terminal does not
        state = story.state
        assert state.store_failed
        assert state.phase in (Phase.FAILED, Phase.OUT_OF_SERVICE, Phase.EJECTING, Phase.THANKING), state.phase
        ran = len(story.dispenses()) == 1
        assert ran == ("dispenseIntended" in story.kinds())
        assert all(not isinstance(command, c.Authorise) or "authorisationRequested" in story.kinds() for command in story.sent[seen:])
        assert not (ran and "cardConfirmed" not in story.kinds())
        after = restarted(story, result if ran else ONE_BEFORE)
        assert len(after.advices(ID)) <= 1
        if ran and name != "doubtful":
            paid = sum(unit.presented for unit in result.units)
            assert [one["presentedAmount"]["minor"] for one in after.advices(ID)] == [paid * 10_000]
            assert sum(unit.presented for unit in after.state.units) == paid


def full(story: play) -> play:
    story.disk_full_at = 0
    story.since = []
    return story


def test_no_dispense_without_its_intent_on_disk() -> None:
    story = full(at(Phase.RETURNING_CARD))
    assert story >> e.CardRemoved() << [c.ReleaseCard, Phase.FAILED]
    assert story.state.failure is not None and (story.state.failure.reason, story.state.failure.card) == ("journalFailed", "taken")
    assert story >> time_out << [Phase.OUT_OF_SERVICE], "the card was taken all the same: nobody waits for it"
    assert view_of(story.state).lines[0].text == "reason.journalFailed"


def test_no_request_without_its_entry_on_disk() -> None:
    story = at(Phase.PREPARING) >> prepared
    assert full(story) >> arqc << [c.ReleaseCard, Phase.FAILED]
    assert story.state.failure is not None and story.state.failure.card == "take"


def test_a_dispense_that_cannot_be_settled_stays_open() -> None:
    story = full(at(Phase.DISPENSING))
    assert story >> dispensed(GOOD) << [Phase.FAILED]
    assert story.state.failure is not None and story.state.failure.money == "inDoubt"
    assert story.state.open_dispense is not None
    assert story >> time_out << [Phase.OUT_OF_SERVICE]
    assert [one["presentedAmount"]["minor"] for one in restarted(story, GOOD).advices()] == [20_000]


@pytest.mark.parametrize("phase", [Phase.PRESENTING, Phase.PRINTING, Phase.THANKING, Phase.FAILED, Phase.EJECTING])
def test_what_the_customer_was_told_stays_true_when_the_disk_fails_later(phase: Phase) -> None:
    """Cash that lies in the tray is not denied because a line about the printer could not be written."""
    story = full(at(phase))
    before = view_of(story.state)
    story >> e.DeviceLost(Device.FACE, "workerLost")
    assert story.state.store_failed and view_of(story.state) == before
    story >> e.CardRemoved()
    while story.state.phase not in (Phase.OUT_OF_SERVICE, Phase.IDLE):
        story >> time_out
    assert story.state.phase is Phase.OUT_OF_SERVICE


def test_the_disk_fails_while_a_pin_is_typed() -> None:
    story = full(at(Phase.ENTERING_PIN))
    assert story >> e.DeviceLost(Device.PRINTER, "workerLost") << [c.StopEntry, c.ReleaseCard, Phase.FAILED]
    assert story.state.devices[Device.PRINTER].status == "offline"


def test_a_dispenser_is_not_touched_when_the_journal_could_not_be_begun() -> None:
    """Its LAST STATUS may be the only proof of what was paid before."""
    story = play(State(config()))
    story.disk_full_at = 0
    story >> e.Started(Recovered()) >> e.DeviceOnline(Device.DISPENSER)
    assert [command for command in story.sent if isinstance(command, c.DeviceCommand)] == []
    assert (story >> time_out).state.phase is Phase.OUT_OF_SERVICE


def test_late_news_are_not_written_any_more() -> None:
    story = full(at(Phase.IDLE)) >> e.StoreFailed() >> time_out
    story.since = []
    assert story >> e.LateResponseArrived("ATMWithdrawalResponse", ID, "APPR") << [Phase.OUT_OF_SERVICE]
    assert story >> e.LinkDown("gone") >> e.LinkUp() << [Phase.OUT_OF_SERVICE]
