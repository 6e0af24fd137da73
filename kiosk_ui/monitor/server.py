"""The monitor's first process: supervises the ingest workers, keeps the fleet, sends commands, serves the pages."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import uvicorn

from kiosk_ui.monitor.config import Config, ConfigError
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.fleet import Fleet
from kiosk_ui.monitor.log import now_ms, say
from kiosk_ui.monitor.mqtt import Connected, Ended, Session, Unreachable
from kiosk_ui.monitor.observer import Observer
from kiosk_ui.monitor.retention import prepare_days
from kiosk_ui.monitor.schema import COUNTER
from kiosk_ui.monitor.sender import Sender
from kiosk_ui.monitor.signing import load_signer
from kiosk_ui.monitor.web.app import monitor_app
from kiosk_ui.monitor.web.context import Monitor
from kiosk_ui.monitor.workers import Workers

WATCH_S = 0.25
FAILED = 1  # start it again
LATER = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)  # whoever had the port may go, and the address may come with the network


def retire_sessions(config: Config, database: Database) -> None:
    """When there are fewer workers than there were, the broker must forget the others' sessions: it would go on giving them their share."""
    with database.read() as connection:
        most = max([row.worker for row in connection.execute(COUNTER.select())], default=0)
    for number in range(config.ingest.workers + 1, most + 1):
        with contextlib.suppress(Unreachable):
            session = Session(config.broker, f"{config.monitor.name}-ingest-{number}", 1, clean=True, keep=False)
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


async def _watch(monitor: Monitor, workers: Workers, server: uvicorn.Server, over: asyncio.Event) -> int:
    """The exit code. A thread that died would be missed by nobody: what it did is not done any more, so everything ends."""
    try:
        while not server.should_exit:
            workers.look()
            dead = [name for name, part in (("observer", monitor.observer), ("sender", monitor.sender)) if not part.alive()]
            if dead:
                say(f"the thread of the {' and the '.join(dead)} has died; the monitor ends, to be started again")
                return FAILED
            await asyncio.sleep(WATCH_S)
        return 0
    finally:
        server.should_exit = True
        over.set()


async def _serve(monitor: Monitor, workers: Workers, listener: socket.socket, stdin_eof: bool) -> int:
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
    watching = asyncio.create_task(_watch(monitor, workers, server, over))
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError):
            signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    await server.serve(sockets=[listener])
    server.should_exit = True
    return await watching


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
    sender, workers = Sender(config, database), Workers(path, config.ingest.workers)
    observer = Observer(config, database, fleet, workers)
    monitor = Monitor(config, database, fleet, observer, sender, signer, _origin(config, listener.getsockname()[1]), workers)
    observer.start()
    sender.start()
    try:
        return asyncio.run(_serve(monitor, workers, listener, stdin_eof))
    finally:
        workers.stop()
        sender.stop()
        observer.stop()
        database.close()
