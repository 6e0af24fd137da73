"""The fleet bench's stage: broker, monitor, a bank that acknowledges advices, and the fleet in this process's own loop."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor_process import MonitorProcess, configuration
from postgres import Postgres

from scale.fleet_terminal import Figures, LightTerminal, Rhythm
from scale.setting import Fault, cpu_s, end, line_of, percentile, process, resident_mib
from simulators.broker.start import start_broker
from simulators.fleet.__main__ import allow_files
from simulators.fleet.loop import Loop

SPARE_FILES = 256
CONNECT_PER_S = 500
PATIENCE_S = 240.0


@dataclass(frozen=True, slots=True)
class Load:
    """Cores used and resident MiB: of the broker, the ingest workers, the monitor's server, its database, this generator."""

    cpu: dict[str, float]
    mib: dict[str, float]


@dataclass(frozen=True, slots=True)
class Steady:
    workers: int
    connected: int
    seconds: float
    messages_per_s: float
    lag_ms_p50: float | None
    lag_ms_p99: float | None
    acknowledged: int
    load: Load


@dataclass(frozen=True, slots=True)
class Burst:
    """`cpu_us`: processor time for a message, by process as in `Load`."""

    messages: int
    per_s: float
    cpu_us: dict[str, int]


@dataclass(frozen=True, slots=True)
class Outage:
    """`txn_s`, `telemetry_s`: p99 over terminals, from each one's own connection until all that had gathered of that class was through."""

    terminals: int
    back: int
    reconnect_s: float
    ideal_s: float
    p50_s: float | None
    out_of_order: int
    txn_s: float | None
    telemetry_s: float | None


