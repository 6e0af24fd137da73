"""The machine around the agent: dispenser with a witness, card slot, PIN pad, printer, each behind its line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from simulators.card.application import State
from simulators.card.keys import CardKeys
from simulators.card.profiles import Profile
from simulators.card.slot import CardSlot, Reply
from simulators.crypto.emv import IssuerKeys
from simulators.devices import dispenser_wire as wire
from simulators.devices.dispenser import Dispenser, Options
from simulators.devices.dispenser_physics import Cassette, Counts, PowerLost, Run

DENOMINATIONS = (10_000, 5_000, 2_000, 1_000)


@dataclass(slots=True)
class Payout:
    """One DISPENSE that the unit carried out: when, for which intent of the journal, and the notes that left, by cassette type (0..3)."""

    at: float
    transaction_id: str
    asked: tuple[int, ...]
    notes: Counter[int] = field(default_factory=Counter)
    account: Counts | None = None
    earlier: tuple[Counts, ...] = ()
    """What the unit counts of it; and what it had counted of the movement before, and of the dispenses before."""

    @property
    def as_before(self) -> bool:
        """Nobody who asks afterwards can tell it from one that was before."""
        return any(counted(self.account) == counted(before) for before in self.earlier)

    @property
    def minor(self) -> int:
        return sum(DENOMINATIONS[kind] * count for kind, count in self.notes.items())


def counted(account: Counts | None) -> tuple[int, list[int], list[int]] | None:
    return None if account is None else (account.error, account.exits, account.rejects)


class WitnessedDispenser(Dispenser):
    """The simulator, watched: every note that leaves is written down with the command that moved it."""

    def __init__(self, cassettes: list[Cassette], options: Options, intent: Callable[[], str], point: Callable[[str], None]) -> None:
        super().__init__(cassettes, options)
        self.payouts: list[Payout] = []
        self._intent = intent
        self._point = point
        self.errors: set[int] = set()
        """With which movements have ended."""
        self.cuts = 0
        """So often the power was cut in a movement."""
        self.armed: Counter[int] = Counter()
        """By the mechanics' list (its id): how many coming notes were ever put into it."""

    def _step_done(self, place: str) -> None:
        try:
            super()._step_done(place)
        except PowerLost:
            self.cuts += 1
            raise

    def _finish(self, counts: Counts, at: float) -> None:
        self.errors.add(counts.error)
        super()._finish(counts, at)

    def _start(self, code: int, data: bytes, at: float) -> bool:
        earlier = [one for one in (self.last, *(payout.account for payout in self.payouts)) if one is not None]
        started = super()._start(code, data, at)
        if started and code == wire.DISPENSE:
            asked = tuple(byte - 0x20 for byte in data[:4])
            self.payouts.append(Payout(at, self._intent(), asked, account=self.last, earlier=tuple(earlier)))
        return started

    def _step(self, moment: float) -> None:
        run: Run | None = self._run
        before = len(self.mechanics.outlet)
        super()._step(moment)
        left = self.mechanics.outlet[before:]
        if left and self.payouts:
            self.pulled_out(left)
        if run is not None:
            self._point("note")

    def pulled_out(self, slots: list[int]) -> None:
        """Notes of these slots have left: through the exit, or pulled out of it by hand."""
        if self.payouts:
            self.payouts[-1].notes.update(self.mechanics.cassettes[slot].type - 1 for slot in slots)

    def gone(self) -> list[int]:
        """By cassette type: how many notes are no longer in their cassette, wherever they are."""
        mechanics, found = self.mechanics, [0] * 4
        for cassette in mechanics.cassettes:
            found[cassette.type - 1] = cassette.initial - cassette.remaining
        return found


class WatchedSlot(CardSlot):
    """The card slot; `point` before every command to the chip, `changed` when a card comes or goes."""

    def __init__(self, profiles: dict[str, Profile], keys: CardKeys, issuer: IssuerKeys, point: Callable[[str], None]) -> None:
        super().__init__(profiles, keys, issuer)
        self.changed: Callable[[], None] = lambda: None
        self.last_words: dict[int, int] = {}
        """By insertion: the cryptogram that the chip gave as its second one."""
        self._point = point
        self.commands = 0

    def insert(self, name: str) -> None:
        super().insert(name)
        self.changed()

    def remove(self) -> None:
        super().remove()
        self.changed()

    def transmit(self, apdu: bytes) -> Reply:
        self._point(f"apdu {apdu[1]:02X}" if len(apdu) > 1 else "apdu")
        card = self.card
        self.commands += 1
        reply = super().transmit(apdu)
        for application in card.applications if card else ():
            if application.state is State.DONE:
                self.last_words[self.generation] = application._second << 6
        return reply


def chance_of(seed: int, name: str) -> Random:
    """A source of chance of its own for each part, so that one part's draws do not move another's."""
    return Random(f"{seed}/{name}")
