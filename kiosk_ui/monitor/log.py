"""Lines for the operator's log, JSON as bytes, the time of day."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def say(text: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"branch-monitor: {text}\n")
    sys.stderr.flush()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def encode(message: Mapping[str, Any]) -> bytes:
    return _ENCODER.encode(message).encode()
