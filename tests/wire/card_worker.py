"""A process of its own around PcscReader, as the terminal has one: JSON lines in, JSON lines out. Started by test_card_pcscd.py."""

from __future__ import annotations

import datetime
import json
import sys
import time
from typing import Any

from drivers.emv.capk import load_capks
from drivers.emv.session import EmvSession
from drivers.emv.terminal import TerminalData, TransactionData
from drivers.errors import DeviceError
from drivers.transports.base import CardPresence, Deadline, MonotonicClock
from drivers.transports.pcsc import PcscChannel, PcscReader


class Worker:
    def __init__(self, name: str, capks: str) -> None:
        self.clock = MonotonicClock()
        self.reader = PcscReader(name, self.clock)
        self.capks = load_capks(capks)
        self.last: CardPresence | None = None
        self.channel: PcscChannel | None = None
        self.session: EmvSession | None = None

    def deadline(self, seconds: float = 20.0) -> Deadline:
        return Deadline.after(self.clock, seconds)

    def wait(self, present: bool, generation: int | None = None, seconds: float = 20.0) -> dict[str, Any]:
        deadline = self.deadline(seconds)
        while True:
            self.last = self.reader.wait_change(self.last, deadline)
            done = self.last.present == present and (generation is None or self.last.generation == generation)
            if done or deadline.expired:
                return {"present": self.last.present, "atr": self.last.atr.hex(), "generation": self.last.generation}

    def connect(self) -> dict[str, Any]:
        self.channel = self.reader.connect()
        self.session = EmvSession(self.channel, TerminalData(), lambda n: bytes(range(n)), self.capks)
        return {"generation": self.channel.generation}

    def transmit(self, apdu: str) -> str:
        assert self.channel
        return self.channel.transmit(bytes.fromhex(apdu), self.deadline()).hex()

    def first(self) -> dict[str, Any]:
        assert self.session
        candidates = self.session.applications(self.deadline())
        application = self.session.select(candidates[0], self.deadline())
        noon = datetime.datetime(2026, 11, 22, 4, 0, tzinfo=datetime.UTC)
        first = self.session.first_generate_ac(TransactionData(10_000, "CNY", noon, 1), self.deadline())
        return {"kind": first.kind.name, "field55": first.field55.hex(), "log": first.log, "masked": application.masked_pan}

    def second(self, answer: str) -> dict[str, Any]:
        assert self.session
        second = self.session.second_generate_ac(bytes.fromhex(answer), True, self.deadline())
        return {"kind": second.kind.name, "data": second.data.hex()}

    def close(self) -> None:
        assert self.channel
        self.channel.close()

    def time_apdus(self, count: int) -> list[float]:
        """Seconds of each of `count` READ RECORDs, for a person who measures."""
        assert self.channel
        taken = []
        for _ in range(count):
            before = time.perf_counter()
            self.channel.transmit(bytes.fromhex("00B2010C00"), self.deadline())
            taken.append(time.perf_counter() - before)
        return taken


def main() -> None:
    worker = Worker(sys.argv[1], sys.argv[2])
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": getattr(worker, request.pop("do"))(**request)}
        except DeviceError as error:
            answer = {"error": type(error).__name__, "text": str(error), "name": getattr(error, "name", "")}
        print(json.dumps(answer), flush=True)


main()
