"""`./run up`: the stage with its bench page, until Ctrl-C; the agent is started again should it end by itself."""

from __future__ import annotations

import argparse
import signal
import socket
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from simulators.broker.start import BrokerError, available_kind, free_port
from simulators.stage.monitor import MonitorBeside
from simulators.stage.processes import StageError
from simulators.stage.setting import Options, Stage, clean

LONGEST_SOCKET_FOLDER = 80


def main(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    folder: Path = arguments.folder.resolve()
    if len(str(folder)) > LONGEST_SOCKET_FOLDER:
        folder = Path(tempfile.mkdtemp(prefix="branch-"))
    if not arguments.keep:
        clean(folder)
    try:
        kiosk_port, bench_port = _port(arguments.kiosk_port, "--kiosk-port"), _port(arguments.bench_port, "--bench-port")
        monitor_port = 0 if arguments.no_monitor else _port(arguments.monitor_port, "--monitor-port")
        monitored = not arguments.no_monitor and can_be_monitored(arguments.broker)
    except (StageError, BrokerError) as error:
        sys.stderr.write(f"up: {error}\n")
        return 1
    options = options_of(arguments, kiosk_port, bench_port, monitored=monitored)
    stage = Stage(folder, options)
    centre = MonitorBeside(folder)
    ended: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.append(1))
    try:
        stage.set()
        _say_where(stage, began)
        if monitored and stage.broker is not None:
            centre.start(stage.broker.url, monitor_port)
        while not ended:
            time.sleep(0.2)
            _restart_agent(stage)
    except (StageError, BrokerError, OSError) as error:
        if not ended:
            sys.stderr.write(f"up: {error}\nlogs: {folder / 'logs'}\n")
            return 1
    finally:
        print("\nending", flush=True)
        centre.stop()
        stage.strike()
    return 0


def can_be_monitored(broker_url: str | None) -> bool:
    """The broker inside the iotcore wheel has no shared subscriptions."""
    return broker_url is not None or available_kind() != "iotcore"


def options_of(arguments: argparse.Namespace, kiosk_port: int, bench_port: int, *, monitored: bool) -> Options:
    """Beside a monitor, which takes audit and alarm, the bank acknowledges transactions alone."""
    options = Options(
        faces=arguments.faces,
        kiosk_port=kiosk_port,
        bench_port=bench_port,
        bench=True,
        broker_url=arguments.broker,
        printer_bytes_per_s=4800.0,
    )
    return replace(options, bank_acknowledges="txn") if monitored else options


def _port(number: int, option: str) -> int:
    """The port, or a free one for 0. Said at once when it is taken, not by a page that never comes."""
    if number == 0:
        return free_port()
    try:
        with socket.create_server(("127.0.0.1", number)):
            return number
    except OSError as error:
        raise StageError(f"port {number} of 127.0.0.1 cannot be used ({error.strerror}); choose another with {option}") from None


def _say_where(stage: Stage, began: float) -> None:
    assert stage.broker is not None
    print(
        f"""
  kiosk   {stage.kiosk_url}   what the customer sees
  bench   {stage.bench_url}   the simulated devices: insert a card, press PIN-pad keys, take the cash, break things

  card reader  {stage.reader_says}
  broker       {stage.broker.kind} at {stage.broker.url}
  folder       {stage.folder}
  started in {time.monotonic() - began:.1f} s; Ctrl-C ends everything
""",
        flush=True,
    )


def _restart_agent(stage: Stage) -> None:
    terminal = stage.children["terminal"]
    if not terminal.alive:
        print(f"the agent ended ({terminal.process.returncode}); starting it again", flush=True)
        stage.start_terminal()
