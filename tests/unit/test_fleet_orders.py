"""The centre's orders: verified, journalled, done when it is time, reported as what they are; everything else refused and audited."""

from __future__ import annotations

import copy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from contract import message_fault
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fleet_play import BASE, CENTRE, FleetBench, World

from simulators.bank.centre import Centre
from terminal.adapters import link_events as link
from terminal.adapters.journal import Entry
from terminal.adapters.store import Store
from terminal.adapters.store_file import StoreCorrupt
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.cash import DispenserResult, UnitResult
from terminal.core.model import Device, OpenDispense, Phase
from terminal.core.values import replace
from terminal.fleet.alarm_table import ALARMS
from terminal.fleet.order_book import Outcome
from terminal.fleet.order_desk import RESTART_EXIT
from terminal.fleet.orders import CLOCKS_APART, MOVES_NOTES

CLOCK_WRONG_MS = int(1000 * (ALARMS["clockWrong"].raise_at or 0))


@pytest.fixture
def bench(tmp_path: Path) -> FleetBench:
    return FleetBench(World(tmp_path))


def signed(bench: FleetBench, command: str = "status", **changes: Any) -> dict[str, Any]:
    """The data of an order with some fields replaced before it is signed."""
    how = {name: changes.pop(name) for name in ("role", "approved_by") if name in changes}
    data = CENTRE.order(BASE, command, changes.pop("parameters", {}), bench.world.wall(), **how)["data"]
    data = {**data, **changes}
    del data["keyId"], data["signature"]
    return CENTRE.signed("ATMDeviceControl", data)


def refusal(bench: FleetBench, data: dict[str, Any]) -> str:
    """The reason that is reported and audited; nothing was done."""
    before = len(bench.kinds)
    bench.hear(link.OrderArrived(data))
    assert bench.kinds[before:] == ["orderRefused"]
    event = bench.datas("SecurityEvent")[-1]
    result = bench.datas("ATMDeviceControlResult")[-1:]
    if event["commandId"] is not None:
        assert (result[0]["commandId"], result[0]["state"], result[0]["reason"]) == (event["commandId"], "refused", event["reason"])
    return str(event["reason"])


# --- what is done


def test_status_and_counters(bench: FleetBench) -> None:
    asked = bench.order("status")
    assert bench.results(asked) == [("succeeded", "SUCC", "")]
    assert bench.result(asked)["data"]["service"] == "inService"
    counted = bench.order("counters")
    assert [unit["count"] for unit in bench.result(counted)["data"]["cashUnits"]] == [100] * 4


def test_the_result_is_journalled_before_it_is_in_the_outbox_and_both_at_once(bench: FleetBench) -> None:
    bench.order("enterService")
    heads = [one["journalseq"] for one in bench.messages("audit") if one["type"] == "ATMDeviceControlResult"]
    entries = {entry.seq: entry.kind for entry in bench.store.entries()}
    assert [entries[seq] for seq in heads] == ["orderReceived", "orderEnded"], "each message names the entry it was stored with"


def test_a_range_of_the_journal(bench: FleetBench) -> None:
    asked = bench.order("journalRange", {"from": 1, "to": 3})
    data = bench.result(asked)["data"]
    assert [entry["seq"] for entry in data["entries"]] == [1, 2, 3] and data["next"] is None
    for _ in range(150):
        bench.agent.record([bench_entry()])
    data = bench.result(bench.order("journalRange", {"from": 5, "to": 204}))["data"]
    assert data["next"] == data["entries"][-1]["seq"] + 1, "as many as a message carries"
    assert refusal(bench, signed(bench, "journalRange", parameters={"from": 1, "to": 201})) == "malformed"


def bench_entry() -> Any:
    return Entry("deviceFault", None, {"text": "x" * 400})


