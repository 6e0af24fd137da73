"""The ingest's processes, as the server sees them: started, watched, started again, ended; and since when all of them have heard."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from kiosk_ui.monitor.log import now_ms, say
from kiosk_ui.monitor.mqtt import Backoff

STEADY_S = 10.0
END_S = 8.0
LINES_AT_ONCE = 65_536


@dataclass(slots=True)
class _Place:
    """Of one worker: the process that has it now, or when the next one gets it. `hears`: its own last word."""

    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    due: float = 0.0
    hears: bool = False
    backoff: Backoff = field(default_factory=lambda: Backoff(30.0, random.Random()))


class Workers:
    """N worker processes; one that ends is started again, later and later when it ends at once.

    `hearing_since`: ms since 1970, None while one of them hears nothing or cannot store it. The broker may keep that one's share of
    the messages for it, so the others do not make up for it.
    """

    def __init__(self, config_path: Path, number: int) -> None:
        self._path = config_path
        self._places = {one: _Place() for one in range(1, number + 1)}
        self.hearing_since: int | None = None

    def look(self) -> None:
        now = time.monotonic()
        for number, place in self._places.items():
            process = place.process
            if process is None:
                if now >= place.due:
                    self._start(number, place, now)
                continue
            self._listen(number, place, process)
            if process.poll() is None:
                if now - place.started > STEADY_S:
                    place.backoff.reset()
            else:
                say(f"worker {number} ended ({process.returncode}); it is started again")
                self._close(process)
                place.process, place.hears, place.due = None, False, now + place.backoff.delay()
        if not all(place.hears for place in self._places.values()):
            self.hearing_since = None
        elif self.hearing_since is None:
            self.hearing_since = now_ms()

    def _command(self, number: int) -> list[str]:
        return [sys.executable, "-m", "kiosk_ui.monitor.worker", "--config", str(self._path), "--number", str(number)]

    def _start(self, number: int, place: _Place, now: float) -> None:
        try:
            place.process = subprocess.Popen(self._command(number), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        except OSError as error:  # no memory, no process: later, perhaps
            say(f"worker {number} cannot be started: {error}")
            place.due = now + place.backoff.delay()
            return
        assert place.process.stdout is not None
        os.set_blocking(place.process.stdout.fileno(), False)
        place.started = now

    def _listen(self, number: int, place: _Place, process: subprocess.Popen[bytes]) -> None:
        """Its lines are short, so each is there as a whole; they go on to our own output."""
        assert process.stdout is not None
        try:
            said = os.read(process.stdout.fileno(), LINES_AT_ONCE).decode(errors="replace")
        except BlockingIOError:
            return
        for line in said.splitlines():
            place.hears = line == f"worker {number} subscribed"
        if said:
            sys.stdout.write(said)
            sys.stdout.flush()

    def running(self) -> bool:
        """All of them, at the last look."""
        return all(place.process is not None and place.process.returncode is None for place in self._places.values())

    def pids(self) -> dict[int, int]:
        return {number: place.process.pid for number, place in self._places.items() if place.process is not None}

    def stop(self) -> None:
        """Their standard input closes, and they end; who does not is killed."""
        processes = [place.process for place in self._places.values() if place.process is not None]
        for process in processes:
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
        until = time.monotonic() + END_S
        for process in processes:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._close(process)

    @staticmethod
    def _close(process: subprocess.Popen[bytes]) -> None:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
