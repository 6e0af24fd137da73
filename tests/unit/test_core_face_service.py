"""Face services: consent before the camera, enrolment, removal; card and PIN first, the bank told whatever happens, no money anywhere."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from core_play import Make, play, recorded, told
from core_ways import (
    FACE_FROM,
    ID,
    PAN,
    SECRETS,
    SERVICE_OPEN,
    TEMPLATE,
    TO_AMOUNT,
    TO_CONSENT,
    TO_ENROLLING,
    TO_REMOVAL,
    TO_REVOKING,
    TO_SERVICE,
    TO_SERVICE_DONE,
    TO_SERVICES,
    TO_STORING,
    TYPE_PIN,
    aac,
    answer,
    arqc,
    config,
    done,
    enrolled,
    failed,
    idle,
    lost,
    managed,
    pin_started,
    recovered_from,
    selected,
    start,
    tc,
    time_out,
)

from terminal.adapters.texts import texts
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.face_service import CONSENT_VERSION
from terminal.core.model import Device, Phase
from terminal.core.views import view_of

GOLDEN = Path(__file__).parents[1] / "golden" / "consent_texts.txt"


def after(so_far: list[e.Event | Make], **changes: object) -> play:
    story = idle(config(face_from_minor=FACE_FROM, **changes)) >> so_far
    story.since = []
    return story


def offered(story: play) -> set[str]:
    return {option.id for option in view_of(story.state).options}


def consents(story: play) -> list[str]:
    return [str(out.data["consent"]) for out in story.outgoing if out.type == "ATMFaceConsentAdvice"]


def test_from_the_amount_screen_to_an_enrolled_face() -> None:
    story = after(TO_AMOUNT)
    assert "faceServices" in offered(story)
    begun = [recorded("faceServiceStarted"), told(c.GenerateFirstCryptogram, amount_minor=0), Phase.OPENING_FACE_SERVICE]
    assert story >> e.Pressed("faceServices") << begun
    assert story >> arqc << [recorded("faceServiceRequested"), told(c.ManageFace, service="open", transaction_id=ID, attempt=1)]
    assert story.state.transaction is not None and story.state.transaction.pin_block is None, "a PIN is spent once"
    assert story >> managed() << [recorded("faceServiceAnswered"), told(c.GenerateSecondCryptogram, approved=True)]
    assert story >> tc << [Phase.CHOOSING_FACE_SERVICE]
    assert offered(story) >= {"enrol", "done"} and "remove" not in offered(story)
    assert story >> e.Pressed("enrol") << [Phase.CONSENTING]
    roles = [line.role for line in view_of(story.state).lines]
    assert roles == ["who", "purpose", "kept", "retention", "withdraw", "otherWay"]
    assert story >> e.Pressed("agree") << [recorded("faceConsent"), told(c.EnrolFace, transaction_id=ID), Phase.ENROLLING_FACE]
    consent_id = story.state.service.consent_id if story.state.service else ""
    assert consent_id and told(c.EnrolFace, consent_id=consent_id).fits(story.sent[-1])
    stored = told(c.ManageFace, service="enrol", consent_id=consent_id, consent_version=CONSENT_VERSION, language="zh")
    assert story >> enrolled() << [recorded("faceEnrolled"), stored, Phase.STORING_FACE]
    assert story >> managed() << [recorded("faceServiceEnded"), Phase.FACE_SERVICE_DONE]
    assert view_of(story.state).title == "faceDone.enrolled"
    assert story >> e.Pressed("receipt") << [c.PrintReceipt, Phase.PRINTING_CONFIRMATION]
    assert story >> answer(e.ReceiptPrinted) << [c.ReleaseCard, Phase.EJECTING]
    assert story >> [done(Device.CARD_READER), e.CardRemoved()] << [Phase.IDLE]
    assert consents(story) == ["given"] and not story.advices()
    assert not any(secret in repr([*story.journal, *story.outgoing]) for secret in SECRETS)


def test_what_was_agreed_to_is_recorded_before_the_camera_opens() -> None:
    story = after(TO_CONSENT, face_controller="Example Bank", face_retention_months=6) >> e.Pressed("language:en") >> e.Pressed("agree")
    record = story.sent[-2]
    assert isinstance(record, c.Record) and isinstance(story.sent[-1], c.EnrolFace)
    entry = record.entries[0].data
    assert (entry["version"], entry["language"], entry["controller"], entry["retentionMonths"]) == (
        CONSENT_VERSION,
        "en",
        "Example Bank",
        6,
    )
    assert record.outgoing[0].klass == "txn" and "maskedPan" not in record.outgoing[0].data and PAN not in repr(record)


def test_a_disk_that_refuses_the_consent_keeps_the_camera_shut() -> None:
    story = after(TO_CONSENT)
    story.disk_full_at = story._records + 1
    story >> e.Pressed("agree")
    assert story.state.phase is Phase.FAILED and not any(isinstance(one, c.EnrolFace) for one in story.sent)


def test_the_texts_of_the_consent_are_those_of_its_version() -> None:
    """Other words are another version: raise CONSENT_VERSION, then write the new line into the golden file."""
    said = "\n".join(
        f"{lang} {key} {texts(lang)[key]}" for lang in ("zh", "en") for key in sorted(texts(lang)) if key.startswith("consent.")
    )
    known = dict(line.split() for line in GOLDEN.read_text().splitlines() if line and not line.startswith("#"))
    assert known[CONSENT_VERSION] == hashlib.sha256(said.encode()).hexdigest()


@pytest.mark.parametrize(
    ("pressed", "phase"), [("back", Phase.CHOOSING_FACE_SERVICE), ("cancel", Phase.EJECTING), ("rubbish", Phase.CONSENTING)]
)
def test_without_consent_nothing_opens(pressed: str, phase: Phase) -> None:
    story = after(TO_CONSENT) >> e.Pressed(pressed)
    assert story.state.phase is phase and not any(isinstance(one, c.EnrolFace) for one in story.sent) and consents(story) == []


def test_reading_the_consent_may_take_its_time() -> None:
    story = after(TO_CONSENT)
    assert view_of(story.state).seconds == story.state.config.timeouts.consent_s
    story >> time_out
    assert story.state.phase is Phase.STILL_THERE
    story >> e.Pressed("yes")
    assert story.sent[-1].seconds == story.state.config.timeouts.consent_s  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("decision", "hint"), [("noFace", "enrolNotSeen"), ("severalFaces", "enrolAlone"), ("cameraFault", "enrolUnavailable")]
)
def test_a_face_that_could_not_be_enrolled_may_be_tried_again(decision: str, hint: str) -> None:
    story = after(TO_ENROLLING)
    assert story >> enrolled(decision) << [recorded("faceEnrolled"), Phase.CHOOSING_FACE_SERVICE]
    assert story.state.hint == hint and "enrol" in offered(story)
    assert not any(isinstance(one, c.ManageFace) and one.service == "enrol" for one in story.sent)


def test_enrolment_stops_at_once_and_a_late_template_is_dropped() -> None:
    story = after(TO_ENROLLING)
    late = enrolled()(story.state)
    assert story >> e.Pressed("otherWay") << [c.StopFace, Phase.CHOOSING_FACE_SERVICE]
    assert story >> late << [c.Ignore, Phase.CHOOSING_FACE_SERVICE]
    assert not any(isinstance(one, c.ManageFace) and one.service == "enrol" for one in story.sent)


def test_a_consent_is_a_new_one_each_time() -> None:
    story = after(TO_ENROLLING) >> e.Pressed("otherWay") >> e.Pressed("enrol") >> e.Pressed("agree")
    ids = [entry.data["consentId"] for entry in story.journal if entry.kind == "faceConsent"]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (managed("APPR"), "enrolled"),
        (managed("DECL", "consentMissing"), "notStored"),
        (managed("TECH"), "notStored"),
        (answer(e.RequestFailed, reason="timeout"), "unknown"),
        (answer(e.RequestFailed, reason="malformed"), "unknown"),
        (answer(e.RequestFailed, reason="offline"), "notStored"),
        (answer(e.RequestFailed, reason="unsendable"), "notStored"),
        (time_out, "unknown"),
    ],
)
def test_how_an_enrolment_may_end(outcome: Make, result: str) -> None:
    story = after(TO_STORING)
    assert story >> outcome << [recorded("faceServiceEnded"), Phase.FACE_SERVICE_DONE]
    assert view_of(story.state).title == f"faceDone.{result}"
    assert story.journal[-1].data["result"] == result


# --- removal


def test_a_withdrawal_of_consent_is_in_the_outbox_before_the_bank_is_asked() -> None:
    story = after(TO_REMOVAL)
    assert story.state.phase is Phase.CONFIRMING_REVOCATION
    assert story >> e.Pressed("yes") << [recorded("faceConsent"), told(c.ManageFace, service="revoke"), Phase.REVOKING_FACE]
    assert consents(story) == ["withdrawn"]


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (managed("APPR", proof="D-17"), "revoked"),
        (managed("TECH"), "revocationSent"),
        (answer(e.RequestFailed, reason="offline"), "revocationSent"),
        (time_out, "revocationSent"),
    ],
)
def test_how_a_removal_may_end(outcome: Make, result: str) -> None:
    story = after(TO_REVOKING)
    assert story >> outcome << [recorded("faceServiceEnded"), Phase.FACE_SERVICE_DONE]
    view = view_of(story.state)
    assert view.title == f"faceDone.{result}" and view.tone == "good"
    assert view.lines[-1].values == {"reference": "D-17" if result == "revoked" else ID}


def test_one_may_keep_it_after_all() -> None:
    story = after(TO_REMOVAL) >> e.Pressed("no")
    assert story.state.phase is Phase.CHOOSING_FACE_SERVICE and consents(story) == [] and {"enrol", "remove"} <= offered(story)


def test_a_consent_can_be_withdrawn_while_the_camera_is_broken() -> None:
    story = idle(config(face_from_minor=FACE_FROM)) >> TO_AMOUNT >> e.DeviceLost(Device.FACE, "noAnswer") >> e.Pressed("faceServices")
    story >> arqc >> managed(since="2026-11-22") >> tc
    assert "remove" in offered(story) and "enrol" not in offered(story)
    assert (story >> e.Pressed("enrol")).state.phase is Phase.CHOOSING_FACE_SERVICE
    assert (story >> e.Pressed("remove") >> e.Pressed("yes")).state.phase is Phase.REVOKING_FACE


def test_nothing_to_remove() -> None:
    assert (after(TO_SERVICES) >> e.Pressed("remove")).state.phase is Phase.CHOOSING_FACE_SERVICE


# --- card and PIN first


def test_a_wrong_pin_is_asked_for_again() -> None:
    story = after(TO_SERVICE) >> arqc >> managed("DECL", "incorrectPin", ("PINR",))
    story.since = []
    assert story >> aac << [told(c.SelectApplication, cold=True), Phase.READING_CARD]
    story >> selected >> pin_started >> TYPE_PIN
    assert story.state.phase is Phase.OPENING_FACE_SERVICE and story.state.hint == ""
    story.since = []
    assert story >> arqc << [recorded("faceServiceRequested"), told(c.ManageFace, service="open", attempt=2)]
    story >> managed() >> tc
    assert story.state.phase is Phase.CHOOSING_FACE_SERVICE


def test_three_wrong_pins_are_the_end() -> None:
    story = after(TO_SERVICE) >> arqc >> managed("DECL", "incorrectPin", ("PINR",)) >> aac
    for _ in range(2):
        story >> selected >> pin_started >> TYPE_PIN >> arqc >> managed("DECL", "incorrectPin", ("PINL",)) >> aac
    assert story.state.failure is not None and story.state.failure.reason == "incorrectPin"


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ([answer(e.FirstCryptogramMade, kind="AAC", field55="")], "cardDeclined"),
        ([failed(Device.CARD_READER)], "cardUnreadable"),
        ([arqc, managed("TECH")], "hostError"),
        ([arqc, managed("DECL", "cardBlocked"), aac], "cardBlocked"),
        ([arqc, managed("DECL", "cardBlocked"), failed(Device.CARD_READER)], "cardBlocked"),
        ([arqc, managed("DECL", "odd"), aac], "declined"),
        ([arqc, managed(), aac], "cardDeclined"),
        ([arqc, managed(), lost(Device.CARD_READER)], "cardUnreadable"),
        ([arqc, answer(e.RequestFailed, reason="offline")], "hostUnreachable"),
        ([arqc, time_out], "hostSilent"),
        ([arqc, e.CardRemoved()], "cardRemoved"),
    ],
)
def test_what_may_go_wrong_at_the_opening(trouble: list[e.Event | Make], reason: str) -> None:
    story = after(TO_SERVICE) >> trouble
    assert story.state.failure is not None and story.state.failure.reason == reason
    assert not story.advices(), "no money, no advice"


@pytest.mark.parametrize("so_far", [TO_SERVICES, TO_CONSENT, TO_ENROLLING, TO_STORING, TO_REMOVAL, TO_REVOKING])
def test_a_card_that_is_pulled_ends_it(so_far: list[e.Event | Make]) -> None:
    story = after(so_far) >> e.CardRemoved()
    assert story.state.failure is not None and (story.state.failure.reason, story.state.failure.card) == ("cardRemoved", "taken")
    assert any(isinstance(one, c.StopFace) for one in story.since) == (so_far is TO_ENROLLING)
    assert (story >> time_out).state.phase is Phase.IDLE


def test_a_card_that_is_taken_when_all_is_done_is_no_failure() -> None:
    assert (after(TO_SERVICE_DONE) >> e.CardRemoved()).state.phase is Phase.IDLE
    story = after([*TO_SERVICE_DONE, e.Pressed("receipt")]) >> e.CardRemoved()
    assert story.state.phase is Phase.IDLE and story.state.service is None


def test_a_confirmation_that_cannot_be_printed() -> None:
    story = after([*TO_SERVICE_DONE, e.Pressed("receipt")]) >> failed(Device.PRINTER)
    assert (story.state.phase, story.state.hint) == (Phase.EJECTING, "faceConfirmationFailed")


def test_the_number_of_a_face_service_is_not_used_again() -> None:
    story = after([*TO_SERVICE, *SERVICE_OPEN])
    again = start(config(face_from_minor=FACE_FROM), journal=story.journal)
    assert recovered_from(story.journal).last_transaction == 1 and again.state.last_transaction == 1
    assert not again.advices() and again.state.phase is Phase.OUT_OF_SERVICE


def test_in_elderly_mode_there_are_two_things_to_choose_from() -> None:
    story = after([*TO_SERVICE, arqc, managed(since="2026-11-22"), tc], mode="elderly")
    assert offered(story) - {"language:en"} == {"remove", "done"}
    assert offered(after(TO_SERVICES, mode="elderly")) - {"language:en"} == {"enrol", "done"}


def test_no_face_services_without_a_camera() -> None:
    story = idle() >> TO_AMOUNT
    assert "faceServices" not in offered(story)
    assert (story >> e.Pressed("faceServices")).state.phase is Phase.CHOOSING_AMOUNT


def test_no_template_is_in_any_record() -> None:
    story = after(TO_SERVICE_DONE)
    assert not any(TEMPLATE in repr(one) for one in [*story.journal, *story.outgoing, *story.sent])
