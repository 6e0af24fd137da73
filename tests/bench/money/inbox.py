"""The agent's inbox and what the bank link stands on, in virtual time."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

from money.sched import Scheduler, Task


class MemoryInbox:
    """terminal.ports.Inbox."""

    def __init__(self, schedule: Scheduler) -> None:
        self._schedule = schedule
        self._items: deque[Any] = deque()
        self._task: Task | None = None

    def put(self, item: Any) -> None:
        self._items.append(item)
        self._schedule.poke(self._task)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        self._task = self._schedule.current
        self._schedule.count_step()
        until = self._schedule.now + (timeout or 0.0)
        while not self._items and block and self._schedule.now < until:
            self._schedule.wait(until)
        if not self._items:
            raise queue.Empty
        return self._items.popleft()

    def __len__(self) -> int:
        return len(self._items)


class MemoryWake:
    """terminal.adapters.link_means.WakePort."""

    def __init__(self, schedule: Scheduler) -> None:
        self._schedule = schedule
        self._task: Task | None = None
        self.raised = False

    def fileno(self) -> int:
        raise AssertionError("nobody polls a descriptor in virtual time")

    def set(self) -> None:
        self.raised = True
        self._schedule.poke(self._task)

    def clear(self) -> None:
        self.raised = False

    def wait(self, timeout_s: float) -> None:
        self.listen()
        until = self._schedule.now + timeout_s
        while not self.raised and self._schedule.now < until:
            self._schedule.wait(until)

    def listen(self) -> None:
        """Whoever runs now is who is woken."""
        self._task = self._schedule.current

    def close(self) -> None:
        self._task = None


class MemoryThread:
    """terminal.adapters.link_means.ThreadPort: a task that ends with its process."""

    _numbers = count(1)

    def __init__(self, schedule: Scheduler, target: Callable[[], None], name: str, started: Callable[[Task], None]) -> None:
        self._schedule, self._target, self._name, self._started = schedule, target, name, started
        self._task: Task | None = None
        self.ident: int | None = None

    def start(self) -> None:
        self.ident = next(self._numbers)
        self._task = self._schedule.spawn(self._name, self._target)
        self._started(self._task)

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.done and not self._task.dead

    def join(self, timeout: float | None = None) -> None:
        until = self._schedule.now + (timeout or 0.0)
        while self.is_alive() and self._schedule.now < until:
            self._schedule.wait(min(until, self._schedule.now + 0.1))
