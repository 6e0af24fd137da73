"""What every benchmark says besides its figures: on which machine, with which versions, at which commit."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def setting(*packages: str) -> dict[str, Any]:
    """`machine` (its load is that of the last minute, when this is asked) and `versions`, those of `packages` among them."""
    machine = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_1min": round(os.getloadavg()[0], 1),
        "platform": platform.platform(terse=True),
    }
    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, **{name: version(name) for name in packages}}
    return {"machine": machine, "versions": {**found, "commit": _commit()}}


def _processor() -> str:
    """As the kernel names it; "" where it does not."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def _commit() -> str:
    """With a + when the working tree has changes; "" outside a checkout."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return said.stdout.strip()
