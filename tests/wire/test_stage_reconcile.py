"""After a payout that nobody can know: latched over a restart, opened by a person's count alone, and the bank hears it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from simulators.stage.customer import Customer
from simulators.stage.demo import TIMEOUTS, settled_at_the_bank
from simulators.stage.scenarios import BY_NAME, Scene
from simulators.stage.setting import Options, Stage

pytestmark = pytest.mark.wire


def cash(stage: Stage, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "terminal", "cash", *arguments, "--config", str(stage.folder / "terminal.toml")]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def test_the_latch_holds_until_somebody_has_counted() -> None:
    scenario = BY_NAME["dispenser-power-cut"]
    stage = Stage(Path(tempfile.mkdtemp(prefix="branch-")), scenario.staged(Options(timeouts=TIMEOUTS)))
    customer = Customer(stage, lambda *_: None)
    try:
        stage.set()
        scenario.play(Scene(stage, customer, lambda *_: None))
        settled_at_the_bank(stage)
        reference = stage.hand("bank").call("state")["transactions"][0]["transaction_id"]
        assert "another process" in cash(stage, "show").stderr  # the agent owns the store while it runs
        customer.goes()
        stage.children["terminal"].stop()

        wrong = cash(stage, "reconcile", "--transaction", "T0001-00000000", "--presented-minor", "0", "--by", "test")
        assert wrong.returncode == 2 and reference in wrong.stderr
        stage.start_terminal()
        customer.view = {}
        customer.sees("outOfService", where=lambda view: any(line["text"] == reference for line in view["lines"]))
        customer.goes()
        stage.children["terminal"].stop()

        hand = stage.hand("dispenser")
        hand.call("clear_jam")
        done = cash(stage, "reconcile", "--transaction", reference, "--presented-minor", "0", "--by", "test")
        assert done.returncode == 0, done.stderr
        stage.start_terminal()
        customer.view = {}
        customer.sees("idle")
        _, transaction = settled_at_the_bank(stage, in_doubt_counts=False)
        assert transaction is not None
        assert (transaction["status"], transaction["presented_minor"], bool(transaction["reconciled"])) == ("released", 0, True)
        assert stage.journal("verify").returncode == 0
    finally:
        customer.goes()
        stage.strike()


def test_after_a_jam_a_person_clears_the_path_and_fills_a_cassette() -> None:
    stage = Stage(Path(tempfile.mkdtemp(prefix="branch-")), Options(timeouts=TIMEOUTS, mechanics=4.0, printer_bytes_per_s=9600.0))
    customer = Customer(stage, lambda *_: None)
    try:
        stage.set()
        BY_NAME["jam"].play(Scene(stage, customer, lambda *_: None))
        hand = stage.hand("dispenser")
        commands = [one["command"] for one in hand.call("history")["commands"]]
        assert "44" not in commands, "no reset while a note is on the path"
        hand.call("clear_jam")
        customer.goes()
        stage.children["terminal"].stop()

        assert "nothing to reconcile" in cash(stage, "reconcile", "--transaction", "x", "--presented-minor", "0", "--by", "test").stderr
        assert "no unit '9'" in cash(stage, "exchange", "--unit", "9", "--count", "1", "--by", "test").stderr
        hand.call("set_cassette", unit=1, count=150)
        exchanged = json.loads(cash(stage, "exchange", "--unit", "1", "--count", "150", "--by", "test").stdout)
        assert exchanged["units"][0] | {"initial": 150, "presented": 0, "accuracy": "accurate"} == exchanged["units"][0]
        assert json.loads(cash(stage, "release", "--by", "test").stdout)["latch"] is None
        stage.start_terminal()
        customer.view = {}
        customer.sees("idle")
        assert stage.journal("verify").returncode == 0
    finally:
        customer.goes()
        stage.strike()
