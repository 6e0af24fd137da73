"""Every action of a person, and of the monitor by itself, in a table in which each line's hash holds the one before it.

`meta.audit` has the newest hash; that row is locked while a line is added, so the chain has no forks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from kiosk_ui.monitor.schema import AUDIT, META

ITSELF = "monitor"


@dataclass(frozen=True, slots=True)
class Who:
    name: str
    role: str


MONITOR = Who(ITSELF, "system")


def record(connection: Connection, who: Who, action: str, subject: str, detail: Mapping[str, Any], now: int) -> None:
    """In the transaction of what it records. `subject`: what was acted upon (a terminal, an alarm's id, a command's id)."""
    before = connection.execute(select(META.c.value).where(META.c.name == "audit").with_for_update()).scalar_one()
    n = int(connection.execute(select(func.coalesce(func.max(AUDIT.c.n), 0))).scalar_one()) + 1
    text = json.dumps(detail, sort_keys=True)
    mark = line_hash(before, n, now, who.name, who.role, action, subject, text)
    values = {"n": n, "at": now, "who": who.name, "role": who.role, "action": action, "object": subject, "detail": text, "hash": mark}
    connection.execute(insert(AUDIT).values(values))
    connection.execute(update(META).where(META.c.name == "audit").values(value=mark))


def line_hash(before: str, *fields: object) -> str:
    return hashlib.sha256("\n".join([before, *(str(one) for one in fields)]).encode("utf-8", "surrogatepass")).hexdigest()


def first_broken(connection: Connection) -> int | None:
    """The number of the first line that does not follow from those before it; None when the chain is whole."""
    before, expected = "", 1
    for row in connection.execute(select(AUDIT).order_by(AUDIT.c.n)):
        before = line_hash(before, row.n, row.at, row.who, row.role, row.action, row.object, row.detail)
        if row.n != expected or row.hash != before:
            return expected
        expected += 1
    kept = connection.execute(select(META.c.value).where(META.c.name == "audit")).scalar_one()
    return None if kept == before else expected


def lines(connection: Connection, *, before: int | None, most: int, subject: str = "", who: str = "") -> list[dict[str, Any]]:
    """The newest first."""
    wanted = select(AUDIT).order_by(AUDIT.c.n.desc()).limit(most)
    if before is not None:
        wanted = wanted.where(AUDIT.c.n < before)
    if subject:
        wanted = wanted.where(AUDIT.c.object == subject)
    if who:
        wanted = wanted.where(AUDIT.c.who == who)
    return [{**row._mapping, "detail": json.loads(row.detail)} for row in connection.execute(wanted)]
