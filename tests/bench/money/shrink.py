"""From a schedule that fails to the smallest one found that fails in the same way: fewer faults, fewer and plainer customers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

from money.play import play
from money.schedule import Customer, Schedule
from money.setting import Setting

MOST_TRIES = 400


def names(schedule: Schedule, setting: Setting) -> frozenset[str]:
    return frozenset(name for name, _ in play(schedule, setting).wrong)


def shrink(schedule: Schedule, setting: Setting) -> Schedule:
    """Greedy: each simplification is kept when one of the same invariants still breaks. Gives up after `MOST_TRIES` replays."""
    wanted = names(schedule, setting)
    if not wanted:
        return schedule
    schedule = _pinned(schedule, setting)
    tries = 0
    changed = True
    while changed and tries < MOST_TRIES:
        changed = False
        for simpler in _simpler(schedule):
            tries += 1
            if names(simpler, setting) & wanted:
                schedule, changed = simpler, True
                break
            if tries >= MOST_TRIES:
                break
    return schedule


def _pinned(schedule: Schedule, setting: Setting) -> Schedule:
    """Moments as "the nth of that name" instead of running numbers: they stay where they are when something before them goes."""
    points = play(schedule, setting, trail=True).points
    moved = []
    for fault in schedule.faults:
        at = fault.at
        if isinstance(at, int) and at < len(points):
            at = f"{points[at]}#{points[: at + 1].count(points[at])}"
        moved.append(replace(fault, at=at))
    pinned = replace(schedule, faults=tuple(moved))
    return pinned if names(pinned, setting) & names(schedule, setting) else schedule


def _simpler(schedule: Schedule) -> Iterator[Schedule]:
    for number in range(len(schedule.faults)):
        yield replace(schedule, faults=schedule.faults[:number] + schedule.faults[number + 1 :])
    for number in reversed(range(len(schedule.customers))):
        if len(schedule.customers) > 1:
            yield replace(schedule, customers=schedule.customers[:number] + schedule.customers[number + 1 :])
    plain = Customer()
    for number, customer in enumerate(schedule.customers):
        for field in fields(Customer):
            if field.name in ("card", "pins"):
                continue
            value = getattr(plain, field.name)
            if getattr(customer, field.name) != value:
                yield _with(schedule, number, replace(customer, **{field.name: value}))
        if (customer.card, customer.pins) != (plain.card, plain.pins):
            yield _with(schedule, number, replace(customer, card=plain.card, pins=plain.pins))
    usual = Schedule(schedule.seed, schedule.customers)
    for name in ("survives", "latency", "counts", "swapped"):
        if getattr(schedule, name) != getattr(usual, name):
            yield replace(schedule, **{name: getattr(usual, name)})


def _with(schedule: Schedule, number: int, customer: Customer) -> Schedule:
    customers = list(schedule.customers)
    customers[number] = customer
    return replace(schedule, customers=tuple(customers))
