"""branch-monitor as a process, with a broker or without, and people who may sign in."""

from __future__ import annotations

import contextlib
import http.cookiejar
import json
import queue
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

ROOT = Path(__file__).parents[2]
WITHIN_S = 60.0
PASSWORD = "long enough 42"
REGIONS = """
[[region]]
id = "north"
zh = "北部"
en = "North"
branches = ["B00[1-5]"]

[[region]]
id = "south"
zh = "南部"
en = "South"
branches = ["B*"]
"""


def configuration(folder: Path, broker: str, *, database: str = "sqlite:monitor.sqlite", more: str = "", port: int = 0) -> Path:
    path = folder / "monitor.toml"
    text = (
        f'[broker]\nurl = "{broker}"\nmax_backoff_s = 1.0\n[database]\nurl = "{database}"\n[server]\nport = {port}\n[ingest]\nworkers = 2\n'
    )
    path.write_text(text + "[threshold]\noffline_alarm_after_s = 60\n" + REGIONS + more, encoding="utf-8")
    return path


def cli(*arguments: str, text: str = "") -> str:
    command = [sys.executable, "-m", "kiosk_ui.monitor", *arguments]
    done = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, timeout=WITHIN_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def add_people(config: Path) -> None:
    for name, role in (("vera", "viewer"), ("olga", "operator"), ("otto", "operator"), ("sam", "supervisor")):
        cli("user", "add", name, "--role", role, "--config", str(config), text=PASSWORD + "\n")


class MonitorProcess:
    def __init__(self, config: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "kiosk_ui.monitor", "--config", str(config), *arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said: queue.Queue[str] = queue.Queue()
        self.log: list[str] = []
        self._threads = [threading.Thread(target=self._read, daemon=True), threading.Thread(target=self._read_log, daemon=True)]
        for thread in self._threads:
            thread.start()
        try:
            self.url = self.wait_for("monitor ").split()[1]
        except queue.Empty:
            raise AssertionError("\n".join(self.log)) from None

    def wait_for(self, beginning: str) -> str:
        while not (line := self.said.get(timeout=WITHIN_S)).startswith(beginning):
            pass
        return line

    def wait_subscribed(self, workers: int) -> None:
        """Each has its share of the subscription."""
        ready: set[str] = set()
        while len(ready) < workers:
            ready.add(self.wait_for("worker "))

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.put(line)

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line.rstrip())

    def worker_pids(self) -> list[int]:
        found = []
        for line in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            for pid in line.read_text().split():
                with contextlib.suppress(OSError):
                    command = Path(f"/proc/{pid}/cmdline").read_bytes()
                    found += [int(pid)] if b"kiosk_ui.monitor.worker" in command else []
        return found

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(WITHIN_S)
        for thread in self._threads:
            thread.join(WITHIN_S)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


class Browserless:
    """A person's session over HTTP."""

    def __init__(self, url: str, name: str | None = None, password: str = PASSWORD) -> None:
        self.url = url
        self.jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        self.csrf = ""
        if name:
            self.csrf = self.post("session", {"name": name, "password": password})[1]["csrf"]

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        raw = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        given = {"Origin": self.url.rstrip("/"), "X-CSRF-Token": self.csrf, **(headers or {})}
        request = urllib.request.Request(f"{self.url}api/v1/{path}", raw, {k: v for k, v in given.items() if v}, method=method)
        try:
            with self._opener.open(request, timeout=WITHIN_S) as response:
                return response.status, json.loads(response.read() or b"null")
        except HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def get(self, path: str) -> Any:
        status, found = self.call("GET", path)
        assert status == 200, found
        return found

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        return self.call("POST", path, body)
