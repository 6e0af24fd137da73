"""Spawn, watch, kill, back off, give up: one process per device, and one for the page.

`kill -9` is the universal cancel. A worker that dies or hangs with a command in flight yields CommandFailed(workerLost); nobody sends that
command again by itself. A restart is not a retry.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drivers.transports.base import Clock
from terminal.core.commands import DeviceCommand
from terminal.core.events import CommandFailed, DeviceGaveUp, DeviceLost, Event
from terminal.core.model import Device
from terminal.workers.wire import MAX_LINE, WireError, decode, encode

HEARTBEAT_LIMIT_S = 15.0  # longer than any service may block while it opens or looks at its device (the PIN pad: 8 s)
GRACE_S = 0.5
BACK_OFF_S = (0.5, 60.0)
BUDGET = (5, 600.0)

Line = Callable[[int, bytes | None], None]
Inbox = Callable[[Event | Callable[[], None]], None]  # a call is made in the agent's thread


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
    """Back-off and budget: 0.5 s doubling to 60 s, five restarts in ten minutes."""

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


class WorkerProcess:
    """The agent's end of one worker. Everything but the reader thread runs in the agent's thread."""

    def __init__(self, device: Device, settings: Mapping[str, Any], clock: Clock, inbox: Inbox, *, start_after_s: float = 0.0) -> None:
        self.device = device
        self._settings = settings
        self._clock = clock
        self._inbox = inbox
        self._restarts = Restarts(clock)
        self._child: Child | None = None
        self._generation = 0
        self._start_at: float | None = clock.now() + start_after_s
        self._in_flight: dict[int, float] = {}
        self._heard_at = 0.0

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def send(self, command: DeviceCommand) -> None:
        if self._generation == 0:  # wanted before its turn to start
            self._start()
        if self._child is None or not self._child.send(encode(command)):
            self._inbox(CommandFailed(command.command_id, command.device, "workerLost", "workerLost"))
            return
        self._in_flight[command.command_id] = self._clock.now() + command.deadline_s + GRACE_S

    def tick(self) -> None:
        """Deadlines, heartbeat, due restarts. Called by the agent's loop."""
        now = self._clock.now()
        if self._child is None:
            if self._start_at is not None and now >= self._start_at:
                self._start()
            return
        late = any(now >= at for at in self._in_flight.values())
        if late or (not self._in_flight and now - self._heard_at > HEARTBEAT_LIMIT_S):
            self._child.kill()

    def next_deadline(self) -> float | None:
        """When `tick` has something to do."""
        if self._child is None:
            return self._start_at
        return min([*self._in_flight.values(), self._heard_at + HEARTBEAT_LIMIT_S])

    def close(self, grace_s: float) -> None:
        child, self._child, self._start_at = self._child, None, None
        self._generation += 1
        if child is not None:
            child.close(grace_s)

    def _start(self) -> None:
        self._generation += 1
        self._start_at = None
        self._heard_at = self._clock.now() + HEARTBEAT_LIMIT_S  # the first import may take its time
        self._child = Child([sys.executable, "-m", "terminal.workers.worker", self.device.value], self._on_line, self._generation)
        self._child.send(json.dumps({"device": self.device.value, "settings": dict(self._settings)}).encode() + b"\n")

    def _on_line(self, generation: int, line: bytes | None) -> None:
        """In the reader thread: hand over, nothing else."""
        self._inbox(lambda: self._take(generation, line))

    def _take(self, generation: int, line: bytes | None) -> None:
        if generation != self._generation:
            return  # the last words of a process we have already given up
        if line is None:
            self._ended()
            return
        self._heard_at = self._clock.now()
        if line == b"{}":
            return
        try:
            event = decode(line)
            if not isinstance(event, Event) or getattr(event, "device", self.device) is not self.device:
                raise WireError(f"{type(event).__name__} is not its to say")
        except WireError as error:
            sys.stderr.write(f"{self.device.value}: worker spoke nonsense: {error}\n")
            if self._child is not None:
                self._child.kill()
            return
        answered = getattr(event, "command_id", None)
        if answered is not None:
            self._in_flight.pop(answered, None)
        self._inbox(event)

    def _ended(self) -> None:
        self._child = None
        lost, self._in_flight = self._in_flight, {}
        for command_id in lost:
            self._inbox(CommandFailed(command_id, self.device, "workerLost", "workerLost"))
        self._inbox(DeviceLost(self.device, "workerLost"))
        self._start_at = self._restarts.next_start()
        if self._start_at is None:
            self._inbox(DeviceGaveUp(self.device))
