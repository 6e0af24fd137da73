"""The face step-up of a withdrawal: explained first, guided, limited, and never in the way of what card and PIN allow."""

from __future__ import annotations

import pytest
from core_play import Make, play, recorded, told
from core_ways import (
    FACE_FROM,
    ID,
    PAN,
    TEMPLATE,
    TO_AMOUNT,
    TO_BANK,
    TO_CAMERA,
    TO_FACE,
    TO_NOTICE,
    TYPE_PIN,
    aac,
    answer,
    approved,
    arqc,
    config,
    decided,
    face_key,
    failed,
    idle,
    keys,
    lost,
    prepared,
    selected,
    tc,
    template,
    time_out,
    verified,
)

from drivers.secret import Secret
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device, FaceEvidence, Phase
from terminal.core.views import view_of


def at_amounts(**changes: object) -> play:
    story = idle(config(face_from_minor=FACE_FROM, **changes)) >> TO_AMOUNT
    story.since = []
    return story


def before_camera(**changes: object) -> play:
    story = idle(config(face_from_minor=FACE_FROM, **changes)) >> TO_CAMERA
    story.since = []
    return story


def offered(story: play) -> list[str]:
    return [option.id for option in view_of(story.state).options]


def test_a_face_that_matches() -> None:
    story = at_amounts()
    assert story >> e.Pressed("amount:20000") << [recorded("transactionStarted"), Phase.EXPLAINING_FACE]
    notice = view_of(story.state)
    assert [line.role for line in notice.lines] == ["camera", "machine", "kept"] and notice.mirror is None
    assert story >> e.Pressed("goOn") << [c.MakeFaceKey, Phase.FETCHING_TEMPLATE]
    assert story >> face_key << [told(c.FetchTemplate, recipient_key="04AB", transaction_id=ID)]
    assert story >> template << [told(c.VerifyFace, template=Secret(TEMPLATE), high_security=False), Phase.VERIFYING_FACE]
    accepted = verified("accepted", 0.83)
    assert story >> accepted << [recorded("faceVerified"), c.PrepareDispense, c.GenerateFirstCryptogram, Phase.PREPARING]
    assert story >> prepared >> arqc << [recorded("authorisationRequested"), told(c.Authorise, face="accepted", face_score=0.83)]
    assert view_of(story.state).hint == "wait.faceMatched"


def test_the_audit_event_goes_to_journal_and_bank_with_figures_only() -> None:
    story = before_camera()
    evidence = FaceEvidence("sface", "ab" * 32, "accept", 0.61, 0.45, 0.40, "passed", "turnLeft,turnRight", frames=9, seconds=4.2)
    story >> answer(e.FaceVerified, decision="accepted", evidence=evidence)
    entry = next(one for one in story.journal if one.kind == "faceVerified")
    assert entry.data["evidence"]["score"] == 0.61 and entry.data["evidence"]["challenge"] == "turnLeft,turnRight"
    assert (entry.data["attempt"], entry.data["decision"], entry.data["purpose"]) == (1, "accepted", "verification")
    [sent] = [one for one in story.outgoing if one.type == "ATMFaceVerificationAdvice"]
    assert sent.klass == "audit" and sent.data == {"transactionId": ID, **entry.data}
    assert TEMPLATE not in repr(sent) and PAN not in repr(sent)


def test_guidance_is_shown_as_it_comes() -> None:
    story = before_camera()
    view = view_of(story.state)
    assert (view.title, view.hint) == ("face.look", "face.lookHint") and view.mirror is not None
    story >> answer_progress("turnLeft", "", 1, 3)
    view = view_of(story.state)
    assert view.title == "face.turnLeft" and view.mirror is not None
    assert (view.mirror.arrow, view.mirror.done, view.mirror.of) == ("left", 1, 3)
    story >> answer_progress("look", "comeCloser", 1, 3)
    assert (view_of(story.state).hint, view_of(story.state).tone) == ("faceHint.comeCloser", "attention")
    assert Device.FACE in story.state.pending, "progress answers nothing"


def answer_progress(stage: str, hint: str, done: int, of: int) -> Make:
    return lambda state: e.FaceProgress(state.pending[Device.FACE.value], stage, hint, done, of)


def test_guidance_that_is_none_of_ours_is_shown_as_the_plainest() -> None:
    story = before_camera() >> answer_progress("dance", "<b>", 99, -1)
    view = view_of(story.state)
    assert (view.title, view.hint) == ("face.look", "face.lookHint") and view.mirror is not None and view.mirror.of == 0


