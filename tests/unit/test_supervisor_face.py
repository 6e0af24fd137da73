"""What the supervisor makes of a look that takes its time: progress answers nothing, a wish to stop waits for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from drivers.secret import Secret
from drivers.transports.memory import VirtualClock
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device, FaceEvidence
from terminal.workers.children import Line
from terminal.workers.supervisor import GRACE_S, HEARTBEAT_LIMIT_S, WorkerProcess
from terminal.workers.wire import decode, encode

LOOK_S = 20.0


class Child:
    pid = 1

    def __init__(self, arguments: Sequence[str], on_line: Line, generation: int) -> None:
        self.says = lambda event: on_line(generation, encode(event)[:-1])
        self.told: list[Any] = []
        self.killed = False

    def send(self, line: bytes) -> bool:
        if b'"settings"' not in line:
            self.told.append(decode(line))
        return True

    def kill(self) -> None:
        self.killed = True

    def close(self, grace_s: float) -> None:
        """Nothing is open."""


class Rig:
    def __init__(self) -> None:
        self.clock = VirtualClock(100.0)
        self.children: list[Child] = []
        self.events: list[e.Event] = []
        self.worker = WorkerProcess(Device.FACE, {}, self.clock, self._take, spawn=self._spawn)
        self.worker.tick()
        self.child = self.children[0]

    def _spawn(self, arguments: Sequence[str], on_line: Line, generation: int) -> Child:
        self.children.append(Child(arguments, on_line, generation))
        return self.children[-1]

    def _take(self, item: Any) -> None:
        if isinstance(item, e.Event):
            self.events.append(item)
        else:
            item()

    def passes(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.worker.tick()


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.worker.send(c.VerifyFace(7, LOOK_S, Secret("sealed")))
    return rig


def test_progress_does_not_end_the_deadline_of_the_look(rig: Rig) -> None:
    for step in range(4):
        rig.passes(4.0)
        rig.child.says(e.FaceProgress(7, "look", "", step, 4))
    assert not rig.child.killed and len(rig.events) == 4
    rig.passes(4.0 + GRACE_S)
    assert rig.child.killed, "it talks and does not answer: its deadline holds"


def test_an_answer_ends_it(rig: Rig) -> None:
    rig.child.says(e.FaceVerified(7, "accepted", FaceEvidence()))
    assert rig.worker.next_deadline() == rig.clock.now() + HEARTBEAT_LIMIT_S


def test_a_wish_to_stop_is_sent_to_a_busy_worker_and_nothing_waits_for_its_answer(rig: Rig) -> None:
    before = rig.worker.next_deadline()
    rig.worker.send(c.StopFace(8, 1.0))
    assert isinstance(rig.child.told[-1], c.StopFace)
    assert rig.worker.next_deadline() == before, "the look's own deadline, not the wish's"
    rig.passes(5.0)
    rig.child.says(e.FaceVerified(7, "stopped", FaceEvidence()))
    rig.passes(HEARTBEAT_LIMIT_S - 1)
    assert not rig.child.killed
