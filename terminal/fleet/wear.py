"""Wear, watched at the edge: a Poisson CUSUM for each kind of fault that comes more often before a part fails. Pure.

For every kind: what is counted (jams), what it is counted per (notes moved), and how many are usual. After each look

    score = max(0, score + seen - REFERENCE * usual rate * opportunities)

so a machine at its usual rate sinks back to 0, and one whose rate stays above REFERENCE times the usual rises. At THRESHOLD the
alarm `serviceSoon` is raised (terminal/fleet/alarm_table.py); it returns when good work has brought the score down to half of it.
Reference and threshold: E. S. Page's scheme for counts (J. M. Lucas, "Counted data CUSUM's", Technometrics 27, 1985);
benchmarks/wear.py simulates how often it cries wolf and how soon it sees a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

REFERENCE = 2.5
THRESHOLD = 7.0
CEILING = 2 * THRESHOLD
"""Or a machine that jammed for a week would need months of good work before the alarm returns."""


@dataclass(frozen=True, slots=True)
class WearKind:
    """`per_opportunity`: how many are usual, from makers' figures; a bank that knows its fleet better configures its own."""

    name: str
    device: str
    seen: str
    opportunities: str
    per_opportunity: float


KINDS: Mapping[str, WearKind] = {
    kind.name: kind
    for kind in (
        WearKind("jamsPerNotes", "cashDispenser", "jams", "notesMoved", 1 / 20_000),
        WearKind("rejectsPerNotes", "cashDispenser", "notesRejected", "notesMoved", 1 / 500),
        WearKind("errorsPerCards", "cardReader", "apduErrors", "cardReads", 1 / 200),
        WearKind("errorsPerReceipts", "printer", "printerErrors", "receipts", 1 / 200),
    )
}


@dataclass(frozen=True, slots=True)
class Score:
    """`seen` and `opportunities` since the score was last 0 (`since`, ISO 8601): the evidence."""

    name: str
    score: float = 0.0
    seen: int = 0
    opportunities: int = 0
    since: str = ""


def watch(before: Score, seen: int, opportunities: int, per_opportunity: float, at: str) -> Score:
    """One look later; `seen` and `opportunities` are what came since the last look (both at least 0), `at` is now."""
    score = min(CEILING, max(0.0, before.score + seen - REFERENCE * per_opportunity * opportunities))
    if score == 0.0:
        return Score(before.name)
    if before.score == 0.0:
        return Score(before.name, score, seen, opportunities, at)
    return replace(before, score=score, seen=before.seen + seen, opportunities=before.opportunities + opportunities)
