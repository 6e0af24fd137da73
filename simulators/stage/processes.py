"""Child processes of the stage: started with their end tied to ours, waited for by their own word, ended by us alone."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

READY_S = 60.0


class StageError(Exception):
    """The stage could not be set; the sentence says which part and why."""


class Child:
    """A process of ours. Its standard input is a pipe: when we die, it closes, and the process ends."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._arguments = [sys.executable, "-m", *arguments]
        self._log = log
        self._env = {**os.environ, **(env or {}), "PYTHONUNBUFFERED": "1"}
        self._process: subprocess.Popen[bytes] | None = None
        self.words: list[str] = []
        self.start()

    def start(self) -> None:
        """Also again, after it has ended."""
        if self._process is not None:
            self._process.wait()
            self._close_pipes()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=self._env, start_new_session=True
            )
        self.words = []

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_word(self, beginning: str, timeout_s: float = READY_S) -> str:
        """The first line of its output that begins so."""
        assert self.process.stdout is not None
        number, rest, until = self.process.stdout.fileno(), b"", time.monotonic() + timeout_s
        while time.monotonic() < until:
            if not select.select([number], [], [], max(0.0, until - time.monotonic()))[0]:
                break
            data = os.read(number, 4096)
            if not data:
                raise StageError(f"{self.name} ended at once: {self.last_words()}")
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.words.append(line.decode(errors="replace"))
                if self.words[-1].startswith(beginning):
                    return self.words[-1]
        raise StageError(f"{self.name} said nothing of {beginning!r} within {timeout_s:.0f} s: {self.last_words()}")

    def last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self._log.read_text(errors="replace").strip().splitlines()
            return lines[-1] if lines else "it left no word"
        return "it left no word"

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """The power fails: SIGKILL."""
        self.process.kill()
        self.process.wait()
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def stop(self) -> None:
        """Close its input, ask, insist."""
        process = self.process
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        process.terminate()
        try:
            process.wait(8)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._close_pipes()
