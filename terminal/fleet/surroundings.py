"""What surrounds the agent, asked when it is told: the page and the workers, the outbox, the disk, the link."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from terminal.adapters.clock import WallClock
from terminal.adapters.store import Store
from terminal.adapters.store_file import StoreFailed
from terminal.fleet.health import Depth


class Child(Protocol):
    """A supervised process (terminal/workers/children.py)."""

    @property
    def pid(self) -> int | None: ...
    @property
    def starts(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Machine:
    """terminal.fleet.post.Surroundings. `children`: by device name, the page's under "page"."""

    children: Mapping[str, Child]
    store: Store
    folder: Path
    certificate_ends: Callable[[], datetime | None]
    wall_clock: WallClock
    clock_offset: Callable[[], int | None]

    def page(self) -> str:
        child = self.children["page"]
        if child.pid is not None:
            return "online"
        return "offline" if child.starts else "starting"

    def restarts(self) -> Mapping[str, int]:
        return {name: max(0, child.starts - 1) for name, child in self.children.items()}

    def outbox(self) -> Mapping[str, Depth]:
        try:
            levels = self.store.outbox_levels()
        except StoreFailed:  # the next append says so, loudly
            return {}
        return {klass: Depth(level.rows, level.capacity, level.dropped) for klass, level in levels.items()}

    def disk_free_bytes(self) -> int | None:
        try:
            found = os.statvfs(self.folder)
        except OSError:
            return None
        return found.f_bavail * found.f_frsize

    def clock_offset_ms(self) -> int | None:
        return self.clock_offset()

    def certificate_days_left(self) -> int | None:
        """Of the certificate that the last connection was made with; None without one."""
        ends = self.certificate_ends()
        return None if ends is None else (ends - self.wall_clock()).days
