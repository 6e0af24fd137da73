"""The broker of the `iotcore` wheel as a process of its own: ``python -m simulators.broker --config FILE``.

It ends when its standard input closes, so it cannot outlive whoever started it. For demonstrations on a machine without
mosquitto only: nothing survives its restart, it has no access lists and enforces no client certificates.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m simulators.broker", description=__doc__)
    parser.add_argument("--config", required=True, help="rumqttd configuration (TOML)")
    arguments = parser.parse_args()
    try:
        from iotcore.iotcore import IotCoreBroker
    except ImportError as error:
        sys.stderr.write(f"the Python package iotcore is not installed (pip install iotcore==0.4.0): {error}\n")
        return 2
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)  # its spans make every packet an "error"

    def leave_with_the_parent() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=leave_with_the_parent, daemon=True).start()
    IotCoreBroker(config_path=arguments.config).run_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
