"""The monitor's first process: supervises the ingest workers, keeps the fleet, sends commands, serves the pages."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import uvicorn

from kiosk_ui.monitor.config import Config, ConfigError
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.fleet import Fleet
from kiosk_ui.monitor.log import now_ms, say
from kiosk_ui.monitor.mqtt import Backoff, Connected, Ended, Session, Unreachable
from kiosk_ui.monitor.observer import Observer
from kiosk_ui.monitor.retention import prepare_days
from kiosk_ui.monitor.schema import COUNTER
from kiosk_ui.monitor.sender import Sender
from kiosk_ui.monitor.signing import load_signer
from kiosk_ui.monitor.web.app import monitor_app
from kiosk_ui.monitor.web.context import Monitor

WATCH_S = 0.25
STEADY_S = 10.0
END_S = 8.0
FAILED = 1  # start it again
LATER = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)  # whoever had the port may go, and the address may come with the network


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
        self._children[number] = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        self._started[number] = now

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


def retire_sessions(config: Config, database: Database) -> None:
    """When there are fewer workers than there were, the broker must forget the others' sessions: it would go on giving them their share."""
    with database.read() as connection:
        most = max([row.worker for row in connection.execute(COUNTER.select())], default=0)
    for number in range(config.ingest.workers + 1, most + 1):
        session = Session(config.broker, f"{config.monitor.name}-ingest-{number}", 1, clean=True, keep=False)
        with contextlib.suppress(Unreachable):
            session.connect()
            until = time.monotonic() + 5.0
            while time.monotonic() < until:
                if any(isinstance(one, (Connected, Ended)) for one in session.pump(0.5)):
                    break
            session.disconnect()


class Announcing(uvicorn.Server):
    """Says where it listens once it does."""

    def __init__(self, config: uvicorn.Config, origin: str) -> None:
        super().__init__(config)
        self._origin = origin

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(f"monitor {self._origin}/\n")
        sys.stdout.flush()


def _listen(config: Config) -> socket.socket:
    server = config.server
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((server.host, server.port))
    except OSError:
        listener.close()
        raise
    listener.listen(128)
    return listener


def _origin(config: Config, port: int) -> str:
    host = f"[{config.server.host}]" if ":" in config.server.host else config.server.host
    return config.server.origin or f"{'https' if config.server.certificate else 'http'}://{host}:{port}"


async def _watch(workers: Workers, server: uvicorn.Server, over: asyncio.Event) -> None:
    while not server.should_exit:
        workers.look()
        await asyncio.sleep(WATCH_S)
    over.set()


async def _serve(monitor: Monitor, workers: Workers, listener: socket.socket, stdin_eof: bool) -> None:
    over = asyncio.Event()
    section = monitor.config.server
    options = uvicorn.Config(
        monitor_app(monitor, over),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        ws="none",
        proxy_headers=section.behind_proxy,
        ssl_certfile=section.certificate,
        ssl_keyfile=section.private_key,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=15,
    )
    server = Announcing(options, monitor.origin)
    if stdin_eof:
        threading.Thread(target=_end_with_stdin, args=(server,), daemon=True).start()
    watching = asyncio.create_task(_watch(workers, server, over))
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError):
            signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    await server.serve(sockets=[listener])
    server.should_exit = True
    await watching


def _end_with_stdin(server: uvicorn.Server) -> None:
    while os.read(0, 4096):
        pass
    server.should_exit = True


def run(path: Path, config: Config, database: Database, *, stdin_eof: bool = False) -> int:
    """Until SIGINT or SIGTERM; the exit code. ConfigError and DatabaseError before anything was started."""
    signer = load_signer(config.signing) if config.signing else None
    database.prepare()
    with database.write() as connection:
        prepare_days(connection, config.retention, now_ms())
    try:
        listener = _listen(config)
    except OSError as error:
        sentence = f"server: cannot listen on {config.server.host}:{config.server.port}: {error.strerror}"
        if error.errno not in LATER:
            raise ConfigError(sentence) from error
        say(sentence)
        return FAILED
    retire_sessions(config, database)
    fleet = Fleet(config)
    observer, sender, workers = Observer(config, database, fleet), Sender(config, database), Workers(path, config.ingest.workers)
    monitor = Monitor(config, database, fleet, observer, sender, signer, _origin(config, listener.getsockname()[1]))
    observer.start()
    sender.start()
    try:
        asyncio.run(_serve(monitor, workers, listener, stdin_eof))
    finally:
        workers.stop()
        sender.stop()
        observer.stop()
        database.close()
    return 0
