"""A consumer that only acknowledges: each number once, cumulatively, in memory. `python -m scale.consumer --url URL --leaves txn,event`.

It stands for the bank where the terminal's side is measured, and for the bank host beside the monitor. Nothing of it survives its end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import sys
from collections import defaultdict

from kiosk_ui.monitor.config import BrokerSection
from kiosk_ui.monitor.ingest import Ack
from kiosk_ui.monitor.log import now_ms
from kiosk_ui.monitor.mqtt import Arrived, Ended, Session, Subscribed, Unreachable
from kiosk_ui.monitor.ranges import Ranges
from kiosk_ui.monitor.worker import acknowledgement

AGAIN_S = 0.2


class Consumer:
    """`turn` is one round of the loop."""

    def __init__(self, url: str, leaves: list[str], name: str) -> None:
        self._url, self._leaves, self._name = url, leaves, name
        self._connect()
        self._runs: dict[tuple[str, str, int], Ranges] = defaultdict(Ranges)
        self.repeats = 0

    def _connect(self) -> None:
        self._session = Session(BrokerSection(self._url), self._name, 1000, clean=True, keep=False)
        self._session.connect()
        self._session.subscribe([f"bank/v1/+/+/{leaf}" for leaf in self._leaves])

    def _connect_again(self) -> None:
        """The broker has died: until it is back, or standard input closes."""
        while not select.select([sys.stdin], [], [], AGAIN_S)[0]:
            with contextlib.suppress(Unreachable):
                self._connect()
                return

    def turn(self, timeout_s: float) -> None:
        touched: set[tuple[str, str, int]] = set()
        mids: list[int] = []
        for happening in self._session.pump(timeout_s, sys.stdin):
            if isinstance(happening, Ended):
                self._connect_again()
                return
            if isinstance(happening, Subscribed):
                print("subscribed", flush=True)
            elif isinstance(happening, Arrived):
                message = json.loads(happening.payload)
                _, klass, epoch, seq = message["id"].split("/")
                key = message["source"], klass, int(epoch)
                self.repeats += not self._runs[key].add(int(seq), squeeze=True)
                touched.add(key)
                mids.append(happening.mid)
        for key in touched:
            if upto := self._runs[key].upto:
                self._session.publish(f"{key[0]}/ack", acknowledgement(Ack(*key, upto), now_ms()))
        for mid in mids:
            self._session.acknowledge(mid)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scale.consumer")
    parser.add_argument("--url", required=True)
    parser.add_argument("--leaves", default="txn,event,alarm")
    parser.add_argument("--name", default="bench-consumer")
    arguments = parser.parse_args()
    consumer = Consumer(arguments.url, arguments.leaves.split(","), arguments.name)
    while not select.select([sys.stdin], [], [], 0)[0]:
        consumer.turn(1.0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