def test_progress_of_another_look_is_ignored() -> None:
    story = before_camera()
    assert story >> e.FaceProgress(1, "turnLeft", "", 1, 3) << [c.Ignore, Phase.VERIFYING_FACE]
    assert story.state.sight.stage == "look"


@pytest.mark.parametrize(
    ("decision", "hint"), [("rejected", "faceNotMatched"), ("cameraFault", "faceUnavailable"), ("x", "faceUnavailable")]
)
def test_a_face_that_does_not_match_leaves_the_small_amounts(decision: str, hint: str) -> None:
    story = before_camera()
    assert story >> verified(decision) << [recorded("faceVerified"), Phase.CHOOSING_AMOUNT]
    assert story.state.hint == hint
    assert [one for one in offered(story) if one.startswith("amount:")] == ["amount:10000"]
    assert story >> e.Pressed("amount:20000") << [Phase.CHOOSING_AMOUNT]
    story >> e.Pressed("other") >> keys("2", "0", "0", "enter")
    assert story.state.hint == "amountNeedsFace"
    story >> keys("1", "0", "0", "enter") >> prepared >> arqc
    assert told(c.Authorise, transaction_id=ID, face="notRequired", amount_minor=10_000).fits(story.sent[-2])


@pytest.mark.parametrize("decision", ["askAgain", "notLive", "noFace", "poorQuality", "severalFaces"])
def test_a_look_may_be_repeated_so_often_and_each_has_a_key_and_a_template_of_its_own(decision: str) -> None:
    story = before_camera(face_attempts=3)
    for _ in range(2):
        assert story >> verified(decision) << [recorded("faceVerified"), Phase.EXPLAINING_FACE]
        assert view_of(story.state).title == "faceNotice.again" and {"goOn", "otherWay", "cancel"} <= set(offered(story))
        assert story >> e.Pressed("goOn") >> face_key >> template << [c.MakeFaceKey, c.FetchTemplate, c.VerifyFace, Phase.VERIFYING_FACE]
    assert story >> verified(decision) << [recorded("faceVerified"), Phase.CHOOSING_AMOUNT]
    assert [entry.data["attempt"] for entry in story.journal if entry.kind == "faceVerified"] == [1, 2, 3]


def test_tries_are_counted_over_the_whole_session() -> None:
    story = before_camera(face_attempts=2) >> verified("askAgain") >> e.Pressed("goOn") >> face_key >> template >> verified("askAgain")
    assert story.state.phase is Phase.CHOOSING_AMOUNT and "amount:20000" not in offered(story)


@pytest.mark.parametrize(
    ("so_far", "sent"),
    [
        (TO_NOTICE, []),
        (TO_FACE, []),
        ([*TO_FACE, face_key], []),
        (TO_CAMERA, [c.StopFace]),
    ],
)
def test_another_way_works_at_once_wherever_it_is_pressed(so_far: list[e.Event | Make], sent: list[type[c.Command]]) -> None:
    story = idle(config(face_from_minor=FACE_FROM)) >> so_far
    assert "otherWay" in offered(story)
    late = [face_key, template, verified("accepted")]
    waiting = [make(story.state) for make in late if _awaited(make, story)]
    story.since = []
    assert story >> e.Pressed("otherWay") << [*sent, Phase.CHOOSING_AMOUNT]
    assert story.state.hint == "faceOtherWay" and "amount:20000" not in offered(story)
    for event in waiting:
        assert story >> event << [c.Ignore, Phase.CHOOSING_AMOUNT]
    assert story >> e.Pressed("amount:10000") << [c.PrepareDispense, c.GenerateFirstCryptogram, Phase.PREPARING]


def _awaited(make: Make, story: play) -> bool:
    try:
        make(story.state)
    except AssertionError:
        return False
    return True


def test_cancel_before_the_camera_gives_the_card_back() -> None:
    story = idle(config(face_from_minor=FACE_FROM)) >> TO_NOTICE
    story.since = []
    assert story >> e.Pressed("cancel") << [c.ReleaseCard, Phase.EJECTING]


def test_the_camera_is_stopped_when_the_card_is_pulled_or_the_reader_is_lost() -> None:
    story = before_camera()
    assert story >> e.CardRemoved() << [c.StopFace, Phase.FAILED]
    story = before_camera()
    assert story >> e.DeviceLost(Device.CARD_READER, "workerLost") << [recorded("deviceLost"), c.StopFace, Phase.FAILED]


def test_time_runs_out_before_the_camera() -> None:
    story = idle(config(face_from_minor=FACE_FROM)) >> TO_NOTICE >> time_out
    assert story.state.phase is Phase.STILL_THERE
    assert (story >> e.Pressed("yes")).state.phase is Phase.EXPLAINING_FACE
    assert (story >> time_out >> time_out).state.phase is Phase.EJECTING


