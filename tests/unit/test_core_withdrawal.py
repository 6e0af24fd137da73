"""Withdrawals that end as they should, one way or the other: the core's stories without a broken device."""

from __future__ import annotations

from dataclasses import replace

import pytest
from core_play import (
    CARD,
    CREDIT,
    DEBIT,
    GOOD,
    TO_AMOUNT,
    TO_BANK,
    TO_CARD_BACK,
    TO_CASH,
    TO_PIN,
    TYPE_PIN,
    aac,
    account,
    answer,
    applications,
    approved,
    arqc,
    config,
    decided,
    dispensed,
    done,
    failed,
    idle,
    initialised,
    keys,
    pin_block,
    pin_started,
    play,
    prepared,
    recorded,
    selected,
    start,
    tc,
    time_out,
    told,
)

from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device, Phase
from terminal.core.views import view_of

ID = "T0001-00000001"


def test_a_terminal_opens_when_everybody_is_there() -> None:
    story = start()
    assert story << [recorded("agentStarted"), recorded("checkpoint"), Phase.OUT_OF_SERVICE]
    assert story >> [e.DeviceOnline(device) for device in (Device.CARD_READER, Device.PIN_PAD)] << [Phase.OUT_OF_SERVICE]
    assert story >> [e.CardRemoved(), e.LinkUp()] << [Phase.OUT_OF_SERVICE]
    assert story >> e.DeviceOnline(Device.DISPENSER) << [c.InitialiseDispenser, Phase.OUT_OF_SERVICE]
    assert story >> initialised << [recorded("serviceChanged"), Phase.IDLE]
    assert [(out.klass, out.type, out.data) for out in story.outgoing] == [
        ("audit", "GlobalStatusChanged", {"globalStatus": "INSV", "reasons": []})
    ]


def test_two_hundred_with_a_receipt() -> None:
    story = idle()
    assert story >> e.CardInserted() << [told(c.ReadCard, deadline_s=10.0), Phase.READING_CARD]
    assert story >> applications << [told(c.SelectApplication, aid=DEBIT.aid, cold=False), Phase.READING_CARD]
    assert story >> selected << [told(c.StartPinEntry, minimum=4, maximum=12), Phase.ENTERING_PIN]
    assert story >> pin_started >> keys("digit", "digit", "digit", "digit", "digit", "digit") << [Phase.ENTERING_PIN]
    assert view_of(story.state).mask == 6
    assert story >> keys("enter") << [told(c.MakePinBlock, format="iso9564-4"), Phase.ENTERING_PIN]
    assert story >> pin_block << [Phase.CHOOSING_AMOUNT]
    assert (
        story
        >> e.Pressed("amount:20000")
        << [
            recorded("transactionStarted"),
            told(c.PrepareDispense, quantities=(2, 0, 0, 0)),
            told(c.GenerateFirstCryptogram, amount_minor=20_000, transaction_number=1),
            Phase.PREPARING,
        ]
    )
    assert story >> prepared << [Phase.PREPARING]
    assert (
        story
        >> arqc
        << [
            recorded("authorisationRequested"),
            told(c.Authorise, transaction_id=ID, attempt=1, amount_minor=20_000, field55="9F2608AABB", face="notRequired"),
            Phase.AUTHORISING,
        ]
    )
    assert story >> approved << [recorded("authorisationApproved"), told(c.GenerateSecondCryptogram, approved=True), Phase.CONFIRMING_CARD]
    assert story >> tc << [recorded("cardConfirmed"), c.ReleaseCard, Phase.RETURNING_CARD]
    assert (
        story
        >> done(Device.CARD_READER)
        >> e.CardRemoved()
        << [recorded("dispenseIntended"), told(c.Dispense, quantities=(2, 0, 0, 0), deadline_s=105.0), Phase.DISPENSING]
    )
    assert story >> dispensed(GOOD) << [recorded("dispenseAnswered", "transactionSettled", advice="SCSS"), Phase.PRESENTING]
    assert story >> e.Pressed("receipt") << [told(c.PrintReceipt, language="zh"), Phase.PRINTING]
    printed = story.sent[-2]
    assert isinstance(printed, c.PrintReceipt)
    assert printed.fields == {
        "transaction_id": ID,
        "masked_pan": "622848******0015",
        "application": "UICC DEBIT",
        "aid": DEBIT.aid,
        "requested_minor": 20_000,
        "presented_minor": 20_000,
        "authorisation_code": "A1B2C3",
        "balance_minor": 470_000,
    }
    assert story >> answer(e.ReceiptPrinted) << [Phase.THANKING]
    assert view_of(story.state).screen == "takeReceipt"
    assert story >> time_out << [Phase.IDLE]
    assert story.advices() == [
        {
            "transactionId": ID,
            "transactionStatus": "SCSS",
            "requestedAmount": {"minor": 20_000, "currency": "CNY"},
            "presentedAmount": {"minor": 20_000, "currency": "CNY"},
            "presented": "FULL",
            "notes": [{"unit": "1", "minor": 10_000, "presented": 2, "rejected": 0}],
            "iccRelatedData": "9F270140",
            "reconciles": False,
        }
    ]
    assert [unit.count for unit in story.state.units] == [98, 100, 100, 100]