def test_a_range_of_the_journal_has_no_customers_data(bench: FleetBench) -> None:
    last = bench.store.head[0]
    consent = {"consentId": "C1", "consent": "given", "maskedPan": "622848******0015"}
    bench.agent.record(
        [
            Entry("faceConsent", "T0001-00000001", consent),
            Entry("deviceFault", "T0001-00000001", {"code": "customersOwn"}),
            Entry("checkpoint", None, {"units": [{"count": 77}]}),
            Entry("ofAnotherKind", None, {"who": "knows"}),
            Entry("deviceFault", None, {"code": "noteJam"}),
        ]
    )
    entries = bench.result(bench.order("journalRange", {"from": last + 1, "to": last + 5}))["data"]["entries"]
    assert [entry["kind"] for entry in entries] == ["faceConsent", "deviceFault", "checkpoint", "ofAnotherKind", "deviceFault"]
    assert [entry["data"] for entry in entries] == [None, None, None, None, {"code": "noteJam"}]
    assert [entry["hash"] for entry in entries] == [entry.hash for entry in bench.store.entries(after_seq=last)][:5]
    sent = bench.messages("audit")[-1]
    assert message_fault(sent) == ""
    leaky = copy.deepcopy(sent)
    leaky["data"]["data"]["entries"][0]["data"] = consent
    assert message_fault(leaky), "the contract would notice"


def test_a_journal_that_cannot_be_read_is_said(bench: FleetBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "entries", damaged)
    assert bench.results(bench.order("journalRange", {"from": 1, "to": 3})) == [("failed", "HRDW", "journalUnreadable")]


def damaged(*_: Any, **__: Any) -> Any:
    raise StoreCorrupt("damaged")


def test_out_of_service_and_back(bench: FleetBench) -> None:
    left = bench.order("leaveService", approved_by="supervisor-1")
    assert bench.results(left)[-1] == ("succeeded", "SUCC", "")
    assert bench.agent.state.phase is Phase.OUT_OF_SERVICE
    bench.pass_s(3.0)
    assert bench.link.documents["state"]["reasons"] == ["outOfServiceByOperator"]
    again = bench.restart()
    assert again.agent.state.closed_by_operator and again.agent.state.phase is Phase.OUT_OF_SERVICE, "a restart opens nothing"
    entered = again.order("enterService")
    assert again.result(entered)["data"] == {"service": "inService", "reasons": []}
    assert again.agent.state.phase is Phase.IDLE
    again.pass_s(120.0)
    assert ("terminalOutOfService", "raised", None) not in again.alarms(), "ordered, so no alarm"


def test_leaving_waits_for_the_customer_and_can_be_cancelled(bench: FleetBench) -> None:
    bench.agent.take(e.CardInserted())
    left = bench.order("leaveService", approved_by="supervisor-1")
    assert bench.results(left) == [("received", None, ""), ("waiting", None, "")]
    assert bench.agent.state.phase is Phase.READING_CARD, "the customer is served"
    cancelled = bench.order("cancel", {"commandId": left})
    assert bench.results(left)[-1] == ("cancelled", "SUCC", "cancelled") and bench.results(cancelled)[-1][0] == "succeeded"
    assert not bench.agent.state.closed_by_operator
    assert bench.results(bench.order("cancel", {"commandId": left}))[-1] == ("failed", "CNTE", "notWaiting")

    second = bench.order("leaveService", approved_by="supervisor-1")
    bench.agent.take(e.CardRemoved())
    bench.pass_s(30.0)
    assert bench.agent.state.phase is Phase.OUT_OF_SERVICE and bench.results(second)[-1] == ("succeeded", "SUCC", "")


def test_what_waits_too_long_expires(bench: FleetBench) -> None:
    bench.agent.take(e.CardInserted())
    left = bench.order("leaveService", approved_by="supervisor-1", holds_s=5)
    worker = bench.order("restartWorker", {"device": "printer"}, holds_s=5)
    bench.pass_s(6.0)
    assert bench.results(left)[-1] == bench.results(worker)[-1] == ("expired", "TIMO", "expired")
    assert not bench.agent.state.closed_by_operator and bench.restarted == []


