"""How the agent ends, told to or not; and what it does around the face step."""

from __future__ import annotations

import pytest
from agent_bench import Bench
from core_ways import CARD, DEBIT, GOOD

from drivers.secret import Secret
from terminal.adapters import link_events as link
from terminal.agent import STOP_WITHIN_S
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device, FaceEvidence, Phase
from terminal.core.service import END_AFTER_S

# --- how it ends


def running(bench: Bench) -> bool:
    return bench.agent._running


def test_told_to_stop_between_customers_it_ends_at_once() -> None:
    bench = Bench().open()
    bench.agent.stop()
    bench.drain()
    assert not running(bench) and bench.agent.exit_code == 0
    assert bench.journal.outgoing[-1].data == {"globalStatus": "OUTS", "reasons": ["stopping"]}, "the bank hears why"
    assert bench.page.views[-1]["screen"] == "outOfService"


def test_told_to_stop_it_serves_its_customer_to_the_end() -> None:
    bench = Bench().open().to_bank()
    bench.agent.stop()
    bench.drain()
    bench.bank_says(response="APPR", authorisationCode="A1B2C3")
    bench.answer(Device.CARD_READER, e.SecondCryptogramMade, kind="TC", data="9f27")
    bench.agent.take(e.CardRemoved())
    bench.answer(Device.DISPENSER, e.NotesDispensed, result=GOOD)
    bench.press("finish")
    assert running(bench), "the thanks stand a while"
    bench.clock.sleep(60.0)
    bench.drain()
    assert not running(bench) and bench.agent.exit_code == 0 and "transactionSettled" in bench.kinds


def test_a_customer_who_does_not_come_to_an_end_is_not_waited_for_for_ever() -> None:
    bench = Bench().open().to_bank()
    bench.agent.stop()
    bench.drain()
    bench.clock.sleep(STOP_WITHIN_S - 1)
    bench.agent._timer = None  # somebody who goes on pressing keys
    bench.drain()
    assert running(bench)
    bench.clock.sleep(1.0)
    bench.drain()
    assert not running(bench) and bench.agent.exit_code == 0


def test_an_open_payout_is_waited_for() -> None:
    bench = Bench().open().to_bank()
    bench.bank_says(response="APPR", authorisationCode="A1B2C3")
    bench.answer(Device.CARD_READER, e.SecondCryptogramMade, kind="TC", data="9f27")
    bench.agent.take(e.CardRemoved())
    assert bench.agent.state.phase is Phase.DISPENSING
    bench.agent._timer = None
    bench.agent.stop()
    bench.drain()
    bench.clock.sleep(STOP_WITHIN_S + 1)
    bench.drain()
    assert running(bench)
    bench.answer(Device.DISPENSER, e.NotesDispensed, result=GOOD)
    bench.drain()
    assert not running(bench) and bench.kinds[-2:] == ["dispenseAnswered", "transactionSettled"]


def test_a_second_word_ends_it_where_it_stands() -> None:
    bench = Bench().open().to_bank()
    bench.agent.stop(at_once=True)
    bench.agent.run_once(0.0)
    assert not running(bench) and bench.agent.exit_code == 0


def test_a_card_that_nobody_takes_does_not_keep_it() -> None:
    bench = Bench().open()
    bench.agent.take(e.CardInserted())
    bench.answer(Device.CARD_READER, e.ApplicationsRead, candidates=(DEBIT,))
    bench.answer(Device.CARD_READER, e.ApplicationSelected, card=CARD)
    bench.answer(Device.PIN_PAD, e.CommandDone, device=Device.PIN_PAD)
    bench.agent.take(e.KeyPressed("cancel"))
    assert bench.agent.state.phase is Phase.EJECTING
    bench.agent.stop()
    bench.drain()
    assert running(bench)
    bench.clock.sleep(31.0)
    bench.drain()
    assert not running(bench) and bench.agent.exit_code == 0


