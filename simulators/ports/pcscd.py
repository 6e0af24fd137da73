"""A private pcscd with one virtual reader (vpcd) for one run: own socket, own TCP port, own reader.conf. Any number side by side.

pcsc-lite listens on a fixed path, unless it gets its socket by systemd's socket activation (LISTEN_FDS, descriptor 3); its clients find
another path by PCSCLITE_CSOCK_NAME. vpcd with ``/dev/null:PORT`` waits on PORT and PORT + 1 for its two slots.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO

READER_NAME = "Virtual PCD 00 00"
DRIVERS = ("/usr/lib/pcsc/drivers/serial/libifdvpcd.so", "/usr/local/lib/pcsc/drivers/serial/libifdvpcd.so")
# Runs in the new process: the listening socket becomes descriptor 3 and LISTEN_PID the pid that pcscd will have. A small child
# watches the pipe whose other end only the starting process holds: when that dies, even by SIGKILL, pcscd is ended.
LAUNCH = """
import os, select, signal, sys
listener, alive = int(sys.argv[1]), int(sys.argv[2])
pcscd = os.pidfd_open(os.getpid())
if os.fork() == 0:
    os.close(listener)
    if pcscd not in select.select([pcscd, alive], [], [])[0]:
        signal.pidfd_send_signal(pcscd, signal.SIGTERM)
    os._exit(0)
os.close(alive)
os.dup2(listener, 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[3], sys.argv[3:])
"""


@dataclass(frozen=True, slots=True)
class Pcscd:
    """A running pcscd. `env` is a whole environment for client processes; `port` is where the card connects to."""

    process: subprocess.Popen[bytes]
    env: dict[str, str]
    port: int
    reader_name: str
    log: Path
    alive: IO[bytes]

    def stop(self) -> None:
        """TERM, then KILL. Idempotent. Not calling it is no leak: pcscd ends with the process that started it."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.alive.close()


def missing() -> str:
    """Why no pcscd with vpcd can be started here; empty when it can."""
    if not _binary():
        return "pcscd is not installed (apt-get install pcscd)"
    if not _driver():
        return "the vpcd driver is not installed (apt-get install vsmartcard-vpcd)"
    return ""


def _binary() -> str | None:
    return shutil.which("pcscd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def _driver() -> str | None:
    return next((path for path in DRIVERS if Path(path).exists()), None)


def _free_port() -> int:
    """A port that is free together with its successor, below the range the kernel hands out to clients."""
    start = 20000 + os.getpid() * 2 % 10000
    for number in range(5000):
        port = 20000 + (start - 20000 + 2 * number) % 10000
        try:
            with socket.socket() as first, socket.socket() as second:
                first.bind(("0.0.0.0", port))
                second.bind(("0.0.0.0", port + 1))
                return port
        except OSError:
            continue
    raise OSError("no two neighbouring TCP ports are free between 20000 and 30000")


def start_pcscd(folder: Path, port: int | None = None) -> Pcscd | str:
    """A pcscd of one's own below `folder` (whose path must be short: a Unix socket's has 107 bytes), or the reason why not.

    When this returns, clients can connect: the socket exists before the process does.
    """
    reason = missing()
    if reason:
        return reason
    binary, driver = _binary(), _driver()
    assert binary and driver
    path = folder / "pcscd.comm"
    if len(str(path)) > 107:
        return f"the path {path} is too long for a Unix socket"
    config = folder / "reader.conf.d"
    config.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    port = port or _free_port()
    (config / "vpcd").write_text(
        f'FRIENDLYNAME "Virtual PCD"\nDEVICENAME /dev/null:{port}\nLIBPATH {driver}\nCHANNELID {port}\n', encoding="ascii"
    )
    command = [binary, "--foreground", "--config", str(config)]
    if "--disable-polkit" in _help(binary):
        command.append("--disable-polkit")
    log = folder / "pcscd.log"
    watched, alive = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener, log.open("wb") as output:
        listener.bind(str(path))
        listener.listen(16)
        descriptors = (listener.fileno(), watched)
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", LAUNCH, *map(str, descriptors), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=descriptors,
        )
    os.close(watched)
    env = {**os.environ, "PCSCLITE_CSOCK_NAME": str(path)}
    return Pcscd(process, env, port, READER_NAME, log, os.fdopen(alive, "wb"))


def _help(binary: str) -> str:
    """What this pcscd can do: version 2 wants polkit told off, version 1 does not know it."""
    return subprocess.run([binary, "--help"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout
