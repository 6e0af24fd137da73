"""Processes that hang: stopped as by SIGSTOP. They take no input and give no output, the clock goes on, until SIGCONT or a kill.

A child is its supervisor's business: a hang is not over because the other faults are. One that nobody has killed after `HUNG_S` breaks the
invariant `deadlines`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from money.children import MemoryChild
    from money.life import Life
    from money.world import World

HUNG_S = 50.0
"""Longer than 15 s without a heartbeat, during which the longest command (30 s) was given to it."""
PAGE_S = 25.0
"""So long after its last word a page that hangs is killed, where the page is no process (shortcut.py)."""


def stop_child(world: World, child: MemoryChild | None, seconds: float | None) -> bool:
    """For so long, or until it is killed (None). False when there is nothing to stop."""
    life = world.life
    if child is None or child.task.done or child.task.dead or child.task.stopped or not life.alive:
        return False
    world.tell("fault", f"{child.name} hangs")
    world.time.stop(child.task)
    if seconds is not None:
        world.time.later(seconds, lambda: _go_on(world, child))
    began = life.time
    world.time.later(HUNG_S, lambda: _look(world, life, child, began))
    return True


def _look(world: World, life: Life, child: MemoryChild, began: float) -> None:
    """It must be gone by now. What hung through a time in which the agent itself stood still gets that much longer."""
    if not hangs(child):
        return
    left = HUNG_S - (life.time - began)
    if life.alive and left > 0:
        world.time.later(left, lambda: _look(world, life, child, began))
        return
    if life.alive:
        world.broke("deadlines", f"{child.name} hung for {HUNG_S:.0f} s, and nobody killed it")
    _go_on(world, child)


def _go_on(world: World, child: MemoryChild) -> None:
    if hangs(child):
        world.tell("fault", f"{child.name} goes on")
        world.time.go_on(child.task)


def hangs(child: MemoryChild) -> bool:
    return child.task.stopped and not child.task.done and not child.task.dead


def stop_agent(world: World, seconds: float) -> bool:
    """All its threads. Time in which it stands still counts for none of its deadlines."""
    life = world.life
    if not life.alive or life.stopped_at is not None:
        return False
    world.tell("fault", "the agent's process stands still")
    life.stopped_at = world.now
    for task in life.tasks:
        world.time.stop(task)

    def go_on() -> None:
        if life.stopped_at is not None:
            life.stood_still_s += world.now - life.stopped_at
            life.stopped_at = None
            for task in life.tasks:
                world.time.go_on(task)

    until_continued(world, seconds, go_on)
    return True


def until_continued(world: World, seconds: float, go_on: Callable[[], None]) -> None:
    """After so long, or when all faults end. `go_on` may be called twice."""
    world.to_continue.append(go_on)
    world.time.later(seconds, go_on)
