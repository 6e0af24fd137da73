"""Virtual time and the processes in it. Every process is a greenlet: it runs until it waits, then the hub moves time on.

Nothing here knows the machine's clock. What is due at the same moment happens in the order in which it was planned.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from greenlet import GreenletExit, getcurrent, greenlet

MOST_STEPS = 60_000


class Killed(GreenletExit):
    """kill -9, as the killed code sees it: nothing it does any more has an effect."""


class Runaway(BaseException):
    """So many steps without an end: something turns in a circle."""


class Task:
    """A process, or a thread of one."""

    __slots__ = ("_let", "dead", "done", "name", "poked", "resume", "stopped", "token")

    def __init__(self, name: str, main: Callable[[], object], on_end: Callable[[], object], hub: greenlet) -> None:
        self.name = name
        self.dead = False
        self.done = False
        self.stopped = False
        self.token = 0
        self.poked = -1
        """The token it was last poked with: twice is once."""

        def run() -> None:
            try:
                main()
            except Killed:
                pass
            finally:
                self.done = True
            on_end()

        self._let = greenlet(run, hub)  # not a child of whoever happens to start it
        self.resume = self._let.switch

    @property
    def current(self) -> bool:
        return self._let is getcurrent()

    def throw(self) -> None:
        """End it where it waits. From inside itself this is a raise."""
        self.dead = True
        self.token += 1
        if self.current:
            raise Killed
        if not self.done:
            self._let.parent = getcurrent()
            self._let.throw(Killed)
            self.done = True


class Scheduler:
    """The hub. `now` is monotonic seconds."""

    def __init__(self, start: float = 1_000.0) -> None:
        self.now = start
        self.current: Task | None = None
        self.steps = 0
        self._perhaps_done = False
        self._hub = getcurrent()
        self._planned: list[tuple[float, int, Task | Callable[[], object], int]] = []
        self._order = count()

    def call_at(self, at: float, action: Callable[[], object]) -> None:
        heapq.heappush(self._planned, (at, next(self._order), action, -1))

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        heapq.heappush(self._planned, (self.now + seconds, next(self._order), action, -1))

    def spawn(self, name: str, main: Callable[[], object], on_end: Callable[[], object] = lambda: None) -> Task:
        task = Task(name, main, on_end, self._hub)
        heapq.heappush(self._planned, (self.now, next(self._order), task, 0))
        return task

    def wait(self, until: float | None) -> None:
        """The running task sleeps until that moment, or until somebody pokes it."""
        task = self.current
        assert task is not None, "only a task can wait"
        if task.dead:
            raise Killed
        if until is not None:
            heapq.heappush(self._planned, (until, next(self._order), task, task.token))
        self._hub.switch()
        if task.dead:
            raise Killed

    def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.wait(until)

    def stop(self, task: Task) -> None:
        """SIGSTOP: nothing wakes it. When it is the one that runs it must go to `hold` before it does anything more."""
        task.stopped = True
        task.token += 1

    def hold(self) -> None:
        """Does not return while the running task is stopped."""
        task = self.current
        if task is not None and task.stopped and task.current:
            self._hub.switch()
            if task.dead:
                raise Killed

    def go_on(self, task: Task) -> None:
        """SIGCONT. Whatever it waited for is looked at again."""
        if task.stopped:
            task.stopped = False
            self.poke(task)

    def poke(self, task: Task | None) -> None:
        """Wake it now, if it waits."""
        if task is not None and task.poked != task.token and not task.done and not task.stopped:
            task.poked = task.token
            heapq.heappush(self._planned, (self.now, next(self._order), task, task.token))

    def kill(self, task: Task) -> None:
        """From anywhere, also from inside the task itself."""
        running = self.current
        if task.done or task.dead:
            return
        if not task.current:
            self.current = task
        try:
            task.throw()
        finally:
            self.current = running

    def forget(self) -> None:
        """Nothing that was planned happens any more."""
        self._planned.clear()

    def count_step(self) -> None:
        """Also where a loop could turn without ever waiting."""
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise Runaway(f"{MOST_STEPS} steps, and no end at {self.now:.1f} s")

    def perhaps_done(self) -> None:
        """What `run` waits for may have come: only then does it look."""
        self._perhaps_done = True

    def run(self, until: float, stop: Callable[[], bool] = lambda: False) -> None:
        """Until `stop()` holds (asked at first, and behind each `perhaps_done`), nothing is planned any more, or that moment has come."""
        planned, pop = self._planned, heapq.heappop
        self._perhaps_done = True
        while planned:
            if self._perhaps_done:
                self._perhaps_done = False
                if stop():
                    return
            at, _, what, token = planned[0]
            if at > until:
                self.now = until
                return
            pop(planned)
            if at > self.now:
                self.now = at
            self.count_step()
            if what.__class__ is not Task:
                what()  # type: ignore[operator]
            elif what.token == token and not what.done:
                self.current = what
                what.token += 1
                what.resume()
                self.current = None


class TaskClock:
    """`drivers.transports.base.Clock` over the scheduler."""

    def __init__(self, schedule: Scheduler) -> None:
        self._schedule = schedule

    def now(self) -> float:
        return self._schedule.now

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self._schedule.sleep(seconds)
