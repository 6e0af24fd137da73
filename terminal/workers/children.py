"""A child process of the agent: it talks in lines, is watched, killed, started again with back-off, and given up in the end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from drivers.transports.base import Clock
from terminal.workers.wire import MAX_LINE

BACK_OFF_S = (0.5, 60.0)
BUDGET = (5, 600.0)

Line = Callable[[int, bytes | None], None]


class ChildPort(Protocol):
    """A child as its supervisor needs it: `Child`, or one in memory."""

    @property
    def pid(self) -> int: ...
    def send(self, line: bytes) -> bool: ...
    def kill(self) -> None: ...
    def close(self, grace_s: float) -> None: ...


Spawn = Callable[[Sequence[str], Line, int], ChildPort]


class Child:
    """A child process that talks in lines. `on_line(generation, line)` is called from a reader thread; None is its end."""

    def __init__(self, arguments: Sequence[str], on_line: Line, generation: int) -> None:
        self.generation = generation
        self._process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._on_line = on_line
        threading.Thread(target=self._read, name=f"reader of {arguments[-1]}", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, line: bytes) -> bool:
        """False when it is gone (its end is told by the reader)."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
        except (OSError, ValueError):  # ValueError: the reader thread has closed it after the end
            return False
        return True

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self, grace_s: float) -> None:
        """Close its input, give it time to end, then kill."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None and self._process.stdin is not None
        rest = b""
        number = self._process.stdout.fileno()
        while True:
            try:
                data = os.read(number, 65536)
            except OSError:
                data = b""
            if not data or len(rest) > MAX_LINE:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._on_line(self.generation, line)
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._on_line(self.generation, None)


class Restarts:
    """Back-off and budget: at once, then 1 s doubling to 60 s; five restarts in ten minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._times: deque[float] = deque()

    def next_start(self) -> float | None:
        """When to start again; None when the budget is used up."""
        now = self._clock.now()
        while self._times and now - self._times[0] > BUDGET[1]:
            self._times.popleft()
        if len(self._times) >= BUDGET[0]:
            return None
        delay = min(BACK_OFF_S[0] * 2 ** len(self._times), BACK_OFF_S[1]) if self._times else 0.0
        self._times.append(now)
        return now + delay


class Supervised:
    """What worker and page have in common: one child at a time, told apart by its generation. Used in the agent's thread only."""

    def __init__(self, clock: Clock, start_after_s: float = 0.0, spawn: Spawn = Child) -> None:
        self._clock = clock
        self._spawn_child = spawn
        self._restarts = Restarts(clock)
        self._child: ChildPort | None = None
        self._generation = 0
        self._start_at: float | None = clock.now() + start_after_s

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    @property
    def starts(self) -> int:
        """How often it was started."""
        return self._generation

    @property
    def _due(self) -> bool:
        return self._child is None and self._start_at is not None and self._clock.now() >= self._start_at

    def _spawn(self, arguments: Sequence[str], on_line: Line) -> ChildPort:
        self._generation += 1
        self._start_at = None
        self._child = self._spawn_child(arguments, on_line, self._generation)
        return self._child

    def close(self, grace_s: float) -> None:
        """Its last words are nobody's any more."""
        child, self._child, self._start_at = self._child, None, None
        self._generation += 1
        if child is not None:
            child.close(grace_s)
