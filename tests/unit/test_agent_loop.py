"""The agent around the core, with every port played here: order of effects, a disk that refuses, stale presses, late answers, time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from core_play import BLOCK, CARD, DEBIT, GOOD, NOTHING_BEFORE, PAN, SECRETS, TRACK2, config

from drivers.secret import Secret
from drivers.transports.memory import VirtualClock
from terminal.adapters import link_events as link
from terminal.adapters.store_file import StoreFailed
from terminal.adapters.trace import FileTrace, NoTrace
from terminal.agent import STOP_WITHIN_S, Agent, Ports
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device, FaceEvidence, Phase, PinBlock, State
from terminal.core.recovery import Recovered
from terminal.core.service import END_AFTER_S


class Worker:
    def __init__(self, log: list[Any]) -> None:
        self.log = log
        self.commands: list[c.DeviceCommand] = []
        self.ticks = 0
        self.deadline: float | None = None

    def send(self, command: c.DeviceCommand) -> None:
        self.commands.append(command)
        self.log.append(type(command).__name__)

    def tick(self) -> None:
        self.ticks += 1

    def next_deadline(self) -> float | None:
        return self.deadline

    def close(self, grace_s: float) -> None:
        """Nothing is open."""


class Page:
    def __init__(self) -> None:
        self.views: list[Mapping[str, Any]] = []

    def show(self, view: Mapping[str, Any]) -> None:
        self.views.append(view)

    def tick(self) -> None:
        """Nothing to do."""

    def next_deadline(self) -> float | None:
        return None

    def close(self, grace_s: float) -> None:
        """Nothing is open."""


class Journal:
    def __init__(self, log: list[Any]) -> None:
        self.log = log
        self.full = False
        self.entries: list[Any] = []
        self.outgoing: list[Any] = []

    def append(self, entries: Any, outgoing: Any = ()) -> None:
        if self.full:
            raise StoreFailed("disk full")
        self.entries += entries
        self.outgoing += outgoing
        self.log.append("+".join(entry.kind for entry in entries))


class Link:
    def __init__(self, log: list[Any]) -> None:
        self.log = log
        self.requests: list[tuple[str, dict[str, Any], float]] = []
        self.notified = 0
        self.reports: list[Mapping[str, Any]] = []

    def request(self, type: str, data: dict[str, Any], timeout_s: float) -> str:
        self.requests.append((type, data, timeout_s))
        self.log.append(type)
        return f"request-{len(self.requests)}"

    def notify(self) -> None:
        self.notified += 1

    def report(self, data: Mapping[str, Any]) -> None:
        self.reports.append(data)


class Box:
    public_key, key_id = "04ab", "bank-2026"

    def seal(self, pan: Secret[str], track2: Secret[str], pan_sequence: int, transaction_id: str) -> Mapping[str, Any]:
        return {"ciphertext": "00"}


class Bench:
    """An agent with all its ports played."""

    def __init__(self, trace: Path | None = None, **settings: Any) -> None:
        self.log: list[Any] = []
        self.clock = VirtualClock(100.0)
        self.journal, self.link, self.page = Journal(self.log), Link(self.log), Page()
        self.workers = {device: Worker(self.log) for device in Device}
        self.trace = FileTrace(trace, self.clock) if trace else NoTrace()
        self.agent = Agent(State(config(**settings)), "DEMO")
        wall = lambda: datetime(2026, 11, 22, 8, 0, tzinfo=UTC)  # noqa: E731
        self.agent.plug(Ports(self.clock, wall, self.journal, self.link, Box(), self.workers, self.page, self.trace))
        self.agent.take(e.Started(Recovered()))

    def answer(self, whose: Device, answer: Any, /, **fields: Any) -> None:
        self.agent.take(answer(self.workers[whose].commands[-1].command_id, **fields))

    def open(self) -> Bench:
        for device in (Device.CARD_READER, Device.PIN_PAD, Device.PRINTER, Device.FACE):
            self.agent.take(e.DeviceOnline(device))
        self.agent.from_link(link.LinkUp())
        self.drain()
        self.agent.take(e.DeviceOnline(Device.DISPENSER))
        self.answer(Device.DISPENSER, e.DispenserInitialised, fault="")
        assert self.agent.state.phase is Phase.IDLE
        return self

    def to_amounts(self) -> Bench:
        self.agent.take(e.CardInserted())
        self.answer(Device.CARD_READER, e.ApplicationsRead, candidates=(DEBIT,))
        self.answer(Device.CARD_READER, e.ApplicationSelected, card=CARD)
        self.answer(Device.PIN_PAD, e.CommandDone, device=Device.PIN_PAD)
        for key in ("digit", "digit", "digit", "digit", "enter"):
            self.agent.take(e.KeyPressed(key))
        self.answer(Device.PIN_PAD, e.PinBlockMade, pin_block=PinBlock("iso9564-4", Secret(BLOCK), "KSN1"))
        return self

    def to_bank(self) -> Bench:
        self.to_amounts()
        self.press("amount:20000")
        self.answer(Device.DISPENSER, e.DispenserPrepared, baseline=NOTHING_BEFORE)
        self.answer(Device.CARD_READER, e.FirstCryptogramMade, kind="ARQC", field55="9f26")
        assert self.agent.state.phase is Phase.AUTHORISING
        return self

    def to_camera(self) -> Bench:
        """A face step-up from 200 yuan on, up to the open camera."""
        self.to_amounts()
        self.press("amount:20000")
        self.press("goOn")
        self.answer(Device.FACE, e.FaceKeyMade, public_key="04ab")
        sealed = {"transactionId": "T0001-00000001", "response": "APPR", "template": {"box": {}}}
        self.agent.from_link(link.ResponseArrived("request-1", "ATMInquiryResponse", sealed))
        self.drain()
        assert self.agent.state.phase is Phase.VERIFYING_FACE
        return self

    def to_enrolling(self) -> Bench:
        self.to_amounts()
        self.press("faceServices")
        self.answer(Device.CARD_READER, e.FirstCryptogramMade, kind="ARQC", field55="9f26")
        opened = {"transactionId": "T0001-00000001", "service": "open", "attempt": 1, "response": "APPR"}
        self.agent.from_link(link.ResponseArrived("request-1", "ATMFaceManagementResponse", opened))
        self.drain()
        self.answer(Device.CARD_READER, e.SecondCryptogramMade, kind="TC", data="9f27")
        self.press("enrol")
        self.press("agree")
        assert self.agent.state.phase is Phase.ENROLLING_FACE
        return self

    def to_cash(self) -> Bench:
        self.to_bank()
        self.bank_says(response="APPR", authorisationCode="A1B2C3")
        self.answer(Device.CARD_READER, e.SecondCryptogramMade, kind="TC", data="9f27")
        self.agent.take(e.CardRemoved())
        self.answer(Device.DISPENSER, e.NotesDispensed, result=GOOD)
        assert self.agent.state.phase is Phase.PRESENTING
        return self

    def press(self, option: str) -> None:
        self.agent.pressed(self.page.views[-1]["seq"], option)

    def bank_says(self, number: int = 1, **data: Any) -> None:
        answered = {"transactionId": "T0001-00000001", "attempt": 1, **data}
        self.agent.from_link(link.ResponseArrived(f"request-{number}", "ATMWithdrawalResponse", answered))
        self.drain()

    def drain(self) -> None:
        for _ in range(50):
            self.agent.run_once(0.0)

    @property
    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.journal.entries]


def test_the_journal_comes_before_the_dispense_and_before_the_request() -> None:
    bench = Bench().open().to_cash()
    order = [name for name in bench.log if name in ("authorisationRequested", "ATMWithdrawalRequest", "dispenseIntended", "Dispense")]
    assert order == ["authorisationRequested", "ATMWithdrawalRequest", "dispenseIntended", "Dispense"]
    assert bench.log[-1] == "dispenseAnswered+transactionSettled"
    assert [(out.klass, out.topic_leaf, out.type) for out in bench.journal.outgoing] == [
        ("audit", "event", "GlobalStatusChanged"),
        ("txn", "txn", "ATMWithdrawalCompletionAdvice"),
    ]
    assert bench.link.notified == 2 and bench.journal.outgoing[0].data == {"globalStatus": "INSV", "reasons": []}


def test_the_request_is_made_of_the_message_and_the_time_limit() -> None:
    bench = Bench().open().to_bank()
    ((kind, data, timeout_s),) = bench.link.requests
    assert (kind, data["transactionId"], data["attempt"], timeout_s) == ("ATMWithdrawalRequest", "T0001-00000001", 1, 30.0)
    assert PAN not in json.dumps(data) and TRACK2 not in json.dumps(data)


def test_a_disk_that_refuses_stops_the_step_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench().open().to_bank()
    bench.bank_says(response="APPR", authorisationCode="A1B2C3")
    bench.answer(Device.CARD_READER, e.SecondCryptogramMade, kind="TC", data="9f27")
    bench.journal.full = True
    bench.agent.take(e.CardRemoved())
    assert "Dispense" not in bench.log
    assert bench.agent.state.store_failed and bench.agent.state.phase is Phase.FAILED
    assert not bench.agent.state.card_present, "the card was taken all the same"
    assert bench.page.views[-1]["screen"] == "failure"
    assert capsys.readouterr().err == "journal: disk full\n"


def test_events_go_on_after_the_disk_failed(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench().open()
    bench.journal.full = True
    bench.agent.take(e.DeviceLost(Device.PRINTER, "workerLost"))
    bench.agent.take(e.DeviceGaveUp(Device.PRINTER))
    assert bench.agent.state.devices[Device.PRINTER].status == "offline"
    bench.clock.sleep(60.0)
    bench.drain()
    assert bench.agent.state.phase is Phase.OUT_OF_SERVICE
    assert bench.page.views[-1]["screen"] == "outOfService"


def test_a_press_on_an_older_view_is_dropped() -> None:
    bench = Bench().open()
    old = bench.page.views[-1]["seq"]
    bench.to_bank()
    before = len(bench.journal.entries)
    bench.agent.pressed(old, "cancel")
    assert bench.agent.state.phase is Phase.AUTHORISING and len(bench.journal.entries) == before


def test_every_view_is_sent_once_and_numbered() -> None:
    bench = Bench().open().to_cash()
    numbers = [view["seq"] for view in bench.page.views]
    assert numbers == list(range(1, len(numbers) + 1))
    count = len(numbers)
    bench.agent.take(e.DeviceNoted(Device.PRINTER, "paperLow"))
    assert len(bench.page.views) == count, "nothing that the customer sees has changed"
    assert all(view["demo"] == "DEMO" for view in bench.page.views)


def test_a_receipt_is_worded_before_it_goes_to_the_printer() -> None:
    bench = Bench().open().to_cash()
    bench.press("receipt")
    command = bench.workers[Device.PRINTER].commands[-1]
    assert isinstance(command, c.PrintReceipt) and any("贰佰元整" in line.text for line in command.lines)


def test_the_timer_fires_at_its_time_and_once() -> None:
    bench = Bench().open()
    bench.agent.take(e.CardInserted())
    bench.answer(Device.CARD_READER, e.ApplicationsRead, candidates=(DEBIT, DEBIT))
    bench.clock.sleep(29.9)
    bench.agent.run_once(0.0)
    assert bench.agent.state.phase is Phase.CHOOSING_APPLICATION
    bench.clock.sleep(0.1)
    bench.agent.run_once(0.0)
    assert bench.agent.state.phase is Phase.STILL_THERE
    bench.agent.run_once(0.0)
    assert bench.agent.state.phase is Phase.STILL_THERE


def test_a_flood_of_events_does_not_hold_up_the_timer() -> None:
    bench = Bench().open()
    bench.agent.take(e.CardInserted())
    bench.answer(Device.CARD_READER, e.ApplicationsRead, candidates=(DEBIT, DEBIT))
    for _ in range(100):
        bench.agent.inbox.put(e.DeviceNoted(Device.PRINTER, "paperLow"))
    bench.clock.sleep(30.0)
    bench.agent.run_once(1.0)
    assert bench.agent.state.phase is Phase.STILL_THERE


def test_workers_are_ticked_with_every_turn() -> None:
    bench = Bench()
    before = bench.workers[Device.FACE].ticks
    bench.agent.run_once(0.0)
    assert bench.workers[Device.FACE].ticks == before + 1


def test_an_answer_after_the_customer_left_is_written_down() -> None:
    bench = Bench().open().to_bank()
    bench.agent.take(e.CardRemoved())
    bench.bank_says(response="APPR", authorisationCode="A1B2C3")
    assert bench.kinds[-1] == "lateResponse"
    assert bench.journal.entries[-1].transaction_id == "T0001-00000001"
    assert bench.agent.state.phase is Phase.FAILED
    assert [out.data["transactionStatus"] for out in bench.journal.outgoing if out.klass == "txn"] == ["FAIL"]


def test_a_late_response_of_the_link_is_written_down() -> None:
    bench = Bench().open()
    bench.agent.from_link(link.LateResponse("request-9", "ATMWithdrawalResponse", {"transactionId": "T0001-00000009", "response": "APPR"}))
    bench.drain()
    assert bench.kinds[-1] == "lateResponse"


def test_an_answer_that_is_malformed_ends_in_a_reversal() -> None:
    bench = Bench().open().to_bank()
    bench.bank_says(response="APPR")
    assert bench.agent.state.phase is Phase.FAILED
    assert [out.data["transactionStatus"] for out in bench.journal.outgoing if out.klass == "txn"] == ["FAIL"]


def test_a_request_that_failed_and_one_that_nobody_made() -> None:
    bench = Bench().open().to_bank()
    bench.agent.from_link(link.RequestFailed("request-77", "timeout"))
    bench.drain()
    assert bench.agent.state.phase is Phase.AUTHORISING
    bench.agent.from_link(link.RequestFailed("request-1", "offline"))
    bench.drain()
    assert bench.agent.state.failure is not None and bench.agent.state.failure.reason == "hostUnreachable"


def test_an_answer_is_taken_once() -> None:
    bench = Bench().open().to_bank()
    bench.bank_says(response="APPR", authorisationCode="A1B2C3")
    count = bench.log.count("GenerateSecondCryptogram")
    bench.bank_says(response="APPR", authorisationCode="A1B2C3")
    assert bench.log.count("GenerateSecondCryptogram") == count == 1


def test_stop_ends_the_loop_after_what_came_before_it() -> None:
    bench = Bench()
    bench.agent.inbox.put(e.LinkUp())
    bench.agent.stop()
    bench.agent.run()
    assert bench.agent.state.link_up and bench.agent.exit_code == 0


def test_a_trace_has_names_and_times_and_nothing_else(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "trace.jsonl").open().to_cash()
    text = (tmp_path / "trace.jsonl").read_text(encoding="utf-8")
    bench.trace.close()
    notes = [json.loads(line) for line in text.splitlines()]
    assert all(set(note) == {"at", "kind", "name", "phase"} for note in notes)
    assert {note["kind"] for note in notes} == {"event", "command", "view"}
    assert any(note["name"] == "Record:dispenseIntended" for note in notes)
    assert not any(secret in text for secret in SECRETS)


def test_nothing_secret_reaches_page_or_journal() -> None:
    bench = Bench().open().to_cash()
    said = repr(bench.page.views) + repr(bench.journal.entries) + repr(bench.journal.outgoing)
    assert not any(secret in said for secret in SECRETS)


def test_resting_is_between_customers() -> None:
    bench = Bench()
    assert bench.agent.resting
    assert not bench.open().to_bank().agent.resting


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
