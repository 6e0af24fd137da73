"""Retention of faces: templates that nobody used for as long as the consent promised are deleted by the bank itself, with proof."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from simulators.bank.faces import Faces
from simulators.bank.store import Store

EVERY_S = 3600.0


class Retention:
    """Looks at its first `tick` (monotonic seconds) and then every hour. `now`: the wall clock, UTC."""

    def __init__(self, store: Store, faces: Faces, months: int, now: Callable[[], datetime]) -> None:
        self._store, self._faces, self._months, self._now = store, faces, months, now
        self._due = float("-inf")

    def tick(self, at: float) -> None:
        if at >= self._due:
            self._due = at + EVERY_S
            with self._store.transaction():
                self._faces.expire(self._months, self._now())

    def next_wakeup(self) -> float:
        return self._due
