"""A kind of fault: its name (which begins with its layer), what it does to the world, and the arguments it may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

Arguments = dict[str, Any]
Strike = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Kind:
    """`choices`: for each argument the values that may be drawn; the first of each is the one of the exhaustive runs."""

    name: str
    strike: Strike
    choices: Mapping[str, tuple[Any, ...]]
    weight: float = 1.0

    def draw(self, chance: Random) -> Arguments:
        return {name: chance.choice(values) for name, values in self.choices.items()}

    def usual(self) -> Arguments:
        return {name: values[0] for name, values in self.choices.items()}


KINDS: dict[str, Kind] = {}


def kind(name: str, weight: float = 1.0, **choices: tuple[Any, ...]) -> Callable[[Strike], Strike]:
    def register(strike: Strike) -> Strike:
        KINDS[name] = Kind(name, strike, choices, weight)
        return strike

    return register


AWAY = (2.0, 0.3, 8.0, 40.0)
LONG_AWAY = (*AWAY, 90.0)
