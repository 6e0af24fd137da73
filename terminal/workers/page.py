"""The kiosk page's process as the agent sees it: views go in, presses come out, one JSON line each (docs/kiosk-view.md)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drivers.transports.base import Clock
from terminal.workers.children import Child, Spawn, Supervised

PING_S = 5.0
PONG_LIMIT_S = 20.0
PAGE = (sys.executable, "-m", "kiosk_ui")


class PageProcess(Supervised):
    """Restarted when it ends or stops answering; the last view is sent again, so that a page that reconnects is right at once."""

    def __init__(
        self,
        arguments: Sequence[str],
        clock: Clock,
        inbox: Callable[[Callable[[], None]], None],
        pressed: Callable[[int, str], None],
        ready: Callable[[int], None],
        program: Sequence[str] = PAGE,
        *,
        spawn: Spawn = Child,
    ) -> None:
        super().__init__(clock, spawn=spawn)
        self._arguments = [*program, *arguments]
        self._inbox = inbox
        self._pressed = pressed
        self._ready = ready
        self._view: Mapping[str, Any] | None = None
        self._ping_at = self._heard_at = 0.0

    def show(self, view: Mapping[str, Any]) -> None:
        self._view = view
        self._send({"view": view})

    def tick(self) -> None:
        now = self._clock.now()
        if self._due:
            self._start()
        elif self._child is None:
            return
        elif now - self._heard_at > PONG_LIMIT_S:
            self._child.kill()
        elif now >= self._ping_at:
            self._ping_at = now + PING_S
            self._send({"ping": self._generation})

    def next_deadline(self) -> float | None:
        return self._start_at if self._child is None else self._ping_at

    def _start(self) -> None:
        self._heard_at = self._clock.now()
        self._ping_at = self._heard_at + PING_S
        self._spawn(self._arguments, self._on_line)
        if self._view is not None:
            self.show(self._view)

    def _send(self, message: Mapping[str, Any]) -> None:
        if self._child is not None:
            self._child.send(json.dumps(message, ensure_ascii=False).encode() + b"\n")

    def _on_line(self, generation: int, line: bytes | None) -> None:
        self._inbox(lambda: self._take(generation, line))

    def _take(self, generation: int, line: bytes | None) -> None:
        if generation != self._generation:
            return
        if line is None:
            self._child = None
            self._start_at = self._restarts.next_start()
            if self._start_at is None:
                self._start_at = self._clock.now() + 60.0  # without a page nobody can be served: never give up, only slow down
            return
        self._heard_at = self._clock.now()
        try:
            message = json.loads(line)
            pressed, ready = message.get("pressed"), message.get("ready")
            press = (int(pressed["seq"]), str(pressed["id"])) if pressed is not None else None
            port = int(ready["port"]) if ready is not None else None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            sys.stderr.write("kiosk page: a line that is none of ours\n")
            return
        if press is not None:
            self._pressed(*press)
        if port is not None:
            self._ready(port)
