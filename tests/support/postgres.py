"""A PostgreSQL server of the test's own: a new cluster in a folder, on a Unix socket alone, ended by the id of its process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

WITHIN_S = 60.0


def binaries() -> Path | None:
    """Debian keeps initdb and postgres out of PATH; the newest version's."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    path = shutil.which("initdb")
    return Path(path).parent if path else None


class Postgres:
    """`url(name)` of a database that is made new."""

    def __init__(self) -> None:
        folder = binaries()
        assert folder is not None, "apt-get install postgresql"
        self.bin = folder
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a Unix socket's path has 107 bytes at most
        self._as: list[str] = []
        if os.geteuid() == 0:  # initdb refuses root
            shutil.chown(self.folder, "postgres", "postgres")
            self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
        self._run(
            "initdb", "--pgdata", str(self.folder / "data"), "--username", "monitor", "--auth", "trust", "--no-sync", "--encoding", "UTF8"
        )
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, str(self.bin / program), *arguments]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=WITHIN_S)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "max_connections": "60",
            "fsync": "off",
        }  # nobody pulls the plug
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self.log = (self.folder / "log").open("ab")
        command = [*self._as, str(self.bin / "postgres"), "-D", str(self.folder / "data"), *settings]
        self.process = subprocess.Popen(command, cwd="/", stdout=self.log, stderr=self.log)
        until = time.monotonic() + WITHIN_S
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < until, (self.folder / "log").read_text()
            os.sched_yield()

    def _answers(self) -> bool:
        return subprocess.run([self.bin / "pg_isready", "-q", "-h", self.folder], timeout=WITHIN_S).returncode == 0

    def new(self, name: str) -> str:
        self._run("createdb", "-h", str(self.folder), "-U", "monitor", name)
        return f"postgresql://monitor@/{name}?socket={self.folder}/.s.PGSQL.5432"

    def sql(self, name: str, statement: str) -> str:
        command = [self.bin / "psql", "-h", self.folder, "-U", "monitor", "-d", name, "-Atc", statement]
        return subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=True).stdout.strip()

    def kill(self) -> None:
        """The whole server, at once: the postmaster's children see its end."""
        self.process.kill()
        self.process.wait(WITHIN_S)
        self.log.close()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)  # at once: the folder goes with it
            self.process.wait(WITHIN_S)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
