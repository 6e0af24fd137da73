"""The agent around the core, with every port played here: order of effects, a disk that refuses, stale presses, late answers, time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from agent_bench import Bench
from core_ways import DEBIT, PAN, SECRETS, TRACK2

from terminal.adapters import link_events as link
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device, Phase


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
