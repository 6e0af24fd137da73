"""Real worker processes that hang, crash, talk nonsense or outlive their agent: what the core is told, and what is started again."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from supervised import (
    ANSWER,
    CRASH,
    FOREIGN,
    GARBAGE,
    HANG,
    LOSE,
    LOST,
    ODD,
    ONLINE,
    PATIENCE_S,
    PRINT,
    RAISE,
    REFUSE,
    Inbox,
    Rig,
    SkippingClock,
    done,
    gone,
    not_sent,
    worker,
)

from terminal.core import events as e
from terminal.core.model import Device
from terminal.workers.children import BUDGET
from terminal.workers.supervisor import GRACE_S, HEARTBEAT_LIMIT_S, WORKER, WorkerProcess

pytestmark = pytest.mark.wire


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
