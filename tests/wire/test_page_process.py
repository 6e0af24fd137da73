"""The kiosk page as a real child process that dies, says nothing or talks nonsense: it is started again and shown the last view."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from supervised import (
    SUPPORT,
    Inbox,
    SkippingClock,
)

from terminal.workers.children import BUDGET
from terminal.workers.page import PONG_LIMIT_S, PageProcess

pytestmark = pytest.mark.wire


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