def test_a_worker_is_restarted_between_customers(bench: FleetBench) -> None:
    bench.agent.take(e.CardInserted())
    asked = bench.order("restartWorker", {"device": "printer"})
    assert bench.results(asked)[-1] == ("waiting", None, "") and bench.restarted == []
    bench.agent.take(e.CardRemoved())
    bench.pass_s(30.0)
    assert bench.restarted == [Device.PRINTER] and bench.results(asked)[-1] == ("executing", None, "")
    bench.agent.take(e.DeviceLost(Device.PRINTER, "workerLost"))
    bench.agent.take(e.DeviceOnline(Device.PIN_PAD))
    bench.drain()
    assert bench.results(asked)[-1][0] == "executing", "another device is no answer"
    bench.agent.take(e.DeviceOnline(Device.PRINTER))
    bench.drain()
    assert bench.results(asked)[-1] == ("succeeded", "SUCC", "")


def test_a_worker_that_does_not_come_back(bench: FleetBench) -> None:
    asked = bench.order("restartWorker", {"device": "pinPad"})
    bench.pass_s(91.0)
    assert bench.results(asked)[-1] == ("failed", "TIMO", "noAnswer")


def test_a_self_test_moves_nothing_and_its_findings_come_back(bench: FleetBench) -> None:
    asked = bench.order("selfTest", {"device": "cashDispenser"})
    check = bench.workers[Device.DISPENSER].commands[-1]
    assert isinstance(check, c.CheckDispenser) and check.command_id < 0
    bench.agent.take(e.SelfCheckDone(check.command_id, Device.DISPENSER, {"fault": "", "cassettes": "1,2,3,4"}))
    bench.drain()
    assert bench.result(asked)["data"] == {"device": "cashDispenser", "findings": {"fault": "", "cassettes": "1,2,3,4"}}
    failed = bench.order("selfTest", {"device": "printer"})
    number = bench.workers[Device.PRINTER].commands[-1].command_id
    bench.agent.take(e.CommandFailed(number, Device.PRINTER, "deviceFault", "paperOut"))
    bench.drain()
    assert bench.results(failed)[-1] == ("failed", "HRDW", "paperOut")
    silent = bench.order("selfTest", {"device": "cardReader"})
    bench.pass_s(16.0)
    assert bench.results(silent)[-1] == ("failed", "TIMO", "noAnswer")


def test_a_picture_of_a_device(bench: FleetBench) -> None:
    assert bench.results(bench.order("picture", {"device": "faceVerifier"}))[-1] == ("failed", "NSUP", "noCamera")
    asked = bench.order("picture", {"device": "cashDispenser"})
    data = {"device": "cashDispenser", "mediaType": "image/jpeg", "base64": "/9j/"}
    bench.pictured[-1](Outcome("succeeded", "SUCC", data=data))
    bench.drain()
    assert bench.result(asked)["data"] == data


def test_what_cannot_be_sent_is_said(bench: FleetBench) -> None:
    for text in ("x" * 70_000, "card 6222020200112230004 was seen"):
        asked = bench.order("picture", {"device": "cashDispenser"})
        bench.pictured[-1](Outcome("succeeded", "SUCC", data={"base64": text}))
        bench.drain()
        assert bench.results(asked)[-1] == ("failed", "FMTE", "cannotBeSent")


def test_the_agent_restarts_itself_and_says_so_afterwards(bench: FleetBench) -> None:
    asked = bench.order("restartAgent")
    assert bench.results(asked)[-1] == ("executing", None, "")
    assert bench.agent.exit_code == RESTART_EXIT == 75
    again = bench.restart()
    assert again.results(asked)[-1] == ("succeeded", "SUCC", "")


def test_what_a_restart_interrupts_is_told_as_that(bench: FleetBench) -> None:
    asked = bench.order("restartWorker", {"device": "printer"})
    again = bench.restart()
    assert again.results(asked)[-1] == ("failed", "UKRF", "interrupted")


