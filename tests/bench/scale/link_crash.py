"""The crash matrix: agent, broker, bank host, monitor, its workers and its database end by SIGKILL under load, one after another.

What is judged, when everything has come to rest: each event that `append` returned for (the journal names them) has its effect, once.
`txn`: one settlement in the ledger of the bank host. `audit` and `alarm`: one row and one count in the monitor's database, in the
transaction that its acknowledgement followed. The monitor reads `txn` without acknowledging; how many of those a dying broker kept from
it is told, not judged.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor_database import counters, rows
from monitor_process import MonitorProcess, configuration
from postgres import Postgres, binaries
from sqlalchemy import func, select

from kiosk_ui.monitor.config import load_config
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.schema import CUSTOMER_HOUR, EVENT
from scale.messages import MINOR, NOTES
from scale.sender import KIND
from scale.setting import Fault, end, line_of, process
from simulators.broker.start import start_broker

WORKERS = 2
REST_S = 120.0
TICK_S = 0.02
VICTIMS = ("agent", "broker", "worker", "monitor", "database", "bank")


@dataclass(slots=True)
class Judged:
    """`kills` by victim; `missed_txn`: advices of which only the bank heard (see above)."""

    rounds: int
    kills: Counter[str] = field(default_factory=Counter)
    events: int = 0
    lost: int = 0
    twice: int = 0
    duplicates: int = 0
    missed_txn: int = 0
    database: str = ""


class Matrix:
    """Everything of ours, running; `kill` ends one part by SIGKILL and starts it again."""

    def __init__(self, folder: Path, pace: float, chance: random.Random, *, postgres: bool) -> None:
        self._folder, self._pace, self._chance = folder, pace, chance
        self._broker = start_broker(folder / "broker", kind="mosquitto")
        self._server = Postgres() if postgres else None
        url = self._server.new("monitor") if self._server else "sqlite:monitor.sqlite"
        self._config = configuration(folder, self._broker.url, database=url)
        self._monitor = self._start_monitor()
        self._bank = self._start_bank()
        self._sender = self._start_sender()

    def _start_monitor(self) -> MonitorProcess:
        """Subscribed when this returns: else a round of kills would only meet processes that are about to start."""
        served = MonitorProcess(self._config, "--workers", str(WORKERS))
        served.wait_subscribed(WORKERS)
        return served

    def _start_bank(self) -> subprocess.Popen[str]:
        control = self._folder / "bank.control"
        control.unlink(missing_ok=True)
        options = ("--store", self._folder / "bank" / "bank.sqlite", "--control", control, "--acknowledges", "txn", "--stdin-eof")
        (self._folder / "bank").mkdir(exist_ok=True)
        child = process("simulators.bank", "--broker", self._broker.url, *options)
        line_of(child, "ready")
        return child

    def _start_sender(self) -> subprocess.Popen[str]:
        store = self._folder / "terminal.sqlite"
        options = ("--mixed", "--at-once", "--pace", self._pace, "--group", 3, "--resend-s", 1.0, "--drain-per-s", 1000)
        child = process("scale.sender", "--store", store, "--url", self._broker.url, *options)
        line_of(child, "up")
        return child

    def kill(self, victim: str) -> None:
        pause_s = self._chance.uniform(0.0, 0.4)
        if victim == "broker":
            self._broker.kill()
            time.sleep(pause_s)
            self._broker.restart()
        elif victim == "worker":
            pids = self._monitor.worker_pids()
            if pids:
                os.kill(self._chance.choice(pids), signal.SIGKILL)  # the monitor starts another
        elif victim == "database" and self._server is not None:
            self._server.kill()
            time.sleep(pause_s)
            self._server.start()
        elif victim in ("monitor", "database"):  # SQLite lives in the monitor's processes: all of them at once
            for pid in (*self._monitor.worker_pids(), self._monitor.process.pid) if victim == "database" else (self._monitor.process.pid,):
                os.kill(pid, signal.SIGKILL)
            self._monitor.stop()
            time.sleep(pause_s)
            self._monitor = self._start_monitor()
        elif victim == "bank":
            _kill(self._bank)
            time.sleep(pause_s)
            self._bank = self._start_bank()
        else:
            _kill(self._sender)
            self._sender = self._start_sender()

    def rest(self) -> None:
        """No more new events: until the outbox is empty."""
        assert self._sender.stdin is not None
        self._sender.stdin.close()
        until = time.monotonic() + REST_S
        while self._sender.poll() is None:
            if time.monotonic() > until:
                self._sender.kill()
                raise Fault(f"the outbox was not empty after {REST_S:.0f} s")
            time.sleep(TICK_S)
        self._sender.wait()

    def close(self) -> None:
        """Idempotent enough for a `finally`: whatever still runs ends."""
        if self._sender.poll() is None:
            self._sender.kill()
        end_quietly(self._sender)
        end_quietly(self._bank)
        if self._monitor.process.poll() is None:
            self._monitor.stop()
        self._broker.stop()

    def judge(self, found: Judged) -> None:
        """After `rest`. Bank and monitor may run on."""
        store = sqlite3.connect(self._folder / "terminal.sqlite")
        numbers = [one for (one,) in store.execute("SELECT json_extract(data, '$.n') FROM journal WHERE kind = ? ORDER BY seq", (KIND,))]
        given = dict(store.execute("SELECT class, sum(last_seq) FROM sequence GROUP BY class").fetchall())
        store.close()
        if numbers != list(range(1, len(numbers) + 1)) or sum(given.values()) != len(numbers):
            raise Fault("the journal and the outbox's numbers do not agree")
        found.events = len(numbers)
        self._judge_monitor(found, given)
        self._judge_bank(found, given["txn"])

    def _judge_monitor(self, found: Judged, given: dict[str, int]) -> None:
        database = Database(load_config(self._config).database, self._folder)
        try:
            count = counters(database)
            with database.read() as connection:
                grouped = select(EVENT.c["class"], func.count()).where(EVENT.c.unread == "").group_by(EVENT.c["class"])
                stored = {row[0]: row[1] for row in connection.execute(grouped)}
            customers = sum(row["transactions"] for row in rows(database, CUSTOMER_HOUR))
        finally:
            database.close()
        for klass in ("audit", "alarm"):
            found.lost += max(0, given[klass] - stored.get(klass, 0))
            found.twice += max(0, stored.get(klass, 0) - given[klass]) + max(0, count[f"taken.{klass}"] - given[klass])
        found.twice += max(0, customers - stored.get("txn", 0)) + max(0, stored.get("txn", 0) - given["txn"])
        found.missed_txn = given["txn"] - stored.get("txn", 0)
        found.duplicates = sum(number for name, number in count.items() if name.startswith("repeated.") and name != "repeated.telemetry")

    def _judge_bank(self, found: Judged, advices: int) -> None:
        books = sqlite3.connect(self._folder / "bank" / "bank.sqlite")
        settled, paid = books.execute(
            "SELECT count(*), -coalesce(sum(p.amount_minor), 0) FROM entry e JOIN posting p ON p.entry = e.id"
            " WHERE e.kind = 'settlement' AND p.account = 'suspense'"
        ).fetchone()
        books.close()
        found.lost += max(0, advices - settled)
        found.twice += max(0, settled - advices) + abs(paid - settled * MINOR * NOTES) // (MINOR * NOTES)

    def stop_database(self) -> None:
        if self._server is not None:
            self._server.stop()


def _kill(child: subprocess.Popen[str]) -> None:
    child.kill()
    end_quietly(child)


def end_quietly(child: subprocess.Popen[str]) -> None:
    try:
        end(child)
    except BrokenPipeError:
        child.wait()


def play(folder: Path, rounds: int, pace: float, seed: int, tell: Callable[[str], Any], *, postgres: bool | None = None) -> Judged:
    """`postgres` None: when it is installed."""
    chance = random.Random(seed)
    with_server = binaries() is not None if postgres is None else postgres
    found = Judged(rounds, database="postgresql" if with_server else "sqlite")
    matrix = Matrix(folder, pace, chance, postgres=with_server)
    try:
        for number in range(rounds):
            time.sleep(chance.uniform(0.1, 0.8))
            victim = chance.choice(VICTIMS)
            tell(f"crash matrix: round {number + 1} of {rounds}: {victim}")
            matrix.kill(victim)
            found.kills[victim] += 1
        tell("crash matrix: coming to rest")
        matrix.rest()
        matrix.judge(found)
    finally:
        matrix.close()
        matrix.stop_database()
    return found
