"""branch-monitor as a service: with which code it ends, and what its unit makes of that."""

from __future__ import annotations

import socket
import sqlite3
from pathlib import Path

import pytest
from monitor_process import configuration
from units import settings_of

from kiosk_ui.monitor.__main__ import A_PERSON_IS_NEEDED, AGAIN, main
from kiosk_ui.monitor.config import load_config
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.server import FAILED

NO_BROKER = "mqtt://127.0.0.1:1"


def starts_again(code: int) -> bool:
    known = settings_of("branch-monitor")
    assert known["Restart"] == "on-failure", "a code that is named nowhere, and every signal, is a failure: started again"
    return code != 0 and str(code) not in known["RestartPreventExitStatus"].split()


def test_the_unit_tries_for_as_long_as_it_takes() -> None:
    known = settings_of("branch-monitor")
    assert known["StartLimitIntervalSec"] == "0" and 1 <= int(known["RestartSec"]) <= 60
    assert starts_again(FAILED) and starts_again(AGAIN) and not starts_again(A_PERSON_IS_NEEDED) and not starts_again(0)


def test_a_database_that_comes_up_after_the_monitor_finds_it_trying(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody listens there yet: over TCP, and on a Unix socket."""
    for url in ("postgresql://monitor@127.0.0.1:1/monitor", f"postgresql://monitor@/monitor?socket={tmp_path}/.s.PGSQL.5432"):
        code = main(["--config", str(configuration(tmp_path, NO_BROKER, database=url))])
        assert starts_again(code) and "the database cannot be used" in capsys.readouterr().err


def test_a_file_that_another_program_holds_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kiosk_ui.monitor.database.BUSY_TIMEOUT_S", 0.01)
    config = configuration(tmp_path, NO_BROKER)
    with sqlite3.connect(tmp_path / "monitor.sqlite") as holder:
        holder.execute("BEGIN EXCLUSIVE")
        assert starts_again(main(["--config", str(config)]))
    holder.close()


def test_a_port_that_is_taken_may_become_free(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert starts_again(main(["--config", str(configuration(tmp_path, NO_BROKER, port=other.getsockname()[1]))]))


def test_tables_of_another_version_need_a_person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration(tmp_path, NO_BROKER)
    database = Database(load_config(config).database, tmp_path)
    database.prepare()
    database.close()
    with sqlite3.connect(tmp_path / "monitor.sqlite") as file:
        file.execute("UPDATE meta SET value = '7' WHERE name = 'schema'")
    file.close()
    assert not starts_again(main(["--config", str(config)])) and "version 7" in capsys.readouterr().err


NO_KEY = '[broker]\nurl = "mqtt://x"\n[signing]\nkey = "none.pem"\n'


@pytest.mark.parametrize("text", ["", "[broker", '[broker]\nurl = "http://x"\n', NO_KEY])
def test_a_configuration_that_is_wrong_needs_a_person(tmp_path: Path, text: str) -> None:
    file = tmp_path / "monitor.toml"
    file.write_text(text)
    assert not starts_again(main(["--config", str(file)]))
    assert not starts_again(main(["--config", str(tmp_path / "elsewhere.toml")]))


def test_a_file_that_is_no_database_needs_a_person(tmp_path: Path) -> None:
    (tmp_path / "monitor.sqlite").write_bytes(b"minutes of the last meeting " * 200)
    assert not starts_again(main(["--config", str(configuration(tmp_path, NO_BROKER))]))