def test_a_journal_that_failed_ends_it_to_be_started_again(capsys: pytest.CaptureFixture[str]) -> None:
    """After the customer was told and has the card; and not so soon that a full disk makes a loop of it."""
    bench = Bench().open().to_bank()
    bench.journal.full = True
    bench.bank_says(response="APPR", authorisationCode="A1B2C3")
    assert bench.page.views[-1]["screen"] == "failure" and "ReleaseCard" in bench.log
    bench.agent.take(e.CardRemoved())
    bench.clock.sleep(12.5)
    bench.drain()
    assert bench.agent.state.phase is Phase.OUT_OF_SERVICE and running(bench)
    bench.agent.take(e.CardInserted())
    assert bench.agent.state.phase is Phase.EJECTING, "no card is kept either"
    bench.agent.take(e.CardRemoved())
    bench.clock.sleep(END_AFTER_S - 1)
    bench.drain()
    assert running(bench)
    bench.clock.sleep(1.5)
    bench.drain()
    assert not running(bench) and bench.agent.exit_code == 1
    assert "disk full" in capsys.readouterr().err


def test_told_to_stop_with_a_disk_that_refuses_it_still_ends(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench().open()
    bench.journal.full = True
    bench.agent.stop()
    bench.drain()
    assert bench.agent.state.store_failed and bench.agent.state.stopping
    bench.clock.sleep(13.0)
    bench.drain()
    assert not running(bench) and bench.agent.exit_code == 1
    assert "disk full" in capsys.readouterr().err


def test_a_link_that_died_for_good_ends_it_after_the_customer() -> None:
    bench = Bench().open().to_cash()
    bench.agent.from_link(link.LinkDown("a fault of its own", final=True))
    bench.drain()
    assert running(bench)
    bench.press("finish")
    bench.clock.sleep(10.0)
    bench.drain()
    assert not running(bench) and bench.agent.exit_code == 1


def test_nobody_listening_is_no_reason_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, text: str) -> None:
            raise BrokenPipeError

    bench = Bench().open()
    monkeypatch.setattr("sys.stderr", Closed())
    bench.journal.full = True
    bench.agent.take(e.DeviceLost(Device.PRINTER, "workerLost"))
    assert bench.agent.state.store_failed and running(bench)


# --- the face step


def test_another_way_counts_though_guidance_has_changed_since_it_was_pressed() -> None:
    """Guidance comes many times a second: a press must not be lost because the view it was made on is a tenth of a second old."""
    bench = Bench(face_from_minor=20_000).open().to_camera()
    pressed_on = bench.page.views[-1]["seq"]
    for step in range(5):
        bench.answer(Device.FACE, e.FaceProgress, stage="turnLeft", hint="", done=step, of=5)
    assert bench.page.views[-1]["seq"] == pressed_on + 5 and bench.page.views[-1]["mirror"]["done"] == 4
    bench.agent.pressed(pressed_on, "otherWay")
    assert bench.agent.state.phase is Phase.CHOOSING_AMOUNT and bench.log[-1] == "StopFace"


def test_a_press_from_before_the_camera_is_stale() -> None:
    bench = Bench(face_from_minor=20_000).open().to_camera()
    before = next(view["seq"] for view in bench.page.views if view["screen"] == "faceNotice")
    bench.agent.pressed(before, "otherWay")
    assert bench.agent.state.phase is Phase.VERIFYING_FACE


def test_another_language_makes_older_presses_stale() -> None:
    bench = Bench(face_from_minor=20_000).open().to_camera()
    seq = bench.page.views[-1]["seq"]
    bench.press("language:en")
    bench.agent.pressed(seq, "otherWay")
    assert bench.agent.state.phase is Phase.VERIFYING_FACE


def test_the_agent_gives_the_face_worker_the_banks_key() -> None:
    bench = Bench(face_from_minor=20_000).open().to_enrolling()
    command = bench.workers[Device.FACE].commands[-1]
    assert isinstance(command, c.EnrolFace) and (command.recipient_key, command.key_id) == ("04ab", "bank-2026")
    assert bench.log[-2:] == ["faceConsent", "EnrolFace"]


@pytest.mark.parametrize("template", ["no JSON", "[1, 2", '"text"'])
def test_a_template_that_is_no_message_ends_the_enrolment_and_not_the_agent(template: str) -> None:
    bench = Bench(face_from_minor=20_000).open().to_enrolling()
    bench.answer(Device.FACE, e.FaceEnrolled, decision="accepted", template=Secret(template), evidence=FaceEvidence())
    bench.drain()
    assert bench.agent.state.phase in (Phase.FACE_SERVICE_DONE, Phase.STORING_FACE)
    if bench.agent.state.phase is Phase.FACE_SERVICE_DONE:
        assert bench.page.views[-1]["title"] == "未能登记您的人脸"
