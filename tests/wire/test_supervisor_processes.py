"""Real child processes that hang, crash, talk nonsense or outlive their agent: what the supervisor tells the core, and what it restarts."""

from __future__ import annotations

import os
import queue
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device
from terminal.workers.children import BUDGET, Restarts
from terminal.workers.page import PONG_LIMIT_S, PageProcess
from terminal.workers.supervisor import GRACE_S, HEARTBEAT_LIMIT_S, WORKER, WorkerProcess

pytestmark = pytest.mark.wire

SUPPORT = Path(__file__).parents[1] / "support"
ODD = (sys.executable, str(SUPPORT / "odd_worker.py"))
PATIENCE_S = 60.0
LOST = e.DeviceLost(Device.DISPENSER, "workerLost")
ONLINE = e.DeviceOnline(Device.DISPENSER)


class SkippingClock:
    """The machine's clock, and a way to skip what nobody wants to wait for."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def now(self) -> float:
        return time.monotonic() + self.skipped

    def sleep(self, seconds: float) -> None:
        raise AssertionError("the agent does not sleep")


class Inbox:
    """The agent's loop, as far as a child needs it."""

    def __init__(self) -> None:
        self.items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.events: list[e.Event] = []

    def pump(self, child: WorkerProcess | PageProcess, until: Callable[[], bool]) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while not until():
            assert time.monotonic() < give_up, f"never came; so far {self.events}"
            child.tick()
            try:
                item = self.items.get(timeout=0.02)
            except queue.Empty:
                continue
            if isinstance(item, e.Event):
                self.events.append(item)
            else:
                item()


class Rig:
    def __init__(self, program: tuple[str, ...] = ODD, **settings: Any) -> None:
        self.clock = SkippingClock()
        self.inbox = Inbox()
        self.worker = WorkerProcess(Device.DISPENSER, settings, self.clock, self.inbox.items.put, program)
        self.number = 0

    @property
    def events(self) -> list[e.Event]:
        return self.inbox.events

    def until(self, ready: Callable[[], bool]) -> None:
        self.inbox.pump(self.worker, ready)

    def until_event(self, event: e.Event, times: int = 1) -> None:
        self.until(lambda: self.events.count(event) >= times)

    def do(self, deed: int, deadline_s: float = 30.0) -> int:
        self.number += 1
        self.worker.send(c.PrepareDispense(self.number, deadline_s, (deed,)))
        return self.number

    def pid(self) -> int:
        self.until(lambda: self.worker.pid is not None)
        assert self.worker.pid is not None
        return self.worker.pid


@contextmanager
def worker(program: tuple[str, ...] = ODD, **settings: Any) -> Iterator[Rig]:
    rig = Rig(program, **settings)
    try:
        yield rig
    finally:
        rig.worker.close(5.0)


ANSWER, HANG, CRASH, GARBAGE, RAISE, LOSE, PRINT, REFUSE, FOREIGN = range(9)


def done(number: int) -> Callable[[e.Event], bool]:
    return lambda event: isinstance(event, e.DispenserPrepared) and event.command_id == number


def gone(number: int) -> e.CommandFailed:
    return e.CommandFailed(number, Device.DISPENSER, "workerLost", "workerLost")


def not_sent(number: int) -> e.CommandFailed:
    return e.CommandFailed(number, Device.DISPENSER, "workerLost", e.NOT_SENT)


def test_a_worker_starts_says_so_and_answers() -> None:
    with worker() as rig:
        rig.until_event(ONLINE)
        number = rig.do(ANSWER)
        rig.until(lambda: any(map(done(number), rig.events)))
        assert rig.events[0] == ONLINE and len(rig.events) == 2


def test_a_worker_that_hangs_in_a_command_is_killed_at_its_deadline_and_started_again() -> None:
    with worker() as rig:
        rig.until_event(ONLINE)
        pid = rig.pid()
        number = rig.do(HANG, deadline_s=20.0)
        rig.clock.skipped += 20.0 + GRACE_S
        rig.until_event(ONLINE, 2)
        assert rig.events[1:] == [gone(number), LOST, ONLINE]
        assert rig.pid() != pid
        again = rig.do(ANSWER)
        rig.until(lambda: any(map(done(again), rig.events)))


def test_a_hung_worker_is_left_alone_before_its_deadline() -> None:
    with worker() as rig:
        rig.until_event(ONLINE)
        pid = rig.pid()
        rig.do(HANG, deadline_s=500.0)
        rig.clock.skipped += 400.0
        for _ in range(5):
            rig.worker.tick()
        due = rig.worker.next_deadline()
        assert due is not None and due > rig.clock.now(), "the agent's loop would spin"
        assert rig.worker.pid == pid and rig.events == [ONLINE], "busy is not silent: the command's own deadline counts"


