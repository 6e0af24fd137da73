"""Lines for the operator's log, and JSON as bytes."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def say(text: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"branch-monitor: {text}\n")
    sys.stderr.flush()


def encode(message: Mapping[str, Any]) -> bytes:
    return _ENCODER.encode(message).encode()
