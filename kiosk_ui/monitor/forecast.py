"""When a cash unit will be empty. Pure.

What left the unit in each of the last 14 days is averaged by the hour of the day (days are alike, hours are not), and the count is
walked down hour by hour. With less than two days of history all hours count alike; with less than six hours, or fewer than
ten notes, nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable

HOUR_MS = 3_600_000
DAYS = 14
MIN_HOURS, MIN_NOTES = 6, 10
PROFILE_HOURS = 48


def empty_at(count: int, used: Iterable[tuple[int, int]], now: int) -> int | None:
    """Ms since 1970. `used`: (hour since 1970, notes). None: not within 14 days, or too little is known."""
    if count <= 0:
        return now
    present = now // HOUR_MS
    recent = [(hour, notes) for hour, notes in used if present - 24 * DAYS <= hour < present and notes > 0]
    if not recent:
        return None
    observed = present - min(hour for hour, _ in recent)
    total = sum(notes for _, notes in recent)
    if observed < MIN_HOURS or total < MIN_NOTES:
        return None
    profile = _profile(recent, observed, present) if observed >= PROFILE_HOURS else [total / observed] * 24
    left = float(count)
    for ahead in range(24 * DAYS):
        hour = present + ahead
        begin = now if ahead == 0 else hour * HOUR_MS
        share = ((hour + 1) * HOUR_MS - begin) / HOUR_MS
        gone = profile[hour % 24] * share
        if gone >= left:
            return int(begin + left / gone * share * HOUR_MS)
        left -= gone
    return None


def _profile(recent: list[tuple[int, int]], observed: int, present: int) -> list[float]:
    sums = [0.0] * 24
    for hour, notes in recent:
        sums[hour % 24] += notes
    first = present - observed
    days = [sum(1 for hour in range(first, present) if hour % 24 == of_day) for of_day in range(24)]
    return [value / max(1, count) for value, count in zip(sums, days, strict=True)]
