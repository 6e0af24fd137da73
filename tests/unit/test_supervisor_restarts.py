"""How long a child that ended has to wait for its next start, and when it gets no other."""

from __future__ import annotations

from terminal.workers.children import BUDGET, Restarts


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