def test_everything_in_flight_is_told_as_lost_in_order_before_the_device() -> None:
    with worker() as rig:
        rig.until_event(ONLINE)
        first, second = rig.do(CRASH), rig.do(ANSWER)
        rig.until_event(LOST)
        assert rig.events[1:] == [gone(first), gone(second), LOST]


def test_an_answer_before_the_crash_counts() -> None:
    with worker() as rig:
        rig.until_event(ONLINE)
        first, second = rig.do(ANSWER), rig.do(CRASH)
        rig.until_event(LOST)
        assert done(first)(rig.events[1]) and rig.events[2:] == [gone(second), LOST]


def test_nonsense_on_its_output_ends_a_worker(capfd: pytest.CaptureFixture[str]) -> None:
    with worker() as rig:
        rig.until_event(ONLINE)
        number = rig.do(GARBAGE)
        rig.until_event(ONLINE, 2)
        assert rig.events[1] in (gone(number), LOST) or done(number)(rig.events[1])
        assert LOST in rig.events
    assert "worker spoke nonsense: not JSON" in capfd.readouterr().err


def test_a_worker_speaks_for_its_own_device_only(capfd: pytest.CaptureFixture[str]) -> None:
    with worker() as rig:
        rig.until_event(ONLINE)
        rig.do(FOREIGN)
        rig.until_event(LOST)
        assert not any(isinstance(event, e.DeviceLost) and event.device is Device.PRINTER for event in rig.events)
    assert "DeviceLost is not its to say" in capfd.readouterr().err


def test_a_library_that_prints_does_not_break_the_wire() -> None:
    with worker() as rig:
        rig.until_event(ONLINE)
        number = rig.do(PRINT)
        rig.until(lambda: any(map(done(number), rig.events)))
        assert LOST not in rig.events


def test_a_defect_of_one_verb_is_an_event_without_its_text(capfd: pytest.CaptureFixture[str]) -> None:
    with worker() as rig:
        rig.until_event(ONLINE)
        number = rig.do(RAISE)
        rig.until_event(e.CommandFailed(number, Device.DISPENSER, "unexpected", "ValueError"))
        pid = rig.worker.pid
        again = rig.do(REFUSE)
        rig.until_event(e.CommandFailed(again, Device.DISPENSER, "deviceFault", "cassetteEmpty"))
        assert rig.worker.pid == pid
    said = capfd.readouterr().err
    assert "ValueError at" in said and "6228480000000015" not in said


def test_a_device_that_goes_and_comes_back_keeps_its_process() -> None:
    with worker() as rig:
        rig.until_event(ONLINE)
        pid = rig.pid()
        number = rig.do(LOSE)
        rig.until_event(e.CommandFailed(number, Device.DISPENSER, "linkError", "linkError"))
        rig.until_event(e.DeviceLost(Device.DISPENSER, "noAnswer"))
        early = rig.do(ANSWER)
        rig.until_event(e.CommandFailed(early, Device.DISPENSER, "linkError", "noAnswer"))
        rig.until_event(ONLINE, 2)
        assert rig.worker.pid == pid


def test_a_device_that_is_not_there_is_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    with worker(open="fail") as rig:
        rig.until_event(e.DeviceLost(Device.DISPENSER, "noAnswer"))
        number = rig.do(ANSWER)
        rig.until_event(e.CommandFailed(number, Device.DISPENSER, "linkError", "noAnswer"))
        assert rig.events.count(e.DeviceLost(Device.DISPENSER, "noAnswer")) == 1
    assert "nobody there" in capfd.readouterr().err


def test_an_idle_worker_that_says_nothing_more_is_killed() -> None:
    with worker(mute=True) as rig:
        rig.until_event(ONLINE)
        pid = rig.pid()
        rig.clock.skipped += 2 * HEARTBEAT_LIMIT_S + 1.0
        rig.until_event(LOST)
        rig.until(lambda: rig.worker.pid not in (None, pid))


def test_a_heartbeat_keeps_an_idle_worker() -> None:
    with worker() as rig:
        rig.until_event(ONLINE)
        pid = rig.pid()
        for _ in range(2):
            heard = rig.worker._heard_at
            rig.until(lambda heard=heard: rig.worker._heard_at > heard)
        assert rig.worker.pid == pid and rig.events == [ONLINE]


