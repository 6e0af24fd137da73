"""The operations centre beside the bench: `branch-monitor` with a key and a person of its own, watching the one simulated terminal."""

from __future__ import annotations

import secrets
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from simulators.stage.processes import Child, StageError

MODULE = "kiosk_ui.monitor"
NAME = "demo"
KEY_ID = "centre-2026"
SETUP_S = 60.0
CONFIGURATION = """\
[monitor]
demo_badge = "DEMO"
language = "zh"

[broker]
url = "{broker}"

[ingest]
workers = 1

[server]
port = {port}

[signing]
key = "{key}"
key_id = "{key_id}"

[[region]]
id = "bench"
zh = "模拟网点"
en = "Simulated branch"
branches = ["*"]
"""


@dataclass(frozen=True, slots=True)
class Centre:
    folder: Path
    password: str


def set_up(folder: Path, broker_url: str, port: int) -> Centre:
    """Configuration, key and person in `folder`. The bank simulator's centre key is used where there is one: the terminal knows it."""
    folder.mkdir(parents=True, exist_ok=True)
    known = folder.parent / "bank" / "centre-private-key.pem"
    own = folder / "centre.pem"
    if not known.exists() and not own.exists():
        _run("key", "new", str(own))
    key, key_id = (known, KEY_ID) if known.exists() else (own, "")
    text = CONFIGURATION.format(broker=broker_url, port=port, key=key, key_id=key_id)
    (folder / "monitor.toml").write_text(text, encoding="utf-8")
    password = secrets.token_urlsafe(9)
    verb = ("password", NAME) if (folder / "monitor.sqlite").exists() else ("add", NAME, "--role", "supervisor")
    _run("user", *verb, *_config(folder), text=password + "\n")
    return Centre(folder, password)


class MonitorBeside:
    """Started in the background: nobody waits for it, and nothing of the bench depends on it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child: Child | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, broker_url: str, port: int) -> None:
        self._thread = threading.Thread(target=self._start, args=(broker_url, port))
        self._thread.start()

    def _start(self, broker_url: str, port: int) -> None:
        try:
            centre = set_up(self._folder / "monitor", broker_url, port)
            if self._over.is_set():
                return
            (self._folder / "logs").mkdir(exist_ok=True)
            arguments = (MODULE, "--stdin-eof", *_config(centre.folder))
            self._child = Child("monitor", arguments, self._folder / "logs" / "monitor.log")
            url = self._child.wait_word("monitor ").split()[-1]
            print(f"  monitor {url}   what the operations centre sees (name {NAME}, password {centre.password})", flush=True)
        except (StageError, OSError, subprocess.SubprocessError) as error:
            if not self._over.is_set():
                print(f"  monitor: {error}", flush=True)

    def stop(self) -> None:
        self._over.set()
        if self._child is not None:
            self._child.stop()
        if self._thread is not None:
            self._thread.join()
        if self._child is not None:
            self._child.stop()


def _config(folder: Path) -> tuple[str, str]:
    return "--config", str(folder / "monitor.toml")


def _run(*arguments: str, text: str = "") -> str:
    done = subprocess.run([sys.executable, "-m", MODULE, *arguments], input=text, capture_output=True, text=True, timeout=SETUP_S)
    if done.returncode != 0:
        raise StageError(f"monitor: {done.stderr.strip()}")
    return done.stdout
