"""Killed at any moment: what the journal says is enough to end every transaction, once."""

from __future__ import annotations

from typing import Any

import pytest
from core_play import play, recorded
from core_stories import DOUBTFUL, STORIES, WHOLE, Story, restarted
from core_ways import (
    FACE_FROM,
    GOOD,
    ID,
    MEMORY_GONE,
    ONE_BEFORE,
    TO_AMOUNT,
    TO_BANK,
    TO_CARD_BACK,
    TO_DISPENSING,
    answer,
    config,
    dispensed,
    everything_online,
    idle,
    last_status,
    recovered_from,
    start,
    time_out,
)
from hypothesis import given
from hypothesis import strategies as st

from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.cash import Accuracy, CashUnit, DispenserResult, UnitResult
from terminal.core.model import Device, Latch, Phase
from terminal.core.recovery import (
    Recovered,
    latch_from_json,
    latch_to_json,
    recover,
    result_from_json,
    result_to_json,
    units_from_json,
    units_to_json,
)
from terminal.core.settling import reconcile


class Killed(Exception):
    """The agent's process is gone."""


class Mortal(play):
    """Dies after its n-th effect (a command performed)."""

    left: int

    def perform(self, command: c.Command) -> bool:
        if self.left == 0:
            raise Killed
        self.left -= 1
        return super().perform(command)


def killed_after(effects: int, story: Story) -> tuple[Mortal, bool]:
    begun = idle()
    mortal = Mortal(begun.state, begun.journal)
    mortal.outgoing, mortal.left = begun.outgoing, effects
    try:
        mortal >> story
    except Killed:
        return mortal, True
    return mortal, False


def effects_of(story: Story) -> int:
    begun = idle()
    count = len(begun.sent)
    begun >> story
    return len(begun.sent) - count


@pytest.mark.parametrize("name", STORIES)
def test_killed_after_every_effect(name: str) -> None:
    """Journal, then act: whatever was sent is in the journal, and the restart tells the bank once what is true."""
    script, result = STORIES[name]
    for effects in range(effects_of(script)):
        dead, died = killed_after(effects, script)
        assert died
        ran = len(dead.dispenses()) == 1
        settled_before = len(dead.advices())
        open_before = [entry.kind for entry in dead.journal if entry.kind in ("dispenseIntended", "transactionSettled")][-1:] == [
            "dispenseIntended"
        ]
        story = restarted(dead, result if ran else ONE_BEFORE)
        note = f"killed after effect {effects} ({dead.sent[-1] if dead.sent else 'none'})"
        assert len(dead.dispenses()) + len(story.dispenses()) <= 1, note
        asked = "authorisationRequested" in dead.kinds()
        advices = story.advices(ID)
        last = [entry.kind for entry in dead.journal if entry.kind.startswith("authorisation")][-1:]
        assert len(advices) == (1 if asked and last != ["authorisationDeclined"] else 0), note
        if advices and advices[0]["transactionStatus"] != "DOBT":
            paid = sum(unit.presented for unit in result.units) if ran else 0
            assert advices[0]["presentedAmount"]["minor"] == paid * 10_000, note
            assert story.state.latch is None and story.state.phase is Phase.IDLE, note
            assert [unit.count for unit in story.state.units] == [100 - paid, 100, 100, 100], note
        if advices and advices[0]["transactionStatus"] == "DOBT":
            # killed between the intent and the wire: nobody saw whether the unit heard it, and an unchanged account proves nothing
            assert (name == "doubtful" and ran) or (open_before and not ran), note
            assert story.state.latch == Latch("outcomeUnknown", ID) and story.state.phase is Phase.OUT_OF_SERVICE, note
        if open_before:
            assert story.kinds().count("transactionSettled") == 1 and settled_before == 0, note


def test_the_number_of_a_transaction_is_never_used_again() -> None:
    """Even when nothing but its number was written before the kill."""
    dead = idle() >> TO_AMOUNT
    dead >> e.Pressed("amount:20000")
    assert dead.kinds()[-1] == "transactionStarted"
    story = restarted(dead, ONE_BEFORE) >> TO_BANK
    assert [entry.transaction_id for entry in story.journal if entry.kind == "transactionStarted"] == [ID, "T0001-00000002"]


def test_killed_again_while_it_recovers() -> None:
    dead, _ = killed_after(effects_of(TO_DISPENSING), [*TO_DISPENSING, dispensed(GOOD)])
    again = start(journal=dead.journal) >> e.DeviceOnline(Device.DISPENSER)
    assert again.state.phase is Phase.RECOVERING
    story = restarted(again, GOOD)
    assert [one["transactionStatus"] for one in story.advices()] == ["SCSS"]
    assert len(restarted(story, GOOD).advices()) == 1, "settled: nothing is told twice"


def test_recovery_waits_for_the_dispenser_and_then_doubts() -> None:
    dead, _ = killed_after(effects_of(TO_DISPENSING), [*TO_DISPENSING, dispensed(GOOD)])
    story = start(journal=dead.journal)
    story.since = []
    assert story >> e.CardInserted() << [Phase.RECOVERING]
    assert story >> time_out << [recorded("dispenseUnknown", "transactionSettled", advice="DOBT"), Phase.EJECTING]
    assert story >> e.CardRemoved() << [recorded("serviceChanged"), Phase.OUT_OF_SERVICE]
    assert story >> e.DeviceOnline(Device.DISPENSER) << [Phase.OUT_OF_SERVICE], "evidence is not touched"


