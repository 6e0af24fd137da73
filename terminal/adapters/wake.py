"""How other threads wake a thread that waits in `poll` (Linux eventfd)."""

from __future__ import annotations

import contextlib
import math
import os
import select
import threading


class Wake:
    """An eventfd: any thread sets it, the loop waits on it."""

    def __init__(self) -> None:
        self._number = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()

    def fileno(self) -> int:
        return self._number

    def set(self) -> None:
        with self._lock:
            if self._number >= 0:  # else closed: nobody waits any more
                os.eventfd_write(self._number, 1)

    def wait(self, timeout_s: float) -> None:
        """Until it is set or the time is up."""
        poll = select.poll()
        poll.register(self._number, select.POLLIN)
        poll.poll(math.ceil(timeout_s * 1000))

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._number)

    def close(self) -> None:
        with self._lock:
            if self._number >= 0:
                os.close(self._number)
            self._number = -1
