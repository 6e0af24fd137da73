"""One life of the agent: from the start of its process to its end, with the workers and the page it started.

Everything in it is what is shipped: `Agent`, `Store`, `BankLink`, `WorkerProcess` with the worker's own loop, services and drivers. Only
what they stand on is the bench's: clock, inbox, pipes, lines, the MQTT session. The composition follows `terminal.compose`.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from money.children import HEARTBEAT_S, Line, MemoryChild, MemoryPipe, Program, first_line
from money.deadlines import Deadlines
from money.eyes import Reader, ScriptedEye
from money.inbox import MemoryInbox, MemoryThread, MemoryWake
from money.lines import Line as SerialLine
from money.lines import LineStream
from money.network import MemorySession
from money.ports import Surroundings, TappedJournal, TappedLink, TappedPage, TappedTrace, TappedWorker
from money.sched import Task
from money.shortcut import DirectPage
from money.stops import stop_child
from terminal.adapters.bank_link import BankLink
from terminal.adapters.link_means import LinkMeans
from terminal.adapters.store import Store
from terminal.adapters.store_file import StoreFailed
from terminal.agent import Agent
from terminal.compose import recovered_from
from terminal.core.events import Started
from terminal.core.model import Device, State
from terminal.fleet.attendant import Attendant
from terminal.fleet.build import attendant_of
from terminal.fleet.order_desk import RESTART_EXIT
from terminal.ports import Ports
from terminal.workers.page import PageProcess
from terminal.workers.service import Service
from terminal.workers.services.card import CardService
from terminal.workers.services.dispenser import DispenserService
from terminal.workers.services.pin_pad import PinPadService
from terminal.workers.services.printer import PrinterService
from terminal.workers.supervisor import WorkerProcess
from terminal.workers.worker import Worker

if TYPE_CHECKING:
    from money.world import World

START_S = 0.3
AGAIN_S = 1.0
LONGEST_WAIT_S = 30.0
LETTERS = str.maketrans("0123456789", "abcdefghij")
"""A seed within a message's identity: as digits, seed 112233 would look like somebody's PIN."""


class Life:
    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.alive = True
        self.tasks: list[Task] = []
        self.children: dict[Device | str, MemoryChild] = {}
        self.agent: Agent | None = None
        self.store: Store | None = None
        self.link: BankLink | None = None
        self.stopped_at: float | None = None
        self.stood_still_s = 0.0
        self.deadlines = Deadlines(self)
        self._direct: DirectPage | None = None
        seed = str(world.schedule.seed).translate(LETTERS)
        self._identities = iter(f"{seed}-{number}-{n}" for n in range(1_000_000))
        self.tasks.append(world.time.spawn(f"agent {number}", self._main))

    # --- the process

    def _main(self) -> None:
        world = self.world
        world.time.sleep(START_S)
        try:
            self._start()
            assert self.agent is not None
            while self.agent._running:
                self.agent.run_once(LONGEST_WAIT_S)
            if self.agent.exit_code != RESTART_EXIT and not (self.agent.state.store_failed and self.agent.exit_code):
                world.broke("noException", "the agent ended by itself")
            world.tell("agent", "ends, to be started again")
        except StoreFailed as error:
            if self.agent is not None:
                world.broke("noException", f"a failing store ended the agent: {error}")
            world.tell("agent", f"does not start: {error}")
        except Exception:  # noqa: BLE001 - whatever it is, it would have ended the agent: that is for the judge
            world.broke("noException", traceback.format_exc())
        world.end_life(AGAIN_S, power=False)

    def _start(self) -> None:
        world = self.world
        self.store = world.open_store()
        world.disk.opened()
        recovered = recovered_from(self.store, world.config)
        inbox = self._inbox = MemoryInbox(world.time)
        agent = self.agent = Agent(State(world.config.core()), inbox=inbox)
        self.link = BankLink(
            world.link_config, world.disk.path, self._from_link, clock=world.clock, wall_clock=world.wall, chance=world.chance,
            sealer=self.store.sealer,
            means=LinkMeans(self._session, self._thread, lambda: MemoryWake(world.time), lambda: next(self._identities)),
        )  # fmt: skip
        workers = {
            device: WorkerProcess(device, {}, world.clock, self._heard, spawn=self._spawner(device, program))
            for device, program in self._programs().items()
        }
        page: Any = DirectPage(world)
        if world.schedule.whole:
            page = PageProcess([], world.clock, inbox.put, agent.pressed, lambda port: None, spawn=self._spawner("page", self._page))
        self._direct = None if world.schedule.whole else page
        agent.plug(
            Ports(
                world.clock,
                world.wall,
                TappedJournal(self, self.store),
                TappedLink(self, self.link),
                world.sealer,
                {device: TappedWorker(self, port) for device, port in workers.items()},
                TappedPage(self, page),
                TappedTrace(self),
            )
        )
        if world.schedule.attended:
            agent.attend(self._attendant(agent, workers))
        agent.take(Started(recovered))
        self.link.start()

    def _attendant(self, agent: Agent, workers: Mapping[Device, WorkerProcess]) -> Attendant:
        world = self.world
        assert self.store is not None
        return attendant_of(
            world.config,
            agent,
            self.store,
            Surroundings(self),
            restart_worker=lambda device: workers[device].restart(),
            picture=lambda device, done: False,
            keys=world.centre_keys,
        )

    def end(self, *, power: bool) -> None:
        """The process is gone, in the middle of whatever it did. Its workers notice at their pipe, or go with the power."""
        world = self.world
        if not world.closing:
            self.check_deadlines()
        self.alive = False
        if not world.closing:
            world.disk.survive(power=power)
        for child in self.children.values():
            child.pipe.hang_up()
            if power and not child.task.current:
                child.kill()
        for task in self.tasks:
            if not task.current:
                world.time.kill(task)
        if self.store is not None:
            self.store.close()
        world.look_at({"screen": "dark"})

    def untie(self) -> None:
        """Everything of it that holds another part of it lets go."""
        for child in self.children.values():
            vars(child.pipe).clear()
            vars(child).clear()
        for one in (self.agent, self.link, self):
            if one is not None:
                vars(one).clear()

    def waiting_messages(self) -> int:
        """How many messages the bank has not acknowledged."""
        assert self.store is not None
        rows: int = self.store._database.execute("SELECT count(*) FROM outbox").fetchone()[0]
        return rows

    def runs_now(self, *, workers: bool) -> bool:
        """Is it this process (or one of its workers) that runs at this moment?"""
        tasks = [*self.tasks, *(child.task for child in self.children.values() if workers)]
        return any(task.current for task in tasks)

    # --- what it stands on

    def point(self, name: str) -> None:
        if self.alive:
            self.world.point(name)

    @property
    def time(self) -> float:
        """Seconds, without those in which this process stood still."""
        return (self.world.now if self.stopped_at is None else self.stopped_at) - self.stood_still_s

    def check_deadlines(self) -> None:
        if self.agent is not None:
            for late in self.deadlines.overdue(self.agent.state.phase.value):
                self.world.broke("deadlines", late)

    def _heard(self, item: Any) -> None:
        """What a worker's supervisor tells the agent."""
        self.deadlines.answered(getattr(item, "command_id", None))
        self._inbox.put(item)

    def _from_link(self, event: Any) -> None:
        assert self.agent is not None
        self.deadlines.answered(getattr(event, "request_id", None))
        self.agent.from_link(event)

    def _session(self, options: Any) -> MemorySession:
        return MemorySession(options, self.world.time, self.world.broker, self.point, self.world.published)

    def _thread(self, target: Callable[[], None], name: str) -> MemoryThread:
        return MemoryThread(self.world.time, target, f"{name} {self.number}", self.tasks.append)

    def _spawner(self, whom: Device | str, program: Program) -> Callable[[Sequence[str], Line, int], MemoryChild]:
        def spawn(arguments: Sequence[str], on_line: Line, generation: int) -> MemoryChild:
            name = whom.value if isinstance(whom, Device) else whom
            child = MemoryChild(self.world.time, f"{name} {self.number}.{generation}", program, on_line, generation)
            self.children[whom] = child
            return child

        return spawn

    # --- its children

    def _programs(self) -> dict[Device, Program]:
        world = self.world
        quiet_card: Callable[[Service], bool] = lambda service: True  # noqa: E731
        listening: Callable[[Any], bool] = lambda service: service._listening and not world.pad.received  # noqa: E731
        programs = {
            Device.DISPENSER: self._worker(
                world.dispenser_line, lambda open_: DispenserService(open_, world.clock, max_notes=world.config.cash.max_notes)
            ),
            Device.PIN_PAD: self._worker(
                world.pad, lambda open_: PinPadService(open_, world.clock, world.key_blocks, world.config.pin_pad.format), listening
            ),
            Device.PRINTER: self._worker(world.printer, lambda open_: PrinterService(open_, world.clock, 42, True)),
            Device.CARD_READER: self._card_worker(quiet_card),
        }
        if world.config.face is not None:
            programs[Device.FACE] = self._face_worker
        return programs

    def _worker(
        self, line: SerialLine, make: Callable[[Callable[[], LineStream]], Any], quiet: Callable[[Any], bool] = lambda service: False
    ) -> Program:
        def program(pipe: MemoryPipe) -> None:
            opened: list[LineStream] = []

            def open_() -> LineStream:
                opened.append(line.open())
                return opened[-1]

            def release() -> None:
                for stream in opened:
                    stream.close()

            self._run(pipe, make(open_), quiet, release)

        def with_nudges(pipe: MemoryPipe) -> None:
            line.on_received = pipe.nudge
            program(pipe)

        return with_nudges if quiet(_Nothing()) else program

    def _card_worker(self, quiet: Callable[[Service], bool]) -> Program:
        def program(pipe: MemoryPipe) -> None:
            self.world.slot.changed = pipe.nudge
            service = CardService(lambda: Reader(self.world), self.world.clock, self.world.card_setting)
            self._run(pipe, service, quiet, lambda: None)

        return program

    def _face_worker(self, pipe: MemoryPipe) -> None:
        self._run(pipe, ScriptedEye(self.world, pipe), lambda service: False, lambda: None)

    def _run(self, pipe: MemoryPipe, service: Any, quiet: Callable[[Any], bool], release: Callable[[], object]) -> None:
        first_line(pipe)
        worker = Worker(service, pipe, self.world.clock, HEARTBEAT_S)
        pipe.quiet = lambda: worker._open and quiet(service)
        try:
            worker.run()
        finally:
            release()

    def _page(self, pipe: MemoryPipe) -> None:
        """The kiosk page: what it is shown is what people see."""
        self.world.page_of(self, pipe)

    def kill_worker(self, device: Device) -> bool:
        """False when it does not run."""
        child = self.children.get(device)
        if child is None or not self.alive or child.task.done or child.task.dead:
            return False
        self.world.tell("fault", f"kill -9 {child.name}")
        child.kill()
        return True

    def kill_page(self) -> bool:
        child = self.children.get("page")
        if child is not None and self.alive:
            child.kill()
            self.world.look_at({"screen": "dark"})
        elif self._direct is not None and self.alive:
            self._direct.restart()
        return self.alive

    def stop_page(self, seconds: float | None) -> bool:
        """False when there is none."""
        if self._direct is not None:
            self._direct.stop(seconds)
            return self.alive
        return stop_child(self.world, self.children.get("page"), seconds)

    def press(self, seq: int, option: str) -> None:
        """Somebody's finger on the screen."""
        if not self.alive or self.agent is None:
            return
        agent, page = self.agent, self.children.get("page")
        if self._direct is not None:
            self._direct.pressed(lambda: agent.inbox.put(lambda: agent.pressed(seq, option)))
        elif page is not None and not page.task.done and not page.task.stopped:
            page._say(json.dumps({"pressed": {"seq": seq, "id": option}}).encode())


class _Nothing:
    """A service as `quiet` sees it before there is one: listening, with nothing received."""

    _listening = True
