"""Chooses and starts an MQTT 5 broker: a configured one, `mosquitto` from PATH, or the one inside the `iotcore` wheel.

None of them is trusted with money: the outbox of the terminal resends until the bank's own acknowledgement.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from simulators.broker.configuration import Security, iotcore_configuration, mosquitto_configuration

LISTEN_TIMEOUT_S = 15.0
PORT_ATTEMPTS = 5


class BrokerError(Exception):
    """No broker could be started, or it ended by itself; the text says why and, where there is one, quotes its log."""


@dataclass(slots=True)
class Broker:
    """A running broker. `process` is None when the URL was configured: then stop, kill and restart are not ours to do."""

    url: str
    kind: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        parts = urlsplit(self.url)
        return parts.port or (8883 if parts.scheme == "mqtts" else 1883)

    def stop(self) -> None:
        """Ask it to end (mosquitto saves its sessions), and wait. Idempotent."""
        self._end(force=False)

    def kill(self) -> None:
        """The power fails: SIGKILL. What mosquitto had not saved is gone. Idempotent."""
        self._end(force=True)

    def restart(self) -> None:
        """Start again on the same port with the same persistence (after `stop` or `kill`)."""
        if self.kind == "configured":
            raise BrokerError(f"{self.url} was configured, not started here: it cannot be restarted here")
        self.stop()
        _refuse_taken(self.port)
        self.process = _spawn(self.kind, self.folder)
        _wait_until_listening(self)

    def _end(self, *, force: bool) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        if force:
            process.kill()
        else:
            process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin:
            process.stdin.close()

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def start_broker(
    folder: Path, port: int = 0, *, url: str | None = None, kind: str | None = None, security: Security | None = None
) -> Broker:
    """A broker that listens when this returns.

    `folder` keeps its configuration, log and sessions. `port` 0 takes a free one. `url` (``mqtt://host:port``) wins over
    everything: nothing is started. `kind` forces ``mosquitto`` or ``iotcore``; `security` needs mosquitto.
    """
    if url:
        broker = Broker(url, "configured", folder)
        _wait_until_listening(broker)
        return broker
    chosen = kind or available_kind(security)
    if security and chosen != "mosquitto":
        raise BrokerError(f"{chosen} enforces neither client certificates nor access lists: install mosquitto")
    folder.mkdir(parents=True, exist_ok=True)
    for attempt in range(PORT_ATTEMPTS):
        number = port or free_port()
        _refuse_taken(number)
        _configure(chosen, folder, number, security)
        scheme = "mqtts" if security and security.tls else "mqtt"
        broker = Broker(f"{scheme}://127.0.0.1:{number}", chosen, folder, _spawn(chosen, folder))
        try:
            _wait_until_listening(broker)
        except BrokerError:
            broker.kill()
            if port or attempt == PORT_ATTEMPTS - 1:  # a chosen port is the caller's; a free one may have been taken meanwhile
                raise
        else:
            return broker
    raise AssertionError("unreachable")


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _refuse_taken(port: int) -> None:
    """Else we would greet somebody else's listener as our own while our process is still failing to bind."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        raise BrokerError(f"port {port} on 127.0.0.1 is taken: something listens there already")


def _mosquitto() -> str | None:
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def available_kind(security: Security | None = None) -> str:
    """What would be started; BrokerError when there is none."""
    if _mosquitto():
        return "mosquitto"
    if importlib.util.find_spec("iotcore") and not security:
        return "iotcore"
    raise BrokerError("no MQTT broker: install mosquitto (apt-get install mosquitto) or the Python package iotcore, or configure a URL")


def _configure(kind: str, folder: Path, port: int, security: Security | None) -> None:
    if kind == "mosquitto":
        (folder / "persistence").mkdir(exist_ok=True)
        (folder / "mosquitto.conf").write_text(mosquitto_configuration(folder, port, security), encoding="utf-8")
    elif kind == "iotcore":
        (folder / "iotcore.toml").write_text(iotcore_configuration(port), encoding="utf-8")
    else:
        raise BrokerError(f"unknown kind of broker {kind!r}: mosquitto or iotcore")


def _spawn(kind: str, folder: Path) -> subprocess.Popen[bytes]:
    if kind == "mosquitto":
        program = _mosquitto()
        if not program:
            raise BrokerError("mosquitto is not installed: apt-get install mosquitto")
        command = [program, "-c", str(folder / "mosquitto.conf")]
        # It must not outlive us. Linux ties that to the thread which spawned it, so only the main thread may ask for it.
        setpriv = shutil.which("setpriv")
        if setpriv and threading.current_thread() is threading.main_thread():
            command = [setpriv, "--pdeathsig", "TERM", *command]
    else:
        command = [sys.executable, "-m", "simulators.broker", "--config", str(folder / "iotcore.toml")]
    with (folder / "broker.log").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)


def _wait_until_listening(broker: Broker) -> None:
    """Until a TCP connection is accepted; BrokerError when the process ends first or the time is up."""
    deadline = time.monotonic() + LISTEN_TIMEOUT_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection((broker.host, broker.port), timeout=1.0):
            if broker.process is None or broker.process.poll() is None:
                return
        if broker.process is not None and broker.process.poll() is not None:
            raise BrokerError(f"{broker.kind} ended with status {broker.process.returncode}: {_log_tail(broker.folder)}")
        if time.monotonic() > deadline:
            raise BrokerError(f"nothing accepts connections at {broker.url} within {LISTEN_TIMEOUT_S:.0f} s")
        time.sleep(0.01)


def _log_tail(folder: Path) -> str:
    try:
        lines = (folder / "broker.log").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return str(error)
    return " | ".join(lines[-3:]) or "it said nothing"
