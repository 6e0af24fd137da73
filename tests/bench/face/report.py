"""The measurement as one HTML page: what was measured, figures, ROC, DET, histograms, the table of poor pictures. Nobody's picture."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy

from face.accuracy import Accuracy
from face.chart import Axis, Line, chart, even_ticks, linear, logarithmic
from face.rates import Scores

STYLE = """body{font:15px/1.5 sans-serif;max-width:1180px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}th,td{border:1px solid #ccc;padding:.25em .6em;text-align:right}
th:first-child,td:first-child{text-align:left}.charts{display:grid;grid-template-columns:1fr 1fr;gap:1em}
@media(max-width:800px){.charts{grid-template-columns:1fr}}pre{white-space:pre-wrap;background:#f5f5f5;padding:1em;font-size:12px}"""
DEVIATES = (0.0001, 0.001, 0.01, 0.05, 0.2, 0.5)


def write(
    path: Path, summary: dict[str, Any], found: Sequence[Accuracy], tables: dict[str, list[dict[str, Any]]], linked: Scores | None
) -> None:
    parts = [f"<!doctype html><meta charset=utf-8><title>Face: measured</title><style>{STYLE}</style><h1>Face: measured</h1>"]
    parts.append(f"<p>{html.escape(_said(summary))}</p>")
    if found:
        parts += ["<h2>Accuracy</h2>", accuracy_table(found), '<div class="charts">', roc(found), det(found)]
        parts += [histogram(one) for one in found]
        parts += [rotation(linked)] if linked is not None else []
        parts.append("</div>")
    for name, rows in tables.items():
        parts += [f"<h2>Poor pictures: {html.escape(name)}</h2>", robust_table(rows)]
    parts += ["<h2>All figures</h2><pre>", html.escape(_pretty(summary)), "</pre>"]
    path.write_text("\n".join(parts), encoding="utf-8")


def _said(summary: dict[str, Any]) -> str:
    data = summary.get("data")
    if data is None:
        return str(summary.get("missing", ""))
    listed = f"{data['pairs']} listed pairs ({data['pairs_genuine']} genuine)"
    every = f"all pairs of pictures: {data['all_genuine']} genuine, {data['all_impostors']} impostor"
    enrolled = f"{data['people_with_4_images']} people with four pictures or more are enrolled with three"
    on, python = summary["machine"], summary["versions"]["python"]
    machine = f"{on['processor']}, {on['cores']} processors, load {on['load_1min']} at the start, Python {python}"
    return f"{data['people']} people, {data['images']} pictures; {listed}; {every}; {enrolled}. {machine}."


def _pretty(summary: dict[str, Any]) -> str:
    import json

    return json.dumps(summary, indent=1)


def percent(value: float | None, digits: int = 2) -> str:
    return "too few" if value is None else f"{100 * value:.{digits}f} %"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = ["<tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in head) + "</tr>"]
    cells += ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return f"<table>{''.join(cells)}</table>"


def accuracy_table(found: Sequence[Accuracy]) -> str:
    head = [
        "",
        "EER, all pairs",
        "EER, listed pairs",
        "accuracy",
        "TAR at FAR 1e-3",
        "TAR at FAR 1e-4",
        "mean of 3: FRR at FAR 1e-4",
        "missed",
    ]
    names = ("eer", "eer_listed", "accuracy", "tar_at_far_1e3", "tar_at_far_1e4", "frr_mean3_at_far_1e4", "fte")
    return _table(head, [[one.embedded.pipeline.name, *(percent(one.figures[name]) for name in names)] for one in found])


def robust_table(rows: Sequence[dict[str, Any]]) -> str:
    head = ["picture", "no face", "FRR", "FAR", "asked again", "for", "FRR with gates", "FAR with gates"]
    cells = []
    for row in rows:
        why = ", ".join(f"{hint} {count}" for hint, count in list(row["hints"].items())[:3])
        gated = [counted(row["frr_gated"]), small(row["far_gated"])]
        shown = [str(row["missed"]), counted(row["frr"]), small(row["far"]), percent(row["asked_again"], 0), why]
        cells.append([row["picture"], *shown, *gated])
    return _table(head, cells)


def counted(rate: dict[str, Any]) -> str:
    return "none passed" if rate["rate"] is None else f"{percent(rate['rate'], 1)} of {rate['count'][1]}"


def small(rate: dict[str, Any]) -> str:
    return "none passed" if rate["rate"] is None else f"{rate['rate']:.1e} ({rate['count'][0]})"


def roc(found: Sequence[Accuracy]) -> str:
    lines = [Line(line.name, [(a, 1 - b) for a, b in line.points], line.dashed, line.colour) for line in _curves(found)]
    up = linear("true accepts", [0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    return chart("ROC: templates of three (dashed: of one)", logarithmic("false accepts", 1e-5), up, lines, names_below=True)


def det(found: Sequence[Accuracy]) -> str:
    normal = NormalDist()
    places = [(value, f"{100 * value:g} %") for value in DEVIATES]

    def place(value: float) -> float:
        return normal.inv_cdf(min(max(value, 2e-5), 0.9))

    return chart("DET (normal deviates)", Axis("false accepts", places, place), Axis("false rejects", places, place), _curves(found))


def _curves(found: Sequence[Accuracy]) -> list[Line]:
    """FAR against FRR; a pipeline's two curves in one colour."""
    lines = []
    for number, one in enumerate(found):
        for kind, scores in (("of three", one.mean3), ("of one", one.single)):
            if scores is not None:
                far, frr = scores.curve()
                kept = slice(None, None, max(1, len(far) // 4000))
                points = [(float(a), float(b)) for a, b in zip(far[kept], frr[kept], strict=True) if a > 0]
                lines.append(Line(f"{one.embedded.pipeline.name}, {kind}", points, kind == "of one", number))
    return lines


def histogram(one: Accuracy) -> str:
    scores, accept = one.mean3 or one.single, one.embedded.pipeline.accept
    kind = "templates of three" if one.mean3 else "single pictures"
    names = ("strangers", "the same person")
    return _distributions(f"{one.embedded.pipeline.name}: scores, {kind}", scores, names, [(accept, f"accept {accept:g}")])


def rotation(linked: Scores) -> str:
    return _distributions("Templates under two keys", linked, ("two pictures", "one picture"), [])


def _distributions(title: str, scores: Scores, names: tuple[str, str], marks: Sequence[tuple[float, str]]) -> str:
    low, high = _bounds(scores)
    edges = numpy.linspace(low, high, 60)
    lines = []
    for name, values in zip(names, (scores.impostor, scores.genuine), strict=True):
        share = numpy.histogram(values, edges)[0] / max(1, len(values))
        middles = (edges[1:] + edges[:-1]) / 2
        lines.append(Line(f"{name} ({len(values)})", [(float(e), float(s)) for e, s in zip(middles, share, strict=True)]))
    most = max(point[1] for line in lines for point in line.points)
    up = linear("share of comparisons", even_ticks(0, 1.3 * most))  # room for the names
    return chart(title, linear("score", even_ticks(low, high)), up, lines, marks)


def _bounds(scores: Scores) -> tuple[float, float]:
    seen = numpy.concatenate((scores.genuine, scores.impostor))
    seen = seen[numpy.isfinite(seen)]
    return float(numpy.quantile(seen, 0.0005)), float(seen.max())
