"""The attendant: what the agent does for the operations centre, beside its customers. In the agent's thread, between its events.

It watches (`saw`), and looks at everything a short while after something changed: health is told, alarms are raised and returned.
What it writes waits while a dispense is open. It never touches the core's state but by events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from terminal.adapters import link_events as link
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import State
from terminal.fleet.alarm_desk import AlarmDesk
from terminal.fleet.health import conditions
from terminal.fleet.post import Post
from terminal.fleet.reporter import Reporter


class Desk(Protocol):
    """A part of the attendant with work of its own (orders, the desired configuration)."""

    def saw(self, event: e.Event, before: State) -> None: ...
    def heard(self, event: link.LinkEvent) -> None: ...
    def tick(self) -> None: ...
    def next_deadline(self) -> float | None: ...


class Attendant:
    """terminal.ports.AttendantPort. `say` takes a sentence for the log."""

    def __init__(self, post: Post, reporter: Reporter, desks: tuple[Desk, ...], say: Callable[[str], None]) -> None:
        self._post, self._reporter, self._desks, self._say = post, reporter, desks, say
        self._alarms = AlarmDesk(post)
        self._look_at: float | None = post.now
        self._looked_at = post.now
        self._worth: tuple[object, ...] = ()
        reporter.connected(post.facts())  # the first connection finds something to say

    def sent(self, command: c.Command) -> None:
        self._reporter.counts.sent(command, self._post.now)

    def saw(self, event: e.Event, before: State) -> None:
        self._reporter.saw(event, before)
        for desk in self._desks:
            desk.saw(event, before)
        worth = _worth_a_look(self._post.state)
        if worth != self._worth:
            self._worth = worth
            self._look_soon()
        if isinstance(event, e.LinkUp):
            self._reporter.connected(self._post.facts())

    def heard(self, event: link.LinkEvent) -> None:
        if isinstance(event, link.BadMessage):
            self.refused(event.topic.rsplit("/", 1)[-1], event.reason)
            self._say(f"bank link: {event.topic}: {event.why}")
        elif isinstance(event, link.OutboxAlarm):
            self._look_soon()
        for desk in self._desks:
            desk.heard(event)

    def refused(self, topic: str, reason: str) -> None:
        """Something that came was not used: counted, and told with the telemetry."""
        self._reporter.counts.refused[f"{topic}/{reason}"] += 1

    # --- time

    def next_deadline(self) -> float | None:
        known = [at for at in (*self._moments(), *[desk.next_deadline() for desk in self._desks]) if at is not None]
        return min(known, default=None)

    def tick(self) -> None:
        for desk in self._desks:
            desk.tick()
        if self._post.news:
            self._post.news = False
            self._look_soon()
        now = self._post.now
        if any(at is not None and now >= at for at in self._moments()):
            self._look()

    def _moments(self) -> list[float | None]:
        """What writes waits for the event that lets it."""
        writing = [self._alarms.next_look(), self._reporter.next_telemetry()] if self._post.may_write else []
        return [self._look_at, self._reporter.next_publication(), *writing]

    def _look_soon(self) -> None:
        if self._look_at is None:
            self._look_at = max(self._post.now, self._looked_at + self._post.settings.look_every_s)

    def _look(self) -> None:
        now = self._post.now
        self._look_at, self._looked_at = None, now
        facts = self._post.facts()
        self._reporter.telemetry(facts)
        self._reporter.look(facts)
        if self._post.may_write:
            self._alarms.look(conditions(self._post.state, facts))


def _worth_a_look(state: State) -> tuple[object, ...]:
    """What health and alarms are made of: the same again is not looked at. Also: may the attendant write (again)?"""
    return (
        state.phase.value in ("unknown", "recovering", "outOfService"),
        state.devices,
        state.units,
        state.latch,
        state.link_up,
        state.store_failed,
        state.closed_by_operator,
        state.dispenser_ready,
        state.open_dispense is None,
    )
