"""How much of a flood of refusals is written down: the first twenty, then two a minute. The others are counted (telemetry)."""

from __future__ import annotations

BURST, EVERY_S = 20.0, 30.0


class Allowance:
    """Time is an argument, monotonic seconds."""

    def __init__(self, now: float) -> None:
        self._left, self._at = BURST, now

    def take(self, now: float) -> bool:
        """True: write this one down."""
        self._left = min(BURST, self._left + (now - self._at) / EVERY_S)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