def test_the_order_of_card_and_bank_answers_does_not_matter() -> None:
    assert (
        idle()
        >> TO_BANK[:-2]
        >> arqc
        >> prepared
        << [
            c.ReadCard,
            c.SelectApplication,
            c.StartPinEntry,
            c.MakePinBlock,
            recorded("transactionStarted"),
            c.PrepareDispense,
            c.GenerateFirstCryptogram,
            recorded("authorisationRequested"),
            c.Authorise,
            Phase.AUTHORISING,
        ]
    )


def test_a_wrong_pin_and_then_the_right_one() -> None:
    story = idle() >> TO_BANK
    first = story.sent[-2]
    story.since = []
    wrong = decided("DECL", "incorrectPin", ("PINR",))
    assert story >> wrong << [recorded("authorisationDeclined"), told(c.GenerateSecondCryptogram, approved=False), Phase.CONFIRMING_CARD]
    assert story >> aac << [told(c.SelectApplication, aid=DEBIT.aid, cold=True), Phase.READING_CARD]
    assert story >> selected << [c.StartPinEntry, Phase.ENTERING_PIN]
    assert view_of(story.state).screen == "readingCard", "the pad does not listen yet"
    story >> pin_started
    assert view_of(story.state).hint == "hint.incorrectPin"
    assert (
        story
        >> TYPE_PIN
        << [c.MakePinBlock, c.PrepareDispense, told(c.GenerateFirstCryptogram, amount_minor=20_000, transaction_number=1), Phase.PREPARING]
    )
    second = answer(e.FirstCryptogramMade, kind="ARQC", field55="9F2608CCDD")
    assert (
        story
        >> prepared
        >> second
        << [
            recorded("authorisationRequested"),
            told(c.Authorise, transaction_id=ID, attempt=2, field55="9F2608CCDD"),
            Phase.AUTHORISING,
        ]
    )
    assert isinstance(first, c.Authorise) and first.attempt == 1
    assert (
        story
        >> approved
        >> tc
        >> e.CardRemoved()
        >> dispensed(GOOD)
        << [
            recorded("authorisationApproved"),
            c.GenerateSecondCryptogram,
            recorded("cardConfirmed"),
            c.ReleaseCard,
            recorded("dispenseIntended"),
            c.Dispense,
            recorded("dispenseAnswered", "transactionSettled", advice="SCSS"),
            Phase.PRESENTING,
        ]
    )
    assert [one["transactionId"] for one in story.advices()] == [ID]


def test_the_last_try_is_announced_and_a_third_wrong_pin_ends_it() -> None:
    story = (
        idle() >> TO_BANK >> decided("DECL", "incorrectPin", ("PINR",)) >> aac >> selected >> pin_started >> TYPE_PIN >> prepared >> arqc
    )
    story >> decided("DECL", "incorrectPin", ("PINL",)) >> aac >> selected >> pin_started
    assert view_of(story.state).hint == "hint.lastPinTry"
    story >> TYPE_PIN >> prepared >> arqc >> decided("DECL", "incorrectPin", ("PINL",))
    story.since = []
    assert story >> aac << [recorded("transactionSettled"), c.ReleaseCard, Phase.FAILED]
    assert story.advices() == []
    assert story.state.failure is not None and story.state.failure.reason == "incorrectPin"


def test_no_further_try_when_the_bank_does_not_offer_one() -> None:
    story = idle() >> TO_BANK >> decided("DECL", "pinTriesExceeded", ("CPTR",))
    story.since = []
    assert story >> aac << [recorded("transactionSettled"), c.ReleaseCard, Phase.FAILED]


@pytest.mark.parametrize(
    ("reason", "shown"),
    [("insufficientFunds", "insufficientFunds"), ("limitExceeded", "limitExceeded"), ("riskScore", "declined"), ("", "declined")],
)
def test_declined(reason: str, shown: str) -> None:
    """A decline holds nothing at the bank: no advice, and the card still has its second cryptogram."""
    story = idle() >> TO_BANK
    story.since = []
    assert story >> decided("DECL", reason) << [recorded("authorisationDeclined"), told(c.GenerateSecondCryptogram, approved=False)]
    assert story >> aac << [recorded("transactionSettled"), c.ReleaseCard, Phase.FAILED]
    assert story.state.failure is not None and story.state.failure.reason == shown
    assert story.advices() == []
    assert story >> e.CardRemoved() >> e.Pressed("ok") << [Phase.IDLE]