def test_restarts_are_used_up_and_the_device_is_given_up() -> None:
    with worker(open="crash") as rig:
        for used in range(1, BUDGET[0] + 2):
            rig.until_event(LOST, used)
            rig.clock.skipped += 30.0
        rig.until_event(e.DeviceGaveUp(Device.DISPENSER))
        assert rig.events == [LOST] * (BUDGET[0] + 1) + [e.DeviceGaveUp(Device.DISPENSER)]
        assert rig.worker.pid is None and rig.worker.next_deadline() is None
        number = rig.do(ANSWER)
        rig.until_event(not_sent(number))


def test_a_restart_by_order_has_a_fresh_budget_also_after_it_was_given_up() -> None:
    with worker() as rig:
        rig.until_event(ONLINE)
        starts, pid = rig.worker.starts, rig.pid()
        rig.worker.restart()
        rig.until_event(ONLINE, 2)
        assert rig.worker.starts == starts + 1 and rig.pid() != pid
        for _ in range(BUDGET[0]):
            before = rig.events.count(ONLINE)
            rig.do(CRASH)
            rig.until(lambda before=before: rig.events.count(ONLINE) > before or e.DeviceGaveUp(Device.DISPENSER) in rig.events)  # type: ignore[misc]
            rig.clock.skipped += 60.0
        rig.until_event(e.DeviceGaveUp(Device.DISPENSER))
        before = rig.events.count(ONLINE)
        rig.worker.restart()
        rig.until_event(ONLINE, before + 1)


def test_a_command_before_its_turn_starts_the_worker() -> None:
    """The face verifier waits its turn, unless a customer wants it before."""
    rig = Rig()
    number = rig.do(ANSWER)
    assert rig.worker.pid is not None
    rig.inbox.pump(rig.worker, lambda: any(getattr(event, "command_id", None) == number for event in rig.inbox.events))
    assert not_sent(number) not in rig.inbox.events
    rig.worker.close(5.0)


def test_a_command_to_a_worker_that_was_closed_is_lost_at_once() -> None:
    rig = Rig()
    rig.worker.close(5.0)
    number = rig.do(ANSWER)
    rig.until_event(not_sent(number))


def test_the_last_words_of_a_process_that_was_given_up_are_not_heard() -> None:
    with worker() as rig:
        rig.until_event(ONLINE)
        rig.do(CRASH)
        rig.worker.close(5.0)
        while not rig.inbox.items.empty():
            item = rig.inbox.items.get()
            if not isinstance(item, e.Event):
                item()
        assert rig.events == [ONLINE]


def test_closing_ends_a_worker_also_a_hung_one() -> None:
    for deed in (ANSWER, HANG):
        rig = Rig()
        rig.until_event(ONLINE)
        pid = rig.pid()
        rig.do(deed)
        rig.worker.close(0.2 if deed == HANG else 10.0)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


AGENT = """
import queue, sys, time
from terminal.core.model import Device
from terminal.workers.supervisor import WorkerProcess
from drivers.transports.base import MonotonicClock
items = queue.SimpleQueue()
worker = WorkerProcess(Device.DISPENSER, {}, MonotonicClock(), items.put, tuple(sys.argv[1:]))
worker.tick()
online = False
while not online:
    item = items.get()
    online = not callable(item)
    if callable(item):
        item()
print(worker.pid, flush=True)
time.sleep(3600)
"""


