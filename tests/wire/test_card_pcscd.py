"""The card by way of a real pcscd and vpcd: PC/SC reader, T=0 and T=1, pulled, swapped, mute, and pcscd itself restarted."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from simulators.card.capk import capk_toml
from simulators.card.keys import load_card_keys
from simulators.card.profiles import load_profiles
from simulators.control import Control
from simulators.crypto.emv import issuer_response, load_issuer_keys, verify_arqc, verify_tc
from simulators.ports.pcscd import Pcscd, missing, start_pcscd

pytestmark = [pytest.mark.wire, pytest.mark.skipif(bool(missing()), reason=missing() or "pcscd is there")]
PAYING = ["everyday", "two-applications", "static", "expired"]
ROOT = Path(__file__).parent.parent.parent


class Child:
    """A process with JSON lines; `answer` None means that nothing came in time."""

    def __init__(self, command: list[str], env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=ROOT)

    def ask(self, do: str, *, within_s: float = 30.0, **arguments: Any) -> Any:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        self.process.stdin.flush()
        return self.answer(within_s)

    def answer(self, within_s: float) -> Any:
        assert self.process.stdout
        if not select.select([self.process.stdout], [], [], within_s)[0]:
            return None
        return json.loads(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()


class Place:
    """A branch with one reader: pcscd, the card's process, and as many workers as one likes."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._stack = folder, stack
        self.pcscd = self._start()
        self._capks = folder / "capk.toml"
        self._capks.write_text(capk_toml(load_card_keys()), encoding="utf-8")
        control = folder / "card.control"
        card = Child([sys.executable, "-m", "simulators.card", "--port", str(self.pcscd.port), "--control", str(control)])
        stack.callback(card.kill)
        assert card.process.stdout and card.process.stdout.readline() == b"ready\n"
        self.hand = Control(control)
        stack.callback(self.hand.close)
        self.worker = self.new_worker()

    def _start(self, port: int | None = None) -> Pcscd:
        started = start_pcscd(self.folder, port)
        assert isinstance(started, Pcscd), started
        self._stack.callback(started.stop)
        return started

    def restart(self) -> None:
        self.pcscd.stop()
        self.pcscd = self._start(self.pcscd.port)

    def new_worker(self) -> Child:
        script = str(Path(__file__).with_name("card_worker.py"))
        self.worker = Child([sys.executable, script, "Virtual PCD*00 00", str(self._capks)], {**self.pcscd.env, "PYTHONPATH": str(ROOT)})
        self._stack.callback(self.worker.kill)
        return self.worker

    def insert(self, card: str) -> dict[str, Any]:
        self.hand.call("insert", card=card)
        seen: dict[str, Any] = self.worker.ask("wait", present=True)["ok"]
        assert seen["present"]
        return seen

    def remove(self) -> None:
        self.hand.call("remove")
        assert self.worker.ask("wait", present=False)["ok"]["present"] is False


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("p")


def withdraw(place: Place, name: str) -> None:
    profile = load_profiles()[name]
    keys, pan = load_issuer_keys(), profile.applications[0].pan
    first = place.worker.ask("first")["ok"]
    assert first["kind"] == "ARQC"
    assert pan not in json.dumps(first["log"])
    check = verify_arqc(bytes.fromhex(first["field55"]), pan, profile.pan_sequence, keys)
    assert check.ok, check.reason
    second = place.worker.ask("second", answer=issuer_response(check, True, keys).hex())["ok"]
    assert second["kind"] == "TC"
    assert verify_tc(bytes.fromhex(first["field55"]), bytes.fromhex(second["data"]), pan, profile.pan_sequence, keys).ok


def test_every_kind_of_card_withdraws_one_after_the_other(short: Path, stack: ExitStack) -> None:
    place = Place(short, stack)
    for count, name in enumerate(PAYING, 1):
        seen = place.insert(name)
        assert seen["generation"] == count
        assert place.worker.ask("connect")["ok"] == {"generation": count}
        withdraw(place, name)
        place.worker.ask("close")
        place.remove()
    place.insert("everyday")
    place.worker.ask("connect")
    withdraw(place, "everyday")
    assert place.hand.call("state")["card"]["applications"][0]["atc"] == 2


def test_a_card_pulled_in_the_middle_of_a_command(short: Path, stack: ExitStack) -> None:
    place = Place(short, stack)
    place.insert("everyday")
    place.worker.ask("connect")
    place.hand.call("pull_after", ins="AE")
    answer = place.worker.ask("first")
    assert answer["error"] == "LinkError"
    assert place.worker.ask("wait", present=False)["ok"]["present"] is False
    assert place.worker.ask("connect")["error"] == "LinkError"
    place.insert("everyday")
    assert "ok" in place.worker.ask("connect")
    withdraw(place, "everyday")


