"""Stories that once failed: schedules of the bench, cut down to what mattered, that led to a change of the terminal or of the bench."""

from __future__ import annotations

from dataclasses import replace

import pytest
from money import explore
from money.play import play
from money.pool import setting
from money.schedule import BROUGHT_BACK, EXCHANGED, Customer, Fault, Schedule
from money.single import CUSTOMER, everything, payouts, played

from simulators.devices.dispenser import SURVIVES


def test_a_refused_dispense_is_not_sent_again() -> None:
    outcome = played(Fault("send<Dispense#1", "dispenser/nak", (("command", 0x52), ("count", 1))))
    assert outcome.wrong == () and outcome.latched == "outcomeUnknown"
    assert payouts(outcome) == ["takes the cash: [[1, 1]]"], "what the next customer gets, when a person has counted"


def test_a_missing_acknowledgement_is_no_proof() -> None:
    """The ACK is lost, the power fails in the movement, and a unit that keeps only finished accounts comes back with the one before."""
    lost = Fault("send<Dispense#1", "dispenser/drop_ack", (("command", 0x52), ("count", 1)))
    cut = Fault("send<Dispense#1", "dispenser/powerCutInMovement", (("notes", 2), ("place", "exit"), ("seconds", 2.0)))
    outcome = played(lost, cut, survives="finished")
    assert outcome.wrong == () and outcome.latched == "outcomeUnknown"


@pytest.mark.parametrize("survives", SURVIVES)
@pytest.mark.parametrize("place", ["chk", "exit"])
def test_an_account_that_was_there_before_is_no_proof(survives: str, place: str) -> None:
    """Two customers want the same. The second dispense is cut short, and what the unit says afterwards is true of the first."""
    cut = Fault("send<Dispense#2", "dispenser/powerCutInMovement", (("notes", 0), ("place", place), ("seconds", 2.0)))
    outcome = play(Schedule(7, (CUSTOMER, CUSTOMER), (cut,), survives=survives, whole=False), setting())
    assert outcome.wrong == () and outcome.latched in ("outcomeUnknown", "dispenserFault")


def test_a_refusal_that_the_disk_did_not_take_is_a_doubt() -> None:
    """The unit said that it did nothing, and nobody could write it down: after the restart LAST STATUS says what it said before."""
    out = Fault("send>Dispense#1", "dispenser/rejectBinOut", (("seconds", 2.0),))
    outcome = played(out, Fault("send>Dispense#1", "disk/refuses", (("appends", 1),)))
    assert outcome.wrong == () and outcome.latched == "outcomeUnknown"


def test_a_late_answer_does_not_overtake_or_outlive_what_is_asked_behind_it() -> None:
    """The simulated wire let a repeated answer overtake the first one, which then answered the next customer's dispense."""
    late = Fault("note#2", "wire/cashDispenser/toHost/delay", (("seconds", 12.0),))
    cut = Fault("send<Dispense#2", "dispenser/powerCutInMovement", (("notes", 0), ("place", "chk"), ("seconds", 8.0)))
    for survives in SURVIVES:
        assert play(Schedule(91_822, (CUSTOMER, CUSTOMER), (late, cut), survives=survives, whole=False), setting()).wrong == ()


def test_an_account_that_a_reset_had_taken_away_may_come_back() -> None:
    outcome = play(Schedule(7, (CUSTOMER,) * 3, BROUGHT_BACK, survives="dispensed", whole=False), setting())
    assert outcome.wrong == () and outcome.latched == "outcomeUnknown"


@pytest.mark.parametrize("survives", SURVIVES)
def test_what_was_never_sent_did_not_run_whatever_the_unit_says(survives: str) -> None:
    """Worker and dispenser are gone when the command should leave; the account that comes back is of the customer before."""
    gone = [
        Fault("journal<dispenseIntended#2", kind, more)
        for kind, more in (("dispenser/powerOff", (("seconds", 2.0),)), ("process/cashDispenser", ()))
    ]
    outcome = play(Schedule(7, (CUSTOMER, CUSTOMER), tuple(gone), survives=survives, whole=False), setting(), story=True)
    assert outcome.wrong == () and outcome.latched == "" and len(payouts(outcome)) == 1


def test_notes_are_of_the_cassettes_that_stood_there() -> None:
    """Two cassettes change places before anybody asks what was paid: a note of 100 counted as one of 50."""
    outcome = play(Schedule(7, (explore.MIXED,), EXCHANGED, survives="power", whole=False), setting())
    assert outcome.wrong == () and outcome.latched == "outcomeUnknown" and "dispenser/cassettesExchanged" in outcome.effects


