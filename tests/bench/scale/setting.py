"""What both benches of scale share: the machine's own figures, processes of ours, progress, percentiles."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import figures

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("paho-mqtt", "sqlalchemy", "pg8000", "cryptography")
PATHS = (ROOT, ROOT / "tests" / "bench", ROOT / "tests" / "support")
BARE_FSYNC_S = 1.5
TICKS = os.sysconf("SC_CLK_TCK")
WITHIN_S = 60.0


class Fault(Exception):
    """The bench cannot go on; a sentence."""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PATHS))}


def process(module: str, *arguments: object, stdin: int | None = subprocess.PIPE) -> subprocess.Popen[str]:
    """A part of the bench (or of the product) as a process; it ends when its standard input closes, or by its id."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=stdin, stdout=subprocess.PIPE, text=True)


def line_of(child: subprocess.Popen[str], beginning: str) -> str:
    """The rest of the first line that begins so. Fault when the process ends before."""
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith(beginning):
            return line.removeprefix(beginning).strip()
    raise Fault(f"{child.args!r} ended with {child.wait()} before it said {beginning!r}")


def end(child: subprocess.Popen[str]) -> None:
    """Ask it to end by closing its standard input; kill it when it does not."""
    if child.stdin is not None:
        child.stdin.close()
    try:
        child.wait(WITHIN_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if child.stdout is not None:
        child.stdout.close()


@contextmanager
def running(module: str, *arguments: object, said: str) -> Iterator[subprocess.Popen[str]]:
    child = process(module, *arguments)
    try:
        line_of(child, said)
        yield child
    finally:
        end(child)


def cpu_s(pid: int) -> float:
    """User and system time of a process so far; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid: int) -> float:
    """0 when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), 0.0)


def fsync_per_s(folder: Path) -> float:
    """Appends of 4 KiB, each with an fdatasync: what a commit cannot be faster than."""
    path = folder / "fsync"
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        count, began = 0, time.monotonic()
        while (took := time.monotonic() - began) < BARE_FSYNC_S:
            os.write(file, bytes(4096))
            os.fdatasync(file)
            count += 1
    finally:
        os.close(file)
        path.unlink()
    return count / took


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Nearest rank; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(len(ordered) * percent / 100 + 0.5) - 1))]


def rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)


def setting() -> dict[str, Any]:
    """Machine, load and versions, for the JSON line."""
    found = figures.setting(*PACKAGES)
    found["versions"]["mosquitto"] = _mosquitto_version()
    return found


def _mosquitto_version() -> str:
    try:
        said = subprocess.run(["/usr/sbin/mosquitto", "-h"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""
    return said.split("\n", 1)[0].removeprefix("mosquitto version ").strip()


class Progress:
    """One line on standard error that is written over; plain lines go to standard output."""

    def __init__(self, out: IO[str] = sys.stderr) -> None:
        self._out, self._at = out, 0.0

    def __call__(self, text: str) -> None:
        if (now := time.monotonic()) - self._at > 0.2:
            self._at = now
            self._out.write(f"\r\033[K{text}")
            self._out.flush()

    def say(self, text: str) -> None:
        self._out.write("\r\033[K")
        self._out.flush()
        print(text, flush=True)
