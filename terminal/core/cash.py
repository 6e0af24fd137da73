"""Cash units, mixes and what a dispense command really did. Pure arithmetic in integer minor units and whole notes.

Counting follows XFS4IoT CashManagement: a unit's total is derived (initial - out), never stored; what only the mechanics know
is `unknown` and makes the unit's accuracy `inaccurate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from functools import lru_cache
from math import gcd

from terminal.core.values import replace


@unique
class Accuracy(StrEnum):
    """XFS4IoT storage count accuracy."""

    ACCURATE = "accurate"
    INACCURATE = "inaccurate"


@dataclass(frozen=True, slots=True)
class CashUnit:
    """One cassette. Counts are notes; `unit` is its number on the dispenser ("1".."4")."""

    unit: str
    denomination_minor: int
    initial: int
    presented: int = 0
    rejected: int = 0
    unknown: int = 0
    accuracy: Accuracy = Accuracy.ACCURATE
    usable: bool = True

    @property
    def count(self) -> int:
        """What should be in it: never below zero for a mix, however wrong the counters are."""
        return max(0, self.initial - self.presented - self.rejected - self.unknown)


Units = tuple[CashUnit, ...]


@dataclass(frozen=True, slots=True)
class UnitResult:
    """What the dispenser says of one cassette after a command: notes that left through the exit, notes in the reject bin."""

    presented: int
    rejected: int


@dataclass(frozen=True, slots=True)
class DispenserResult:
    """The dispenser's own account of its last command, from the answer itself or from LAST STATUS.

    `command` is "dispense", "purge", "testDispense" or "none"; `error` the device's code (0 = good) and `error_name` its name;
    `missing` notes that it lost sight of. `counted`: the notes by position (presented and rejected of the top one, of the next ...), which
    stay what they are when cassettes change places.
    """

    command: str
    error: int
    error_name: str
    missing: int
    units: tuple[UnitResult, ...]
    counted: tuple[int, ...] = ()

    @property
    def moved(self) -> bool:
        return any(unit.presented or unit.rejected for unit in self.units) or self.missing > 0


Accounts = tuple[DispenserResult, ...] | None
"""What LAST STATUS may still show of earlier dispenses; None: nobody knows."""


# Errors after which the EXIT counts are no proof of what the customer holds: a note lies within reach (05), the counts at the
# ejector disagree (07), a note meant for the reject bin went out (08), more than one note passed the exit as one (0A).
UNCERTAIN_ERRORS = frozenset({0x05, 0x07, 0x08, 0x0A})
# Errors that leave notes on the path. A reset might move them out, uncounted: the unit is not touched until a person has looked.
PATH_ERRORS = frozenset({0x02, 0x03, 0x04, 0x06, 0x09, 0x0B, 0x0E})
PICK_UP_ERROR = 0x01


def value_minor(units: Sequence[CashUnit], quantities: Sequence[int]) -> int:
    return sum(unit.denomination_minor * n for unit, n in zip(units, quantities, strict=True))


def mix(units: Sequence[CashUnit], amount_minor: int, max_notes: int) -> tuple[int, ...] | None:
    """minimumBills: the fewest notes that make up the amount exactly from what the usable units hold; None when nothing does.

    Depth first from the largest denomination, so that short cassettes lead to a mix of smaller notes.
    """
    return _mix(tuple(units), amount_minor, max_notes)


@lru_cache(maxsize=512)  # the same few amounts are asked for at every view, from units that seldom change
def _mix(units: Units, amount_minor: int, max_notes: int) -> tuple[int, ...] | None:
    order = sorted(range(len(units)), key=lambda i: -units[i].denomination_minor)
    steps = [gcd(*(units[i].denomination_minor for i in order[place:])) for place in range(len(order))]
    held = [sum(units[i].denomination_minor * units[i].count for i in order[place:] if units[i].usable) for place in range(len(order))]
    tried: dict[tuple[int, int], int] = {}  # the fewest notes with which a place and a rest were reached: more cannot end better
    best: tuple[int, tuple[int, ...]] | None = None

    def search(position: int, left_minor: int, used: int, chosen: tuple[int, ...]) -> None:
        nonlocal best
        if left_minor == 0:
            if best is None or used < best[0]:
                best = (used, chosen + (0,) * (len(order) - position))
            return
        if position == len(order) or left_minor % steps[position] or left_minor > held[position]:
            return
        if tried.get((position, left_minor), used + 1) <= used:
            return
        tried[position, left_minor] = used
        unit = units[order[position]]
        room = max_notes - used if best is None else min(max_notes, best[0] - 1) - used
        if room * unit.denomination_minor < left_minor:  # even this, the largest left, cannot do it in fewer notes
            return
        most = min(left_minor // unit.denomination_minor, unit.count, room) if unit.usable else 0
        for n in range(most, -1, -1):
            search(position + 1, left_minor - n * unit.denomination_minor, used + n, (*chosen, n))

    if amount_minor > 0:
        search(0, amount_minor, 0, ())
    if best is None:
        return None
    quantities = [0] * len(units)
    for place, n in zip(order, best[1], strict=True):
        quantities[place] = n
    return tuple(quantities)


def payable(units: Sequence[CashUnit], amounts_minor: Sequence[int], max_notes: int) -> tuple[int, ...]:
    """Those amounts that the cassettes can really pay."""
    return _payable(tuple(units), tuple(amounts_minor), max_notes)


@lru_cache(maxsize=64)
def _payable(units: Units, amounts_minor: tuple[int, ...], max_notes: int) -> tuple[int, ...]:
    return tuple(amount for amount in amounts_minor if _mix(units, amount, max_notes) is not None)


def possible(result: DispenserResult, quantities: Sequence[int]) -> bool:
    """Could this be the account of a dispense of these quantities? Never more than asked; all of it when there was no error."""
    if result.command != "dispense" or len(result.units) != len(quantities):
        return False
    presented = tuple(unit.presented for unit in result.units)
    if any(out > asked for out, asked in zip(presented, quantities, strict=True)):
        return False
    return result.error != 0 or presented == tuple(quantities)


def uncertain(result: DispenserResult) -> bool:
    """The counts are no proof of what the customer holds."""
    return result.error in UNCERTAIN_ERRORS or result.missing > 0


def proves(result: DispenserResult, baseline: DispenserResult, earlier: Accounts, quantities: Sequence[int]) -> bool:
    """Does this LAST STATUS prove what became of a dispense whose answer is lost? `baseline` is LAST STATUS read just before it was sent.

    The unit answers nothing while it moves notes, so what it answers is its final account: of this dispense when it is new, possible for
    what was asked and certain. One that was there before, or was a dispense's before the unit was reset, proves nothing: it may have come
    back after the power had failed in the middle, or be of a dispense that ended as that one did. Another command's, or none: the memory
    is gone.
    """
    new = earlier is not None and not any(_same(result, before) for before in (baseline, *earlier))
    return new and possible(result, quantities) and not uncertain(result)


def _same(one: DispenserResult, other: DispenserResult) -> bool:
    """Of one movement, as far as anybody can tell, also when cassettes have changed places since."""
    return one == other or (one.counted != () and (one.error, one.counted) == (other.error, other.counted))


def remember(earlier: Accounts, result: DispenserResult | None) -> Accounts:
    """Of the last dispense, and of the last that moved notes. `result` None: of this dispense no account is known."""
    if result is None:
        return None
    if result.command != "dispense":
        return earlier
    if result.moved:
        return (result,)
    return None if earlier is None else (result, *(one for one in earlier if one.moved))


def account(units: Units, quantities: Sequence[int], result: DispenserResult) -> Units:
    """The units after a dispense with this account, and which of them are not to be believed any more.

    When notes lie elsewhere than the account says, none is: the note on the path may be of any cassette. When notes were rejected or a
    pick failed, those that took part are not: two notes picked as one go into the bin together, counted as one or as two. The unit whose
    pick failed is not used any more.
    """
    dry = pick_failed(quantities, result)
    after: list[CashUnit] = []
    astray = result.error not in (0, PICK_UP_ERROR) or result.missing > 0
    for place, (unit, asked, seen) in enumerate(zip(units, quantities, result.units, strict=True)):
        touched = asked > 0 or seen.presented > 0 or seen.rejected > 0
        unit = replace(unit, presented=unit.presented + seen.presented, rejected=unit.rejected + seen.rejected)
        if astray or (touched and (result.error or seen.rejected)):
            unit = replace(unit, accuracy=Accuracy.INACCURATE)
        if place == dry:
            unit = replace(unit, usable=False)
        after.append(unit)
    return tuple(after)


def pick_failed(quantities: Sequence[int], result: DispenserResult) -> int | None:
    """Which unit had no note to give: the dispenser stops there, so those behind it are short as well without having been tried.

    One that was begun and not finished it is for certain. Otherwise the first in the order in which cassettes are picked from the factory
    (1 to 4); in a dispenser that was set to another order the next attempt finds the next one.
    """
    if result.error != PICK_UP_ERROR:
        return None
    short = [place for place, asked in enumerate(quantities) if result.units[place].presented < asked]
    begun = [place for place in short if result.units[place].presented or result.units[place].rejected]
    return next(iter((*begun, *short)), None)


def account_unknown(units: Units, quantities: Sequence[int]) -> Units:
    """The units when nobody can say what a dispense did: what was asked for may be gone, and a note of any cassette may lie anywhere."""
    return tuple(
        replace(unit, unknown=unit.unknown + asked, accuracy=Accuracy.INACCURATE) for unit, asked in zip(units, quantities, strict=True)
    )