def test_declined_and_the_card_says_nothing_more() -> None:
    story = idle() >> TO_BANK >> decided("DECL", "insufficientFunds")
    story.since = []
    assert story >> failed(Device.CARD_READER) << [recorded("transactionSettled"), c.ReleaseCard, Phase.FAILED]


@pytest.mark.parametrize(("reason", "shown"), [("timeout", "hostSilent"), ("malformed", "hostSilent"), ("offline", "hostUnreachable")])
def test_no_answer_from_the_bank(reason: str, shown: str) -> None:
    """The request may have arrived: the bank is told to let go of its hold."""
    story = idle() >> TO_BANK
    story.since = []
    assert story >> answer(e.RequestFailed, reason=reason) << [recorded("transactionSettled", advice="FAIL"), c.ReleaseCard, Phase.FAILED]
    assert story.state.failure is not None and story.state.failure.reason == shown
    assert story.advices()[0]["failureReason"] == "TIMO"


def test_the_bank_link_is_silent_even_about_its_failure() -> None:
    story = idle() >> TO_BANK
    story.since = []
    assert story >> time_out << [recorded("transactionSettled", advice="FAIL"), c.ReleaseCard, Phase.FAILED]


def test_the_host_cannot_tell() -> None:
    story = idle() >> TO_BANK
    story.since = []
    assert story >> decided("TECH", "systemError") << [recorded("transactionSettled", advice="FAIL"), c.ReleaseCard, Phase.FAILED]


def test_a_late_answer_changes_nothing() -> None:
    story = idle() >> TO_BANK
    late = approved(story.state)
    story >> time_out
    story.since = []
    assert story >> late << [told(c.Ignore, phase="failed", event="AuthorisationAnswered"), Phase.FAILED]
    noted = e.LateResponseArrived("ATMWithdrawalResponse", ID, "APPR")
    assert story >> noted << [recorded("lateResponse"), Phase.FAILED]
    assert (story.journal[-1].transaction_id, story.journal[-1].data) == (ID, {"type": "ATMWithdrawalResponse", "response": "APPR"})
    assert len(story.advices()) == 1


def test_an_answer_to_an_earlier_attempt_is_not_the_answer_to_this_one() -> None:
    story = idle() >> TO_BANK
    old = approved(story.state)
    story >> decided("DECL", "incorrectPin", ("PINR",)) >> aac >> selected >> pin_started >> TYPE_PIN >> prepared >> arqc
    story.since = []
    assert story >> old << [c.Ignore, Phase.AUTHORISING]


@pytest.mark.parametrize("kind", ["AAC", "TC"])
def test_the_card_refuses_to_go_online(kind: str) -> None:
    """An offline approval (TC) is no approval at a terminal that only works online."""
    story = idle() >> TO_BANK[:-1]
    story.since = []
    assert story >> answer(e.FirstCryptogramMade, kind=kind, field55="9F2701") << [c.ReleaseCard, Phase.FAILED]
    assert "authorisationRequested" not in story.kinds()


def test_the_card_refuses_after_the_bank_agreed() -> None:
    story = idle() >> TO_BANK >> approved
    story.since = []
    assert story >> aac << [recorded("transactionSettled", advice="FAIL"), c.ReleaseCard, Phase.FAILED]
    assert story.advices()[0] == {
        "transactionId": ID,
        "transactionStatus": "FAIL",
        "requestedAmount": {"minor": 20_000, "currency": "CNY"},
        "presentedAmount": {"minor": 0, "currency": "CNY"},
        "presented": "NONE",
        "notes": [],
        "failureReason": "CDER",
        "iccRelatedData": "9F270100",
        "reconciles": False,
    }


def test_a_card_that_is_not_taken_gets_no_cash() -> None:
    story = idle() >> TO_CARD_BACK
    story.since = []
    assert story >> time_out << [recorded("transactionSettled", advice="FAIL"), c.ReleaseCard, Phase.FAILED]
    assert story.advices()[0]["failureReason"] == "TIMO"
    assert story >> time_out << [Phase.EJECTING]
    assert story >> time_out << [Phase.EJECTING]
    assert view_of(story.state).hint == "hint.takeCardNow"
    assert story >> e.CardRemoved() << [Phase.IDLE]
    assert story.dispenses() == []


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
