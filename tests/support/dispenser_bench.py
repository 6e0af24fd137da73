"""A simulated dispenser, its driver and the line between them, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from drivers.devices.puloon_lcdm4000 import PuloonLcdm4000, dispense_time_s
from drivers.errors import LinkTimeout
from drivers.protocols.puloon_messages import DispenseResult
from drivers.transports.base import ByteStream, Deadline
from drivers.transports.memory import MemoryStream, VirtualClock
from simulators.devices.dispenser import Dispenser, Options
from simulators.devices.dispenser_store import default_cassettes

REQUEST = (2, 1, 0, 0)
Result = TypeVar("Result")


class Bench:
    """One unit, one driver, one clock."""

    def __init__(self, options: Options | None = None, wrap: type | None = None, **wrap_arguments: Any) -> None:
        self.clock = VirtualClock()
        self.unit = Dispenser(default_cassettes(), options)
        line: ByteStream = MemoryStream(self.unit, self.clock)
        self.driver = PuloonLcdm4000(wrap(line, self.clock, **wrap_arguments) if wrap else line, self.clock)

    def hand(self, do: str, **arguments: Any) -> Any:
        return self.unit.control(do, arguments, self.clock.now())

    def within(self, seconds: float = 63.0) -> Deadline:
        return Deadline.after(self.clock, seconds)

    def dispense(self, *quantities: int) -> DispenseResult:
        assert len(quantities) == 4
        return self.driver.dispense(quantities, self.within(dispense_time_s(sum(quantities))))

    def insist(self, verb: Callable[[Deadline], Result]) -> Result:
        """A unit with an answer under way is deaf until it is out: ask again, nothing was sent or nothing was heard."""
        for _ in range(200):
            try:
                return verb(self.within())
            except LinkTimeout:
                continue
        raise AssertionError("the unit never answered")

    def sent(self, code: str = "52") -> int:
        return int(self.hand("history")["totals"].get(code, 0))

    def outlet(self) -> Any:
        return self.hand("state")["outlet"]
