"""opensc-tool, which nobody here wrote, reads the simulated card through a real pcscd."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from simulators.control import Control
from simulators.ports.pcscd import Pcscd, missing, start_pcscd

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(bool(missing()) or not shutil.which("opensc-tool"), reason=missing() or "opensc-tool is not installed"),
]


@pytest.mark.parametrize(
    ("card", "atr", "apdus", "seen"),
    [
        (
            "two-applications",
            "3b:ec:00:00:81:31:fe:45:53:4d:41:52:54:20:42:52:41:4e:43:48:8a",
            ["00A404000E315041592E5359532E444446303100", "00B2010C00", "00A4040005A00000033300"],
            ["UICC DEBIT", "SW1=0x90, SW2=0x00"],
        ),
        (
            "everyday",
            "3b:6c:00:00:53:4d:41:52:54:20:42:52:41:4e:43:48",
            ["00A404000E315041592E5359532E444446303100", "00B2010C00"],
            ["UICC DEBIT"],
        ),
    ],
)
def test_opensc_tool_reads_answer_to_reset_and_directory(tmp_path: Path, card: str, atr: str, apdus: list[str], seen: list[str]) -> None:
    pcscd = start_pcscd(tmp_path)
    assert isinstance(pcscd, Pcscd), pcscd
    control = tmp_path / "c"
    command = [sys.executable, "-m", "simulators.card", "--port", str(pcscd.port), "--control", str(control), "--insert", card]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin and process.stdout
    try:
        assert process.stdout.readline() == b"ready\n"
        waiting = ["opensc-tool", "--reader", pcscd.reader_name, "--wait", "--atr"]  # this one shows the time before the card
        assert subprocess.run(waiting, env=pcscd.env, capture_output=True, check=False, timeout=30).returncode == 0
        arguments = ["opensc-tool", "--reader", pcscd.reader_name, "--atr"]
        for apdu in apdus:
            arguments += ["--send-apdu", apdu]
        shown = subprocess.run(arguments, env=pcscd.env, capture_output=True, text=True, check=False, timeout=30)
        assert shown.returncode == 0, shown.stderr
        assert atr in shown.stdout
        for text in seen:
            assert text in shown.stdout
        hand = Control(control)
        assert hand.call("state")["apdus"] >= len(apdus)
        hand.close()
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()
        pcscd.stop()
