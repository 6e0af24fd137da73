"""A trace for people and measurements: names and monotonic times of events, commands and views; never their contents."""

from __future__ import annotations

import json
from pathlib import Path

from drivers.transports.base import Clock


class NoTrace:
    def note(self, kind: str, name: str, phase: str) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is open."""


class FileTrace:
    """One JSON line a note: ``{"at": seconds, "kind": ..., "name": ..., "phase": ...}``.

    `at` is CLOCK_MONOTONIC, so that other processes' times compare.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._file = path.open("a", buffering=1, encoding="utf-8")
        self._clock = clock

    def note(self, kind: str, name: str, phase: str) -> None:
        self._file.write(json.dumps({"at": round(self._clock.now(), 6), "kind": kind, "name": name, "phase": phase}) + "\n")

    def close(self) -> None:
        self._file.close()
