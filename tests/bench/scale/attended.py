"""A terminal without devices as a process: the real agent, attendant, store and link; workers and page only exist.

`python -m scale.attended --folder DIR --url URL --centre-key HEX`. Says `up`. A line on its standard input is answered by one: `heard`
with what came over the link and what was refused of it (JSON). It ends when its standard input closes.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fleet_play import DEVICES, TERMINAL, UNITS, Around, PlayedPage, PlayedWorker

from drivers.transports.base import MonotonicClock
from terminal.adapters.bank_link import BankLink
from terminal.adapters.clock import utc_now
from terminal.adapters.link_config import LinkConfig
from terminal.adapters.link_events import BadMessage, LinkEvent, LinkUp
from terminal.adapters.shipper import ShippingPolicy
from terminal.adapters.store import Store
from terminal.adapters.trace import NoTrace
from terminal.agent import Agent
from terminal.core import events as e
from terminal.core.model import Device, State
from terminal.core.recovery import recover
from terminal.fleet import desired_file
from terminal.fleet.build import attendant_of
from terminal.ports import Ports

KEY_ID = "centre-2026"
NO_TELEMETRY = "\n[fleet]\ntelemetry_s = 3600.0\n"


class Box:
    public_key, key_id = "", ""

    def seal(self, *_: Any) -> Mapping[str, Any]:
        """Nobody asks the bank for money here."""
        return {}


class Attended:
    def __init__(self, folder: Path, url: str, centre_key: bytes) -> None:
        file = folder / "terminal.toml"
        file.write_text(TERMINAL + UNITS + DEVICES + NO_TELEMETRY, encoding="utf-8")
        start = desired_file.start(file)
        path = start.config.terminal.store
        self.store = Store.open(path, "T0001", "B001", first_transaction_number=1)
        self.agent = Agent(State(start.config.core()))
        self.heard: Counter[str] = Counter()
        options = LinkConfig(url, "T0001", "B001", boot_spread_s=0.0, max_backoff_s=1.0, shipping=ShippingPolicy(drain_per_s=10_000))
        self.link = BankLink(options, path, self._from_link)
        journal: Any = self.store
        workers = {device: PlayedWorker() for device in Device}
        self.agent.plug(Ports(MonotonicClock(), utc_now, journal, self.link, Box(), workers, PlayedPage(), NoTrace()))
        keys = {KEY_ID: Ed25519PublicKey.from_public_bytes(centre_key)}
        self.attendant = attendant_of(
            start.config, self.agent, self.store, Around(), restart_worker=lambda _: None, picture=lambda *_: False, keys=keys, start=start,
            say=lambda _: None,
        )  # fmt: skip
        self.agent.attend(self.attendant)
        self.agent.take(e.Started(recover(self.store.entries())))
        for device in Device:
            self.agent.take(e.DeviceOnline(device))

    def _from_link(self, event: LinkEvent) -> None:
        """In the link's thread."""
        reason = f" {event.topic.rsplit('/', 1)[-1]}/{event.reason}" if isinstance(event, BadMessage) else ""
        self.heard[f"{type(event).__name__}{reason}"] += 1
        if isinstance(event, LinkUp):
            print("up", flush=True)
        self.agent.from_link(event)

    def run(self) -> None:
        self.link.start()
        threading.Thread(target=self._listen, daemon=True).start()
        self.agent.run()
        self.link.close()
        self.store.close()

    def _listen(self) -> None:
        for _ in sys.stdin:
            self.agent.inbox.put(self._answer)
        self.agent.stop(at_once=True)

    def _answer(self) -> None:
        refused: Counter[str] = self.attendant._reporter.counts.refused
        print(f"heard {json.dumps({'events': self.heard, 'refused': refused})}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scale.attended")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--centre-key", required=True, type=bytes.fromhex)
    arguments = parser.parse_args()
    Attended(arguments.folder, arguments.url, arguments.centre_key).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