def test_a_dispenser_whose_memory_is_gone_leaves_doubt() -> None:
    dead, _ = killed_after(effects_of(TO_DISPENSING), [*TO_DISPENSING, dispensed(GOOD)])
    story = start(journal=dead.journal) >> e.DeviceOnline(Device.DISPENSER)
    story.since = []
    assert (
        story >> last_status(MEMORY_GONE) << [recorded("dispenseUnknown", "transactionSettled", advice="DOBT"), recorded("serviceChanged")]
    )
    again = start(journal=story.journal)
    assert again.state.latch == Latch("outcomeUnknown", ID), "the latch outlives every restart"
    again >> everything_online()[:-1]
    assert again.state.phase is Phase.OUT_OF_SERVICE


def test_the_question_fails_and_is_asked_again() -> None:
    dead, _ = killed_after(effects_of(TO_DISPENSING), [*TO_DISPENSING, dispensed(GOOD)])
    story = start(journal=dead.journal) >> e.DeviceOnline(Device.DISPENSER)
    story.since = []
    refused = answer(e.CommandFailed, device=Device.DISPENSER, kind="linkError", name="noAnswer")
    gone = answer(e.CommandFailed, device=Device.DISPENSER, kind="workerLost", name="workerLost")
    assert story >> refused << [c.AskLastStatus, Phase.RECOVERING]
    assert story >> gone << [Phase.RECOVERING]
    assert story >> e.DeviceOnline(Device.DISPENSER) << [c.AskLastStatus, Phase.RECOVERING]


def test_the_counters_of_the_journal_count_not_those_of_the_configuration() -> None:
    story = idle() >> WHOLE
    again = start(config(counts=(7, 7, 7, 7)), journal=story.journal)
    assert [unit.count for unit in again.state.units] == [98, 100, 100, 100]


# --- the fold itself


def line(kind: str, transaction_id: str | None = None, **data: Any) -> c.Entry:
    return c.Entry(kind, transaction_id, data)


def test_a_first_start_knows_nothing() -> None:
    assert recover([]) == Recovered()
    assert recover([line("agentStarted", terminal="T0001", recovering=False)]) == Recovered()


def test_what_is_open_before_a_checkpoint_is_closed_by_it() -> None:
    begun = idle() >> TO_CARD_BACK
    known = recover([*begun.journal, *(entry for entry in (idle() >> WHOLE).journal if entry.kind == "transactionSettled")])
    assert known.open_transaction is None and known.open_dispense is None and known.last_transaction == 1


def test_an_open_transaction_is_told_with_the_cards_last_word() -> None:
    story = idle() >> TO_CARD_BACK
    known = recovered_from(story.journal)
    assert known.open_transaction is not None and known.open_transaction.card_data == "9F270140"
    again = start(journal=story.journal)
    assert again.advices()[0]["iccRelatedData"] == "9F270140" and again.advices()[0]["transactionStatus"] == "FAIL"


def test_a_face_check_leaves_nothing_open() -> None:
    story = idle(config(face_from_minor=FACE_FROM)) >> TO_AMOUNT >> e.Pressed("amount:20000")
    assert recovered_from(story.journal).open_transaction is None


counts = st.integers(0, 10_000)
units = st.builds(
    CashUnit,
    unit=st.sampled_from("1234"),
    denomination_minor=st.integers(1, 100_000),
    initial=counts,
    presented=counts,
    rejected=counts,
    unknown=counts,
    accuracy=st.sampled_from(Accuracy),
    usable=st.booleans(),
)
results = st.builds(
    DispenserResult,
    command=st.sampled_from(["dispense", "purge", "testDispense", "none"]),
    error=st.integers(0, 255),
    error_name=st.text(max_size=8),
    missing=st.integers(0, 100),
    units=st.lists(st.builds(UnitResult, counts, counts), max_size=4).map(tuple),
)


@given(st.lists(units, max_size=4).map(tuple), results)
def test_values_survive_the_journal(some: tuple[CashUnit, ...], result: DispenserResult) -> None:
    assert units_from_json(units_to_json(some)) == some
    assert result_from_json(result_to_json(result)) == result
    assert latch_from_json(latch_to_json(None)) is None
    assert latch_from_json(latch_to_json(Latch("outcomeUnknown", ID))) == Latch("outcomeUnknown", ID)


@pytest.mark.parametrize(("presented_minor", "word"), [(0, "NONE"), (10_000, "PART"), (20_000, "FULL")])
def test_a_counted_sum_is_told_without_a_list_of_notes(presented_minor: int, word: str) -> None:
    """An empty list would say that the sum was made of no notes, which the bank reports as a discrepancy."""
    story = idle() >> DOUBTFUL
    state, record = reconcile(story.state, 20_000, presented_minor, "test")
    [advice] = record.outgoing
    assert (advice.data["presented"], advice.data["presentedAmount"]["minor"], advice.data["reconciles"]) == (word, presented_minor, True)
    assert "notes" not in advice.data
    assert state.latch is None
