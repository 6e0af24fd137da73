"""The operations centre and a whole terminal, over a real broker: orders with their results, a restart, a configuration, an alarm."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from contract import Recorder

from simulators.control import Control
from simulators.stage.setting import BRANCH, TERMINAL, Options, Stage

pytestmark = pytest.mark.wire
BASE = f"bank/v1/{BRANCH}/{TERMINAL}"
PATIENCE_S = 30.0
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")


@contextmanager
def staged(folder: Path, **options: Any) -> Iterator[Stage]:
    stage = Stage(folder, Options(mechanics=4.0, cards_by="vpcd", **options))
    try:
        stage.set()
        stage.waits_for_trace("view", "idle", PATIENCE_S)
        yield stage
    finally:
        stage.strike()


def wait(what: Callable[[], Any], said: str) -> Any:
    until = time.monotonic() + PATIENCE_S
    while not (found := what()):
        assert time.monotonic() < until, said
        time.sleep(0.002)
    return found


def outcome(bank: Control, order: str) -> dict[str, Any]:
    """The last thing said of an order that has ended."""
    ends = ("succeeded", "failed", "refused", "cancelled", "expired")
    ended = wait(lambda: [one for one in bank.call("results", command_id=order) if one["state"] in ends], f"{order} did not end")
    return dict(ended[-1])


def test_orders_over_the_wire(tmp_path: Path, contract_kept: Recorder) -> None:
    picture = tmp_path / "dispenser.jpg"
    picture.write_bytes(JPEG)
    with staged(tmp_path / "stage", cameras=(("cashDispenser", str(picture)),), fleet={"telemetry_s": 5.0}) as stage:
        bank = stage.hand("bank")

        def order(command: str, **how: Any) -> dict[str, Any]:
            return outcome(bank, bank.call("order", base=BASE, command=command, **how))

        assert order("status")["data"]["service"] == "inService"
        for device in ("cashDispenser", "pinPad", "printer", "cardReader"):
            found = order("selfTest", parameters={"device": device})
            assert found["state"] == "succeeded" and found["data"]["device"] == device, found
        assert order("picture", parameters={"device": "cashDispenser"})["data"]["base64"].startswith("/9j/")
        assert order("picture", parameters={"device": "printer"})["result"] == "NSUP"
        assert order("restartWorker", parameters={"device": "printer"})["state"] == "succeeded"
        assert order("leaveService")["reason"] == order("leaveService", role="supervisor")["reason"] == "wrongRole"
        assert order("leaveService", approved_by="supervisor-1")["data"]["reasons"] == ["outOfServiceByOperator"]
        assert order("enterService")["data"]["service"] == "inService"
        assert order("dispense", role="supervisor")["reason"] == "movesNotes"
        assert order("journalRange", parameters={"from": 1, "to": 5})["data"]["entries"][0]["seq"] == 1
        trips = []
        for _ in range(20):
            began = time.monotonic()
            order("counters")
            trips.append(time.monotonic() - began)
        print(f"round trip p50 {median(trips) * 1000:.1f} ms")
        (terminal,) = wait(lambda: [one for one in bank.call("state")["terminals"] if "counts" in one["telemetry"]], "no telemetry")
        assert terminal["state"] == "online" and terminal["telemetry"]["agent"]["clockOffsetMs"] is not None
        assert terminal["telemetry"]["refused"].keys() <= {"cmd/wrongRole", "cmd/movesNotes"}
        assert bank.call("refusals") == []
    assert contract_kept.seen.keys() >= {
        *("state ATMDeviceReport", "telemetry TelemetryReport", "event GlobalStatusChanged", "event SecurityEvent"),
        *("cmd ATMDeviceControl", "cmd/resp ATMDeviceControlResult", "ack ATMCompletionAcknowledgement", "reported ConfigurationReported"),
    }, "they were held against the contract"


def test_a_restart_and_a_configuration_over_the_wire(tmp_path: Path, contract_kept: Recorder) -> None:
    with staged(tmp_path / "stage", bank_acknowledges="txn,audit,alarm") as stage:
        bank = stage.hand("bank")
        restart = bank.call("order", base=BASE, command="restartAgent")
        wait(lambda: not stage.children["terminal"].alive, "the agent did not leave")
        assert stage.children["terminal"].process.returncode == 75
        stage.start_terminal()
        assert outcome(bank, restart)["state"] == "succeeded"

        bank.call("desire", base=BASE, version=1, configuration={"cash": {"limit_minor": 250_000}})
        wait(lambda: not stage.children["terminal"].alive, "the agent did not leave for its new configuration")
        stage.start_terminal()

        def changed() -> str:
            shown = stage.journal("show", "--json", "--kind", "configurationChanged").stdout
            return shown if '"applied"' in shown else ""

        wait(changed, "the configuration was not applied")
    assert contract_kept.seen["desired ConfigurationDesired"] == 1 and contract_kept.seen["reported ConfigurationReported"] >= 2


def test_beside_a_monitor_the_bank_acknowledges_transactions_alone(tmp_path: Path) -> None:
    with staged(tmp_path / "stage", bank_acknowledges="txn") as stage:
        bank = stage.hand("bank")
        outcome(bank, bank.call("order", base=BASE, command="status"))
        assert bank.call("state")["terminals"][0]["acknowledged"], "they have arrived"
        counted = outcome(bank, bank.call("order", base=BASE, command="status"))
        assert counted["data"]["agent"]["outbox"]["audit"] > 0, "and wait for the monitor's acknowledgement"
