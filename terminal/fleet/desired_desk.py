"""Desired and reported: a version from the centre is verified, checked as the file is, tried between customers, kept or rolled back.

There is one way for a configuration to take effect: a start of the agent. So a version is put on trial (on disk first), the agent
leaves, and whoever runs it starts it again; healthy in time, the version is good, else the one before it is back by the same way.
The message is retained: a version that waited when the agent ended comes again with the next connection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from terminal.adapters import link_events as link
from terminal.adapters.journal import Entry, plain_text
from terminal.adapters.outbox import Outgoing
from terminal.config import ConfigError
from terminal.core import events as e
from terminal.core.model import State
from terminal.core.service import reasons_out_of_service
from terminal.fleet import desired_file
from terminal.fleet.allowance import Allowance
from terminal.fleet.desired import Desired, overlaid, read_desired
from terminal.fleet.desired_file import Memory, Start, Version
from terminal.fleet.health import service_of
from terminal.fleet.order_desk import RESTART_EXIT
from terminal.fleet.orders import Keys
from terminal.fleet.post import Post

NO_SERVICE_YET = "outOfService"
NO_ILLNESS = frozenset({"outOfServiceByOperator"})


class DesiredDesk:
    """terminal.fleet.attendant.Desk."""

    def __init__(self, post: Post, start: Start, keys: Keys, healthy_s: float, refused: Callable[[str, str], None]) -> None:
        self._post, self._start, self._keys, self._refused = post, start, keys, refused
        self._path: Path = desired_file.path_of(start.config)
        self._memory = start.memory
        self._judge_at = post.now + healthy_s if start.memory.trial is not None else None
        self._settled_at, self._settled = post.now + healthy_s, False
        self._arrived: dict[str, Any] | None = None
        self._pending: Desired | None = None
        self._refusals = Allowance(post.now)
        self._told: Memory | None = None
        self._stirred = True
        self._set_facts()

    def heard(self, event: link.LinkEvent) -> None:
        if isinstance(event, link.DesiredArrived):
            self._arrived, self._stirred = event.data, True  # of several only the newest matters

    def saw(self, event: e.Event, before: State) -> None:
        self._stirred = self._stirred or self._judge_at is not None or self._pending is not None

    def next_deadline(self) -> float | None:
        if not self._post.may_write:
            return None
        if self._stirred:
            return self._post.now
        settles_at = self._settled_at if self._pending is not None and not self._settled else None
        return min([at for at in (self._judge_at, settles_at) if at is not None], default=None)

    def tick(self) -> None:
        if not self._post.may_write:
            return
        self._stirred = False
        self._settled = self._settled or self._post.now >= self._settled_at
        if self._judge_at is not None:
            self._judge()
        if self._arrived is not None:
            data, self._arrived = self._arrived, None
            self._take(data)
        if self._pending is not None and self._judge_at is None and self._may_try():
            self._try(self._pending)
        self._report()

    # --- a version comes

    def _take(self, data: dict[str, Any]) -> None:
        found = read_desired(data, self._keys, self._post.state.config.terminal_id)
        if isinstance(found, str):
            self._refuse(found)
        elif found.version < self._memory.newest:
            self._refuse("replayed")
        elif found.version > self._memory.newest or (self._memory.waits and self._pending is None):
            self._check(found)

    def _refuse(self, reason: str) -> None:
        self._refused("desired", reason)
        if not self._refusals.take(self._post.now):
            return
        said = {"event": "configurationRefused", "commandId": None, "command": None, "reason": reason, "topic": "desired"}
        outgoing = [Outgoing("audit", "event", "SecurityEvent", {**said, "at": self._post.at})]
        self._post.agent.record([Entry("configurationRefused", None, {"reason": reason})], outgoing)

    def _check(self, found: Desired) -> None:
        self._pending = None  # whatever becomes of the newer one, the older one is not wanted any more
        try:
            config = overlaid(self._start.table, found.configuration, self._start.base)
        except ConfigError as error:
            self._remember(replace(self._memory, newest=found.version, verdict="rejected", reason=_sayable(error)), found.issued_by)
            return
        if config == self._start.config and self._memory.trial is None:  # what is on trial proves nothing yet
            version = Version(found.version, found.configuration)
            kept = replace(self._memory, good=version, newest=found.version, verdict="applied", reason="")
            self._remember(kept, found.issued_by)
            return
        waiting = replace(self._memory, newest=found.version, verdict="pending", reason="waitsForCustomer")
        self._pending = found if self._remember(waiting, found.issued_by) else None

    def _may_try(self) -> bool:
        """Between customers; and what is ill is ill since longer than a start takes: a trial is not measured against a terminal that is
        only coming up."""
        state = self._post.state
        well = set(reasons_out_of_service(state)) <= NO_ILLNESS
        return self._post.agent.resting and not state.card_present and (well or self._settled)

    def _try(self, found: Desired) -> None:
        reasons = reasons_out_of_service(self._post.state)
        trial = self._memory.on_trial(Version(found.version, found.configuration), reasons)
        if self._remember(trial, found.issued_by):
            self._report()
            self._post.agent.leave(RESTART_EXIT)
        self._pending = None

    # --- a version is on trial

    def _judge(self) -> None:
        state = self._post.state
        unready = service_of(state) == NO_SERVICE_YET
        healthy = set(reasons_out_of_service(state)) <= set(self._memory.before) and (bool(self._memory.before) or not unready)
        if healthy:
            self._judge_at = None
            self._remember(self._memory.proved(), "")
        elif self._judge_at is not None and self._post.now >= self._judge_at and self._post.agent.resting:
            self._judge_at = self._pending = None  # what waits comes again, to a terminal that is well
            if self._remember(self._memory.rolled_back("notHealthyInTime"), ""):
                self._report()
                self._post.agent.leave(RESTART_EXIT)

    # --- memory and report

    def _remember(self, memory: Memory, by: str) -> bool:
        """Journalled, then on disk, then believed. False: nothing changed, and nothing is decided about the newest."""
        said = {"version": memory.newest, "state": memory.verdict, "active": memory.active.version, "reason": memory.reason, "by": by}
        if not self._post.agent.record([Entry("configurationChanged", None, said)]):
            return False
        try:
            desired_file.write(self._path, memory)
        except OSError as error:
            self._refused("desired", "notWritten")
            self._memory = replace(self._memory, newest=memory.newest, verdict="pending", reason=f"notWritten: {error.strerror}")
            return False
        self._memory = memory
        self._set_facts()
        return True

    def _set_facts(self) -> None:
        self._post.configuration_version = self._memory.active.version
        self._post.configuration_rolled_back = self._memory.verdict == "rolledBack"
        self._post.news = True

    def _report(self) -> None:
        memory = self._memory
        if memory == self._told:
            return
        self._told = memory
        data = {"version": memory.newest, "state": memory.verdict, "active": memory.active.version, "reason": memory.reason}
        self._post.agent.ports.link.retain("reported", "ConfigurationReported", {**data, "at": self._post.at})


def _sayable(error: ConfigError) -> str:
    """The sentence may quote what was desired, and that may be anything."""
    try:
        return plain_text(str(error)[:256], "reason")
    except ValueError:
        return "a value that must not be written down"
