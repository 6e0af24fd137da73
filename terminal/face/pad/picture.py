"""The report as a picture: one bar with its interval for each species and rate. SVG, with its own colours, for a browser or a document."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from terminal.face.pad.recording import LIVE
from terminal.face.pad.report import Row

WIDTH, LEFT, RIGHT, TOP, LINE = 860, 210, 190, 74, 30
COLOURS = {"APCER": "#b3541e", "IAPAR": "#8c1c13", "BPCER": "#1f5fa8", "FRR": "#4a7fb5"}


def as_svg(table: Sequence[Row], title: str) -> str:
    """Shares from 0 to 100 % along the width."""
    bars = [(row, *rate) for row in table for rate in row.rates()]
    height = TOP + LINE * len(bars) + 58
    span = WIDTH - LEFT - RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="20" y="30" font-size="17" font-weight="600" fill="#1c2733">{escape(title)}</text>',
        '<text x="20" y="50" fill="#55606d">share of presentations in error, with its exact 95 % interval (Clopper-Pearson)</text>',
    ]
    for tick in range(0, 101, 20):
        x = LEFT + span * tick / 100
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{height - 46}" stroke="#e3e8ee"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 28}" text-anchor="middle" fill="#55606d">{tick} %</text>')
    for number, (row, name, hits, share, low, high) in enumerate(bars):
        parts += _bar(row, name, (hits, share, low, high), TOP + LINE * number, span)
    parts.append(
        f'<text x="20" y="{height - 8}" font-size="11" fill="#55606d">A measurement on recordings of one\'s own, no certification.</text>'
    )
    return "\n".join([*parts, "</svg>", ""])


def _bar(row: Row, name: str, rate: tuple[int, float, float, float], top: int, span: int) -> list[str]:
    hits, share, low, high = rate
    colour, middle = COLOURS[name], top + LINE / 2 - 4
    label = "living people" if row.species == LIVE else row.species
    from_x, to_x = f"{LEFT + span * low:.1f}", f"{LEFT + span * high:.1f}"
    line = 'stroke="#1c2733" stroke-width="2"'
    return [
        f'<text x="20" y="{middle + 5}" fill="#1c2733">{escape(label)}</text>',
        f'<text x="{LEFT - 10}" y="{middle + 5}" text-anchor="end" font-weight="600" fill="{colour}">{name}</text>',
        f'<rect x="{LEFT}" y="{top + 3}" width="{max(1.5, span * share):.1f}" height="{LINE - 14}" fill="{colour}" opacity="0.85"/>',
        f'<line x1="{from_x}" y1="{middle}" x2="{to_x}" y2="{middle}" {line}/>',
        f'<line x1="{to_x}" y1="{middle - 5}" x2="{to_x}" y2="{middle + 5}" {line}/>',
        f'<text x="{WIDTH - 20}" y="{middle + 5}" text-anchor="end" fill="#1c2733">{hits} of {row.count}; at most {high:.1%}</text>',
    ]
