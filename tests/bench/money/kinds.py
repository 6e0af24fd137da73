"""A kind of fault: its name (which begins with its layer), what it does to the world, and the arguments it may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

Arguments = dict[str, Any]
Effect = bool | Callable[[], bool] | None
"""What came of a strike: nothing (False); a question to be asked later, when it only lies in wait; otherwise it had an effect."""
Strike = Callable[..., Effect]
DOUBT, FAULT, COUNTERS, LOST, WHILE_OPEN = "outcomeUnknown", "dispenserFault", "counters", "lostAnswer", "whileOpen"
"""What a fault may lead to: the two latches, and counters that say they are inaccurate (which a doubt brings with it); `WHILE_OPEN`: only
when it struck between a dispense's intent and its end. `LOST`: a doubt, but only about a dispense that ended exactly as one before, or
never began."""


@dataclass(frozen=True, slots=True)
class Kind:
    """`choices`: for each argument the values that may be drawn; the first of each is the one of the exhaustive runs. `leads`: how much
    caution it justifies when it had an effect."""

    name: str
    strike: Strike
    choices: Mapping[str, tuple[Any, ...]]
    weight: float = 1.0
    leads: frozenset[str] = frozenset()

    def draw(self, chance: Random) -> Arguments:
        return {name: chance.choice(values) for name, values in self.choices.items()}

    def usual(self) -> Arguments:
        return {name: values[0] for name, values in self.choices.items()}


KINDS: dict[str, Kind] = {}


def kind(name: str, weight: float = 1.0, *leads: str, **choices: tuple[Any, ...]) -> Callable[[Strike], Strike]:
    def register(strike: Strike) -> Strike:
        may = frozenset(leads) | ({COUNTERS} if DOUBT in leads else set())
        KINDS[name] = Kind(name, strike, choices, weight, may)
        return strike

    return register


AWAY = (2.0, 0.3, 8.0, 40.0)
LONG_AWAY = (*AWAY, 90.0)
