"""Withdrawals that end as they should, one way or the other: the core's stories without a broken device."""

from __future__ import annotations

import pytest
from core_play import recorded, told
from core_ways import (
    DEBIT,
    GOOD,
    ID,
    TO_BANK,
    TO_CARD_BACK,
    TYPE_PIN,
    aac,
    answer,
    applications,
    approved,
    arqc,
    decided,
    dispensed,
    done,
    failed,
    idle,
    initialised,
    keys,
    pin_block,
    pin_started,
    prepared,
    selected,
    start,
    tc,
    time_out,
)

from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device, Phase
from terminal.core.views import view_of


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
