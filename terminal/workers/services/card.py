"""The card reader's service: presence as events, the EMV session as commands. Two ways to a card: PC/SC, or the vpcd wire."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drivers.emv.capk import CaPublicKey, load_capks
from drivers.emv.reading import Application
from drivers.emv.selection import Candidate as CardCandidate
from drivers.emv.session import EmvSession
from drivers.emv.terminal import TerminalData, TransactionData
from drivers.errors import DeviceFault, LinkError, ProtocolError
from drivers.transports.base import CardChannel, CardPresence, CardReader, Clock, Deadline, MonotonicClock
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Candidate, CardInfo, Device

PRESENCE_S = 0.1

OpenReader = Callable[[], CardReader]


@dataclasses.dataclass(frozen=True, slots=True)
class CardSetting:
    """What an EMV session needs besides the card. `random` gives n unpredictable bytes."""

    terminal: TerminalData
    ca_keys: tuple[CaPublicKey, ...]
    random: Callable[[int], bytes]
    wall_clock: Callable[[], datetime]


class CardService:
    """One slot, at most one powered card. A card that was swapped unseen ends in a LinkError of its old channel."""

    device = Device.CARD_READER
    poll_interval_s = PRESENCE_S

    def __init__(self, open_reader: OpenReader, clock: Clock, setting: CardSetting) -> None:
        self._open_reader = open_reader
        self._clock = clock
        self._setting = setting
        self._reader: CardReader | None = None
        self._presence: CardPresence | None = None
        self._channel: CardChannel | None = None
        self._session: EmvSession | None = None
        self._candidates: list[CardCandidate] = []

    def open(self) -> Iterable[e.Event]:
        """The slot's state is told at once, whatever was known before."""
        self.close()
        self._reader = self._open_reader()
        self._presence = self._reader.wait_change(None, Deadline.after(self._clock, 1.0))
        return [e.CardInserted() if self._presence.present else e.CardRemoved()]

    def close(self) -> None:
        self._power_off()
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def poll(self) -> Iterable[e.Event]:
        """Insertion and removal. A swap faster than the poll is told as both."""
        if self._reader is None:
            raise LinkError("the card reader is not open")
        before = self._presence
        now = self._reader.wait_change(before, Deadline.after(self._clock, 0.0))
        self._presence = now
        if before is None or (now.present, now.generation) == (before.present, before.generation):
            return []
        gone: list[e.Event] = [e.CardRemoved()] if before.present else []
        if gone:
            self._power_off()
        return [*gone, e.CardInserted()] if now.present else gone

    def handle(self, command: c.DeviceCommand) -> Iterable[e.Event]:
        try:
            return self._answer(command, Deadline.after(self._clock, command.deadline_s))
        except LinkError as error:  # the card, not the reader: what the reader says comes with the next poll
            self._power_off()
            raise DeviceFault(str(error), code=0, name="cardGone") from error

    def _answer(self, command: c.DeviceCommand, deadline: Deadline) -> list[e.Event]:
        match command:
            case c.ReadCard(command_id=number):
                return [e.ApplicationsRead(number, self._applications(deadline))]
            case c.SelectApplication(command_id=number, aid=aid, cold=cold):
                return [e.ApplicationSelected(number, self._select(aid, cold, deadline))]
            case c.GenerateFirstCryptogram():
                return [self._first(command, deadline)]
            case c.GenerateSecondCryptogram(command_id=number, icc_data=data, approved=approved, online=online):
                issuer = bytes.fromhex(data) if online else None
                second = self._emv.second_generate_ac(issuer, approved, deadline)
                return [e.SecondCryptogramMade(number, second.kind.name, second.data.hex())]
            case c.ReleaseCard(command_id=number):
                self._power_off()
                return [e.CommandDone(number, self.device)]
            case c.CheckCardReader(command_id=number):
                if self._reader is None:
                    raise LinkError("the card reader is not open")
                seen = self._reader.wait_change(None, deadline.sooner(1.0))
                return [e.SelfCheckDone(number, self.device, {"cardPresent": seen.present})]
        raise ProtocolError(f"{type(command).__name__} is no command of a card reader")

    def _applications(self, deadline: Deadline) -> tuple[Candidate, ...]:
        self._power_on()
        self._read_candidates(deadline)
        return tuple(Candidate(one.aid.hex().upper(), one.label) for one in self._candidates)

    def _select(self, aid: str, cold: bool, deadline: Deadline) -> CardInfo:
        if cold:
            self._power_on()
            self._read_candidates(deadline)
        candidate = next((one for one in self._candidates if one.aid.hex().upper() == aid), None)
        if candidate is None:
            raise ProtocolError("the card does not offer this application")
        return info_of(self._emv.select(candidate, deadline), candidate)

    def _read_candidates(self, deadline: Deadline) -> None:
        self._candidates = [one for one in self._emv.applications(deadline) if not one.blocked]

    def _first(self, command: c.GenerateFirstCryptogram, deadline: Deadline) -> e.Event:
        transaction = TransactionData(
            amount_minor=command.amount_minor,
            currency=self._setting.terminal.currency,
            date_utc=self._setting.wall_clock(),
            counter=command.transaction_number,
        )
        first = self._emv.first_generate_ac(transaction, deadline)
        return e.FirstCryptogramMade(command.command_id, first.kind.name, first.field55.hex())

    def _power_on(self) -> None:
        """A cold reset: a session of its own for every transaction with the card."""
        self._power_off()
        if self._reader is None:
            raise LinkError("the card reader is not open")
        self._channel = self._reader.connect()
        self._session = EmvSession(self._channel, self._setting.terminal, self._setting.random, self._setting.ca_keys)

    def _power_off(self) -> None:
        channel, self._channel, self._session = self._channel, None, None
        if channel is not None:
            channel.close()

    @property
    def _emv(self) -> EmvSession:
        if self._session is None:
            raise ProtocolError("no card is powered")
        return self._session


def info_of(application: Application, candidate: CardCandidate) -> CardInfo:
    """ISO 639-1 of the card's first preference, when it states one."""
    return CardInfo(
        aid=candidate.aid.hex().upper(),
        label=candidate.label,
        masked_pan=application.masked_pan,
        pan=application.pan,
        track2=application.track2,
        pan_sequence=application.pan_sequence or 0,
        language=next(iter(application.language_preference), ""),
    )


def open_reader(settings: Mapping[str, Any], clock: Clock) -> OpenReader:
    """pyscard is imported only where it is used: the vpcd wire works without pcsc-lite."""
    if settings["reader"] == "vpcd":
        from drivers.transports.vpcd_wire import VpcdReader

        return lambda: VpcdReader("127.0.0.1", settings["port"], clock)
    from drivers.transports.pcsc import PcscReader

    return lambda: PcscReader(settings["name"] or "*", clock)


def build(settings: Mapping[str, Any]) -> CardService:
    clock = MonotonicClock()
    country = bytes.fromhex(settings["country"])
    terminal = TerminalData(
        country=country,
        currency=settings["currency"],
        serial=settings["terminal_id"].rjust(8, "0")[-8:],
        terminal_id=settings["terminal_id"].ljust(8, "0")[:8],
    )
    setting = CardSetting(terminal, load_capks(Path(settings["ca_keys"])), secrets.token_bytes, lambda: datetime.now(UTC))
    return CardService(open_reader(settings, clock), clock, setting)
