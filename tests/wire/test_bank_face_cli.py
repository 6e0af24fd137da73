"""Enrolled faces at the bank's own process: listed, re-sealed, deleted with proof from the command line; all of it there after a kill."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulators.broker.start import start_broker
from simulators.control import Control, ControlError

pytestmark = pytest.mark.wire
VECTOR = struct.pack("<128f", *([128**-0.5] * 128))


class Bank:
    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.socket = folder, folder / "bank.sock"
        templates = {"model": "ab" * 32, "templates": {who: {"templateId": f"{who}-1", "encoding": VECTOR.hex()} for who in ("ann", "bo")}}
        (folder / "templates.json").write_text(json.dumps(templates))
        self._command = [sys.executable, "-m", "simulators.bank", "--stdin-eof", "--broker", url, "--store", str(folder / "bank.db")]
        self._command += ["--control", str(self.socket), "--templates", str(folder / "templates.json")]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None and self.process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def cli(self, *arguments: str, code: int = 0) -> Any:
        command = [sys.executable, "-m", "simulators.bank.face_cli", "--control", str(self.socket), *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode == code, ran.stderr
        return json.loads(ran.stdout) if ran.stdout else ran.stderr


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    broker = start_broker(tmp_path / "broker")
    bank = Bank(tmp_path, broker.url)
    yield bank
    bank.kill()
    broker.stop()


def test_the_life_of_templates_from_the_command_line(bank: Bank) -> None:
    assert [(row["customer"], row["generation"]) for row in bank.cli("list")] == [("ann", 1), ("bo", 1)]
    assert bank.cli("rotate") == {"generation": 2, "templates": 2}
    assert bank.cli("remove", "ann", "--by", "counter 3") == "D-1"
    bank.kill()
    bank.start()
    assert [(row["customer"], row["generation"]) for row in bank.cli("list")] == [("bo", 2)], "neither the old key nor the desk's file"
    said = bank.cli("proofs")
    assert [(one["customer"], one["reason"], one["request"]) for one in said["proofs"]] == [("ann", "operator", "counter 3")]
    assert bank.cli("expire", "--months", "12") == [] and bank.cli("consents") == []
    shown = json.dumps([bank.cli("list"), said])
    assert VECTOR.hex()[:32] not in shown


def test_what_cannot_be_done(bank: Bank, tmp_path: Path) -> None:
    assert bank.cli("remove", "nobody", "--by", "me") == ""
    ran = subprocess.run(
        [sys.executable, "-m", "simulators.bank.face_cli", "--control", str(tmp_path / "no.sock"), "list"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2 and ran.stderr.startswith("face_cli: ") and "Traceback" not in ran.stderr
    control = Control(bank.socket)
    with pytest.raises(ControlError):
        control.call("face_remove", customer="bo")
    control.close()
    assert len(bank.cli("list")) == 2
