"""Curves and histograms as SVG, drawn here: two axes, a grid, lines with names."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 560, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 36, 52
COLOURS = ("#0b6e4f", "#b3541e", "#3b4cc0", "#8a1c7c", "#444444")


@dataclass(frozen=True, slots=True)
class Axis:
    """`place` brings a value to the axis's own scale; `ticks` are values with their labels."""

    name: str
    ticks: Sequence[tuple[float, str]]
    place: Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Line:
    """`colour`: of COLOURS; None takes the next."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False
    colour: int | None = None


def chart(
    title: str, across: Axis, up: Axis, lines: Sequence[Line], marks: Sequence[tuple[float, str]] = (), *, names_below: bool = False
) -> str:
    """`marks`: named vertical lines. What lies outside the ticks is cut off. The lines' names stand on the right, above or below."""
    names_from = HEIGHT - BOTTOM - 17 * len(lines) + 4 if names_below else TOP + 18
    x, y = _scale(across, LEFT, WIDTH - RIGHT), _scale(up, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<clipPath id="plot"><rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"/></clipPath>',
        _text(WIDTH / 2, 20, title, "middle", 14, bold=True),
    ]
    for value, label in across.ticks:
        parts.append(f'<path d="M{x(value):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        parts.append(_text(x(value), HEIGHT - BOTTOM + 16, label, "middle"))
    for value, label in up.ticks:
        parts.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 6, y(value) + 4, label, "end"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, across.name, "middle", 12))
    parts.append(f'<g transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)">{_text(0, 0, up.name, "middle", 12)}</g>')
    for value, name in marks:
        parts.append(f'<path d="M{x(value):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#c00" stroke-dasharray="2 3"/>')
        parts.append(_text(x(value) - 4, TOP + 12, name, "end", colour="#c00"))
    for number, line in enumerate(lines):
        parts += _line(line, number, names_from + 17 * number, x, y)
    return "\n".join([*parts, "</svg>"])


def _line(line: Line, number: int, top: float, x: Callable[[float], float], y: Callable[[float], float]) -> list[str]:
    colour = COLOURS[(number if line.colour is None else line.colour) % len(COLOURS)]
    way = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line.points)
    dash = ' stroke-dasharray="6 3"' if line.dashed else ""
    left = WIDTH - RIGHT - 200
    return [
        f'<polyline clip-path="url(#plot)" points="{way}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>',
        f'<rect x="{left - 4}" y="{top - 12}" width="200" height="16" fill="#fff" fill-opacity=".8"/>',
        f'<path d="M{left} {top - 4}h22" stroke="{colour}" stroke-width="2"{dash}/>',
        _text(left + 28, top, line.name, "start"),
    ]


def _scale(axis: Axis, low: float, high: float) -> Callable[[float], float]:
    ends = [axis.place(value) for value, _ in axis.ticks]
    least, most = min(ends), max(ends)

    def to(value: float) -> float:
        return low + (high - low) * (min(max(axis.place(value), least - 0.05), most + 0.05) - least) / (most - least)

    return to


def _text(x: float, y: float, text: str, anchor: str, size: int = 11, *, bold: bool = False, colour: str = "#222") -> str:
    weight = ' font-weight="600"' if bold else ""
    style = f'font-family="sans-serif" font-size="{size}" fill="{colour}"{weight}'
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {style}>{html.escape(text)}</text>'


def logarithmic(name: str, least: float, most: float = 1.0) -> Axis:
    powers = range(round(math.log10(least)), round(math.log10(most)) + 1)
    return Axis(name, [(10.0**power, f"1e{power}" if power else "1") for power in powers], lambda value: math.log10(max(value, least / 10)))


def even_ticks(least: float, most: float) -> list[float]:
    """Round numbers from at most `least` to at least `most`: four to eleven of them."""
    step = 10.0 ** math.floor(math.log10((most - least) / 4))
    while (most - least) / step > 9:
        step *= 2 if (most - least) / step <= 18 else 5
    first, last = math.floor(least / step), math.ceil(most / step)
    return [round(step * number, 6) for number in range(first, last + 1)]


def linear(name: str, ticks: Sequence[float]) -> Axis:
    return Axis(name, [(tick, f"{tick:g}") for tick in ticks], lambda value: value)
