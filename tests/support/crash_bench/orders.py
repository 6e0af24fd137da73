"""Orders to kill at a named point, as they travel from the bench to the agent's launcher: a JSON file, and a file of what was done.

A point is the kind and name of a trace note (`command Dispense`, `event CardRemoved`, `view takeCash`) and the side of it: `before`
the effect, or `after` it. The list is obeyed in its order: the second order waits until the first was carried out, also over a
restart of the agent. An order is taken off the list, and told, before the signal is sent.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "BRANCH_CRASH_ORDERS"


@dataclass(frozen=True, slots=True)
class Order:
    """`target`: `agent`, `page`, a device's worker, or a process outside of the agent, which then comes with its `pid`.

    `nth` time the point is reached; `delay_s` after it.
    """

    target: str
    point: str
    side: str = "before"
    nth: int = 1
    delay_s: float = 0.0
    pid: int = 0

    @property
    def place(self) -> str:
        return f"{self.side} {self.point}" + (f" +{self.delay_s * 1000:.0f} ms" if self.delay_s else "")


def read(file: Path) -> list[Order]:
    try:
        return [Order(**one) for one in json.loads(file.read_text())]
    except FileNotFoundError:
        return []


def write(file: Path, orders: Sequence[Order]) -> None:
    """Replaced as a whole: a reader sees the old list or the new one."""
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps([asdict(one) for one in orders]))
    os.replace(fresh, file)


def done_file(file: Path) -> Path:
    return file.with_suffix(".done")


def tell_done(file: Path, order: Order) -> None:
    with done_file(file).open("a") as done:
        done.write(json.dumps(asdict(order)) + "\n")


def done(file: Path) -> list[Order]:
    """What was carried out so far."""
    try:
        lines = done_file(file).read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []
    return [Order(**json.loads(line)) for line in lines]