def test_not_enrolled() -> None:
    story = at_amounts() >> e.Pressed("amount:20000") >> e.Pressed("goOn") >> face_key
    assert (story >> answer(e.TemplateFetched, template=Secret(""), reason="noTemplate")).state.hint == "faceNotEnrolled"


@pytest.mark.parametrize(
    "trouble",
    [
        [failed(Device.FACE)],
        [time_out],
        [face_key, answer(e.RequestFailed, reason="timeout")],
        [face_key, time_out],
        [face_key, template, lost(Device.FACE)],
    ],
)
def test_no_face_check_available(trouble: list[e.Event]) -> None:
    story = idle(config(face_from_minor=FACE_FROM)) >> TO_FACE >> trouble
    assert (story.state.phase, story.state.hint) == (Phase.CHOOSING_AMOUNT, "faceUnavailable")


def test_the_face_worker_is_not_there() -> None:
    story = at_amounts() >> e.DeviceLost(Device.FACE, "cameraGone")
    story.since = []
    assert story >> e.Pressed("amount:20000") << [recorded("transactionStarted"), Phase.CHOOSING_AMOUNT]
    assert story.state.hint == "faceUnavailable"


def test_below_the_step_up_no_face_is_asked_for() -> None:
    assert at_amounts() >> e.Pressed("amount:10000") << [recorded("transactionStarted"), c.PrepareDispense, c.GenerateFirstCryptogram]


def test_large_amounts_may_ask_for_more_certainty() -> None:
    story = idle(config(face_from_minor=FACE_FROM, face_high_security_from_minor=50_000)) >> TO_CAMERA
    assert told(c.VerifyFace, high_security=False).fits(story.sent[-1])
    story = at_amounts(face_high_security_from_minor=50_000) >> e.Pressed("amount:50000") >> e.Pressed("goOn") >> face_key >> template
    assert told(c.VerifyFace, high_security=True).fits(story.sent[-1])


def test_a_face_key_after_the_customer_left_is_ignored() -> None:
    story = idle(config(face_from_minor=FACE_FROM)) >> TO_FACE
    late = face_key(story.state)
    story >> e.CardRemoved()
    story.since = []
    assert story >> late << [c.Ignore, Phase.FAILED]


# --- when the bank asks for it


CHDA = decided("DECL", "authenticationRequired", ("CHDA",))


def asked_by_bank(**changes: object) -> play:
    story = idle(config(**{"face_from_minor": 50_000, **changes})) >> TO_BANK >> CHDA
    story.since = []
    return story


def test_a_bank_that_asks_for_the_face_gets_it_with_a_new_pin_and_a_new_cryptogram() -> None:
    story = asked_by_bank()
    assert story >> aac << [Phase.EXPLAINING_FACE]
    assert view_of(story.state).hint == "faceNotice.bank"
    story >> e.Pressed("goOn") >> face_key >> template
    story.since = []
    assert story >> verified("accepted", 0.7) << [recorded("faceVerified"), told(c.SelectApplication, cold=True), Phase.READING_CARD]
    assert story >> selected << [c.StartPinEntry, Phase.ENTERING_PIN]
    assert story.state.hint == "faceThenPin"
    story >> answer(e.CommandDone, device=Device.PIN_PAD) >> TYPE_PIN >> prepared
    story.since = []
    assert story >> arqc << [recorded("authorisationRequested"), told(c.Authorise, attempt=2, face="accepted", face_score=0.7)]
    story >> approved >> tc
    assert story.state.phase is Phase.RETURNING_CARD


@pytest.mark.parametrize("end", [e.Pressed("otherWay"), [e.Pressed("goOn"), face_key, template, verified("rejected")]])
def test_without_the_face_that_the_bank_wants_the_withdrawal_ends(end: list[e.Event | Make] | e.Event) -> None:
    story = asked_by_bank() >> aac >> end
    assert story.state.phase is Phase.FAILED and story.state.failure is not None
    assert (story.state.failure.reason, story.state.failure.card) == ("authenticationRequired", "take")
    assert story.kinds()[-1] == "transactionSettled" and not story.advices(), "a declined attempt holds nothing"


def test_a_bank_that_asks_a_terminal_without_a_camera() -> None:
    story = asked_by_bank(face_from_minor=None)
    assert (story >> aac).state.failure is not None and story.state.phase is Phase.FAILED


def test_a_bank_that_is_not_content_with_a_face_that_matched() -> None:
    story = before_camera() >> verified("accepted") >> prepared >> arqc >> CHDA >> aac
    assert story.state.failure is not None and story.state.failure.reason == "authenticationRequired"
