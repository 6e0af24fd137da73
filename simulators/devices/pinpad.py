"""`python -m simulators.devices.pinpad --link PATH --control PATH [--http-port 0] [--state FILE]`: the PIN pad as its own process.

Prints ``ready http_port=N`` once port, control socket and HTTP door exist. Ends on SIGTERM, SIGINT or when standard input closes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from simulators.crypto.host_pin import TEST_KEYS, HostPinKeys
from simulators.devices.pinpad_device import PinPad
from simulators.devices.pinpad_http import PressDoor
from simulators.devices.pinpad_vault import FileMemory, Vault, VolatileMemory
from simulators.process import Loop, open_pty


def run(device: PinPad, link: Path, control: Path, http_port: int, *, stdin_eof: bool) -> None:
    """Until told to stop. The device is sans-I/O; this is its wire, its time and the customer's finger."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no core file: it would hold the PIN
    loop = Loop()
    master = open_pty(link)

    def read() -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            device.feed(os.read(master, 4096), time.monotonic())

    def tick(now: float) -> None:
        data = device.take_output(now)
        with contextlib.suppress(BlockingIOError):  # nobody reads: a real UART loses what does not fit
            while data:
                data = data[os.write(master, data) :]

    door = PressDoor(loop, http_port, lambda key: device.control("press", {"key": key}, time.monotonic()))

    def verbs(do: str, arguments: dict[str, Any]) -> Any:
        result = device.control(do, arguments, time.monotonic())
        return result | {"http_port": door.port} if do == "state" else result

    loop.add(master, read)
    loop.serve_control(control, verbs)
    if stdin_eof:
        loop.stop_on_stdin_eof()
    sys.stdout.write(f"ready http_port={door.port}\n")
    sys.stdout.flush()
    loop.run(tick, device.next_wakeup)
    link.unlink(missing_ok=True)
    control.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="simulators.devices.pinpad", description="Simulated encrypting PIN pad (TEST KEYS).")
    parser.add_argument("--link", type=Path, required=True, help="symbolic link to the pty")
    parser.add_argument("--control", type=Path, required=True, help="control socket")
    parser.add_argument("--http-port", type=int, default=0, help="port of the press door on 127.0.0.1 (0: a free one)")
    parser.add_argument("--state", type=Path, help="file that plays the pad's secure memory; without it nothing survives the process")
    parser.add_argument("--serial", default="ZT588SIM00000001", help="serial number, up to 16 characters")
    parser.add_argument("--latency", type=float, default=1.0, help="scales the pad's time to answer; 0 answers at once")
    parser.add_argument("--keys", type=Path, default=TEST_KEYS, help="test keys injected at manufacture")
    parser.add_argument("--keep", action="store_true", help="do not end when standard input closes")
    given = parser.parse_args(arguments)
    try:
        keys = HostPinKeys.load(given.keys)
        memory = FileMemory(given.state) if given.state else VolatileMemory()
        device = PinPad(Vault(keys.kbpk, memory, os.urandom), given.serial, given.latency)
        run(device, given.link, given.control, given.http_port, stdin_eof=not given.keep)
    except (ValueError, OSError, OverflowError) as error:
        sys.stderr.write(f"pinpad: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