def test_two_notes_counted_as_one_reject() -> None:
    assert played(Fault("send<Dispense#1", "dispenser/doubleNote", (("count", 1), ("reported", 1)))).wrong == ()


def test_a_flood_that_comes_byte_by_byte_is_over_some_time() -> None:
    """It took the simulated line six minutes, longer than the terminal asks: a doubt that had no reason."""
    split = Fault("event CommandFailed#1", "wire/cashDispenser/toHost/split")
    flood = Fault("wire cashDispenser toHost#10", "dispenser/flood_before_reply", (("command", None), ("count", 4), ("size", 70_000)))
    schedule = Schedule(87_516, (CUSTOMER,), (split, flood), latency=0.0, attended=False, whole=False)
    outcome = play(schedule, setting())
    assert outcome.wrong == () and outcome.latched == "" and "wire/cashDispenser/toHost/split" in outcome.effects


def test_a_note_of_another_cassette_jams() -> None:
    wrong_note = Fault("send<Dispense#1", "dispenser/wrongNote", (("unit", 3),))
    outcome = played(wrong_note, Fault("send<Dispense#1", "dispenser/jam", (("after_notes", 0), ("where", "dvt"))))
    assert outcome.wrong == () and outcome.latched == "dispenserFault"


def test_a_pad_that_is_off_for_long_costs_nobody_his_time() -> None:
    """A heartbeat that was due at that very moment was waited for without waiting."""
    assert played(Fault("show enterPin#1", "pinPad/powerOff", (("seconds", 40.0),))).wrong == ()


def test_power_that_fails_between_the_answer_and_its_settlement() -> None:
    cut = Fault("journal<dispenseAnswered,transactionSettled#1", "machine/powerCut", (("dispenser", False), ("seconds", 3.0)))
    outcome = played(cut, survives="power")
    assert outcome.wrong == () and outcome.latched == "", "LAST STATUS was there to ask"
    outcome = played(replace(cut, arguments=(("dispenser", True), ("seconds", 3.0))), survives="nothing")
    assert outcome.wrong == () and outcome.latched == "outcomeUnknown", "and here it was not: a person had to count"


def test_nobody_sends_what_could_not_be_synced() -> None:
    """The simulated disk showed the sender a message whose fsync had failed. After a power cut its number was given out again."""
    crash = Fault("wire pinPad toDevice#8", "broker/crash", (("seconds", 8.0),))
    fails = Fault("event TimerExpired#1", "disk/syncFails")
    cut = Fault("event TimerExpired#2", "machine/powerCut", (("dispenser", True), ("seconds", 20.0)))
    customer = Customer(amount_minor=17_000, pace_s=1.5)
    assert play(Schedule(483_682, (customer,), (crash, fails, cut), whole=False), setting()).wrong == ()


def test_what_was_synced_before_a_kill_survives_a_power_cut_behind_it() -> None:
    killed = Fault("send>Dispense#1", "process/agent", (("seconds", 2.0),))
    cut = Fault("note#14", "machine/powerCut", (("dispenser", False), ("seconds", 3.0)))
    assert played(killed, cut).wrong == ()


def test_an_fsync_that_fails_leaves_an_entry_that_nobody_believes_in() -> None:
    for name in ("dispenseIntended", "authorisationRequested", "dispenseAnswered,transactionSettled", "cardConfirmed"):
        assert played(Fault(f"journal<{name}#1", "disk/syncFails")).wrong == ()


def test_an_empty_cassette_puts_no_other_out_of_use() -> None:
    """One failed pick took the full cassettes behind it out of use, and the terminal said that it had no cash."""
    empty = Fault("show chooseAmount#1", "dispenser/cassetteEmpty", (("left", 0), ("unit", 1)))
    mixed = replace(CUSTOMER, amount_minor=38_000)
    assert play(Schedule(7, (mixed,), (empty,)), setting()).wrong == ()


def test_a_dispense_that_no_worker_could_take_is_no_doubt() -> None:
    outcome = played(Fault("journal<dispenseIntended#1", "process/cashDispenser"))
    assert outcome.wrong == () and outcome.latched == "" and payouts(outcome) == []


@pytest.mark.parametrize("unit", [1, 2, 3])
def test_notes_of_a_cassette_that_was_taken_out_are_still_of_its_kind(unit: int) -> None:
    """Cassette 2 holds the notes of 100. They counted as notes of 50 when it was pulled in the middle: half of what left was debited."""
    for note in range(1, 9):
        outcome = everything(Fault(f"note#{note}", "dispenser/cassetteRemoved", (("seconds", 8.0), ("unit", unit))))
        assert outcome.wrong == () and outcome.latched == ""
