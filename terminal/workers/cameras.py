"""The inspection cameras as the agent sees them: a process takes one picture, a thread waits for it, the inbox hears of it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence

from terminal.workers.picture import MOST_BYTES

LIMIT_S = 20.0
PROGRAM = (sys.executable, "-m", "terminal.workers.picture")

Taken = Callable[[bytes | None], None]


class InspectionCameras:
    """`sources`: device name -> source. `inbox` is called from the waiting thread."""

    def __init__(self, sources: Mapping[str, str], inbox: Callable[[Callable[[], None]], None], program: Sequence[str] = PROGRAM) -> None:
        self._sources, self._inbox, self._program = sources, inbox, program

    def take(self, device: str, taken: Taken) -> bool:
        """False when no camera looks at that device. `taken` gets a JPEG, or None, in the agent's thread."""
        source = self._sources.get(device)
        if source is None:
            return False
        threading.Thread(target=self._wait, args=(source, taken), name=f"picture of {device}", daemon=True).start()
        return True

    def _wait(self, source: str, taken: Taken) -> None:
        data: bytes | None = None
        try:
            done = subprocess.run([*self._program, source], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=LIMIT_S, check=False)
            if done.returncode == 0 and 0 < len(done.stdout) <= MOST_BYTES:
                data = done.stdout
        except (OSError, subprocess.TimeoutExpired) as error:
            sys.stderr.write(f"picture: {type(error).__name__}\n")
        self._inbox(lambda: taken(data))
