"""Spawn, watch, kill, back off, give up: one process per device.

`kill -9` is the universal cancel. A worker that dies or hangs with a command in flight yields CommandFailed(workerLost); nobody sends that
command again by itself. A restart is not a retry.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drivers.transports.base import Clock
from terminal.core.commands import DeviceCommand
from terminal.core.events import NOT_SENT, CommandFailed, DeviceGaveUp, DeviceLost, Event, FaceProgress
from terminal.core.model import Device
from terminal.workers.children import Child, Restarts, Spawn, Supervised
from terminal.workers.wire import WireError, decode, encode

HEARTBEAT_LIMIT_S = 15.0  # longer than any service may block while it opens or looks at its device (the PIN pad: 8 s)
GRACE_S = 0.5
WORKER = (sys.executable, "-m", "terminal.workers.worker")

Inbox = Callable[[Event | Callable[[], None]], None]  # a call is made in the agent's thread


class WorkerProcess(Supervised):
    """The agent's end of one worker. Everything but the reader thread runs in the agent's thread."""

    def __init__(
        self,
        device: Device,
        settings: Mapping[str, Any],
        clock: Clock,
        inbox: Inbox,
        program: Sequence[str] = WORKER,
        *,
        start_after_s: float = 0.0,
        spawn: Spawn = Child,
    ) -> None:
        super().__init__(clock, start_after_s, spawn)
        self.device = device
        self._program = program
        self._settings = settings
        self._inbox = inbox
        self._in_flight: dict[int, float] = {}
        self._heard_at = 0.0

    def send(self, command: DeviceCommand) -> None:
        if self._generation == 0:  # wanted before its turn to start
            self._start()
        if self._child is None or not self._child.send(encode(command)):
            # such a line is shorter than PIPE_BUF: it is in the pipe whole, or nobody is left who could read any of it
            self._inbox(CommandFailed(command.command_id, command.device, "workerLost", NOT_SENT))
            return
        if command.has_answer:
            self._in_flight[command.command_id] = self._clock.now() + command.deadline_s + GRACE_S

    def restart(self) -> None:
        """Ordered by a person: with a fresh budget, also after it was given up."""
        self._restarts = Restarts(self._clock)
        if self._child is not None:
            self._child.kill()
        else:
            self._start_at = self._clock.now()

    def tick(self) -> None:
        """Deadlines, heartbeat, due restarts. Called by the agent's loop."""
        now = self._clock.now()
        if self._due:
            self._start()
        if self._child is None:
            return
        late = any(now >= at for at in self._in_flight.values())
        if late or (not self._in_flight and now >= self._heard_at + HEARTBEAT_LIMIT_S):
            self._child.kill()

    def next_deadline(self) -> float | None:
        """When `tick` has something to do."""
        if self._child is None:
            return self._start_at
        if self._in_flight:  # a busy worker sends no heartbeat
            return min(self._in_flight.values())
        return self._heard_at + HEARTBEAT_LIMIT_S

    def _start(self) -> None:
        self._heard_at = self._clock.now() + HEARTBEAT_LIMIT_S  # the first import may take its time
        child = self._spawn([*self._program, self.device.value], self._on_line)
        child.send(json.dumps({"device": self.device.value, "settings": dict(self._settings)}).encode() + b"\n")

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
        if answered is not None and not isinstance(event, FaceProgress):
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
