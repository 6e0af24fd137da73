"""The attendant on an agent with a real store: what the bank is told of health, when, and what survives a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fleet_play import BASE, CENTRE, FleetBench, World

from terminal.adapters import link_events as link
from terminal.adapters.journal import Entry
from terminal.core import events as e
from terminal.core.cash import Accuracy, CashUnit, DispenserResult, UnitResult
from terminal.core.model import Device, Latch, OpenDispense, Phase
from terminal.core.settling import checkpoint
from terminal.core.values import replace
from terminal.fleet.health import cash_units, service_of

NOTHING = DispenserResult("testDispense", 0, "", 0, (UnitResult(0, 0),) * 4)


@pytest.fixture
def bench(tmp_path: Path) -> FleetBench:
    return FleetBench(World(tmp_path))


def set_state(bench: FleetBench, **changes: Any) -> None:
    bench.agent.state = replace(bench.agent.state, **changes)
    bench.agent.take(e.DeviceNoted(Device.PRINTER, ""))
    bench.pass_s(3.0)


def test_the_retained_state_says_everything(bench: FleetBench) -> None:
    state = bench.link.documents["state"]
    assert (state["state"], state["service"], state["reasons"], state["latched"]) == ("online", "inService", [], None)
    assert state["devices"]["cashDispenser"] == {"device": "online", "detail": "", "restarts": 0}
    assert state["devices"]["page"]["device"] == "online"
    assert state["cashUnits"][0] == {
        "unit": "1", "minor": 10_000, "currency": "CNY", "initial": 100, "presented": 0, "rejected": 0, "unknown": 0, "count": 100,
        "accuracy": "accurate", "status": "ok", "replenishmentStatus": "ok", "lowThreshold": 50,
    }  # fmt: skip
    agent = state["agent"]
    assert agent["startedAt"] == "2026-11-22T08:00:00.000Z" and agent["diskFreeBytes"] == 10 << 30 and agent["clockOffsetMs"] == 0
    assert agent["certificateDaysLeft"] is None and agent["configurationVersion"] == 0


def test_a_change_is_published_soon_and_not_too_often(bench: FleetBench) -> None:
    bench.pass_s(10.0)
    bench.link.published.clear()
    for number in range(40):
        bench.agent.take(e.DeviceNoted(Device.PRINTER, "paperLow" if number % 2 else ""))
        bench.pass_s(0.13)
    bench.pass_s(5.0)
    assert 2 <= len(bench.link.published) <= 4, "forty changes in five seconds"
    assert bench.link.documents["state"]["devices"]["printer"]["detail"] == "paperLow", "and the last one is said"
    bench.link.published.clear()
    bench.pass_s(30.0)
    assert bench.link.published == [], "nothing changes: nothing is said"


def test_a_new_connection_says_how_it_is_now(bench: FleetBench) -> None:
    bench.pass_s(100.0)
    bench.hear(link.LinkDown("gone"))
    bench.hear(link.LinkUp())
    assert bench.link.documents["state"]["agent"]["uptime_s"] >= 100


def test_what_changed_is_told_as_events(bench: FleetBench) -> None:
    assert bench.datas("DeviceStatusChanged") == [], "a start is no change"
    bench.agent.take(e.DeviceLost(Device.PRINTER, "paperOut"))
    bench.pass_s(2.0)
    assert bench.datas("DeviceStatusChanged") == [
        {"device": "printer", "from": {"device": "online", "detail": ""}, "to": {"device": "offline", "detail": "paperOut"}}
    ]
    units = tuple(replace(unit, presented=3) if unit.unit == "1" else unit for unit in bench.agent.state.units)
    set_state(bench, units=units)
    assert [(one["unit"], one["count"]) for one in bench.datas("CashUnitChanged")] == [("1", 97)]
    again = bench.restart()
    assert len(again.datas("CashUnitChanged")) == 1


def test_counters_say_how_much_they_are_worth(bench: FleetBench) -> None:
    units = (
        CashUnit("1", 10_000, 100, presented=100),
        CashUnit("2", 5_000, 100, presented=60, unknown=2, accuracy=Accuracy.INACCURATE),
        CashUnit("3", 2_000, 100, usable=False),
        CashUnit("4", 1_000, 100),
    )
    state = replace(bench.agent.state, units=units)
    state = replace(
        state, devices={**state.devices, Device.DISPENSER: replace(state.devices[Device.DISPENSER], detail="nearEnd4,nearEnd3")}
    )
    told = [(one["status"], one["replenishmentStatus"], one["accuracy"]) for one in cash_units(state, 50)]
    assert told == [
        ("ok", "empty", "accurate"), ("ok", "low", "inaccurate"), ("inoperative", "low", "accurate"), ("ok", "low", "accurate"),
    ]  # fmt: skip


def test_the_threshold_of_low_is_told_and_is_the_configured_one(bench: FleetBench) -> None:
    message = CENTRE.desired(BASE, 1, {"cash": {"low_threshold": 100}}, bench.world.wall())
    bench.hear(link.DesiredArrived(message["data"]))
    again = bench.restart()
    told = {(one["lowThreshold"], one["replenishmentStatus"]) for one in again.link.documents["state"]["cashUnits"]}
    assert told == {(100, "low")}, "at the threshold already"
    assert {one["lowThreshold"] for one in again.result(again.order("counters"))["data"]["cashUnits"]} == {100}


def test_telemetry_comes_each_minute_with_what_happened_in_it(bench: FleetBench) -> None:
    agent = bench.agent
    agent.take(e.CardInserted())
    agent.take(e.ApplicationsRead(bench.workers[Device.CARD_READER].commands[-1].command_id, ()))
    agent.take(e.CardRemoved())
    agent.take(e.DeviceLost(Device.PIN_PAD, "workerLost"))
    agent.take(e.CommandFailed(999, Device.CARD_READER, "deviceFault", "cardGone"))
    bench.hear(link.BadMessage(f"{BASE}/ack", "rubbish"))
    bench.pass_s(60.0)
    (report,) = bench.datas("TelemetryReport")
    counts = report["counts"]
    assert (counts["cardReads"], counts["cardErrors"], counts["apduErrors"], counts["workerRestarts"]) == (1, 1, 1, 1)
    assert report["refused"] == {"ack/malformed": 1} and bench.said == [f"bank link: {BASE}/ack: rubbish"]
    assert report["timings_ms"]["cardRead"]["n"] == 1 and report["period_s"] == pytest.approx(60.0, abs=1.0)
    bench.pass_s(60.0)
    assert len(bench.datas("TelemetryReport")) == 2
    assert sum(bench.datas("TelemetryReport")[1]["counts"].values()) == 0, "a report is of its own minute"


def test_notes_are_counted_once_and_jams_are_seen(bench: FleetBench) -> None:
    opened = OpenDispense("T0001-00000001", 20_000, (2, 0, 0, 0), NOTHING, (), (1, 2, 3, 4))
    jam = DispenserResult("dispense", 0x02, "JAM_CHK_DVT", 0, (UnitResult(1, 1), *(UnitResult(0, 0),) * 3))
    before = replace(bench.agent.state, open_dispense=opened)
    units = tuple(replace(unit, presented=1, rejected=1) if unit.unit == "1" else unit for unit in before.units)
    after = replace(before, open_dispense=None, units=units)
    counts = bench.attendant._reporter.counts
    counts.saw(e.NotesDispensed(1, jam), before, after, 0.0)
    counts.saw(e.LastStatusRead(2, jam), after, after, 0.0)
    found, _, _ = counts.take()
    assert (found["notesMoved"], found["notesRejected"], found["jams"], found["dispenses"]) == (2, 1, 1, 1)


def test_nothing_is_written_while_a_dispense_is_open(bench: FleetBench) -> None:
    opened = OpenDispense("T0001-00000001", 20_000, (2, 0, 0, 0), NOTHING, (), (1, 2, 3, 4))
    bench.agent.state = replace(bench.agent.state, open_dispense=opened)
    head, sent = bench.store.head, len(bench.messages())
    bench.agent.take(e.DeviceNoted(Device.PRINTER, "paperLow"))
    bench.around.free = 0
    bench.pass_s(200.0)
    assert bench.store.head == head and len(bench.messages()) == sent
    bench.agent.state = replace(bench.agent.state, open_dispense=None)
    bench.agent.take(e.DeviceNoted(Device.PRINTER, "paperLow"))
    bench.pass_s(40.0)
    assert ("diskLow", "raised", None) in bench.alarms() and ("consumableLow", "raised", "printer") in bench.alarms()


def test_a_disk_that_refuses_stops_the_attendant_and_is_in_the_state(bench: FleetBench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.store._broken = "no space left"
    bench.agent.take(e.DeviceNoted(Device.PRINTER, "paperLow"))
    bench.pass_s(200.0)
    assert bench.agent.state.store_failed and bench.agent.state.phase is Phase.OUT_OF_SERVICE
    assert bench.link.documents["state"]["reasons"][0] == "journalFailed"
    assert "journal: no space left" in capsys.readouterr().err


def test_a_latch_is_an_alarm_and_is_raised_once(bench: FleetBench) -> None:
    set_state(bench, latch=Latch("outcomeUnknown", "T0001-00000007"))
    (advice,) = bench.datas("ATMExceptionAdvice")
    assert advice["alarmId"] == "T0001/cashOutLatched/cashDispenser/1" and advice["severity"] == "critical"
    assert advice["transactionId"] == "T0001-00000007" and not advice["suppressed"]
    assert bench.link.documents["state"]["latched"] == {"transactionId": "T0001-00000007", "cause": "outcomeUnknown"}
    bench.agent.record([Entry("checkpoint", None, checkpoint(bench.agent.state))])
    again = bench.restart(well=False).open_without_dispenser()
    again.pass_s(100.0)
    assert again.alarms().count(("cashOutLatched", "raised", "cashDispenser")) == 1, "a restart raises nothing twice"
    suppressed = [one for one in again.datas("ATMExceptionAdvice") if one["alarm"] == "terminalOutOfService"]
    assert suppressed[0]["suppressed"] and suppressed[0]["cause"] == "T0001/cashOutLatched/cashDispenser/1"
    set_state(again, latch=None)
    assert again.alarms()[-1] == ("cashOutLatched", "returned", "cashDispenser")
    assert "alarmReturned" in again.kinds


def test_a_device_given_up_is_an_alarm(bench: FleetBench) -> None:
    bench.agent.take(e.DeviceLost(Device.PIN_PAD, "workerLost"))
    bench.agent.take(e.DeviceGaveUp(Device.PIN_PAD))
    bench.pass_s(2.0)
    assert bench.alarms() == [("deviceOutOfService", "raised", "pinPad")]


def test_facts_become_alarms(bench: FleetBench) -> None:
    bench.around.rows, bench.around.offset, bench.around.days = 80, -31_000, 20
    bench.agent.take(e.DeviceNoted(Device.PRINTER, "paperLow"))
    bench.pass_s(70.0)
    raised = {code for code, state, _ in bench.alarms() if state == "raised"}
    assert raised == {"outboxHigh", "clockWrong", "certificateExpiring", "consumableLow"}
    bench.around.rows, bench.around.offset, bench.around.days = 60, 0, None
    bench.pass_s(200.0)
    assert ("outboxHigh", "returned", None) in bench.alarms() and ("clockWrong", "returned", None) in bench.alarms()


def test_wear_is_watched_over_restarts_and_raised_with_its_evidence(bench: FleetBench) -> None:
    counts = bench.attendant._reporter.counts.counts
    counts.update(jams=4, notesMoved=1_000)
    bench.pass_s(61.0)
    assert bench.store.kept("wear")["jamsPerNotes"]["seen"] == 4
    again = bench.restart()
    again.attendant._reporter.counts.counts.update(jams=4, notesMoved=1_000)
    again.pass_s(61.0)
    (advice,) = again.datas("ATMExceptionAdvice")
    assert (advice["alarm"], advice["device"], advice["severity"]) == ("serviceSoon", "cashDispenser", "minor")
    evidence = advice["evidence"]
    assert (evidence["measure"], evidence["seen"], evidence["opportunities"]) == ("jamsPerNotes", 8, 2_000)
    assert evidence["score"] == pytest.approx(8 - 2.5 * 2_000 / 20_000)


def test_a_customer_who_is_served_is_service(bench: FleetBench) -> None:
    state = bench.agent.state
    assert service_of(replace(state, phase=Phase.FAILED)) == "inService"
    assert service_of(replace(state, phase=Phase.RECOVERING)) == "outOfService"