def test_nothing_is_taken_while_a_dispense_is_open(bench: FleetBench) -> None:
    account = DispenserResult("testDispense", 0, "", 0, (UnitResult(0, 0),) * 4)
    opened = OpenDispense("T0001-00000001", 10_000, (1, 0, 0, 0), account, (), (1, 2, 3, 4))
    bench.agent.state = replace(bench.agent.state, open_dispense=opened)
    before = len(bench.kinds)
    asked = bench.order("status")
    bench.pass_s(5.0)
    assert len(bench.kinds) == before and bench.results(asked) == []
    bench.agent.state = replace(bench.agent.state, open_dispense=None)
    bench.agent.take(e.DeviceNoted(Device.PRINTER, "paperLow"))
    bench.pass_s(1.0)
    assert bench.results(asked)[-1][0] == "succeeded"


# --- what is not


def test_tampered_unsigned_and_strange(bench: FleetBench) -> None:
    good = signed(bench)
    assert refusal(bench, {**good, "reason": "another"}) == "badSignature"
    assert refusal(bench, {**good, "signature": "00" * 64}) == "badSignature"
    assert refusal(bench, {**good, "keyId": "nobody"}) == "unknownKey"
    stranger = Centre(Ed25519PrivateKey.generate())
    assert refusal(bench, stranger.order(BASE, "status", {}, bench.world.wall())["data"]) == "badSignature"
    assert bench.results(good["commandId"]) == [("refused", "SECR", reason) for reason in ("badSignature", "badSignature", "unknownKey")]
    bench.hear(link.OrderArrived(good))
    assert bench.results(good["commandId"])[-1] == ("succeeded", "SUCC", ""), "a forgery does not use up the order"


def test_another_terminal_too_early_too_late(bench: FleetBench) -> None:
    soon = (bench.world.wall() + timedelta(seconds=60)).isoformat()
    past = (bench.world.wall() - timedelta(seconds=1)).isoformat()
    assert refusal(bench, signed(bench, terminal="T0002")) == "wrongTerminal"
    assert refusal(bench, signed(bench, notBefore=soon)) == "notYet"
    assert refusal(bench, signed(bench, expiresAt=past)) == "expired"


def test_two_clocks_are_never_the_same(bench: FleetBench) -> None:
    """The centre orders from its own now on; a terminal that is a little behind it does not know that moment yet."""
    centre, two_minutes = bench.world.wall(), timedelta(minutes=2)

    def told(order: str, ahead: timedelta) -> str:
        """The centre's clock is `ahead` of this terminal's."""
        data = CENTRE.order(BASE, order, {}, centre + ahead)["data"]
        bench.hear(link.OrderArrived(data))
        return str(bench.result(data["commandId"])["reason"] or bench.result(data["commandId"])["state"])

    alike = [timedelta(milliseconds=ms) for ms in (-CLOCK_WRONG_MS + 1, -1, 0, 1, 200, CLOCK_WRONG_MS)]
    assert [told("status", ahead) for ahead in alike] == ["succeeded"] * len(alike)
    assert told("status", timedelta(milliseconds=CLOCK_WRONG_MS + 1)) == told("status", two_minutes) == "notYet"
    assert told("status", -timedelta(minutes=5)) == "expired", "the end of an order is not stretched"
    assert timedelta(milliseconds=CLOCK_WRONG_MS) == CLOCKS_APART, "no order is refused for a clock that no alarm has been raised for"


def test_an_order_is_done_once_also_after_a_restart(bench: FleetBench) -> None:
    data = signed(bench)
    bench.hear(link.OrderArrived(data))
    assert refusal(bench, copy.deepcopy(data)) == "replayed"
    assert bench.result(data["commandId"])["data"]["first"]["state"] == "succeeded"
    assert refusal(bench.restart(), data) == "replayed"


def test_the_memory_of_orders_does_not_grow_for_ever(bench: FleetBench) -> None:
    for _ in range(5):
        bench.order("status")
    assert len(bench.store.kept("order")) == 5
    bench.world.clock.sleep(8 * 86_400.0)
    bench.order("status")
    assert len(bench.store.kept("order")) == 1


