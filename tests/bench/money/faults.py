"""All kinds of fault, and how one is drawn."""

from __future__ import annotations

from random import Random

from money import device_faults, system_faults
from money.kinds import KINDS, Arguments

CATALOGUES = (device_faults, system_faults)
"""Importing them fills KINDS."""

NAMES = tuple(KINDS)
_WEIGHTS = tuple(one.weight for one in KINDS.values())


def draw_fault(chance: Random) -> tuple[str, Arguments]:
    """A kind by its weight, with arguments."""
    name = chance.choices(NAMES, _WEIGHTS)[0]
    return name, KINDS[name].draw(chance)
