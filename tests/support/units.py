"""The systemd units of deploy/, as their settings."""

from __future__ import annotations

from pathlib import Path

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"


def settings_of(unit: str) -> dict[str, str]:
    lines = [line.split("=", 1) for line in (UNITS / f"{unit}.service").read_text().splitlines() if "=" in line]
    return {name: value for name, value in lines if not name.startswith("#")}
