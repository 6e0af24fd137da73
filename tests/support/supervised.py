"""A worker or a page as a real child process, and the agent's loop as far as a child needs it."""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device
from terminal.workers.page import PageProcess
from terminal.workers.supervisor import WorkerProcess

SUPPORT = Path(__file__).parent
ODD = (sys.executable, str(SUPPORT / "odd_worker.py"))
PATIENCE_S = 60.0
LOST = e.DeviceLost(Device.DISPENSER, "workerLost")
ONLINE = e.DeviceOnline(Device.DISPENSER)


class SkippingClock:
    """The machine's clock, and a way to skip what nobody wants to wait for."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def now(self) -> float:
        return time.monotonic() + self.skipped

    def sleep(self, seconds: float) -> None:
        raise AssertionError("the agent does not sleep")


class Inbox:
    """The agent's loop, as far as a child needs it."""

    def __init__(self) -> None:
        self.items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.events: list[e.Event] = []

    def pump(self, child: WorkerProcess | PageProcess, until: Callable[[], bool]) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while not until():
            assert time.monotonic() < give_up, f"never came; so far {self.events}"
            child.tick()
            try:
                item = self.items.get(timeout=0.02)
            except queue.Empty:
                continue
            if isinstance(item, e.Event):
                self.events.append(item)
            else:
                item()


class Rig:
    def __init__(self, program: tuple[str, ...] = ODD, **settings: Any) -> None:
        self.clock = SkippingClock()
        self.inbox = Inbox()
        self.worker = WorkerProcess(Device.DISPENSER, settings, self.clock, self.inbox.items.put, program)
        self.number = 0

    @property
    def events(self) -> list[e.Event]:
        return self.inbox.events

    def until(self, ready: Callable[[], bool]) -> None:
        self.inbox.pump(self.worker, ready)

    def until_event(self, event: e.Event, times: int = 1) -> None:
        self.until(lambda: self.events.count(event) >= times)

    def do(self, deed: int, deadline_s: float = 30.0) -> int:
        self.number += 1
        self.worker.send(c.PrepareDispense(self.number, deadline_s, (deed,)))
        return self.number

    def pid(self) -> int:
        self.until(lambda: self.worker.pid is not None)
        assert self.worker.pid is not None
        return self.worker.pid


@contextmanager
def worker(program: tuple[str, ...] = ODD, **settings: Any) -> Iterator[Rig]:
    rig = Rig(program, **settings)
    try:
        yield rig
    finally:
        rig.worker.close(5.0)


ANSWER, HANG, CRASH, GARBAGE, RAISE, LOSE, PRINT, REFUSE, FOREIGN = range(9)


def done(number: int) -> Callable[[e.Event], bool]:
    return lambda event: isinstance(event, e.DispenserPrepared) and event.command_id == number


def gone(number: int) -> e.CommandFailed:
    return e.CommandFailed(number, Device.DISPENSER, "workerLost", "workerLost")


def not_sent(number: int) -> e.CommandFailed:
    return e.CommandFailed(number, Device.DISPENSER, "workerLost", e.NOT_SENT)
