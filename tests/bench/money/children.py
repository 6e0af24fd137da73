"""Worker and page processes of the bench: the shipped loops on pipes of memory, also after their agent has gone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from money.sched import Scheduler, Task

START_S = 0.08
Line = Callable[[int, bytes | None], None]


class MemoryPipe:
    """terminal.workers.worker.PipePort. `quiet()`: a poll of the service would find nothing, so no time is spent on it until `nudge`."""

    def __init__(self, schedule: Scheduler, on_line: Callable[[bytes], None]) -> None:
        self._schedule = schedule
        self._on_line = on_line
        self._lines = bytearray()
        self._task: Task | None = None
        self._nudged = False
        self.quiet: Callable[[], bool] = lambda: False
        self.closed = False
        """The agent has gone: nothing more comes, and what is written breaks the pipe."""

    def put(self, line: bytes) -> None:
        self._lines += line
        self._schedule.poke(self._task)

    @property
    def waiting(self) -> bool:
        """Something was said that is not read yet."""
        return bool(self._lines)

    def nudge(self) -> None:
        """The device has something for the next poll."""
        self._nudged = True
        self._schedule.poke(self._task)

    def hang_up(self) -> None:
        self.closed = True
        self._schedule.poke(self._task)

    def wait(self, timeout_s: float) -> bytes | None:
        self._task = self._schedule.current
        idle_s = max(timeout_s, HEARTBEAT_S) if self.quiet() else timeout_s
        until = self._schedule.now + idle_s
        while not self._lines and not self._nudged and not self.closed and self._schedule.now < until:
            self._schedule.wait(until)
        self._nudged = False
        data = bytes(self._lines)
        self._lines.clear()
        return data if data or not self.closed else None

    def write(self, data: bytes) -> None:
        if self.closed:
            raise BrokenPipeError
        for line in data.splitlines():
            self._on_line(line)


HEARTBEAT_S = 5.0  # longer than a real worker's: nothing in the bench is about heartbeats but that there are some
Program = Callable[[MemoryPipe], None]


class MemoryChild:
    """terminal.workers.children.ChildPort."""

    def __init__(self, schedule: Scheduler, name: str, program: Program, on_line: Line, generation: int) -> None:
        self.pid = generation
        self.name = name
        self._schedule = schedule
        self._on_line = on_line
        self._generation = generation
        self._told = False
        self.pipe = MemoryPipe(schedule, self._say)
        self.task = schedule.spawn(name, lambda: self._main(program), self._end)

    def _main(self, program: Program) -> None:
        self._schedule.sleep(START_S)
        try:
            program(self.pipe)
        except BrokenPipeError:
            if not self.pipe.closed:
                raise

    def _say(self, line: bytes) -> None:
        self._on_line(self._generation, line)

    def _end(self) -> None:
        if not self._told:
            self._told = True
            if not self.pipe.closed:
                self._on_line(self._generation, None)

    def send(self, line: bytes) -> bool:
        if self.task.done or self.task.dead:
            return False
        self.pipe.put(line)
        return True

    def kill(self) -> None:
        """SIGKILL."""
        self._schedule.kill(self.task)
        self._end()

    def close(self, grace_s: float) -> None:
        self.pipe.hang_up()


def first_line(pipe: MemoryPipe) -> dict[str, Any]:
    """What the supervisor says first: device and settings. Commands behind it stay in the pipe."""
    while True:
        data = pipe.wait(HEARTBEAT_S)
        if data is None:
            raise BrokenPipeError
        if data:
            head, _, rest = data.partition(b"\n")
            if rest:
                pipe.put(rest)
            found: dict[str, Any] = json.loads(head)
            return found


Spawn = Callable[[Sequence[str], Line, int], MemoryChild]
