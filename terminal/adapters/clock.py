"""The wall clock: UTC outside, and only outside. Deadlines inside are monotonic (drivers.transports.base.Clock).

ISO 8601 with milliseconds and a `Z`, the form that the journal, the envelope and the receipt share.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

WallClock = Callable[[], datetime]


def utc_now() -> datetime:
    """The machine's clock, aware, UTC."""
    return datetime.now(UTC)


def iso_ms(moment: datetime) -> str:
    """``2026-11-22T08:00:00.123Z``. ValueError when `moment` carries no time zone: a local time must not look like UTC."""
    if moment.tzinfo is not UTC:
        if moment.tzinfo is None:
            raise ValueError("a moment without a time zone cannot be written as UTC")
        moment = moment.astimezone(UTC)
    return f"{moment.isoformat(timespec='milliseconds')[:-6]}Z"
