"""The systemd units of deploy/, as their settings."""

from __future__ import annotations

from pathlib import Path

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"


def settings_of(unit: str) -> dict[str, str]:
    """`unit`: its file's name; a service's may be left without ".service"."""
    file = UNITS / (unit if "." in unit else f"{unit}.service")
    lines = [line.split("=", 1) for line in file.read_text().splitlines() if "=" in line]
    return {name: value for name, value in lines if not name.startswith("#")}
