"""`up` as a newcomer has it: both pages answer, Ctrl-C ends every process it started, the agent is started again when it dies."""

from __future__ import annotations

import argparse
import os
import re
import select
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from monitor_outbox import Wire, until
from monitor_process import Browserless

from simulators.stage import up

pytestmark = pytest.mark.wire
ROOT = Path(__file__).parents[2]


def family_of(session: int) -> set[int]:
    """Processes whose environment names this run's folder: whoever started them."""
    mark = f"BRANCH_RUN={session}".encode()
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (path / "environ").read_bytes().split(b"\0") and (path / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                found.add(int(path.name))
        except OSError:
            continue
    return found


def wait_for_the_end_of(pid: int, within_s: float = 30.0) -> None:
    """The kernel tells when a process has ended, whoever's child it is."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], within_s)[0], f"process {pid} goes on"
    finally:
        os.close(handle)


def ordered(centre: Browserless, command: str) -> Any:
    """Ordered at the real centre, done by the real terminal: the order's last word there, which is its success."""
    body = {"terminal": "T0001", "command": command, "parameters": {}, "reason": "to see that it answers"}
    status, found = centre.post("commands", body)
    assert status == 201, found

    def last() -> Any:
        [one] = [one for one in centre.get("commands?terminal=T0001")["commands"] if one["commandId"] == found["commandId"]]
        return one if one["state"] not in ("queued", "sent", "delivered") else None

    ended = until(last)
    assert (ended["state"], ended["terminal"], ended["command"]) == ("succeeded", "T0001", command), ended
    return ended["resultData"]


def test_up_serves_and_ends_everything(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("up")
    mark = os.getpid()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "simulators",
            "up",
            "--kiosk-port",
            "0",
            "--bench-port",
            "0",
            "--monitor-port",
            "0",
            "--folder",
            str(folder),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "BRANCH_RUN": str(mark)},
    )
    assert process.stdout is not None
    urls: dict[str, str] = {}
    for line in process.stdout:
        if match := re.match(r"\s+(kiosk|bench)\s+(http://\S+)", line):
            urls[match[1]] = match[2]
        if match := re.match(r"\s+broker\s+\w+ at (\S+)", line):
            wire = Wire(match[1], "listener")
        if "Ctrl-C" in line:
            break
    for name, url in urls.items():
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.status == 200, name
    assert set(urls) == {"kiosk", "bench"}
    line = next(line for line in process.stdout if line.startswith("  monitor"))
    monitor = re.search(r"(http://\S+).*name (\w+), password ([\w-]+)\)", line)
    assert monitor, line
    centre = Browserless(*monitor.groups())
    until(lambda: [(one["terminal"], one["link"]) for one in centre.get("terminals")["terminals"]] == [("T0001", "online")])
    acknowledged = {"txn": 0, "audit": 0, "alarm": 0}
    while not acknowledged["audit"]:
        topic, message = wire.heard.get(timeout=60)
        acknowledged[message["data"]["class"]] += topic == "bank/v1/B001/T0001/ack"
    wire.close()
    family = family_of(mark) - {mark}
    assert len(family) > 8
    health = ordered(centre, "status")
    assert health["state"] == "online" and health["service"] in ("inService", "outOfService")
    assert [unit["unit"] for unit in health["cashUnits"]] == ["1", "2", "3", "4"] and health["devices"].keys() >= {"cashDispenser", "page"}
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0") for pid in family]
    bank = next(one for one in commands if "simulators.bank" in one)
    assert bank[bank.index("--acknowledges") + 1] == "txn", "it was the monitor that acknowledged"
    agent = next(pid for pid in family if b"terminal.toml" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(agent, signal.SIGKILL)
    assert "starting it again" in next(line for line in process.stdout if "agent ended" in line)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    for pid in family:
        wait_for_the_end_of(pid)
    assert not family_of(mark) - {mark}
    process.stdout.close()


def test_who_acknowledges_without_a_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = argparse.Namespace(faces=None, broker=None)
    assert up.options_of(arguments, 1, 2, monitored=True).bank_acknowledges == "txn"
    assert up.options_of(arguments, 1, 2, monitored=False).bank_acknowledges == "txn,audit,alarm"
    assert up.can_be_monitored("mqtt://broker.bank.example")
    for kind, can_be in (("mosquitto", True), ("iotcore", False)):
        monkeypatch.setattr(up, "available_kind", lambda kind=kind: kind)
        assert up.can_be_monitored(None) is can_be


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "simulators", "up", "--kiosk-port", port, "--folder", str(tmp_path / "up")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert port in done.stderr and "--kiosk-port" in done.stderr and "Traceback" not in done.stderr
