"""The agent as shipped, with the scripted face worker in the place of the real one: started as `python -m terminal` is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from terminal import __main__ as program
from terminal import compose
from terminal.core.model import Device
from terminal.workers.supervisor import WorkerProcess

SCRIPTED = (sys.executable, str(Path(__file__).with_name("scripted_face_worker.py")))


def worker(device: Device, *rest: Any, **more: Any) -> WorkerProcess:
    return WorkerProcess(device, *rest, **more, **({"program": SCRIPTED} if device is Device.FACE else {}))


def main() -> int:
    compose.WorkerProcess = worker  # type: ignore[assignment,misc]
    return program.main()


if __name__ == "__main__":
    sys.exit(main())
