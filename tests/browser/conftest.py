"""Chromium of the system, a kiosk page fed by a fake agent, and where the pictures of the screens go."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
VIEWS = Path(__file__).parent / "kiosk_views.toml"
WITHIN_S = 20.0
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    return {"executable_path": path, "args": FLAGS, "headless": True}


@pytest.fixture(scope="session")
def browser_context_args() -> dict[str, Any]:
    return {"reduced_motion": "reduce", "viewport": {"width": 1280, "height": 1024}}


class FakeAgent:
    """The parent of a `kiosk_ui` process: sends it views, waits for what it says."""

    def __init__(self, *arguments: str, port: int = 0) -> None:
        command = [sys.executable, "-m", "kiosk_ui", "--port", str(port), *arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port: int = self.wait_for("ready")["port"]
        self.url = f"http://127.0.0.1:{self.port}/"

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(json.loads(line))

    def send(self, what: str, value: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({what: value}).encode() + b"\n")
        self.process.stdin.flush()

    def show(self, view: dict[str, Any]) -> None:
        self.send("view", view)

    def wait_for(self, what: str) -> Any:
        """The next line of this kind; others are skipped."""
        while True:
            message = self._said.get(timeout=WITHIN_S)
            if what in message:
                return message[what]

    def nothing_pressed(self) -> bool:
        """True when no press came before the answer to a ping."""
        self.send("ping", 1)
        while True:
            message = self._said.get(timeout=WITHIN_S)
            if "pressed" in message:
                return False
            if "pong" in message:
                return True

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()
        self._reader.join(WITHIN_S)


@pytest.fixture
def agent() -> Iterator[FakeAgent]:
    agent = FakeAgent()
    yield agent
    agent.end()


@pytest.fixture
def fake_agent() -> Iterator[type[FakeAgent]]:
    """For tests that need their own: the class, whose processes are ended afterwards."""
    started: list[FakeAgent] = []

    class Own(FakeAgent):
        def __init__(self, *arguments: str, port: int = 0) -> None:
            super().__init__(*arguments, port=port)
            started.append(self)

    yield Own
    for agent in started:
        agent.end()


class Views:
    """The sample views by screen, language and mode. Each gets the next seq."""

    def __init__(self) -> None:
        self._raw = tomllib.loads(VIEWS.read_text(encoding="utf-8"))
        self.screens = list(self._raw)
        self._seq = 0

    def __call__(self, screen: str, lang: str = "zh", mode: str = "standard", **changes: Any) -> dict[str, Any]:
        self._seq += 1
        at = 0 if lang == "zh" else 1
        view: dict[str, Any] = {"seq": self._seq, "screen": screen, "lang": lang, "mode": mode}
        for name, value in self._raw[screen].items():
            if name == "options":
                view[name] = [{"id": o[0], "key": o[1], "role": o[2], "label": o[3 + at]} for o in value]
            elif name == "lines":
                view[name] = [{"role": o[0], "label": o[1 + at], "text": o[3 + at]} for o in value]
            elif name == "mirror":
                view[name] = {**value, "label": value["label"][at]}
            else:
                view[name] = value[at] if isinstance(value, list) else value
        return view | changes


@pytest.fixture
def views() -> Views:
    return Views()


@pytest.fixture
def shoot() -> Any:
    """`shoot(page, "name")` keeps a picture when SMART_BRANCH_SHOTS names a folder."""
    folder = os.environ.get("SMART_BRANCH_SHOTS")

    def shoot(page: Page, name: str) -> None:
        if folder:
            path = Path(folder)
            path.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=path / f"{name}.png")

    return shoot
