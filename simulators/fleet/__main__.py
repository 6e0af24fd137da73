"""`./run sim fleet N --broker mqtt://host:port`: N light terminals until Ctrl-C (or for `--seconds`).

They hold a connection each: `ulimit -n` must be above N, here and at the broker. Every five seconds a line says how they are.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import sys
import time
from urllib.parse import urlsplit

from simulators.fleet.loop import Loop
from simulators.fleet.terminal import Rhythm, Terminal

FILES_BESIDE = 64
SAY_S = 5.0


def allow_files(count: int) -> None:
    """Raise this process's own limit. ValueError, with the sentence, when the hard limit is below."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise ValueError(f"{count} open files are needed, and the limit is {hard}: ulimit -n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m simulators.fleet", description="Many light terminals.")
    parser.add_argument("terminals", type=int)
    parser.add_argument("--broker", default="mqtt://127.0.0.1:1883")
    parser.add_argument("--telemetry-s", type=float, default=60.0)
    parser.add_argument("--customer-s", type=float, default=108.0, help="between two customers of a terminal, on average")
    parser.add_argument("--spread-s", type=float, default=10.0, help="they connect within this time")
    parser.add_argument("--seconds", type=float, help="end after so long")
    arguments = parser.parse_args()
    parts = urlsplit(arguments.broker)
    if parts.scheme != "mqtt" or not parts.hostname or arguments.terminals < 1:
        parser.error("one terminal or more, and a broker as mqtt://host:port")
    try:
        allow_files(arguments.terminals + FILES_BESIDE)
    except ValueError as error:
        parser.error(str(error))
    began = time.monotonic()
    rhythm, epoch = Rhythm(arguments.telemetry_s, arguments.customer_s), int(time.time())
    terminals = [Terminal(number, epoch, rhythm, began) for number in range(1, arguments.terminals + 1)]
    share = arguments.spread_s / arguments.terminals
    loop = Loop((parts.hostname, parts.port or 1883), terminals, lambda one: began + share * int(one.client_id[1:]))
    said_at = began
    with contextlib.suppress(KeyboardInterrupt):
        while arguments.seconds is None or time.monotonic() < began + arguments.seconds:
            loop.turn()
            if time.monotonic() >= said_at + SAY_S:
                said_at = time.monotonic()
                print(f"{loop.up} of {arguments.terminals} connected, {sum(one.waiting for one in terminals)} messages wait", flush=True)
    print(f"{loop.up} of {arguments.terminals} connected, {sum(one.waiting for one in terminals)} messages wait", flush=True)
    loop.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