def test_a_swap_between_two_looks_cannot_be_missed(short: Path, stack: ExitStack) -> None:
    """pcscd sees no event at all; the broken handle says it. The new card speaks another protocol."""
    place = Place(short, stack)
    place.insert("everyday")
    place.worker.ask("connect")
    assert place.worker.ask("transmit", apdu="00A4040008A00000033301010100")["ok"].endswith("9000")
    place.hand.call("swap", card="two-applications")
    answer = place.worker.ask("transmit", apdu="00B2010C00")
    assert answer["error"] == "LinkError"
    assert place.worker.ask("wait", present=True, generation=2)["ok"]["generation"] == 2
    assert place.worker.ask("connect")["ok"] == {"generation": 2}
    withdraw(place, "two-applications")


def test_whoever_connects_at_once_after_a_swap_is_told_too(short: Path, stack: ExitStack) -> None:
    place = Place(short, stack)
    place.insert("two-applications")
    place.worker.ask("connect")
    place.hand.call("swap", card="static")
    assert place.worker.ask("first")["error"] == "LinkError"
    answer = place.worker.ask("connect")
    for _ in range(500):  # the new card's plug may still be on its way
        answer = answer if "ok" in answer else place.worker.ask("connect")
    assert answer["ok"] == {"generation": 2}
    withdraw(place, "static")


def test_a_mute_card_is_the_workers_end_and_not_the_readers(short: Path, stack: ExitStack) -> None:
    """No deadline reaches into SCardTransmit: the supervisor kills the worker. The reader is free again once the card is out."""
    place = Place(short, stack)
    place.insert("everyday")
    place.worker.ask("connect")
    place.hand.call("mute", apdus="all")
    assert place.worker.ask("transmit", apdu="00A4040008A00000033301010100", within_s=1.0) is None
    place.worker.kill()
    place.hand.call("clear_faults")
    place.hand.call("remove")
    place.new_worker()
    assert place.worker.ask("wait", present=False)["ok"]["present"] is False
    place.insert("everyday")
    assert "ok" in place.worker.ask("connect")
    withdraw(place, "everyday")


def test_pcscd_restarts_under_a_running_worker(short: Path, stack: ExitStack) -> None:
    place = Place(short, stack)
    place.insert("everyday")
    place.worker.ask("connect")
    place.restart()
    assert place.worker.ask("transmit", apdu="00A4040008A00000033301010100")["error"] == "LinkError"
    seen = place.worker.ask("wait", present=True, generation=2)["ok"]
    assert seen["present"] and seen["generation"] == 2
    assert place.worker.ask("connect")["ok"] == {"generation": 2}
    withdraw(place, "everyday")


def test_without_pcscd_the_worker_says_so_and_recovers(short: Path, stack: ExitStack) -> None:
    place = Place(short, stack)
    place.pcscd.stop()
    answer = place.worker.ask("wait", present=True, seconds=0.5)
    assert answer["error"] == "LinkError" and "PC/SC service" in answer["text"]
    place.restart()
    place.insert("static")
    place.worker.ask("connect")
    withdraw(place, "static")


def test_two_branches_side_by_side(short: Path, stack: ExitStack) -> None:
    places = [Place(short / "a", stack), Place(short / "b", stack)]
    for place, name in zip(places, ["everyday", "two-applications"], strict=True):
        place.insert(name)
        place.worker.ask("connect")
    assert [place.worker.ask("first")["ok"]["masked"] for place in places] == ["622848******0015", "622848******0023"]


def test_pcscd_ends_with_the_process_that_started_it(short: Path) -> None:
    code = "import sys, pathlib; from simulators.ports.pcscd import start_pcscd; p = start_pcscd(pathlib.Path(sys.argv[1])); "
    code += "print(p.process.pid, flush=True); sys.stdin.read()"
    starter = subprocess.Popen([sys.executable, "-c", code, str(short)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    assert starter.stdin and starter.stdout
    pcscd = os.pidfd_open(int(starter.stdout.readline()))
    assert not select.select([pcscd], [], [], 0)[0]
    starter.kill()
    starter.wait()
    assert select.select([pcscd], [], [], 20)[0]
    for stream in (starter.stdin, starter.stdout):
        stream.close()
    os.close(pcscd)
