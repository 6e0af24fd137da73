"""The agent as a service: it says that it lives, serves its customer to the end when told to stop, and needs nobody at its other end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from units import UNITS, settings_of

from simulators.stage.customer import Customer
from simulators.stage.demo import TIMEOUTS, settled_at_the_bank
from simulators.stage.scenarios import AMOUNT, CARD, Scene, take_cash_and_receipt, to_amount, to_card
from simulators.stage.setting import Options, Stage
from terminal.__main__ import AGAIN
from terminal.agent import FAILED
from terminal.fleet.order_desk import RESTART_EXIT

pytestmark = pytest.mark.wire
QUICK = Options(timeouts=TIMEOUTS, mechanics=4.0, printer_bytes_per_s=9600.0, pictures=False)
PATIENCE_S = 60.0


class SealedStage(Stage):
    """With a keystore, made as a technician makes it."""

    def _write_configuration(self) -> None:
        super()._write_configuration()
        file = self.folder / "terminal.toml"
        file.write_text(f'{file.read_text()}\n[keystore]\nfile = "keystore.json"\npassphrase = "credential:keystore"\n')
        credentials = Path(self.options.agent_env["CREDENTIALS_DIRECTORY"])
        credentials.mkdir()
        (credentials / "keystore").write_text("correct horse battery\n")
        command = [sys.executable, "-m", "terminal", "provision", "init", "--config", str(file)]
        subprocess.run(command, check=True, env={**os.environ, **self.options.agent_env}, capture_output=True, timeout=60)


@contextlib.contextmanager
def staged(options: Options, kind: type[Stage] = Stage) -> Iterator[Scene]:
    folder = Path(tempfile.mkdtemp(prefix="branch-"))
    stage = kind(folder, options)
    customer = Customer(stage, lambda *_: None)
    try:
        stage.set()
        yield Scene(stage, customer, lambda *_: None)
    finally:
        customer.goes()
        stage.strike()
        shutil.rmtree(folder, ignore_errors=True)


def agent(scene: Scene) -> subprocess.Popen[bytes]:
    return scene.stage.children["terminal"].process


class ServiceManager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, folder: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "notify"))
        self.socket.settimeout(PATIENCE_S)
        self.environment = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "300000"}

    def until(self, word: str) -> list[str]:
        heard: list[str] = []
        while word not in heard:
            heard += self.socket.recv(4096).decode().splitlines()
        return heard


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    found = ServiceManager(tmp_path)
    yield found
    found.socket.close()


def test_it_says_that_it_is_ready_that_it_lives_and_that_it_stops(manager: ServiceManager) -> None:
    with staged(replace(QUICK, agent_env=manager.environment)) as scene:
        assert "WATCHDOG=1" not in manager.until("READY=1")
        scene.customer.sees("idle")
        for _ in range(3):
            manager.until("WATCHDOG=1")
        os.kill(agent(scene).pid, signal.SIGSTOP)
        manager.socket.settimeout(1.0)
        with pytest.raises(TimeoutError):  # who hangs is not heard: that is what the watchdog is for
            for _ in range(100):
                manager.until("WATCHDOG=1")
        os.kill(agent(scene).pid, signal.SIGCONT)
        manager.socket.settimeout(PATIENCE_S)
        agent(scene).terminate()
        manager.until("STOPPING=1")
        assert agent(scene).wait(PATIENCE_S) == 0


def test_a_customer_is_served_to_the_end_before_it_stops() -> None:
    with staged(QUICK) as scene:
        to_amount(scene)
        agent(scene).terminate()
        scene.customer.presses(f"amount:{AMOUNT}")
        scene.customer.sees("takeCard")
        scene.customer.takes_card()
        take_cash_and_receipt(scene)
        assert agent(scene).wait(PATIENCE_S) == 0
        debited, transaction = settled_at_the_bank(scene.stage)
        assert debited == AMOUNT and transaction is not None and transaction["status"] == "settled"
        assert scene.stage.journal("verify").returncode == 0


def test_a_killed_agent_goes_on_with_a_sealed_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A withdrawal with everything sealed; the power fails, and recovery reads what it needs. No fact of the customer lies in a file."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    options = replace(QUICK, agent_env={"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")})
    with staged(options, SealedStage) as scene:
        to_card(scene)
        scene.customer.takes_card()
        scene.customer.sees("takeCash")
        scene.customer.goes()
        scene.stage.children["terminal"].kill()
        store = scene.stage.folder / "journal.sqlite"
        raw = b"".join(file.read_bytes() for file in scene.stage.folder.glob("journal*"))
        assert b"transactionSettled" in raw and b"sealed/1 " in raw
        for fact in (b"presentedMinor", b"iccRelatedData", b"requestedAmount", b"amountMinor", b"authorisationCode"):
            assert fact not in raw
        scene.stage.start_terminal()
        scene.customer.view = {}
        scene.customer.sees("idle")
        debited, _ = settled_at_the_bank(scene.stage)
        assert debited == AMOUNT
        assert scene.stage.journal("verify").returncode == 0
        assert "presentedMinor" in scene.stage.journal("show", "--json").stdout
        monkeypatch.delenv("CREDENTIALS_DIRECTORY")
        verified = scene.stage.journal("verify")
        assert verified.returncode == 0 and "sealed entries were not looked into" in verified.stdout and store.exists()


def test_nobody_else_is_served_meanwhile() -> None:
    """The next customer's card is in before the first one has gone: it is given back."""
    with staged(QUICK) as scene:
        to_card(scene)
        agent(scene).terminate()
        scene.customer.takes_card()
        scene.customer.sees("takeCash")
        scene.customer.inserts(CARD)
        scene.customer.takes_cash()
        scene.customer.presses("finish")
        scene.customer.sees("takeCard")
        scene.customer.takes_card()
        assert agent(scene).wait(PATIENCE_S) == 0
        assert scene.customer.screens.count("enterPin") == 1