def test_the_workers_of_a_killed_agent_end_by_themselves() -> None:
    with subprocess.Popen([sys.executable, "-c", AGENT, *ODD], stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        pid = int(agent.stdout.readline())
        watch = os.pidfd_open(pid)
        try:
            agent.send_signal(signal.SIGKILL)
            agent.wait()
            assert select.select([watch], [], [], PATIENCE_S)[0], "the worker lives on"
        finally:
            os.close(watch)


def test_a_worker_that_cannot_be_configured_says_why_in_one_line(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    missing = tmp_path / "none.json"
    inbox = Inbox()
    settings = {
        "key_blocks": str(missing),
        "format": "iso9564-4",
        "port": "/nowhere",
        "baudrate": 9600,
        "parity": "N",
        "stop_bits": 1,
        "data_bits": 8,
    }
    pad = WorkerProcess(Device.PIN_PAD, settings, SkippingClock(), inbox.items.put, WORKER)
    try:
        inbox.pump(pad, lambda: e.DeviceLost(Device.PIN_PAD, "configuration") in inbox.events)
    finally:
        pad.close(5.0)
    said = capfd.readouterr().err
    assert f"pinPad: {missing}: no JSON object of key blocks" in said and "Traceback" not in said


def test_a_port_that_is_not_there_is_a_lost_device_not_a_crash(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    inbox = Inbox()
    port = tmp_path / "no-port"
    settings = {"port": str(port), "baudrate": 9600, "parity": "N", "stop_bits": 1, "data_bits": 8, "max_notes": 40}
    unit = WorkerProcess(Device.DISPENSER, settings, SkippingClock(), inbox.items.put, WORKER)
    try:
        inbox.pump(unit, lambda: any(isinstance(event, e.DeviceLost) for event in inbox.events))
        assert unit.pid is not None
    finally:
        unit.close(5.0)
    said = capfd.readouterr().err
    assert str(port) in said and "Traceback" not in said


# --- restarts, in no time


class StillClock:
    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


def test_restarts_wait_longer_each_time_and_the_budget_comes_back() -> None:
    clock = StillClock()
    restarts = Restarts(clock)
    waits = []
    for _ in range(BUDGET[0]):
        at = restarts.next_start()
        assert at is not None
        waits.append(at - clock.now())
        clock.at = at
    assert waits == [0.0, 1.0, 2.0, 4.0, 8.0]
    assert restarts.next_start() is None
    clock.at += BUDGET[1] + 1.0
    assert restarts.next_start() == clock.now()


# --- the page


class PageRig:
    def __init__(self, *arguments: str) -> None:
        self.clock = SkippingClock()
        self.inbox = Inbox()
        self.presses: list[tuple[int, str]] = []
        self.ports: list[int] = []
        program = (sys.executable, str(SUPPORT / "odd_page.py"))
        self.page = PageProcess(
            arguments, self.clock, self.inbox.items.put, lambda *press: self.presses.append(press), self.ports.append, program
        )

    def until(self, ready: Callable[[], bool]) -> None:
        self.inbox.pump(self.page, ready)


@contextmanager
def page(*arguments: str) -> Iterator[PageRig]:
    rig = PageRig(*arguments)
    try:
        yield rig
    finally:
        rig.page.close(5.0)


def test_a_view_goes_out_and_a_press_comes_in() -> None:
    with page() as rig:
        rig.until(lambda: rig.ports == [4711])
        rig.page.show({"seq": 5, "screen": "idle"})
        rig.until(lambda: bool(rig.presses))
        assert rig.presses == [(5, f"seen-by-{rig.page.pid}")]


def test_a_page_that_dies_is_started_again_and_shown_the_last_view() -> None:
    with page() as rig:
        rig.page.show({"seq": 1, "screen": "idle"})
        rig.until(lambda: len(rig.presses) == 1)
        first = rig.page.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        rig.until(lambda: len(rig.presses) == 2)
        assert rig.page.pid != first
        assert rig.presses == [(1, f"seen-by-{first}"), (1, f"seen-by-{rig.page.pid}")]


def test_a_page_that_keeps_dying_is_started_for_ever_only_slower() -> None:
    with page() as rig:
        rig.page.show({"seq": 1, "screen": "die"})
        for count in range(1, BUDGET[0] + 4):
            rig.until(lambda count=count: len(rig.presses) >= count and rig.page.pid is None)
            rig.clock.skipped += 61.0


def test_a_page_that_answers_no_ping_is_killed() -> None:
    with page("deaf") as rig:
        rig.until(lambda: rig.ports == [4711])
        first = rig.page.pid
        rig.clock.skipped += PONG_LIMIT_S + 1.0
        rig.until(lambda: len(rig.ports) == 2)
        assert rig.page.pid != first


def test_lines_that_are_none_are_passed_over(capfd: pytest.CaptureFixture[str]) -> None:
    with page("garbage") as rig:
        rig.page.show({"seq": 9, "screen": "idle"})
        rig.until(lambda: bool(rig.presses))
        assert rig.presses == [(9, f"seen-by-{rig.page.pid}")]
    assert capfd.readouterr().err.count("a line that is none of ours") == 5


def test_a_defect_behind_a_press_is_not_taken_for_a_bad_line() -> None:
    """An error in the core must be heard, not hidden as nonsense of the page."""

    def defective(*press: object) -> None:
        raise ValueError("a defect in the core")

    rig = PageRig()
    rig.page._pressed = defective
    try:
        rig.page.show({"seq": 1, "screen": "idle"})
        with pytest.raises(ValueError, match="a defect in the core"):
            rig.until(lambda: False)
    finally:
        rig.page.close(5.0)


def test_a_command_that_no_worker_could_read_is_told_as_not_sent() -> None:
    """Between its end and the word of its end."""
    with worker() as rig:
        rig.until_event(ONLINE)
        pid = rig.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert rig.worker._child is not None
        while rig.worker._child.send(b"{}\n"):
            pass
        number = rig.do(ANSWER)
        rig.until_event(LOST)
        assert rig.events[1:] == [not_sent(number), LOST]
