"""A card of the cast in a slot, a terminal and a bank, in memory and in virtual time."""

from __future__ import annotations

import datetime
from pathlib import Path

from drivers.emv.capk import load_capks
from drivers.emv.reading import Application
from drivers.emv.session import EmvSession, FirstCryptogram
from drivers.emv.terminal import TerminalData, TransactionData
from drivers.transports.base import Deadline
from drivers.transports.card_memory import MemoryCardReader
from drivers.transports.memory import VirtualClock
from simulators.card.capk import capk_toml
from simulators.card.keys import load_card_keys
from simulators.card.slot import CardSlot
from simulators.crypto.emv import ArqcCheck, load_issuer_keys, verify_arqc

NOON = datetime.datetime(2026, 11, 22, 4, 0, tzinfo=datetime.UTC)
KEYS = load_issuer_keys()


class Bench:
    """One slot, one terminal, one bank; the person's hand is `slot.control`."""

    def __init__(self, folder: Path, card: str = "everyday", terminal: TerminalData | None = None) -> None:
        self.clock = VirtualClock(1000.0)
        self.slot = CardSlot.of_cast()
        self.slot.insert(card)
        path = folder / "capk.toml"
        path.write_text(capk_toml(load_card_keys()), encoding="utf-8")
        self.terminal = terminal or TerminalData()
        self.traces: list[str] = []
        channel = MemoryCardReader(self.slot, self.clock).connect()
        self.session = EmvSession(channel, self.terminal, lambda n: bytes(range(1, n + 1)), load_capks(path), self.traces.append)

    def hand(self, do: str, **arguments: object) -> None:
        self.slot.control(do, arguments, self.clock.now())

    def deadline(self, seconds: float = 30.0) -> Deadline:
        return Deadline.after(self.clock, seconds)

    def select(self, which: int = 0) -> Application:
        return self.session.select(self.session.applications(self.deadline())[which], self.deadline())

    def first(self, **changed: object) -> FirstCryptogram:
        values = {"amount_minor": 30_000, "currency": "CNY", "date_utc": NOON, "counter": 17} | changed
        return self.session.first_generate_ac(TransactionData(**values), self.deadline())  # type: ignore[arg-type]

    @property
    def tvr(self) -> int:
        lines = [line for line in self.session.log if line.startswith("[TAL] TVR")]
        return int(lines[-1].split()[2].rstrip(":"), 16)


def check(application: Application, first: FirstCryptogram) -> ArqcCheck:
    return verify_arqc(first.field55, application.pan.reveal(), application.pan_sequence or 0, KEYS)