class FleetStage:
    def __init__(self, folder: Path, terminals: int, rhythm: Rhythm, tell: Callable[[str], Any], *, postgres: bool) -> None:
        allow_files(2 * terminals + SPARE_FILES)
        self._folder, self._tell, self.count = folder, tell, terminals
        self._broker = start_broker(folder / "broker", kind="mosquitto")
        self._bank = self._start_bank()
        self._server = Postgres() if postgres else None
        url = self._server.new("monitor") if self._server else "sqlite:monitor.sqlite"
        self._config = configuration(folder, self._broker.url, database=url)
        self._monitor: MonitorProcess | None = None
        self._door: subprocess.Popen[str] | None = None
        self.figures = Figures()
        now, epoch = time.monotonic(), int(time.time())
        self.terminals = []
        for number in range(terminals):
            self.terminals.append(LightTerminal(number + 1, epoch, rhythm, self.figures, now))
            tell(f"making terminal {number + 1:,} of {terminals:,}")
        began, share = time.monotonic(), terminals / CONNECT_PER_S / 60.0
        self.loop = Loop(("127.0.0.1", self._broker.port), self.terminals, lambda one: began + share * one.boot_delay_s)  # type: ignore[attr-defined]

    def _start_bank(self) -> subprocess.Popen[str]:
        child = process("scale.consumer", "--url", self._broker.url, "--leaves", "txn")
        line_of(child, "subscribed")
        return child

    def serve_with(self, workers: int) -> None:
        """The same monitor (its database goes on), with so many workers from now on."""
        if self._monitor is not None:
            self._monitor.stop()
        self._monitor = MonitorProcess(self._config, "--workers", str(workers))
        self._monitor.wait_subscribed(workers)

    # --- phases

    def connect_all(self) -> int:
        until = time.monotonic() + PATIENCE_S

        def done() -> bool:
            self._tell(f"{self.loop.up:,} of {self.count:,} connected")
            return self.loop.up == self.count or time.monotonic() > until

        self.loop.run(done)
        return self.loop.up

    def settle(self, most: int) -> None:
        """Until no more than so many rows wait for the monitor."""
        until = time.monotonic() + PATIENCE_S

        def done() -> bool:
            self._tell(f"{self.figures.waiting:,} events wait")
            return self.figures.waiting <= most or time.monotonic() > until

        self.loop.run(done)

    def steady(self, workers: int, seconds: float) -> Steady:
        self.figures.clear(time.monotonic())
        before, began = self._cpu(), time.monotonic()

        def done() -> bool:
            left = seconds - (time.monotonic() - began)
            self._tell(f"{workers} workers: {self.loop.up:,} connected, {len(self.figures.lags_s):,} acknowledged, {left:.0f} s left")
            return left <= 0

        self.loop.run(done)
        took = time.monotonic() - began
        cpu = {name: round((value - before.get(name, 0.0)) / took, 3) for name, value in self._cpu().items()}
        lags = [1000 * one for one in self.figures.lags_s]
        load = Load(cpu, self._memory())
        return Steady(
            workers, self.loop.up, took, self.figures.published / took, percentile(lags, 50), percentile(lags, 99), len(lags), load
        )  # fmt: skip

    def burst(self, each: int) -> Burst:
        """So many customers at every terminal in one moment, until all but one in a hundred of their messages are acknowledged."""
        self.settle(0 if self.count < 100 else self.count // 100)
        before, began, now, cpu = self.figures.stored, time.monotonic(), time.monotonic(), self._cpu()
        for terminal in self.terminals:
            for _ in range(each):
                terminal.serve(now)
        stored = self.figures.stored - before
        self.loop.nudge()
        self.settle(0 if self.count < 100 else self.count // 100)
        used = {name: round((value - cpu.get(name, 0.0)) / stored * 1e6) for name, value in self._cpu().items()}
        return Burst(stored, stored / (time.monotonic() - began), used)

    def outage(self, seconds: float, per_s: float, reports: int, customers: int) -> Outage:
        """The broker dies; the door to it opens after `seconds`, for so many a second. Figures are from the door's opening."""
        self._door = process("scale.throttle", "--to", self._broker.port, "--per-s", per_s, "--files", 2 * self.count + SPARE_FILES)
        self.loop.address = ("127.0.0.1", int(line_of(self._door, "port ")))
        self._broker.kill()
        gone_at = time.monotonic()
        self.loop.run(lambda: self.loop.up == 0)
        self._broker.restart()
        now = time.monotonic()
        for terminal in self.terminals:
            terminal.outage(now, reports, customers)

        def over() -> bool:
            self._tell(f"outage: {seconds - (time.monotonic() - gone_at):.0f} s left")
            return time.monotonic() - gone_at >= seconds

        self.loop.run(over)
        self.figures.clear(time.monotonic())
        assert self._door.stdin is not None
        self._door.stdin.write("open\n")
        self._door.stdin.flush()
        return self._reconnected(time.monotonic(), per_s)

    def _reconnected(self, opened: float, per_s: float) -> Outage:
        figures, until = self.figures, time.monotonic() + PATIENCE_S

        def done() -> bool:
            self._tell(f"{len(figures.connected_at):,} back, {len(figures.txn_done_at):,} have told their transactions")
            everything = len(figures.connected_at) == self.count and len(figures.telemetry_done_at) == self.count
            return (everything and len(figures.txn_done_at) == self.count) or time.monotonic() > until

        self.loop.run(done)
        back = figures.connected_at
        after = {
            name: [at - back[one] for one, at in found.items() if one in back]
            for name, found in (("txn", figures.txn_done_at), ("telemetry", figures.telemetry_done_at))
        }
        times = [at - opened for at in back.values()]
        return Outage(
            self.count, len(back), max(times, default=0.0), self.count / per_s, percentile(times, 50), figures.out_of_order,
            percentile(after["txn"], 99), percentile(after["telemetry"], 99),
        )  # fmt: skip

    # --- figures of processes

    def _pids(self) -> dict[str, list[int]]:
        assert self._broker.process is not None and self._monitor is not None
        found = {"broker": [self._broker.process.pid], "workers": self._monitor.worker_pids(), "server": [self._monitor.process.pid]}
        if self._server is not None:
            found["database"] = [self._server.process.pid, *_children(self._server.process.pid)]
        return {**found, "generator": [int(Path("/proc/self").resolve().name)]}

    def _cpu(self) -> dict[str, float]:
        return {name: sum(map(cpu_s, pids)) for name, pids in self._pids().items()}

    def _memory(self) -> dict[str, float]:
        return {name: round(sum(map(resident_mib, pids)), 1) for name, pids in self._pids().items()}

    def close(self) -> None:
        self.loop.close()
        if self._monitor is not None:
            self._monitor.stop()
        for child in (self._bank, self._door):
            if child is not None:
                end(child)
        self._broker.stop()
        if self._server is not None:
            self._server.stop()


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


__all__ = ["Fault", "FleetStage", "Load", "Outage", "Steady"]
