"""The ingest worker's loop, with a connection that is played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from monitor_process import configuration

from kiosk_ui.monitor import worker as module
from kiosk_ui.monitor.config import load_config
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.mqtt import Arrived, Ended


class Played:
    """Hands over one message, retained by a broker that does so all the same, and ends with the next look at it."""

    def __init__(self, *_: Any) -> None:
        self.script: list[list[Any]] = [[Arrived("bank/v1/B001/T0001/event", b"{", True, 1)], [Ended(0, "the connection broke")]]

    def connect(self) -> None:
        """There it is."""

    def subscribe(self, topics: list[str], *, retained: bool = True) -> None:
        """A shared subscription is to bring nothing that is retained: each worker would get all of it."""
        assert retained == (not topics[0].startswith("$share/"))

    def pump(self, timeout_s: float, wake: Any = None) -> list[Any]:
        return self.script.pop(0)


def test_a_connection_that_ends_while_messages_wait_ends_no_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was blocked for so long by a database that the broker hung up; what waited comes again, as it had no PUBACK."""
    monkeypatch.setattr(module, "Session", Played)
    config = load_config(configuration(tmp_path, "mqtt://127.0.0.1:1"))
    database = Database(config.database, tmp_path)
    worker = module.Worker(config, database, 2, None)
    worker.turn()  # connects
    worker.turn()  # one message waits
    assert worker._retained_until == 0.0, "it asked for nothing, so it has nothing to unsubscribe from"
    worker.turn()  # and the connection is gone
    assert worker._session is None and not worker._waiting
    database.close()
