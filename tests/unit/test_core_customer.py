"""What customers do on their way to the bank: amounts, keys and presses, the card's applications, leaving, coming back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from core_play import play, recorded, told
from core_ways import (
    CARD,
    CREDIT,
    DEBIT,
    ID,
    TO_AMOUNT,
    TO_CASH,
    TO_PIN,
    TYPE_PIN,
    account,
    answer,
    applications,
    approved,
    arqc,
    config,
    dispensed,
    failed,
    idle,
    keys,
    pin_block,
    pin_started,
    prepared,
    selected,
    tc,
    time_out,
)

from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device, Phase
from terminal.core.views import view_of

# --- amounts


def test_only_what_the_cassettes_can_pay_is_offered() -> None:
    story = idle(config(counts=(0, 3, 0, 0))) >> TO_AMOUNT
    assert [option.id for option in view_of(story.state).options if option.id.startswith("amount:")] == ["amount:10000"]
    story.since = []
    assert story >> e.Pressed("amount:20000") << [Phase.CHOOSING_AMOUNT]


@pytest.mark.parametrize(
    "option", ["amount:12345", "amount:", "amount:-100", "amount:" + "9" * 5000, "amount:２００００", "application:X", "finish"]
)
def test_a_press_that_was_not_offered_changes_nothing(option: str) -> None:
    story = idle() >> TO_AMOUNT
    story.since = []
    assert story >> e.Pressed(option) << [Phase.CHOOSING_AMOUNT]


def amount_entry() -> play:
    story = idle() >> TO_AMOUNT
    story.since = []
    assert story >> e.Pressed("other") << [c.StartAmountEntry, Phase.ENTERING_AMOUNT]
    return story


def test_another_amount_on_the_pad() -> None:
    story = amount_entry()
    assert story >> keys("0", "1", "3", "0", "clear", "1", "3", "5", "backspace", "0") << [Phase.ENTERING_AMOUNT]
    assert view_of(story.state).entry == "130"
    assert (
        story
        >> keys("enter")
        << [
            recorded("transactionStarted"),
            c.StopEntry,
            told(c.PrepareDispense, quantities=(1, 0, 1, 1)),
            c.GenerateFirstCryptogram,
            Phase.PREPARING,
        ]
    )


def test_another_amount_on_the_screen() -> None:
    story = amount_entry()
    for option in ("key:8", "key:0", "key:0"):
        story >> e.Pressed(option)
    assert story >> e.Pressed("enter") << [recorded("transactionStarted"), c.StopEntry, c.PrepareDispense, c.GenerateFirstCryptogram]


@pytest.mark.parametrize(
    ("typed", "hint"), [("135", "amountNotPayable"), ("5000", "amountTooHigh"), ("", "amountNotPayable"), ("99999", "amountTooHigh")]
)
def test_an_amount_that_cannot_be_had_says_why(typed: str, hint: str) -> None:
    story = amount_entry() >> keys(*typed, "enter")
    assert story << [Phase.ENTERING_AMOUNT]
    assert (story.state.hint, story.state.entry) == (hint, "")
    assert story >> keys("1") << [Phase.ENTERING_AMOUNT]
    assert story.state.hint == ""


def test_an_amount_has_at_most_five_digits() -> None:
    story = amount_entry() >> keys(*"1234567890")
    assert story.state.entry == "12345"


def test_back_from_another_amount() -> None:
    assert amount_entry() >> e.Pressed("back") << [c.StopEntry, Phase.CHOOSING_AMOUNT]


def test_nothing_left_to_pay_with_closes_the_terminal() -> None:
    story = idle(config(counts=(2, 0, 0, 0))) >> TO_CASH
    story.since = []
    assert story >> e.Pressed("finish") >> time_out << [recorded("serviceChanged"), Phase.OUT_OF_SERVICE]
    assert story.outgoing[-1].data == {"globalStatus": "OUTS", "reasons": ["noCash"]}


# --- the customer


def test_two_applications_and_a_choice() -> None:
    story = idle() >> e.CardInserted()
    story.since = []
    assert story >> answer(e.ApplicationsRead, candidates=(DEBIT, CREDIT)) << [Phase.CHOOSING_APPLICATION]
    assert story >> e.Pressed("application:ZZ") << [Phase.CHOOSING_APPLICATION]
    assert story >> e.Pressed(f"application:{CREDIT.aid}") << [told(c.SelectApplication, aid=CREDIT.aid), Phase.READING_CARD]


def test_no_application_on_the_card() -> None:
    story = idle() >> e.CardInserted()
    story.since = []
    assert story >> answer(e.ApplicationsRead, candidates=()) << [c.ReleaseCard, Phase.FAILED]
    assert story.state.failure is not None and story.state.failure.reason == "cardNotSupported"


@pytest.mark.parametrize(("name", "shown"), [("applicationBlocked", "applicationBlocked"), ("mute", "cardUnreadable")])
def test_a_card_that_cannot_be_read(name: str, shown: str) -> None:
    story = idle() >> e.CardInserted()
    story.since = []
    assert story >> failed(Device.CARD_READER, name) << [c.ReleaseCard, Phase.FAILED]
    assert story.state.failure is not None and story.state.failure.reason == shown


def test_a_pin_of_three_digits_is_asked_for_again() -> None:
    story = idle() >> TO_PIN
    story.since = []
    assert story >> keys("digit", "digit", "digit", "enter") << [c.StartPinEntry, Phase.ENTERING_PIN]
    story >> pin_started
    assert (story.state.mask, view_of(story.state).hint) == (0, "hint.pinTooShort")


def test_keys_of_the_old_entry_do_not_count_for_the_new_one() -> None:
    story = idle() >> TO_PIN >> keys("digit", "digit", "digit", "enter") >> keys("digit", "enter", "digit")
    assert story.state.mask == 0
    story.since = []
    assert story >> pin_started >> keys("digit", "digit", "digit", "digit") << [Phase.ENTERING_PIN]
    assert story.state.mask == 4


def test_enter_pressed_twice_makes_one_block() -> None:
    """A pad makes one block per entry: asked a second time it would refuse, and a good PIN would be asked for again."""
    story = idle() >> TO_PIN
    story.since = []
    assert story >> keys("digit", "digit", "digit", "digit", "enter", "enter", "digit") << [c.MakePinBlock]
    assert story >> pin_block << [Phase.CHOOSING_AMOUNT]


def test_the_pads_own_count_decides() -> None:
    story = idle() >> TO_PIN >> keys("digit", "digit", "digit", "digit", "enter")
    story.since = []
    assert story >> failed(Device.PIN_PAD, "minimumLength") << [c.StartPinEntry, Phase.ENTERING_PIN]


def test_mask_backspace_clear_and_its_limits() -> None:
    story = idle() >> TO_PIN >> keys("backspace", *["digit"] * 15, "backspace")
    assert story.state.mask == 11
    assert (story >> keys("clear")).state.mask == 0


@pytest.mark.parametrize("way", [e.Pressed("cancel"), e.KeyPressed("cancel")])
def test_cancel_during_pin_entry_stops_the_pad(way: e.Event) -> None:
    story = idle() >> TO_PIN
    story.since = []
    assert story >> way << [c.StopEntry, c.ReleaseCard, Phase.EJECTING]
    assert story >> e.CardRemoved() << [Phase.IDLE]


def test_a_customer_who_leaves() -> None:
    story = idle() >> TO_PIN
    story.since = []
    assert story >> time_out << [Phase.STILL_THERE]
    assert story >> time_out << [c.StopEntry, c.ReleaseCard, Phase.EJECTING]
    assert view_of(story.state).hint == "hint.timedOut"


def test_a_customer_who_needs_more_time() -> None:
    story = idle() >> TO_PIN >> keys("digit", "digit") >> time_out
    story.since = []
    assert story >> e.Pressed("yes") << [Phase.ENTERING_PIN]
    assert story.state.mask == 2
    assert story >> time_out >> keys("digit") << [Phase.ENTERING_PIN]
    assert story.state.mask == 3


@pytest.mark.parametrize("option", ["no", "cancel"])
def test_a_customer_who_needs_no_more_time(option: str) -> None:
    story = idle() >> TO_AMOUNT >> time_out
    story.since = []
    assert story >> e.Pressed(option) << [c.ReleaseCard, Phase.EJECTING]


@pytest.mark.parametrize("choosing", [[e.CardInserted(), answer(e.ApplicationsRead, candidates=(DEBIT, CREDIT))], TO_AMOUNT])
@pytest.mark.parametrize("key", ["1", "digit", "enter", "clear"])
def test_a_key_while_no_entry_is_on_only_says_that_somebody_is_there(choosing: list[e.Event], key: str) -> None:
    story = idle() >> choosing
    phase = story.state.phase
    story >> time_out
    story.since = []
    assert story >> keys(key) << [phase]
    assert story.state.entry == ""


def test_language_of_the_card_and_of_the_customer() -> None:
    english = answer(e.ApplicationSelected, card=replace(CARD, language="en"))
    story = idle() >> e.CardInserted() >> applications >> english
    assert story.state.language == "en"
    story = idle() >> e.Pressed("language:zh") >> e.CardInserted() >> applications >> english
    assert story.state.language == "zh"
    assert (story >> e.Pressed("language:fr")).state.language == "zh"
    story = idle() >> e.Pressed("language:en") >> TO_CASH >> e.Pressed("finish")
    assert story.state.language == "en"
    assert (story >> time_out).state.language == "zh"


def test_two_customers_in_a_row() -> None:
    story = idle() >> TO_CASH >> e.CardInserted()
    story.since = []
    assert story >> e.Pressed("finish") >> time_out << [c.ReadCard, Phase.READING_CARD]
    story >> applications >> selected >> pin_started >> TYPE_PIN >> e.Pressed("amount:50000") >> prepared >> arqc >> approved >> tc
    story >> e.CardRemoved() >> dispensed(account(5, 0, 0, 0))
    assert [(one["transactionId"], one["presentedAmount"]["minor"]) for one in story.advices()] == [
        (ID, 20_000),
        ("T0001-00000002", 50_000),
    ]
    assert [out for out in story.outgoing if out.type == "GlobalStatusChanged"] == story.outgoing[:1], "in service all the time: told once"


def test_the_next_card_waits_for_nothing_when_the_terminal_closes() -> None:
    """Out of service after the first customer: the second one's card is asked to be taken."""
    story = idle(config(counts=(2, 0, 0, 0))) >> TO_CASH >> e.CardInserted() >> e.Pressed("finish")
    assert story >> time_out
    assert story.state.phase is Phase.EJECTING
    story >> e.CardRemoved()
    assert story.state.phase is Phase.OUT_OF_SERVICE


def test_a_card_while_out_of_service() -> None:
    story = idle() >> e.LinkDown("gone")
    story.since = []
    assert story >> e.CardInserted() << [Phase.EJECTING]
    assert story >> e.LinkUp() << [Phase.EJECTING]
    assert story >> e.CardRemoved() << [recorded("serviceChanged"), Phase.IDLE]
