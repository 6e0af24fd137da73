"""The loop of a simulator process: a port, a control socket, the device's own time. One thread, `selectors`.

The device itself is sans-I/O and knows time only as an argument, so the same object also runs in one thread in virtual time.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from simulators.control import MAX_LINE, answer_line


class SerialDevice(Protocol):
    """A simulated device behind a serial wire. `now` is monotonic seconds."""

    def feed(self, data: bytes, now: float) -> None:
        """Bytes from the host."""
        ...

    def take_output(self, now: float) -> bytes:
        """Bytes for the host that are due by `now` (and only those); moves the mechanics forward to `now`."""
        ...

    def next_wakeup(self) -> float | None:
        """The next moment at which `take_output` may have something to do; None when nothing is under way."""
        ...

    def control(self, do: str, arguments: dict[str, Any], now: float) -> Any:
        """The hand of a person or a fault. `state` answers the physical state. ValueError says what is wrong with the request."""
        ...


class Loop:
    """selectors with time and a control socket. Ends on SIGTERM, SIGINT, `stop()`, or when standard input closes (if asked)."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.running = True
        self._rests: dict[int, bytes] = {}
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self.add(reader, lambda: os.read(reader, 512))

    def stop(self) -> None:
        self.running = False

    def add(self, file: Any, callback: Callable[[], object]) -> None:
        self.selector.register(file, selectors.EVENT_READ, callback)

    def remove(self, file: Any) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self.selector.unregister(file)

    def stop_on_stdin_eof(self) -> None:
        """The parent's death closes our standard input."""

        def read() -> None:
            if not os.read(0, 4096):
                self.stop()

        self.add(0, read)

    def serve_control(self, path: Path, verbs: Callable[[str, dict[str, Any]], Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        os.chmod(path, 0o600)
        server.listen(16)

        def accept() -> None:
            client, _ = server.accept()
            self._rests[client.fileno()] = b""
            self.add(client, lambda: self._read_control(client, verbs))

        self.add(server, accept)

    def _read_control(self, client: socket.socket, verbs: Callable[[str, dict[str, Any]], Any]) -> None:
        number = client.fileno()
        with contextlib.suppress(OSError):
            data = client.recv(65536)
            rest = self._rests[number] + data
            *lines, self._rests[number] = rest.split(b"\n")
            for line in lines:
                client.sendall(answer_line(line, verbs))
            if data and len(self._rests[number]) <= MAX_LINE:
                return
        self.remove(client)
        self._rests.pop(number, None)
        client.close()

    def run(self, tick: Callable[[float], None], next_wakeup: Callable[[], float | None]) -> None:
        """`tick(now)` after every event and at every wake-up."""
        while self.running:
            now = time.monotonic()
            tick(now)
            at = next_wakeup()
            wait = None if at is None else max(0.0, at - time.monotonic())
            for key, _ in self.selector.select(wait):
                key.data()


def open_pty(link: Path) -> int:
    """A raw pty whose slave side is at `link` (a symbolic link, put there last). Returns the master, non-blocking.

    The slave stays open here as well, so that the master does not hang up between two openings by the agent.
    """
    master, slave = os.openpty()
    tty.setraw(master)
    tty.setraw(slave)
    os.set_blocking(master, False)
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(link.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(os.ttyname(slave))
    fresh.replace(link)
    return master


def run_serial(device: SerialDevice, link: Path, control: Path, *, stdin_eof: bool = True) -> None:
    """Run `device` behind a pty at `link` with its control socket at `control` until told to stop. Prints ``ready`` once both exist."""
    loop = Loop()
    master = open_pty(link)

    def read() -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            device.feed(os.read(master, 4096), time.monotonic())

    def tick(now: float) -> None:
        data = device.take_output(now)
        while data:
            try:
                data = data[os.write(master, data) :]
            except BlockingIOError:  # nobody reads: a real UART loses what does not fit
                return

    loop.add(master, read)
    loop.serve_control(control, lambda do, arguments: device.control(do, arguments, time.monotonic()))
    if stdin_eof:
        loop.stop_on_stdin_eof()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    loop.run(tick, device.next_wakeup)
    link.unlink(missing_ok=True)
    control.unlink(missing_ok=True)
