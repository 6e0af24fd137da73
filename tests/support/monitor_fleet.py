"""A small fleet with every kind of trouble, told to a database in the words of its terminals. For the pages' tests and pictures."""

from __future__ import annotations

import random
from collections.abc import Iterator

from monitor_says import Terminal

HOUR_MS = 3_600_000
Said = tuple[str, bytes]


def fleet(count: int, now: int, *, branches: int = 12) -> Iterator[tuple[int, list[Said]]]:
    """(moment of arrival, messages), in order. Terminal T0001 has the whole story; the last digits decide the others' trouble."""
    chance = random.Random(7)
    terminals = [Terminal(f"T{n:04}", f"B{1 + n % branches:03}", now=now) for n in range(1, count + 1)]
    yield now - 45_000, [message for one in terminals[:40] for message in _history(one, now, chance)]
    for start in range(0, count, 100):
        yield now - 30_000, [message for one in terminals[start : start + 100] for message in _present(one, now, chance)]
    yield now - 25_000, [message for one in terminals for message in _trouble(one, now)]
    gone = [one for number, one in enumerate(terminals, 1) if number % 17 == 5]
    yield now - 600_000, [one.offline(now - 5 * HOUR_MS) for one in gone]


def _history(one: Terminal, now: int, chance: random.Random) -> list[Said]:
    found = []
    for hour in range(47, 0, -1):
        busy = 1 + int(3 * (8 <= (now // HOUR_MS - hour + 8) % 24 <= 20))
        for _ in range(chance.randrange(0, busy + 1)):
            status = chance.choices(["SCSS", "FAIL", "DOBT"], [60, 3, 1])[0]
            at = now - hour * HOUR_MS + chance.randrange(HOUR_MS)
            found.append(one.advice(status, notes=chance.randrange(1, 20), at=at, failure="MALF" if status == "FAIL" else None))
        found.append(
            one.telemetry(at=now - hour * HOUR_MS, notesMoved=chance.randrange(60), jams=int(chance.random() < 0.03), transactions=busy)
        )
    return found


def _present(one: Terminal, now: int, chance: random.Random) -> list[Said]:
    number = int(one.name[1:])
    low = number % 13 == 4
    counts = (6 if low else 120 + number % 70, 90 + number % 60, 0 if number % 29 == 7 else 150, 180)
    more: dict[str, object] = {}
    if number % 31 == 1:
        more = {
            "service": "outOfService",
            "reasons": ["cashDispenser"],
            "latched": {"transactionId": f"{one.name}-00000017", "cause": "outcomeUnknown"},
        }
    elif number % 41 == 3:
        more = {"service": "outOfService", "reasons": ["outOfServiceByOperator"]}
    if number % 23 == 6:
        more["agent"] = one.agent(certificateDaysLeft=12)
    return [one.telemetry(at=now - 40_000), one.state(counts=counts, at=now - 35_000, **more)]


def _trouble(one: Terminal, now: int) -> list[Said]:
    number, found = int(one.name[1:]), []
    if number % 31 == 1:
        found.append(one.device("cashDispenser", "hardwareError", "jamExit", at=now - 33_000))
        cause = f"{one.name}/cashOutLatched/cashDispenser/1"
        found.append(
            one.alarm(
                "cashOutLatched", device="cashDispenser", severity="critical", at=now - 32 * 60_000, evidence={"cause": "outcomeUnknown"}
            )
        )
        found.append(one.alarm("terminalOutOfService", severity="critical", at=now - 31 * 60_000, cause=cause, suppressed=True))
    if number % 13 == 4:
        found += [
            one.cash("1", 6, replenishment="low"),
            one.alarm("cashUnitLow", device="cashUnit1", severity="warning", at=now - 95 * 60_000, evidence={"count": 6}),
        ]
    if number % 19 == 2:
        found += [one.device("printer", "hardwareError", "paperJam"), one.alarm("deviceFault", device="printer", severity="minor")]
    if number % 37 == 9:
        found.append(
            one.alarm(
                "serviceSoon",
                device="cashDispenser",
                severity="minor",
                at=now - 6 * HOUR_MS,
                evidence={"measure": "jams", "score": 7.5, "seen": 5},
            )
        )
    if number % 47 == 11:
        found += [one.alarm("hostUnreachable", at=now - 3 * HOUR_MS), one.alarm("hostUnreachable", "returned", at=now - 2 * HOUR_MS)]
    return found
