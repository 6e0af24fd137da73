"""A card slot with a person's hand and faults: which card is in, and what goes wrong with its answers. Sans-I/O.

The same slot sits behind the vpcd wire (``simulators.card``) and, in one thread and in virtual time, behind a reader in memory.
Cards keep their chip memory (ATC, blocked applications) when they are taken out and put back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulators.card.card import SimulatedCard
from simulators.card.keys import CardKeys, load_card_keys
from simulators.card.profiles import Profile, load_profiles
from simulators.crypto.emv import IssuerKeys, load_issuer_keys


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command leads to. `data` None: no answer, ever. `gone`: the card was pulled instead of answering."""

    data: bytes | None
    delay_s: float = 0.0
    gone: bool = False


@dataclass(slots=True)
class Faults:
    """What is armed. `mute` is "", "next" or "all"."""

    mute: str = ""
    slow_s: float = 0.0
    wrong_sw: dict[int, bytes] = field(default_factory=dict)
    truncate: set[int] = field(default_factory=set)
    pull_after_ins: int | None = None
    pull_after_apdus: int | None = None


def _instruction(value: object) -> int:
    """An INS as "AE" or 174."""
    number = int(value, 16) if isinstance(value, str) else value
    if not isinstance(number, int) or not 0 <= number <= 255:
        raise ValueError(f"{value!r} is no instruction byte")
    return number


class CardSlot:
    """`generation` grows with each insertion. The slot starts empty."""

    def __init__(self, profiles: dict[str, Profile], keys: CardKeys, issuer: IssuerKeys) -> None:
        self._profiles, self._keys, self._issuer = profiles, keys, issuer
        self._cards: dict[str, SimulatedCard] = {}
        self.card: SimulatedCard | None = None
        self.generation = 0
        self.powered = False
        self.apdus = 0
        self.faults = Faults()

    @classmethod
    def of_cast(cls, cast: Path | None = None) -> CardSlot:
        """A slot with the cast's cards at hand."""
        return cls(load_profiles(cast), load_card_keys(), load_issuer_keys())

    @property
    def present(self) -> bool:
        return self.card is not None

    @property
    def atr(self) -> bytes:
        return self.card.atr if self.card else b""

    def insert(self, name: str) -> None:
        if self.card:
            raise ValueError(f'the card "{self.card.profile.name}" is in')
        if name not in self._profiles:
            raise ValueError(f'there is no card "{name}": {", ".join(self._profiles)}')
        if name not in self._cards:
            self._cards[name] = SimulatedCard(self._profiles[name], self._keys, self._issuer)
        self.card = self._cards[name]
        self.card.reset()
        self.generation += 1
        self.apdus = 0

    def remove(self) -> None:
        if not self.card:
            raise ValueError("there is no card in")
        self.card, self.powered = None, False

    def power_on(self) -> bytes:
        """Cold or warm reset; the answer to reset, empty without a card."""
        if not self.card:
            return b""
        self.powered = True
        return self.card.reset()

    def power_off(self) -> None:
        self.powered = False
        if self.card:
            self.card.reset()

    def transmit(self, apdu: bytes) -> Reply:
        """One APDU to the card, and what the armed faults make of it."""
        if not self.card:
            return Reply(None, gone=True)
        self.apdus += 1
        faults, instruction = self.faults, apdu[1] if len(apdu) > 1 else 0
        if faults.pull_after_apdus is not None:
            faults.pull_after_apdus -= 1
        if faults.pull_after_apdus == 0 or faults.pull_after_ins == instruction:
            faults.pull_after_apdus = faults.pull_after_ins = None
            self.card.transmit(apdu)  # the chip did it, nobody heard
            self.remove()
            return Reply(None, gone=True)
        answer = self.card.transmit(apdu)
        if faults.mute:
            faults.mute = "" if faults.mute == "next" else faults.mute
            return Reply(None)
        answer = faults.wrong_sw.pop(instruction, answer)
        if instruction in faults.truncate and len(answer) > 3:
            faults.truncate.discard(instruction)
            answer = answer[: (len(answer) - 2) // 2] + answer[-2:]
        return Reply(answer, faults.slow_s)

    def control(self, do: str, arguments: dict[str, Any], now: float) -> Any:
        """insert, remove, swap, mute, slow, wrong_sw, truncate, pull_after, flip, block, clear_faults, state.

        ValueError says what is wrong with the request.
        """
        verbs: dict[str, Callable[..., object]] = {
            "insert": lambda card: self.insert(card),
            "remove": self.remove,
            "swap": self.swap,
            "mute": self._mute,
            "slow": self._slow,
            "wrong_sw": self._wrong_sw,
            "truncate": self._truncate,
            "pull_after": self._pull_after,
            "flip": self._flip,
            "block": self._block,
            "clear_faults": self._clear,
            "state": lambda: None,
        }
        if do not in verbs:
            raise ValueError(f'a card slot has no "{do}": {", ".join(verbs)}')
        verbs[do](**arguments)
        return self.state()

    def swap(self, card: str) -> None:
        """Out and in faster than a reader polls."""
        if card not in self._profiles:
            raise ValueError(f'there is no card "{card}": {", ".join(self._profiles)}')
        self.remove()
        self.insert(card)

    def state(self) -> dict[str, object]:
        faults = self.faults
        return {
            "inserted": self.present,
            "generation": self.generation,
            "powered": self.powered,
            "apdus": self.apdus,
            "card": self.card.state() if self.card else None,
            "mute": faults.mute,
            "slow_s": faults.slow_s,
        }

    def _mute(self, apdus: str = "next") -> None:
        if apdus not in ("next", "all"):
            raise ValueError('mute takes apdus "next" or "all"')
        self.faults.mute = apdus

    def _slow(self, seconds: float) -> None:
        if not 0 <= seconds <= 3600:
            raise ValueError("slow takes seconds from 0 to 3600")
        self.faults.slow_s = float(seconds)

    def _wrong_sw(self, ins: object, sw: str) -> None:
        word = bytes.fromhex(sw)
        if len(word) != 2:
            raise ValueError("a status word has two bytes")
        self.faults.wrong_sw[_instruction(ins)] = word

    def _truncate(self, ins: object) -> None:
        self.faults.truncate.add(_instruction(ins))

    def _pull_after(self, ins: object = None, apdus: int | None = None) -> None:
        if (ins is None) == (apdus is None):
            raise ValueError("pull_after takes either ins or apdus")
        if apdus is not None and apdus < 1:
            raise ValueError("pull_after takes apdus from 1")
        self.faults.pull_after_ins = None if ins is None else _instruction(ins)
        self.faults.pull_after_apdus = apdus

    def _flip(self, tag: str) -> None:
        """Tamper with a personalised object of the card that is in; "9F4B" is the signature it makes itself."""
        if not self.card or not self.card.applications:
            raise ValueError("there is no card with an application in")
        for application in self.card.applications:
            if tag == "9F4B":
                application.flip_signature = True
            else:
                application.files.flip(tag)

    def _block(self, application: bool = True, card: bool = False) -> None:
        if not self.card:
            raise ValueError("there is no card in")
        self.card.card_blocked = card
        for one in self.card.applications:
            one.blocked = application

    def _clear(self) -> None:
        self.faults = Faults()
