"""An agent whose every port is played: workers, page, journal, link and box that do as they are told and remember."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core_ways import BLOCK, CARD, DEBIT, FACTORY, GOOD, ONE_BEFORE, config

from drivers.secret import Secret
from drivers.transports.memory import VirtualClock
from terminal.adapters import link_events as link
from terminal.adapters.store_file import StoreFailed
from terminal.adapters.trace import FileTrace, NoTrace
from terminal.agent import Agent
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device, Phase, PinBlock, State
from terminal.core.recovery import Recovered
from terminal.ports import Ports


class Worker:
    def __init__(self, log: list[Any]) -> None:
        self.log = log
        self.commands: list[c.DeviceCommand] = []
        self.ticks = 0
        self.deadline: float | None = None

    def send(self, command: c.DeviceCommand) -> None:
        self.commands.append(command)
        self.log.append(type(command).__name__)

    def tick(self) -> None:
        self.ticks += 1

    def next_deadline(self) -> float | None:
        return self.deadline

    def close(self, grace_s: float) -> None:
        """Nothing is open."""


class Page:
    def __init__(self) -> None:
        self.views: list[Mapping[str, Any]] = []

    def show(self, view: Mapping[str, Any]) -> None:
        self.views.append(view)

    def tick(self) -> None:
        """Nothing to do."""

    def next_deadline(self) -> float | None:
        return None

    def close(self, grace_s: float) -> None:
        """Nothing is open."""


class Journal:
    def __init__(self, log: list[Any]) -> None:
        self.log = log
        self.full = False
        self.entries: list[Any] = []
        self.outgoing: list[Any] = []

    def append(self, entries: Any, outgoing: Any = ()) -> None:
        if self.full:
            raise StoreFailed("disk full")
        self.entries += entries
        self.outgoing += outgoing
        self.log.append("+".join(entry.kind for entry in entries))


class Link:
    def __init__(self, log: list[Any]) -> None:
        self.log = log
        self.requests: list[tuple[str, dict[str, Any], float]] = []
        self.notified = 0
        self.reports: list[Mapping[str, Any]] = []

    def request(self, type: str, data: dict[str, Any], timeout_s: float) -> str:
        self.requests.append((type, data, timeout_s))
        self.log.append(type)
        return f"request-{len(self.requests)}"

    def notify(self) -> None:
        self.notified += 1

    def report(self, data: Mapping[str, Any]) -> None:
        self.reports.append(data)


class Box:
    public_key, key_id = "04ab", "bank-2026"

    def seal(self, pan: Secret[str], track2: Secret[str], pan_sequence: int, transaction_id: str) -> Mapping[str, Any]:
        return {"ciphertext": "00"}


class Bench:
    """An agent with all its ports played."""

    def __init__(self, trace: Path | None = None, **settings: Any) -> None:
        self.log: list[Any] = []
        self.clock = VirtualClock(100.0)
        self.journal, self.link, self.page = Journal(self.log), Link(self.log), Page()
        self.workers = {device: Worker(self.log) for device in Device}
        self.trace = FileTrace(trace, self.clock) if trace else NoTrace()
        self.agent = Agent(State(config(**settings)), "DEMO")
        wall = lambda: datetime(2026, 11, 22, 8, 0, tzinfo=UTC)  # noqa: E731
        self.agent.plug(Ports(self.clock, wall, self.journal, self.link, Box(), self.workers, self.page, self.trace))
        self.agent.take(e.Started(Recovered()))

    def answer(self, whose: Device, answer: Any, /, **fields: Any) -> None:
        self.agent.take(answer(self.workers[whose].commands[-1].command_id, **fields))

    def open(self) -> Bench:
        for device in (Device.CARD_READER, Device.PIN_PAD, Device.PRINTER, Device.FACE):
            self.agent.take(e.DeviceOnline(device))
        self.agent.from_link(link.LinkUp())
        self.drain()
        self.agent.take(e.DeviceOnline(Device.DISPENSER))
        self.answer(Device.DISPENSER, e.DispenserInitialised, fault="")
        assert self.agent.state.phase is Phase.IDLE
        return self

    def to_amounts(self) -> Bench:
        self.agent.take(e.CardInserted())
        self.answer(Device.CARD_READER, e.ApplicationsRead, candidates=(DEBIT,))
        self.answer(Device.CARD_READER, e.ApplicationSelected, card=CARD)
        self.answer(Device.PIN_PAD, e.CommandDone, device=Device.PIN_PAD)
        for key in ("digit", "digit", "digit", "digit", "enter"):
            self.agent.take(e.KeyPressed(key))
        self.answer(Device.PIN_PAD, e.PinBlockMade, pin_block=PinBlock("iso9564-4", Secret(BLOCK), "KSN1"))
        return self

    def to_bank(self) -> Bench:
        self.to_amounts()
        self.press("amount:20000")
        self.answer(Device.DISPENSER, e.DispenserPrepared, baseline=ONE_BEFORE, cassettes=FACTORY)
        self.answer(Device.CARD_READER, e.FirstCryptogramMade, kind="ARQC", field55="9f26")
        assert self.agent.state.phase is Phase.AUTHORISING
        return self

    def to_camera(self) -> Bench:
        """A face step-up from 200 yuan on, up to the open camera."""
        self.to_amounts()
        self.press("amount:20000")
        self.press("goOn")
        self.answer(Device.FACE, e.FaceKeyMade, public_key="04ab")
        sealed = {"transactionId": "T0001-00000001", "response": "APPR", "template": {"box": {}}}
        self.agent.from_link(link.ResponseArrived("request-1", "ATMInquiryResponse", sealed))
        self.drain()
        assert self.agent.state.phase is Phase.VERIFYING_FACE
        return self

    def to_enrolling(self) -> Bench:
        self.to_amounts()
        self.press("faceServices")
        self.answer(Device.CARD_READER, e.FirstCryptogramMade, kind="ARQC", field55="9f26")
        opened = {"transactionId": "T0001-00000001", "service": "open", "attempt": 1, "response": "APPR"}
        self.agent.from_link(link.ResponseArrived("request-1", "ATMFaceManagementResponse", opened))
        self.drain()
        self.answer(Device.CARD_READER, e.SecondCryptogramMade, kind="TC", data="9f27")
        self.press("enrol")
        self.press("agree")
        assert self.agent.state.phase is Phase.ENROLLING_FACE
        return self

    def to_cash(self) -> Bench:
        self.to_bank()
        self.bank_says(response="APPR", authorisationCode="A1B2C3")
        self.answer(Device.CARD_READER, e.SecondCryptogramMade, kind="TC", data="9f27")
        self.agent.take(e.CardRemoved())
        self.answer(Device.DISPENSER, e.NotesDispensed, result=GOOD)
        assert self.agent.state.phase is Phase.PRESENTING
        return self

    def press(self, option: str) -> None:
        self.agent.pressed(self.page.views[-1]["seq"], option)

    def bank_says(self, number: int = 1, **data: Any) -> None:
        answered = {"transactionId": "T0001-00000001", "attempt": 1, **data}
        self.agent.from_link(link.ResponseArrived(f"request-{number}", "ATMWithdrawalResponse", answered))
        self.drain()

    def drain(self) -> None:
        for _ in range(50):
            self.agent.run_once(0.0)

    @property
    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.journal.entries]
