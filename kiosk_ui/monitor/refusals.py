"""What was refused, for a person to look at: a bounded table, in which one loud terminal cannot push out all others' lines."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from kiosk_ui.monitor.database import insert_rows
from kiosk_ui.monitor.schema import REFUSAL

MAX_PAYLOAD = 2_048
EACH_BATCH = 20


@dataclass(frozen=True, slots=True)
class Refusal:
    """`topic` as it came, cut; `payload` is cut before it is kept."""

    topic: str
    reason: str
    detail: str
    payload: bytes = field(repr=False)


def keep_refusals(connection: Connection, found: Sequence[Refusal], now: int) -> None:
    """The first of each reason and topic in a batch, and no more than a handful: the counters have them all."""
    kept: dict[tuple[str, str], Refusal] = {}
    for one in found:
        kept.setdefault((one.reason, one.topic), one)
    rows = [
        {
            "at": now,
            "topic": printable(one.topic, 160),
            "reason": one.reason,
            "detail": one.detail,
            "digest": hashlib.sha256(one.payload).hexdigest(),
            "payload": printable(one.payload[:MAX_PAYLOAD].decode(errors="replace"), MAX_PAYLOAD),
        }
        for one in list(kept.values())[:EACH_BATCH]
    ]
    insert_rows(connection, REFUSAL, rows)


def printable(text: str, most: int) -> str:
    """No control characters (PostgreSQL refuses NUL), nothing that cannot be encoded."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text[:most])
