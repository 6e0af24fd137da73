"""The ingest's processes, as the server sees them: started, watched, started again, ended."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from pathlib import Path

from kiosk_ui.monitor.log import say
from kiosk_ui.monitor.mqtt import Backoff

STEADY_S = 10.0
END_S = 8.0


class Workers:
    """N worker processes; one that ends is started again, later and later when it ends at once."""

    def __init__(self, config_path: Path, number: int) -> None:
        self._path = config_path
        self._children: dict[int, subprocess.Popen[bytes] | None] = dict.fromkeys(range(1, number + 1))
        self._started = dict.fromkeys(self._children, 0.0)
        self._due = dict.fromkeys(self._children, 0.0)
        self._backoff = {one: Backoff(30.0, random.Random()) for one in self._children}

    def look(self) -> None:
        now = time.monotonic()
        for number, child in self._children.items():
            if child is not None and child.poll() is None:
                if now - self._started[number] > STEADY_S:
                    self._backoff[number].reset()
            elif child is not None:
                say(f"worker {number} ended ({child.returncode}); it is started again")
                self._close(child)
                self._children[number], self._due[number] = None, now + self._backoff[number].delay()
            elif now >= self._due[number]:
                self._start(number, now)

    def _start(self, number: int, now: float) -> None:
        command = [sys.executable, "-m", "kiosk_ui.monitor.worker", "--config", str(self._path), "--number", str(number)]
        try:
            self._children[number] = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        except OSError as error:  # no memory, no process: later, perhaps
            say(f"worker {number} cannot be started: {error}")
            self._due[number] = now + self._backoff[number].delay()
        self._started[number] = now

    def running(self) -> bool:
        """All of them, at the last look."""
        return all(child is not None and child.returncode is None for child in self._children.values())

    def pids(self) -> dict[int, int]:
        return {number: child.pid for number, child in self._children.items() if child is not None}

    def stop(self) -> None:
        """Their standard input closes, and they end; who does not is killed."""
        children = [child for child in self._children.values() if child is not None]
        for child in children:
            self._close(child)
        until = time.monotonic() + END_S
        for child in children:
            try:
                child.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    @staticmethod
    def _close(child: subprocess.Popen[bytes]) -> None:
        if child.stdin is not None:
            with contextlib.suppress(OSError):
                child.stdin.close()
