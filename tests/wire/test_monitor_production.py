"""branch-monitor at the bank's door of the production broker: mutual TLS, its own access list."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract import message_fault
from monitor_database import rows
from monitor_outbox import until
from monitor_process import Browserless, MonitorProcess, add_people, cli, configuration
from monitor_says import Terminal
from production_broker import PATIENCE_S, Production, make_all

from kiosk_ui.monitor.config import load_config
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.log import now_ms
from kiosk_ui.monitor.schema import EVENT, TERMINAL

pytestmark = [pytest.mark.wire, pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificates")]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Production]:
    (tmp_path / "broker").mkdir()
    found = Production(make_all(tmp_path / "authorities"), tmp_path / "broker")
    yield found
    found.end()


def test_through_the_production_broker_it_hears_acknowledges_and_commands(tmp_path: Path, broker: Production) -> None:
    cli("key", "new", str(tmp_path / "centre.pem"))
    config = configuration(tmp_path, f"mqtts://127.0.0.1:{broker.bank_port}", more='[signing]\nkey = "centre.pem"\n')
    bank, terminals = broker.pki / "bank", broker.pki / "terminals"
    names = {"ca": terminals / "ca.crt", "certificate": bank / "branch-monitor.crt", "private_key": bank / "branch-monitor.key"}
    lines = "".join(f'{name} = "{path}"\n' for name, path in names.items())
    config.write_text(config.read_text().replace("[broker]\n", f"[broker]\n{lines}"))
    add_people(config)
    monitor = MonitorProcess(config)
    database = Database(load_config(config).database, tmp_path)
    terminal = Terminal(now=now_ms())
    try:
        monitor.wait_subscribed(2)
        with broker.connect("T0001") as wire:
            for leaf in ("ack", "cmd"):
                wire.subscribe(f"{terminal.base}/{leaf}")
            for said in (terminal.state(), terminal.cash("1", 7)):
                assert wire.publish(*said) == 0
            acknowledged = json.loads(wire.heard.get(timeout=PATIENCE_S))
            assert message_fault(acknowledged) == ""
            assert acknowledged["data"] == {"class": "audit", "epoch": 1, "upto": 1}
            assert [row["seq"] for row in rows(database, EVENT)] == [1]
            sam = Browserless(monitor.url, "sam")
            until(lambda: rows(database, TERMINAL) and sam.get("terminals")["total"] == 1)
            assert sam.post("commands", {"terminal": "T0001", "command": "status", "reason": "is it there?"})[0] == 201
            ordered = json.loads(wire.heard.get(timeout=PATIENCE_S))
            assert message_fault(ordered) == "" and ordered["data"]["command"] == "status"
            assert until(lambda: sam.get("commands")["commands"][0]["state"] == "sent")
    finally:
        monitor.stop()
        database.close()