def test_a_second_signal_ends_at_once() -> None:
    with staged(QUICK) as scene:
        to_amount(scene)
        agent(scene).terminate()
        scene.customer.sees("chooseAmount")
        agent(scene).send_signal(signal.SIGINT)
        assert agent(scene).wait(PATIENCE_S) == 0
        assert "takeCard" not in scene.customer.screens


def test_whoever_started_it_may_close_its_end_of_everything() -> None:
    with staged(QUICK) as scene:
        process = agent(scene)
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        to_card(scene)
        scene.customer.takes_card()
        take_cash_and_receipt(scene)
        scene.customer.sees("idle")
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


# --- the units


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize(
    ("unit", "program", "most"),
    [
        ("branch-terminal", "branch-terminal", 2.0),
        ("branch-terminal-rotate", "branch-terminal", 1.5),
        ("branch-monitor", "branch-monitor", 1.5),
    ],
)
def test_a_unit_is_valid_and_well_locked_up(tmp_path: Path, unit: str, program: str, most: float) -> None:
    """Only the program's path is of this test: `verify` wants it to be there."""
    text = (UNITS / f"{unit}.service").read_text()
    start = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    assert f"/bin/{program} --config /etc/smart-branch/" in start
    (tmp_path / f"{unit}.service").write_text(text.replace(start.split("=")[1].split(" ")[0], "/bin/true"))
    file = str(tmp_path / f"{unit}.service")
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True, timeout=60)
    assert (verified.returncode, verified.stderr.strip()) == (0, "")
    wrong = text
    for setting in ("WatchdogSec=60", "RestartSec=10", "TimeoutStartSec=60"):
        wrong = wrong.replace(setting, f"{setting.split('=')[0]}=soon")
    (tmp_path / "wrong.service").write_text(wrong.replace(start.split("=")[1].split(" ")[0], "/bin/true"))
    refused = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "wrong.service")], capture_output=True, text=True, timeout=60
    )
    assert "Failed to parse" in refused.stderr, "verify does look"
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={int(most * 10)}", "--no-pager", file],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert judged.returncode == 0, judged.stdout


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_the_timer_starts_the_request_once_a_day(tmp_path: Path) -> None:
    for name in ("branch-terminal-rotate.timer", "branch-terminal-rotate.service"):
        (tmp_path / name).write_text((UNITS / name).read_text().replace("/opt/smart-branch/.venv/bin/branch-terminal", "/bin/true"))
    timer = str(tmp_path / "branch-terminal-rotate.timer")
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", timer], capture_output=True, text=True, timeout=60)
    assert (verified.returncode, verified.stderr.strip()) == (0, "")
    known = settings_of("branch-terminal-rotate.timer")
    assert (known["OnCalendar"], known["Persistent"]) == ("daily", "yes") and "Unit" not in known, "the service of its own name"


def test_the_agents_unit_knows_the_agents_exit_codes() -> None:
    known = settings_of("branch-terminal")
    assert known["RestartForceExitStatus"].split() == known["SuccessExitStatus"].split() == [str(RESTART_EXIT)]
    assert known["Restart"] == "on-failure", "a code that is named nowhere, and every signal, is a failure: started again"
    failures = {str(FAILED), str(AGAIN)}
    assert not failures & {*known["RestartPreventExitStatus"].split(), *known["SuccessExitStatus"].split()}


@pytest.mark.parametrize("text", [None, "[terminal", '[terminal]\nid = "T0001"\n', "arguments"])
def test_what_needs_a_person_ends_with_the_code_that_is_not_started_again(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "terminal.toml"
    if text is not None:
        file.write_text(text)
    command = [sys.executable, "-m", "terminal", "--shout" if text == "arguments" else "--config", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert str(ended.returncode) in settings_of("branch-terminal")["RestartPreventExitStatus"].split(), ended.stderr


def test_the_agents_unit_restarts_what_may_be_restarted_and_spares_the_workers() -> None:
    known = settings_of("branch-terminal")
    assert known["KillMode"] == "mixed", "a SIGTERM to every process would end a worker in the middle of paying out"
    assert (known["Restart"], known["RestartPreventExitStatus"]) == ("on-failure", "2")
    assert known["Type"] == "notify" and int(known["WatchdogSec"]) >= 30
    from terminal.agent import STOP_WITHIN_S
    from terminal.core.model import Timeouts

    timeouts = Timeouts()
    assert int(known["TimeoutStopSec"]) > STOP_WITHIN_S + timeouts.dispense_s + timeouts.resolve_s
