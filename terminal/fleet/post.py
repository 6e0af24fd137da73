"""What the parts of the attendant share: the agent, the clocks, what surrounds it, its settings, and what survives a restart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from terminal.adapters.clock import iso_ms
from terminal.agent import Agent
from terminal.core.model import State
from terminal.fleet.health import Depth, Facts
from terminal.fleet.wear import Score

TELEMETRY_LIVES_S = 7 * 86_400.0


class Surroundings(Protocol):
    """What of the machine is asked now and then. None where it cannot be known."""

    def page(self) -> str: ...
    def restarts(self) -> Mapping[str, int]: ...
    def outbox(self) -> Mapping[str, Depth]: ...
    def disk_free_bytes(self) -> int | None: ...
    def clock_offset_ms(self) -> int | None: ...
    def certificate_days_left(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """`delays_s`: alarm code -> on delay, in place of the table's. `usual`: wear kind -> usual rate, in place of the table's."""

    telemetry_s: float = 60.0
    state_every_s: float = 2.0
    look_every_s: float = 1.0
    low_threshold: int = 50
    delays_s: Mapping[str, float] = field(default_factory=dict)
    usual: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Post:
    """`kept` reads a space of the store (terminal/adapters/store.py)."""

    agent: Agent
    surroundings: Surroundings
    settings: FleetSettings
    kept: Callable[[str], dict[str, Any]]
    version: str
    started: datetime
    began: float
    configuration_version: int = 0
    configuration_rolled_back: bool = False
    wear: dict[str, Score] = field(default_factory=dict)
    news: bool = False
    """A desk has changed something of the above: worth a look."""

    @property
    def state(self) -> State:
        return self.agent.state

    @property
    def now(self) -> float:
        return self.agent.ports.clock.now()

    @property
    def moment(self) -> datetime:
        return self.agent.ports.wall_clock()

    @property
    def at(self) -> str:
        """The moment as it is written everywhere."""
        return iso_ms(self.moment)

    @property
    def may_write(self) -> bool:
        """Not while a dispense is open: the money's way through the disk is its own. Not on a disk that has failed."""
        state = self.agent.state
        return state.open_dispense is None and not state.store_failed

    def facts(self) -> Facts:
        around = self.surroundings
        return Facts(
            version=self.version,
            started_at=iso_ms(self.started),
            uptime_s=int(self.now - self.began),
            page=around.page(),
            restarts=around.restarts(),
            outbox=around.outbox(),
            disk_free_bytes=around.disk_free_bytes(),
            clock_offset_ms=around.clock_offset_ms(),
            certificate_days_left=around.certificate_days_left(),
            configuration_version=self.configuration_version,
            configuration_rolled_back=self.configuration_rolled_back,
            low_threshold=self.settings.low_threshold,
            wear=self.wear,
        )
