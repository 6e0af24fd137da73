"""A monitor that heard nothing itself accuses no terminal: silence is judged once the ingest has been hearing for long enough."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from monitor_centre import PlayedIngest
from monitor_database import new_database, rows, take
from monitor_outbox import until
from monitor_process import configuration
from monitor_says import NOW, Terminal
from sqlalchemy.exc import OperationalError

from kiosk_ui.monitor import worker as module
from kiosk_ui.monitor.alarms import act
from kiosk_ui.monitor.audit import Who
from kiosk_ui.monitor.config import load_config
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.fleet import Fleet
from kiosk_ui.monitor.mqtt import Arrived, Ended, Happening, Subscribed
from kiosk_ui.monitor.observer import Observer
from kiosk_ui.monitor.schema import ALARM
from kiosk_ui.monitor.worker import Worker
from kiosk_ui.monitor.workers import Workers

S = 1_000
SILENT_AFTER, ALARM_AFTER = 300 * S, 60 * S  # the default, and that of `configuration`


class Centre:
    """Ten terminals that spoke at NOW, and one whose link was lost just then."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.config, self.database = load_config(configuration(folder, "mqtt://127.0.0.1:1")), database
        self.terminals = [Terminal(f"T{number:04}") for number in range(10)]
        self.lost = Terminal("T0099")
        take(database, [one.state() for one in [*self.terminals, self.lost]])
        take(database, [self.lost.offline()])
        self.starts(hearing_since=NOW - 3_600 * S)

    def starts(self, hearing_since: int | None) -> None:
        """A new process: it knows what is in the database."""
        self.moment, self.ingest, self.fleet = 0.0, PlayedIngest(), Fleet(self.config)
        self.ingest.hearing_since = hearing_since
        self.observer = Observer(self.config, self.database, self.fleet, self.ingest)

    def looks(self, now: int) -> set[str]:
        """The terminals that it calls offline."""
        self.moment += 10.0
        self.observer.turn(now, self.moment)
        return self.fleet.offline()

    def alarmed(self) -> set[str]:
        return {row["terminal"] for row in rows(self.database, ALARM) if row["code"] == "terminalOffline" and row["state"] == "raised"}

    def speak(self, terminals: list[Terminal], now: int) -> None:
        take(self.database, [one.telemetry(at=now) for one in terminals], now=now)


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    with new_database("sqlite", tmp_path) as database:
        yield Centre(tmp_path, database)


def test_a_terminal_that_falls_silent_is_offline_and_one_alarm(centre: Centre) -> None:
    now = NOW + SILENT_AFTER + S
    centre.speak(centre.terminals[1:], now)
    assert centre.looks(now) == {"T0000", "T0099"} == centre.alarmed()


def test_a_monitor_that_was_away_for_ten_minutes_starts_without_a_storm(centre: Centre) -> None:
    now = NOW + 600 * S
    centre.starts(hearing_since=None)
    assert centre.looks(now) == {"T0099"} and centre.alarmed() == set(), "the workers have not even subscribed"
    centre.ingest.hearing_since = now + S
    assert centre.looks(now + 2 * S) == {"T0099"}
    centre.speak([*centre.terminals[1:], centre.lost], now + 30 * S)
    assert centre.looks(now + 31 * S) == set(), "the one whose link was lost is back, and was never alarmed"
    centre.speak(centre.terminals[1:], now + SILENT_AFTER)
    assert centre.looks(now + SILENT_AFTER) == set() == centre.alarmed()
    centre.looks(now + SILENT_AFTER + 2 * S)
    assert centre.alarmed() == {"T0000"}, "one of the ten really is gone"


def test_a_broker_that_is_away_silences_nobody_and_brings_nobody_back(centre: Centre) -> None:
    """One was silent before; its alarm is acknowledged, and stays the same alarm through broker's absence and monitor's restart."""
    now = NOW + SILENT_AFTER + S
    centre.speak(centre.terminals[1:], now)
    centre.looks(now)
    (alarm,) = (row["alarm_id"] for row in rows(centre.database, ALARM) if row["terminal"] == "T0000")
    with centre.database.write() as connection:
        act(connection, alarm, "acknowledge", {}, Who("olga", "operator"), now)
    centre.ingest.hearing_since = None
    now += 3_600 * S
    assert centre.looks(now) == {"T0000", "T0099"} == centre.alarmed()
    centre.starts(hearing_since=now)
    assert centre.looks(now + S) == {"T0099"} and centre.alarmed() == {"T0000", "T0099"}, "it may be back: nobody knows yet"
    centre.speak(centre.terminals[1:], now + SILENT_AFTER)
    assert centre.looks(now + SILENT_AFTER + S) == {"T0000", "T0099"} == centre.alarmed()
    of_it = [row for row in rows(centre.database, ALARM) if row["terminal"] == "T0000"]
    assert [(row["alarm_id"], row["acknowledged_by"], row["returned_at"]) for row in of_it] == [(alarm, "olga", None)]
    centre.speak(centre.terminals, now + SILENT_AFTER + 2 * S)
    assert centre.looks(now + SILENT_AFTER + 3 * S) == {"T0099"} == centre.alarmed()


