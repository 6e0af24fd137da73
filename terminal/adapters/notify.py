"""What the service manager is told: sd_notify(3) datagrams to $NOTIFY_SOCKET. Without one, nothing."""

from __future__ import annotations

import contextlib
import os
import socket

from drivers.transports.base import Clock


class ServiceManager:
    """`pulse` may be called at any rate: it speaks three times in a watchdog's period."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        name = os.environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        period = os.environ.get("WATCHDOG_USEC", "")
        mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._every_s = int(period) / 3_000_000 if period.isdecimal() and mine else 0.0
        self._next = 0.0

    def say(self, state: str) -> None:
        """``READY=1``, ``STOPPING=1``, ``STATUS=...``. Nobody listening is no error."""
        if self._address:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto(state.encode(), self._address)

    def pulse(self) -> None:
        now = self._clock.now()
        if self._every_s and now >= self._next:
            self._next = now + self._every_s
            self.say("WATCHDOG=1")
