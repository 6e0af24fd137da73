"""One customer and faults written by hand: for stories that a test tells."""

from __future__ import annotations

from money import explore
from money.play import Outcome, play
from money.pool import setting
from money.schedule import Customer, Fault, Schedule

CUSTOMER = Customer()


def played(*faults: Fault, survives: str = "reset", whole: bool = False) -> Outcome:
    return play(Schedule(7, (CUSTOMER,), faults, survives=survives, whole=whole), setting(), story=True)


def payouts(outcome: Outcome) -> list[str]:
    return [what for _, who, what in outcome.story if who == "customer" and what.startswith("takes the cash")]


def everything(*faults: Fault) -> Outcome:
    """Somebody gets notes of every kind, from cassettes that stand at each other's places."""
    return play(Schedule(7, (explore.MIXED,), faults, swapped=True, whole=False), setting())
