"""`python -m crash_bench.launcher` in place of `python -m terminal`: the same agent, whose ports reach out for SIGKILL when told.

Nothing of it is in the shipped code: the ports that `compose` plugs into the agent are wrapped, once, where it builds them. The kill
happens inside the agent's own thread, so "before" and "after" an effect are exact, for the agent itself and for everybody else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crash_bench.orders import VARIABLE, Order, read, tell_done, write

REQUESTS = {"ATMWithdrawalRequest": "Authorise", "ATMInquiryRequest": "FetchTemplate", "ATMFaceManagementRequest": "ManageFace"}


class KillPoints:
    """Compares every point with the first order of the file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[Order | None, int] = (None, 0)
        self.pids: Callable[[str], int | None] = lambda target: None

    def reached(self, point: str, side: str) -> None:
        orders = read(self._file)
        if not orders or (orders[0].point, orders[0].side) != (point, side):
            return
        order, count = orders[0], self._seen[1] + 1 if self._seen[0] == orders[0] else 1
        self._seen = (order, count)
        if count < order.nth:
            return
        write(self._file, orders[1:])
        if order.delay_s:
            threading.Timer(order.delay_s, self._kill, (order,)).start()
        else:
            self._kill(order)

    def _kill(self, order: Order) -> None:
        pid = os.getpid() if order.target == "agent" else order.pid or self.pids(order.target)
        if pid is None:  # it is down already
            return
        tell_done(self._file, order)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Armed:
    """A port one of whose verbs has a point before and a point after it. Everything else is the port's own."""

    def __init__(self, port: Any, verb: str, points: KillPoints, name: Callable[..., str]) -> None:
        self._port, self._verb, self._points, self._name = port, verb, points, name

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._port, attribute)
        return self._call if attribute == self._verb else found

    def _call(self, *arguments: Any) -> Any:
        point = self._name(*arguments)
        self._points.reached(point, "before")
        result = getattr(self._port, self._verb)(*arguments)
        self._points.reached(point, "after")
        return result


class ArmedTrace:
    """Events and timers have no port: before an event is looked at; after everything it led to was done."""

    def __init__(self, trace: Any, points: KillPoints) -> None:
        self._trace, self._points = trace, points
        self._event = ""

    def note(self, kind: str, name: str, phase: str) -> None:
        if kind in ("event", "view") and self._event:
            event, self._event = self._event, ""
            self._points.reached(event, "after")
        if kind == "event":
            self._event = f"event {name}"
            self._points.reached(self._event, "before")
        self._trace.note(kind, name, phase)
        if (kind, name) == ("command", "StartTimer"):
            self._points.reached("command StartTimer", "after")

    def close(self) -> None:
        self._trace.close()


def armed(ports: Any, points: KillPoints) -> Any:
    """The same ports, each with its points."""
    import dataclasses

    def record(entries: Any, *rest: Any) -> str:
        return "command Record:" + ",".join(entry.kind for entry in entries)

    def pid_of(target: str) -> int | None:
        port = ports.page if target == "page" else {device.value: worker for device, worker in ports.workers.items()}[target]
        found: int | None = port.pid
        return found

    points.pids = pid_of
    return dataclasses.replace(
        ports,
        journal=Armed(ports.journal, "append", points, record),
        link=Armed(ports.link, "request", points, lambda type_, *rest: f"command {REQUESTS.get(type_, type_)}"),
        workers={
            device: Armed(port, "send", points, lambda command: f"command {type(command).__name__}")
            for device, port in ports.workers.items()
        },
        page=Armed(ports.page, "show", points, lambda view: f"view {view['screen']}"),
        trace=ArmedTrace(ports.trace, points),
    )


def end_with_the_bench() -> None:
    """Our standard input closes when the process that started us is gone, however it went."""

    def read() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=read, daemon=True).start()


def main() -> int:
    from terminal import __main__ as program
    from terminal import agent, compose

    points = KillPoints(Path(os.environ[VARIABLE]))
    compose.Ports = lambda *parts: armed(agent.Ports(*parts), points)  # type: ignore[assignment,misc]
    end_with_the_bench()
    return program.main()


if __name__ == "__main__":
    sys.exit(main())