def test_out_of_service_takes_two_people(bench: FleetBench) -> None:
    assert refusal(bench, signed(bench, "leaveService")) == "wrongRole"
    assert refusal(bench, signed(bench, "leaveService", role="supervisor")) == "wrongRole", "nor does a supervisor alone"
    for own in ("operator-1", " Operator-1", "", "  "):
        assert refusal(bench, signed(bench, "leaveService", approved_by=own)) == "wrongRole", "nobody approves his own"
        assert refusal(bench, signed(bench, "leaveService", approved_by=own, role="supervisor")) == "wrongRole"
    assert not bench.agent.state.closed_by_operator
    assert bench.results(bench.order("leaveService", approved_by="supervisor-1"))[-1][0] == "succeeded"
    assert bench.results(bench.order("enterService"))[-1][0] == "succeeded"
    by_a_supervisor = bench.order("leaveService", role="supervisor", approved_by="operator-2")
    assert bench.results(by_a_supervisor)[-1][0] == "succeeded"


@pytest.mark.parametrize("command", sorted(MOVES_NOTES))
def test_nothing_moves_notes_from_afar(bench: FleetBench, command: str) -> None:
    sent = [len(worker.commands) for worker in bench.workers.values()]
    assert refusal(bench, signed(bench, command, role="supervisor", approved_by="operator-2")) == "movesNotes"
    assert [len(worker.commands) for worker in bench.workers.values()] == sent


def test_a_restart_that_would_reset_a_faulty_dispenser_is_refused(bench: FleetBench) -> None:
    number = bench.agent.state.serial
    bench.agent.take(e.DeviceOnline(Device.DISPENSER))
    number = bench.workers[Device.DISPENSER].commands[-1].command_id
    bench.agent.take(e.DispenserInitialised(number, "notesOnPath"))
    assert refusal(bench, signed(bench, "restartWorker", parameters={"device": "cashDispenser"})) == "movesNotes"
    assert refusal(bench, signed(bench, "restartAgent")) == "movesNotes"
    assert bench.results(bench.order("restartWorker", {"device": "printer"}))[-1][0] == "executing"


def test_unknown_and_misshapen(bench: FleetBench) -> None:
    assert refusal(bench, signed(bench, "singSong")) == "unknownCommand"
    assert refusal(bench, signed(bench, "restartWorker", parameters={"device": "safe"})) == "malformed"
    assert refusal(bench, signed(bench, "status", parameters={"device": "printer"})) == "malformed"
    assert refusal(bench, signed(bench, reason="6222020200112230004")) == "malformed", "a card number is not journalled"
    good = signed(bench)
    for name in good:
        assert refusal(bench, {key: value for key, value in good.items() if key != name}) == "malformed"
    assert refusal(bench, {**good, "colour": 1}) == "malformed"
    assert refusal(bench, {**good, "parameters": {"device": 1.5}}) == "malformed"


def test_a_flood_of_forgeries_is_counted_not_stored(bench: FleetBench) -> None:
    for number in range(100):
        bench.hear(link.OrderArrived({"commandId": f"{number}"}))
    assert len(bench.datas("SecurityEvent")) == 20
    bench.pass_s(65.0)
    refused = [report["refused"] for report in bench.datas("TelemetryReport")]
    assert sum(one.get("cmd/malformed", 0) for one in refused) == 100


def test_without_a_key_nobody_orders_anything(tmp_path: Path) -> None:
    bench = FleetBench(World(tmp_path), keys={})
    assert refusal(bench, signed(bench)) == "unknownKey"


def test_more_than_enough_open_orders(bench: FleetBench) -> None:
    bench.agent.take(e.CardInserted())
    for _ in range(16):
        bench.order("restartWorker", {"device": "printer"})
    assert refusal(bench, signed(bench, "restartWorker", parameters={"device": "printer"})) == "tooMany"
