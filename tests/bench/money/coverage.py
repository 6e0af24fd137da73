"""What was taken, as numbers and as a page: (state, event) pairs of the session's table, and the grid of faults and moments."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from money.pool import Tally
from terminal.core.session import TRANSITIONS

WIDTH, HEIGHT, LEFT, TOP = 5, 9, 330, 210
COLOURS = {"held": "#2e8b57", "latched": "#e0a92e", "violated": "#c62828"}


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows of the table that were taken, how many there are, and those that were not."""

    taken: int
    of: int
    missing: tuple[str, ...]


def pairs(taken: Iterable[tuple[str, str]]) -> Pairs:
    rows = {(phase.value, event.__name__) for phase, event in TRANSITIONS}
    missing = sorted(rows - set(taken))
    return Pairs(len(rows) - len(missing), len(rows), tuple(f"{phase} <- {event}" for phase, event in missing))


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells are numbered kind by kind, moment by moment. `latched`: number -> why cash-out was locked."""

    kinds: tuple[str, ...]
    moments: tuple[str, ...]
    violated: frozenset[int]
    latched: dict[int, str]
    pairs: Pairs

    def state(self, kind: int, moment: int) -> str:
        number = kind * len(self.moments) + moment
        return "violated" if number in self.violated else "latched" if number in self.latched else "held"


def grid_page(grid: Grid, figures: dict[str, Any]) -> str:
    """One SVG: a row for each kind of fault, a column for each moment."""
    counts = dict.fromkeys(COLOURS, 0)
    for kind in range(len(grid.kinds)):
        for moment in range(len(grid.moments)):
            counts[grid.state(kind, moment)] += 1
    sentences = [
        f"{len(grid.kinds)} kinds of fault at each of {len(grid.moments)} moments of one withdrawal: {figures['run']} schedules.",
        f"{counts['held']} ended known to everybody. {counts['latched']} ended in doubt or with notes on the path: the terminal said so,"
        f" paid nobody, and was set right by a person who counted. {counts['violated']} violated an invariant.",
    ]
    for name, what in (("mixed", "Four kinds of notes from exchanged places"), ("again", "In the second of two equal withdrawals")):
        sentences.append(f"{what}: {figures[name]} schedules, {figures[f'{name}_violations']} violations.")
    if "pairs" in figures:
        both, wrong = figures["pairs_both_struck"], figures["pair_violations"]
        sentences.append(f"Pairs around the dispense: {figures['pairs']} schedules, in {both} of them both struck, {wrong} violations.")
    return _page("Every fault at every moment", sentences, _legend() + _svg(grid) + _missing(grid.pairs))


def random_page(path: Path, tally: Tally, seed: int) -> None:
    """Faults that struck, and the table's pairs, for a random run."""
    counts = tally.struck.most_common()
    rows = "".join(f"<tr><td>{html.escape(kind)}<td>{number}<td>{tally.effects[kind]}" for kind, number in counts)
    sentences = [f"{tally.schedules} schedules from seed {seed}; {len(tally.violations)} violations."]
    body = f"<table><tr><th>fault<th>struck<th>felt{rows}</table>" + _missing(pairs(tally.taken))
    path.write_text(_page("Random schedules", sentences, body), encoding="utf-8")


def _svg(grid: Grid) -> str:
    width = LEFT + WIDTH * len(grid.moments) + 20
    height = TOP + HEIGHT * len(grid.kinds) + 10
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" aria-label="faults and moments">']
    for row, kind in enumerate(grid.kinds):
        y = TOP + HEIGHT * row
        parts.append(f'<text x="{LEFT - 6}" y="{y + 7}" text-anchor="end">{html.escape(kind)}</text>')
        parts += _runs(grid, row, y)
    shown = ""
    for column, moment in enumerate(grid.moments):
        if moment != shown and _worth_a_name(moment):
            x = LEFT + WIDTH * column + 4
            parts.append(f'<text transform="translate({x},{TOP - 5}) rotate(-90)">{html.escape(moment)}</text>')
        shown = moment
    return "".join(parts) + "</svg>"


def _runs(grid: Grid, row: int, y: int) -> Iterable[str]:
    """Neighbours of one colour as one rectangle."""
    start, state = 0, grid.state(row, 0)
    for column in range(1, len(grid.moments) + 1):
        now = grid.state(row, column) if column < len(grid.moments) else ""
        if now != state:
            x, width = LEFT + WIDTH * start, WIDTH * (column - start)
            yield f'<rect x="{x}" y="{y}" width="{width}" height="{HEIGHT - 1}" fill="{COLOURS[state]}"/>'
            start, state = column, now


def _worth_a_name(moment: str) -> bool:
    return moment.startswith(("journal>", "send>", "publish>auth", "bank>", "note", "show take", "event CardInserted", "event CardRemoved"))


def _legend() -> str:
    words = {"held": "all invariants hold", "latched": "latched: the terminal knows that it does not know", "violated": "violated"}
    return "<p>" + " ".join(f'<b style="background:{COLOURS[state]}"></b>{text} &nbsp;' for state, text in words.items()) + "</p>"


def _missing(found: Pairs) -> str:
    said = f"<p>Rows of the session's table that were taken: {found.taken} of {found.of}.</p>"
    return said + ("<p>Not taken: " + html.escape("; ".join(found.missing)) + ".</p>" if found.missing else "")


def _page(title: str, sentences: list[str], body: str) -> str:
    style = (
        "body{font:15px/1.5 sans-serif;margin:24px;color:#1b1b1b;background:#fff}svg{font:7px sans-serif}h1{font-size:22px}"
        "p{max-width:1100px}b{display:inline-block;width:14px;height:14px;margin-right:6px}td{padding:0 14px 0 0}"
    )
    said = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title><style>{style}</style>'
    return f"{head}<h1>{html.escape(title)}</h1>{said}{body}</html>\n"
