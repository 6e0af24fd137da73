"""Of all runs: one table for people, one object for machines."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from crash_bench import points as p
from crash_bench.play import Played

WORDS = ("paid", "partial", "none", "inDoubt")


def lines(everything: Sequence[Played]) -> list[str]:
    """Kill target x point x outcomes of the visit it fell into."""
    cells: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for played in everything:
        for order, word in played.kills:
            place = f"{order.side} {order.point}" + (" + random" if order.delay_s else "")
            cells[order.target, place][word] += 1
    found = [_row("killed", "at", WORDS)]
    for target in (p.AGENT, *p.OTHERS):
        places = sorted(place for who, place in cells if who == target)
        found += [_row(target, place, _counts(cells[target, place])) for place in places]
        total = sum((cells[target, place] for place in places), Counter[str]())
        found.append(_row(target, f"all of its kills: {total.total()}", _counts(total)))
    return found


def _counts(outcomes: Counter[str]) -> list[str]:
    return [str(outcomes[word] or "") for word in WORDS]


def _row(target: str, place: str, cells: Sequence[str]) -> str:
    return f"{target:<18} {place:<68} " + " ".join(f"{cell:>8}" for cell in cells)


def summary(everything: Sequence[Played]) -> dict[str, Any]:
    """What the last line says of the runs."""
    kills = [order for played in everything for order, _ in played.kills]
    exact = {f"{order.side} {order.point}" for order in kills if not order.delay_s}
    known = p.known()
    seen = {point for played in everything for point in played.points}
    return {
        "runs": len(everything),
        "violations": sum(bool(played.violations) for played in everything),
        "latched": sum(played.latched for played in everything),
        "kills": {target: sum(order.target == target for order in kills) for target in (p.AGENT, *p.OTHERS)},
        "kills_in_all": len(kills),
        "missed": sum(played.missed for played in everything),
        "points": {"hit": len(exact & known), "known": len(known)},
        "points_not_hit": sorted(known - exact),
        "points_unlisted": sorted(seen - p.names()),
        "outcomes": dict(Counter(word for played in everything for word in played.outcomes)),
        "second_probes": sum(played.probes > 1 for played in everything),
        "violating_runs": [played.number for played in everything if played.violations],
        "longest_run_s": round(max((played.seconds for played in everything), default=0.0), 1),
    }
