"""Moments and the faults that strike at them.

Every moment worth distinguishing is a **point**: before and after each effect of the agent, each chunk on a wire, each command to the chip,
each note that moves, each message at the bank. Points are counted; a fault strikes at one of them, or at a time.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from money.kinds import KINDS, WHILE_OPEN, Kind
from money.sched import Killed
from money.schedule import Fault

if TYPE_CHECKING:
    from money.world import World


class Moments:
    """Of one world. `trail`: the names of the points so far, when somebody wants them. `struck`: (kind, where)."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.points = self.points_before_heal = 0
        self.trail: list[str] | None = None
        self.struck: list[tuple[str, str]] = []
        self.effects: list[str] = []
        """Kinds that struck and were felt. `excuses`: the caution they justify together."""
        self.excuses: set[str] = set()
        self._in_wait: list[tuple[Kind, frozenset[str], Callable[[], bool]]] = []
        self._occurrences: Counter[str] = Counter()
        self._here = ""
        self._at_point: dict[int, list[Fault]] = {}
        self._at_name: dict[tuple[str, int], list[Fault]] = {}
        self._over = False
        for fault in world.schedule.faults:
            self._plan(fault)

    def _plan(self, fault: Fault) -> None:
        if isinstance(fault.at, int):
            self._at_point.setdefault(fault.at, []).append(fault)
        elif fault.at.startswith("t="):
            self._world.time.later(float(fault.at[2:]), lambda: self._strike(fault))
        else:
            name, _, number = fault.at.rpartition("#")
            self._at_name.setdefault((name, int(number)), []).append(fault)

    def point(self, name: str) -> None:
        """A moment. May not return: Killed, when the process that runs is the one that ends here."""
        number, self.points = self.points, self.points + 1
        if self.trail is not None:
            self.trail.append(name)
        faults = self._at_point.pop(number, None)
        if self._at_name:
            self._occurrences[name] += 1
            faults = [*(faults or ()), *self._at_name.pop((name, self._occurrences[name]), ())]
        if faults:
            self._here = name
            self._strike_all(faults)
            self._world.time.hold()

    def over(self) -> None:
        """From now on nothing strikes."""
        self._over = True
        self.points_before_heal = self.points
        self._ask_what_was_felt()
        self._at_point.clear()
        self._at_name.clear()

    def _strike_all(self, faults: list[Fault]) -> None:
        """Also those behind one that ends the process that runs."""
        for number, fault in enumerate(faults):
            try:
                self._strike(fault)
            except Killed:
                for other in faults[number + 1 :]:
                    with contextlib.suppress(Killed):
                        self._strike(other)
                raise

    def _strike(self, fault: Fault) -> None:
        if self._over:
            return
        self._world.tell("fault", str(fault))
        self.struck.append((fault.kind, self._here))
        kind = KINDS[fault.kind]
        open_ = self._world.witness.dispense_open
        leads = kind.leads if open_ or WHILE_OPEN not in kind.leads else frozenset()
        try:
            came = kind.strike(self._world, **dict(fault.arguments))
        except Killed:
            self._felt(kind, leads)
            raise
        if callable(came):
            self._in_wait.append((kind, leads, came))
        elif came is not False:
            self._felt(kind, leads)

    def _felt(self, kind: Kind, leads: frozenset[str]) -> None:
        self.effects.append(kind.name)
        self.excuses |= leads

    def _ask_what_was_felt(self) -> None:
        """Of the faults that lay in wait."""
        in_wait, self._in_wait = self._in_wait, []
        for kind, leads, felt in in_wait:
            if felt():
                self._felt(kind, leads)
