"""`./run demo`: one scenario on a fresh stage, told as a story, judged by counting notes, asking the bank and verifying the journal."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from simulators.control import ControlError
from simulators.stage.catalogue import ALL, BY_NAME
from simulators.stage.customer import Customer
from simulators.stage.processes import StageError
from simulators.stage.scenarios import Scenario, Scene
from simulators.stage.setting import DENOMINATIONS, Options, Stage

TIMEOUTS = {
    "input_s": 4.0,
    "still_there_s": 3.0,
    "take_card_s": 10.0,
    "take_cash_s": 10.0,
    "message_s": 1.5,
    "authorise_s": 4.0,
    "dispense_s": 12.0,
    "resolve_s": 20.0,
    "print_s": 8.0,
    "face_s": 15.0,
}
SETTLE_S = 45.0
"""Longer than a terminal waits before it says again what the bank was not there to hear (30 s)."""
OUTCOMES = {"settled": "success", "released": "none", "declined": "none", "pinRetry": "none", "faceRetry": "none", "inDoubt": "inDoubt"}


class Story:
    """Who did what when, on standard output."""

    def __init__(self, quiet: bool) -> None:
        self._began = time.monotonic()
        self._quiet = quiet

    def __call__(self, who: str, what: str) -> None:
        if not self._quiet:
            print(f"{time.monotonic() - self._began:7.2f} s  {who:<9} {what}", flush=True)

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self._began, 2)


def run_scenario(scenario: Scenario, options: Options, *, quiet: bool = False, keep: Path | None = None) -> dict[str, Any]:
    """Play it, judge it, strike the stage. The dictionary is the scenario's JSON line."""
    tell = Story(quiet)
    tell("stage", f"{scenario.name}: {scenario.says}")
    folder = Path(tempfile.mkdtemp(prefix="branch-"))
    stage = Stage(folder, scenario.staged(options))
    customer = Customer(stage, tell)
    problem = ""
    judged: dict[str, Any] = {}
    try:
        stage.set()
        tell("stage", f"set; card reader: {stage.reader_says}")
        try:
            scenario.play(Scene(stage, customer, tell))
        except (StageError, ControlError) as error:
            problem = str(error)
            tell("stage", f"the story broke off: {problem}")
        judged = judge(stage, scenario)
    except (StageError, ControlError, OSError) as error:
        problem = problem or str(error)
    finally:
        customer.goes()
        stage.strike()
        if keep is not None:
            shutil.copytree(folder, keep / scenario.name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.ctl", "wires", "pcsc"))
        shutil.rmtree(folder, ignore_errors=True)
    line = {
        "scenario": scenario.name,
        "result": judged.get("result", "broken"),
        "requested_minor": scenario.requested_minor,
        "dispensed_minor": judged.get("dispensed_minor"),
        "debited_minor": judged.get("debited_minor"),
        "balanced": bool(judged.get("balanced")),
        "journal_verified": bool(judged.get("journal_verified")),
        "expected": scenario.expected,
        "seconds": tell.seconds,
    }
    return {**line, "problem": problem} if problem else line


def passed(line: dict[str, Any]) -> bool:
    return line["balanced"] and line["journal_verified"] and line["result"] == line["expected"] and "problem" not in line


def judge(stage: Stage, scenario: Scenario) -> dict[str, Any]:
    """Count the notes, ask the bank, verify the chain. The terminal's word alone counts for nothing here."""
    debited, transaction = settled_at_the_bank(stage)
    truth = stage.hand("dispenser").call("state")
    outside = [(cassette, count) for cassette, count in (*truth["outlet"],)] + [
        (number, count) for number, count in enumerate(truth["taken"], 1)
    ]
    dispensed = sum(DENOMINATIONS[cassette - 1] * count for cassette, count in outside)
    conserved = all(cassette["initial"] == cassette["remaining"] + _elsewhere(truth, cassette["unit"]) for cassette in truth["cassettes"])
    verified = stage.journal("verify", "--json")
    latched = _latched(stage)
    status = transaction["status"] if transaction else "none"
    result = OUTCOMES.get(status, "none" if transaction is None else "open")
    if result == "success" and dispensed < scenario.requested_minor:
        result = "partial"
    doubt = result == "inDoubt" and latched
    return {
        "result": result,
        "dispensed_minor": dispensed,
        "debited_minor": debited,
        "balanced": conserved and (doubt or (result != "inDoubt" and dispensed == debited)),
        "journal_verified": verified.returncode == 0,
    }


def _elsewhere(truth: dict[str, Any], unit: int) -> int:
    """Notes of a cassette that are not in it: on the path, in the reject bin, in the outlet, taken, removed by hand."""
    path = sum(1 for note in truth["path"] if note["cassette"] == unit)
    outlet = sum(count for cassette, count in truth["outlet"] if cassette == unit)
    at = unit - 1
    return int(path + outlet + truth["reject_bin"]["notes"][at] + truth["taken"][at] + truth["by_hand"][at])


def settled_at_the_bank(stage: Stage, *, in_doubt_counts: bool = True) -> tuple[int, dict[str, Any] | None]:
    """Wait until nothing is on its way any more (no hold, or DOBT); what the card's account lost, and its last transaction."""
    bank = stage.hand("bank")
    until = time.monotonic() + SETTLE_S
    while True:
        books = bank.call("state")
        transactions = books["transactions"]
        open_holds = sum(account["held_minor"] for account in books["accounts"])
        doubtful = any(one["status"] == "inDoubt" for one in transactions)
        if not open_holds or (doubtful and in_doubt_counts) or time.monotonic() > until:
            break
        time.sleep(0.05)
    clearing = next((account for account in books["accounts"] if account["name"] == f"cash:{_terminal(transactions)}"), None)
    debited = sum(one["presented_minor"] or 0 for one in transactions) if clearing is None else abs(clearing["balance_minor"])
    return debited, (transactions[0] if transactions else None)


def _terminal(transactions: list[dict[str, Any]]) -> str:
    return str(transactions[0]["terminal"]) if transactions else ""


def _latched(stage: Stage) -> bool:
    shown = stage.journal("show", "--json")
    latch = None
    for text in shown.stdout.splitlines():
        entry = json.loads(text)
        if entry["kind"] in ("checkpoint", "transactionSettled"):
            latch = entry["data"]["latch"]
    return latch is not None


def main(name: str | None, *, everything: bool, list_only: bool, faces: Path | None, keep: Path | None) -> int:
    if list_only:
        for scenario in ALL:
            print(f"{scenario.name:<27} {scenario.says}")
        return 0
    options = Options(faces=faces, timeouts=TIMEOUTS, mechanics=4.0, printer_bytes_per_s=9600.0)
    if everything:
        return _all(options, keep)
    if name is not None and name not in BY_NAME:
        sys.stderr.write(f"no scenario {name!r}; ./run demo --list names them\n")
        return 2
    line = run_scenario(BY_NAME[name or "success"], options, keep=keep)
    print(json.dumps(line, ensure_ascii=False))
    return 0 if passed(line) else 1


def _all(options: Options, keep: Path | None) -> int:
    began, lines = time.monotonic(), []
    for number, scenario in enumerate(ALL, 1):
        line = run_scenario(scenario, options, quiet=True, keep=keep)
        lines.append(line)
        mark = "ok" if passed(line) else "FAILED"
        print(f"{number:>2}/{len(ALL)}  {scenario.name:<27} {mark:<7} {line['result']:<9} {line['seconds']:>6.1f} s", flush=True)
    print(f"\n{sum(map(passed, lines))} of {len(lines)} as they must be, {time.monotonic() - began:.0f} s in all\n")
    for line in lines:
        print(json.dumps(line, ensure_ascii=False))
    return 0 if all(map(passed, lines)) else 1
