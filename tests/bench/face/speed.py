"""How long one verification takes, how long the loading, how much memory: every pipeline in a fresh process, one thread, in turns.

In turns, so that whatever else the machine does hits all of them alike: the parent asks each process for one verification after the
other. Wall time is what a customer waits; processor time is what the work costs, whoever else is running.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy

ROUNDS, WARM_UP = 60, 5
PLACE = Path(__file__).resolve().parent.parent
ROOT = PLACE.parent.parent


def measure(names: tuple[str, ...], frame: Path, rounds: int = ROUNDS) -> dict[str, dict[str, Any]]:
    """`frame`: a picture file of one face in 640 x 480."""
    figures: dict[str, dict[str, Any]] = {}
    children = {name: _start(name, frame) for name in names}
    try:
        for name, child in children.items():
            figures[name] = _answer(child)  # loaded one after the other, not at once
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        for turn in range(WARM_UP + rounds):
            for name, child in children.items():
                told = _answer(child)
                if turn >= WARM_UP:
                    times[name].append((told["wall_ms"], told["cpu_ms"]))
        for name, child in children.items():
            figures[name]["rss_mb"] = _answer(child, "end")["rss_mb"]
    finally:
        for child in children.values():
            child.kill()
            child.communicate()
    for name, pairs in times.items():
        wall, cpu = (numpy.percentile([pair[which] for pair in pairs], [50, 95]) for which in (0, 1))
        figures[name]["verify_ms"] = {"p50": float(wall[0]), "p95": float(wall[1]), "cpu_p50": float(cpu[0]), "cpu_p95": float(cpu[1])}
        figures[name]["verify_n"] = len(pairs)
    return figures


def _start(name: str, frame: Path) -> subprocess.Popen[str]:
    path = ":".join((str(PLACE), str(ROOT)))
    return subprocess.Popen(
        [sys.executable, "-m", "face.speed_child", name, str(frame)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
    )


def _answer(child: subprocess.Popen[str], ask: str = "go") -> dict[str, Any]:
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(ask + "\n")
    child.stdin.flush()
    line = child.stdout.readline()
    if not line:
        raise RuntimeError("a measuring process ended; its own words are above")
    answer: dict[str, Any] = json.loads(line)
    return answer
