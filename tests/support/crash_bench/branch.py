"""A stage of real processes that get killed: orders are given here, and what the stage itself must start again is started again.

Workers and page come back by the agent's own supervision; nobody helps them here.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from crash_bench import orders as written
from crash_bench import points as p
from crash_bench.orders import Order
from crash_bench.plan import Setting
from simulators.broker.start import BrokerError, free_port
from simulators.control import ControlError
from simulators.stage.customer import Customer
from simulators.stage.processes import StageError
from simulators.stage.setting import Options, Stage

SUPPORT = Path(__file__).parents[1]
TIMEOUTS = {
    "input_s": 3.0,
    "still_there_s": 1.5,
    "take_card_s": 3.0,
    "take_cash_s": 5.0,
    "message_s": 1.0,
    "card_s": 4.0,
    "pin_pad_s": 3.0,
    "authorise_s": 3.0,
    "dispense_s": 5.0,
    "resolve_s": 12.0,
    "print_s": 4.0,
}
FULL = 400
MECHANICS = 10.0
RESTARTS_SPARED = 2  # of the supervisor's five: a worker that was lost so often gets a new agent between two runs
START_ATTEMPTS = 6
READY_WITHIN_S = 10.0

Tell = Callable[[str, str], None]


class Stuck(Exception):
    """Something waits that should not: the sentence says for what."""


@dataclass(slots=True)
class Given:
    """What was ordered in this visit."""

    orders: tuple[Order, ...] = ()
    before_ack: bool = False
    done_before: int = 0
    fired: tuple[Order, ...] = ()


class Branch:
    """`attend` is called again and again, by whoever waits for something."""

    def __init__(self, setting: Setting, tell: Tell) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="crash-"))
        self._orders = self.folder / "orders.json"
        options = Options(
            counts=(FULL,) * 4,
            mechanics=MECHANICS,
            latency=0.0,
            printer_bytes_per_s=20_000.0,
            pictures=False,
            kiosk_port=free_port(),
            timeouts=TIMEOUTS,
            cards_by=setting.cards_by,
            last_status_survives=setting.last_status_survives,
            agent_module="crash_bench.launcher",
            agent_env={written.VARIABLE: str(self._orders), "PYTHONPATH": str(SUPPORT)},
        )
        self.stage = Stage(self.folder, options)
        self.tell = tell
        self.eyes = Customer(self.stage, lambda who, what: self.tell(who, what), patience_s=20.0)
        self.down_s = 0.0
        self.given = Given()
        self.losses: Counter[str] = Counter()
        self._due: dict[str, float] = {}
        self._failed_starts = 0

    def __enter__(self) -> Branch:
        try:
            self.stage.set()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.eyes.goes()
        self.stage.strike()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- orders

    def arm(self, orders: Sequence[Order], *, before_ack: bool = False) -> None:
        """For what the stage started itself the order carries its present process."""
        self.given = Given(tuple(orders), before_ack, len(written.done(self._orders)))
        written.write(self._orders, [replace(one, pid=self.pid(one.target)) if one.target in p.STAGED else one for one in orders])
        if before_ack:
            self.hand("bank", "fault", kind="crash_before_ack")

    def pid(self, target: str) -> int:
        if target == "broker":
            assert self.stage.broker is not None and self.stage.broker.process is not None
            return self.stage.broker.process.pid
        return self.stage.children[p.CHILD.get(target, target)].pid

    def disarm(self) -> list[Order]:
        """What was carried out in this visit. A kill that was taken up and is still being delayed is waited for."""
        left = len(written.read(self._orders))
        written.write(self._orders, [])
        latest = time.monotonic() + max((one.delay_s for one in self.given.orders), default=0.0) + 0.1
        expected = len(self.given.orders) - left
        while len(self._done()) < expected and time.monotonic() < latest:
            self.attend()
            self.eyes.looks(0.02)
        return [*self._done(), *self.given.fired]

    def _done(self) -> list[Order]:
        return written.done(self._orders)[self.given.done_before :]

    # --- what has ended is started again

    def attend(self) -> None:
        """Notice ends; start again what has been down for long enough."""
        for name in ("broker", *self.stage.children):
            if self._alive(name):
                continue
            if name not in self._due:
                self._noticed(name)
            elif time.monotonic() >= self._due[name]:
                self._start(name)

    def _alive(self, name: str) -> bool:
        if name != "broker":
            return self.stage.children[name].alive
        process = self.stage.broker.process if self.stage.broker else None
        return process is not None and process.poll() is None

    def _noticed(self, name: str) -> None:
        self.tell("fault", f"{name} is dead")
        self._due[name] = time.monotonic() + (0.0 if name == "terminal" else self.down_s)
        if name == "bank" and self.given.before_ack:
            self.given.before_ack = False
            self.given.fired = (Order("bank", p.BEFORE_ACK, "after"),)

    def _start(self, name: str) -> None:
        """A terminal may be killed again while it starts. A bank needs its broker, which may die while the bank waits for it: then
        nobody else is attended to, so it is not waited for long, and what is half up goes down to be tried again."""
        if name == "bank" and not self._alive("broker"):
            return
        try:
            self.stage.restart(name, READY_WITHIN_S)
        except (StageError, BrokerError) as error:
            if name != "broker":
                self.stage.children[name].kill()
            self._failed_starts += 1
            if self._failed_starts >= START_ATTEMPTS:
                raise Stuck(f"{name} does not start: {error}") from error
            return
        self._failed_starts = 0
        del self._due[name]
        self.tell("stage", f"{name} started again")
        if name == "terminal":
            self.losses.clear()

    @property
    def whole(self) -> bool:
        """Everything that the stage started is alive."""
        return not self._due and all(self._alive(name) for name in ("broker", *self.stage.children))

    def lost(self, orders: Sequence[Order]) -> None:
        """Restarts that the supervisor has spent since the agent began."""
        self.losses.update(one.target for one in orders if one.target in (*p.WORKERS, p.PAGE))

    def renew_agent(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """An orderly stop and a new start; `meanwhile` the store is nobody's."""
        self.eyes.goes()
        self.eyes.view = {}
        self.stage.children["terminal"].stop()
        meanwhile()
        self.stage.start_terminal()
        self.losses.clear()

    @property
    def worn(self) -> bool:
        return any(count >= RESTARTS_SPARED for count in self.losses.values())

    # --- hands

    def hand(self, whom: str, do: str, /, **arguments: Any) -> Any:
        """What a person or a fault does. None when the part is down or refuses: a customer's hand finds nothing there."""
        try:
            return self.stage.hand(whom).call(do, **arguments)
        except (ControlError, OSError):
            return None