# --- how the server knows: its workers say so

SCRIPT = "import sys; [print(line, flush=True) for line in sys.argv[1:] if sys.stdin.readline()]; sys.stdin.read()"


class PlayedWorkers(Workers):
    """Processes that say one line for each that they get."""

    def _command(self, number: int) -> list[str]:
        return [sys.executable, "-S", "-c", SCRIPT, f"worker {number} subscribed", f"worker {number} deaf", f"worker {number} subscribed"]

    def say_next(self, number: int) -> None:
        process = self._places[number].process
        assert process is not None and process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()

    def since(self) -> int | None:
        self.look()
        return self.hearing_since


@pytest.fixture
def workers() -> Iterator[PlayedWorkers]:
    found = PlayedWorkers(Path("monitor.toml"), 2)
    yield found
    found.stop()


def test_the_ingest_hears_when_every_worker_says_so(workers: PlayedWorkers, capsys: pytest.CaptureFixture[str]) -> None:
    said = ""

    def heard(line: str) -> bool:
        nonlocal said
        workers.look()
        said += capsys.readouterr().out
        return line in said

    assert workers.since() is None and workers.running()
    workers.say_next(1)
    until(lambda: heard("worker 1 subscribed\n"))
    assert workers.since() is None, "the second one's share of the messages goes nowhere yet"
    workers.say_next(2)
    until(workers.since)
    workers.say_next(1)
    until(lambda: heard("worker 1 deaf\n"))
    assert workers.since() is None
    workers.say_next(1)
    first = until(workers.since)
    assert workers.since() == first, "from then on"


def test_a_worker_that_is_killed_hears_nothing(workers: PlayedWorkers) -> None:
    workers.look()
    for number in (1, 2):
        workers.say_next(number)
    until(workers.since)
    killed = workers._places[2].process
    assert killed is not None
    killed.kill()
    until(lambda: workers.since() is None)
    workers._places[2].due = 0.0
    until(lambda: workers.since() is None and workers.running() and workers.pids()[2] != killed.pid)
    workers.say_next(2)
    until(workers.since)


class PlayedSession:
    def __init__(self, *_: Any) -> None:
        event = Arrived("bank/v1/B001/T0001/event", b"{", False, 1)
        self.script: list[list[Happening]] = [[Subscribed(())], [event], [], [], [Ended(0, "the connection broke")]]

    def connect(self) -> None:
        """There it is."""

    def subscribe(self, topics: list[str], *, retained: bool = True) -> None:
        """Answered by the script."""

    def pump(self, timeout_s: float, wake: Any = None) -> list[Happening]:
        return self.script.pop(0)

    def acknowledge(self, mid: int) -> None:
        """Thank you."""


def test_a_worker_says_that_it_is_deaf_while_it_cannot_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "Session", PlayedSession)
    config = load_config(configuration(tmp_path, "mqtt://127.0.0.1:1"))
    database = Database(config.database, tmp_path)
    database.prepare()
    worker = Worker(config, database, 2, None)

    def turn() -> str:
        worker._store_at = 0.0
        worker.turn()
        return capsys.readouterr().out

    assert turn() == "", "connected, and nothing subscribed yet"
    assert turn() == "worker 2 subscribed\n"
    assert turn() == "", "a message waits"
    apply = worker._apply

    def away(_: Any) -> None:
        raise OperationalError("INSERT", {}, Exception("the disk is full"))

    monkeypatch.setattr(worker, "_apply", away)
    assert turn() == "worker 2 deaf\n"
    monkeypatch.setattr(worker, "_apply", apply)
    assert turn() == "worker 2 subscribed\n" and not worker._waiting
    assert turn() == "worker 2 deaf\n", "the broker hung up"
    database.close()
