"""The thread that sends commands, with a connection that is played: what it outlives, and what happens when it does not."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from monitor_database import rows
from monitor_process import configuration
from monitor_says import ORDER
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError
from units import settings_of

from kiosk_ui.monitor import sender as module
from kiosk_ui.monitor import server
from kiosk_ui.monitor.config import Config, load_config
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.log import now_ms
from kiosk_ui.monitor.mqtt import Connected, Ended, Happening, Published, Session, Unreachable
from kiosk_ui.monitor.schema import COMMAND
from kiosk_ui.monitor.sender import Sender
from kiosk_ui.monitor.worker import Worker

WITHIN_S = 60.0


def centre(folder: Path, broker: str = 'url = "mqtt://127.0.0.1:1"') -> tuple[Config, Database]:
    path = configuration(folder, "mqtt://127.0.0.1:1")
    path.write_text(path.read_text().replace('url = "mqtt://127.0.0.1:1"', broker, 1))
    config = load_config(path)
    database = Database(config.database, folder)
    database.prepare()
    return config, database


def queue_command(database: Database) -> None:
    now = now_ms()
    values = {"command_id": ORDER, "terminal": "T0001", "branch": "B001", "command": "status", "parameters": "{}", "reason": "a test of it"}
    values |= {"role": "operator", "issued_by": "olga", "issued_at": now, "not_before": now, "expires_at": now + 600_000}
    with database.write() as connection:
        connection.execute(COMMAND.insert().values(**values, state="queued", state_at=now, signed="{}"))


class Played:
    """A broker that takes everything and says so when the test wants it to."""

    def __init__(self, *happenings: list[Happening]) -> None:
        self.script, self.published = list(happenings), 0

    def pump(self, timeout_s: float, wake: Any = None) -> list[Happening]:
        return self.script.pop(0)

    def publish(self, *_: Any, **__: Any) -> int:
        self.published += 1
        return self.published

    def disconnect(self) -> None:
        """There was none."""


@pytest.fixture(params=["ca", "certificate", "password"])
def half_written(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The broker's section, at the moment at which somebody replaces one of its files."""
    (tmp_path / "half.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nMIIB")
    if request.param == "password":
        return 'url = "mqtt://127.0.0.1:1"\nusername = "monitor"\npassword_file = "not-there-yet"'
    if request.param == "ca":
        return 'url = "mqtts://127.0.0.1:1"\nca = "half.pem"'
    return 'url = "mqtts://127.0.0.1:1"\nca = "/etc/ssl/certs/ca-certificates.crt"\ncertificate = "half.pem"\nprivate_key = "half.pem"'


def test_a_file_that_is_being_replaced_ends_neither_the_sender_nor_a_worker(
    half_written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, database = centre(tmp_path, half_written)
    attempts: queue.Queue[str] = queue.Queue()

    class Seen(Session):
        def __init__(self, *arguments: Any, **rest: Any) -> None:
            attempts.put("again")
            super().__init__(*arguments, **rest)

    monkeypatch.setattr(module, "Session", Seen)
    sender = Sender(config, database)
    sender.start()
    for _ in range(3):
        attempts.get(timeout=WITHIN_S)
    assert sender.alive() and not sender.connected
    sender.stop()
    worker = Worker(config, database, 1, None)
    worker._connect()
    assert worker._session is None and worker._connect_at > 0
    with pytest.raises(Unreachable, match="not read"):
        Session(config.broker, "somebody", 1)
    database.close()


def test_what_the_broker_said_is_not_forgotten_while_the_database_is_away(tmp_path: Path) -> None:
    config, database = centre(tmp_path)
    queue_command(database)
    sender = Sender(config, database)
    broker = Played([Connected(False)], [Published(1, 0), Ended(0, "the connection broke")], [])
    sender._session = broker  # type: ignore[assignment]
    sender._turn()
    assert broker.published == 1 and rows(database, COMMAND)[0]["state"] == "queued"
    write = database.write

    @contextmanager
    def away() -> Iterator[Connection]:
        database.write = write  # type: ignore[method-assign]
        raise OperationalError("UPDATE command", {}, Exception("the disk is full"))
        yield

    database.write = away  # type: ignore[method-assign]
    with pytest.raises(OperationalError):
        sender._turn()
    sender._turn()
    assert rows(database, COMMAND)[0]["state"] == "sent", "the PUBACK still counted"
    assert broker.published == 1 and sender._session is None, "and after it, that the connection had ended"
    database.close()


class NoWorkers:
    hearing_since = None

    def __init__(self, *_: Any) -> None:
        """None."""

    def look(self) -> None:
        """Nobody."""

    stop = look


@pytest.fixture
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The server takes the signals, and a thread that dies says so; both are of this test alone."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("part", ["Sender", "Observer"])
def test_a_monitor_of_which_a_thread_has_died_ends_and_is_started_again(
    part: str, undisturbed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def dies(*_: Any) -> None:
        raise KeyError("nobody thought of this")

    config, database = centre(tmp_path)
    monkeypatch.setattr(server, "Workers", NoWorkers)
    monkeypatch.setattr(getattr(server, part), "_run", dies)
    code = server.run(tmp_path / "monitor.toml", config, database)
    assert code not in (0, int(settings_of("branch-monitor")["RestartPreventExitStatus"]))
    assert f"thread of the {part.lower()} has died" in capsys.readouterr().err
