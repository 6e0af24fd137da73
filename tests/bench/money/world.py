"""The world of one schedule: hardware, terminal, broker, bank, people. Moments and faults are in `moments`, who watches in `witness`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from money.children import HEARTBEAT_S, MemoryPipe
from money.disk import Disk
from money.ending import heal, rest
from money.hardware import DENOMINATIONS, Payout, WatchedSlot, WitnessedDispenser, chance_of
from money.life import Life
from money.lines import Line
from money.moments import Moments
from money.network import BankAtBroker
from money.people import Person
from money.sched import Runaway, Scheduler, Task, TaskClock
from money.schedule import Schedule
from money.setting import Setting
from money.witness import Witness
from simulators.broker.memory import MemoryBroker
from simulators.devices.dispenser import Options
from simulators.devices.dispenser_physics import Cassette, PathNote
from simulators.devices.pinpad_device import PinPad
from simulators.devices.pinpad_vault import Vault, VolatileMemory
from simulators.devices.printer import Printer
from terminal.adapters.store import Store
from terminal.core.model import State

CUSTOMERS_S = 420.0
LOOK_S = 2.0


class World:
    centre_keys: Mapping[str, Any] = {}
    """Who may give orders: nobody, but in tests/bench/test_money_orders.py."""

    def __init__(self, schedule: Schedule, setting: Setting, *, story: bool = False) -> None:
        self.schedule, self._setting = schedule, setting
        self.chance = chance_of(schedule.seed, "world")
        self.time = Scheduler()
        self.began = self.time.now
        self.clock = TaskClock(self.time)
        self.first_latch = ""
        self.wall_offset_s = 0.0
        self.to_continue: list[Callable[[], None]] = []
        self.config, self.link_config = setting.config(schedule.counts, face=schedule.face), setting.link_config
        self.eye_key, self.sealer, self.key_blocks = setting.eye_key, setting.sealer, setting.key_blocks
        self.card_setting = setting.card_setting(schedule.seed, self.wall)
        self.story: list[tuple[float, str, str]] | None = [] if story else None
        self.broken: list[tuple[str, str]] = []
        self.taken: set[tuple[str, str]] = set()
        self.witness, self.moments = Witness(self), Moments(self)
        self.point = self.moments.point
        self.view: Mapping[str, Any] = {"screen": "dark"}
        self.watchers: set[Task] = set()
        self.strays: list[PathNote] = []
        self.exchanged: dict[int, tuple[int, int]] = {}
        """By cassette type (0..3): what had left it when it was exchanged (`judge.out_of`)."""
        self.views_shown: list[Mapping[str, Any]] = []
        self.published: list[str] = []
        self.told: Counter[str] = Counter()
        """Messages by class that the journal took: all of them must reach the bank. `perhaps_told`: the disk said no and may have them."""
        self.perhaps_told: Counter[str] = Counter()
        self.before_camera = ""
        """What the face verifier will say of whoever stands there."""
        self.secrets = setting.secrets
        self.reader_gone_until = 0.0
        setting.wire.begin(on=not schedule.whole, random_bytes=chance_of(schedule.seed, "sealing").randbytes)
        self._build()
        self.lives = 1
        self.life = Life(self, 1)
        self.all_lives = [self.life]

    def _build(self) -> None:
        schedule = self.schedule
        chance = chance_of(schedule.seed, "disk")
        blank = self._setting.blanks[schedule.whole]
        self.store_keys = blank.keys
        self.disk = Disk(self._setting.new_folder(), blank, chance, telemetry=schedule.whole)
        kinds = (2, 1, 3, 4) if schedule.swapped else (1, 2, 3, 4)
        cassettes = [Cassette(f"CNY {DENOMINATIONS[kind - 1] // 100}", schedule.counts[kind - 1], kind, 2) for kind in kinds]
        options = Options(last_status_survives=schedule.survives, latency=schedule.latency)
        self.dispenser = WitnessedDispenser(cassettes, options, self.witness.last_intent, self.point)
        wires = chance_of(schedule.seed, "wires")
        self.dispenser_line = Line(self.time, "cashDispenser", self.dispenser, wires, self.witness.on_wire)
        vault = Vault(self._setting.pin_keys.kbpk, VolatileMemory(), chance_of(schedule.seed, "vault").randbytes)
        self.pad_device = PinPad(vault)
        self.pad = Line(self.time, "pinPad", self.pad_device, wires, self.witness.on_wire)
        self.printer = Line(self.time, "printer", Printer(None, 9600.0), wires, self.witness.on_wire)
        self.lines = {line.name: line for line in (self.dispenser_line, self.pad, self.printer)}
        self.slot: WatchedSlot = self._setting.slot(self.point)
        self.broker = MemoryBroker(self.time.later)
        self.bank = BankAtBroker(
            self._setting.bank_host(schedule.seed, self.wall, risky=schedule.risky), self.time, self.broker, self.wall, self.tell
        )
        self.bank.point = self.point

    # --- time and story

    @property
    def now(self) -> float:
        return self.time.now

    def wall(self) -> datetime:
        return self._setting.moment + timedelta(seconds=self.time.now + self.wall_offset_s)

    def tell(self, who: str, what: str) -> None:
        if self.story is not None:
            self.story.append((self.time.now, who, what))

    def broke(self, what: str, detail: str = "") -> None:
        """Something that must not be."""
        self.broken.append((what, detail))
        self.tell("JUDGE", f"{what}: {detail.strip().splitlines()[-1] if detail else ''}")

    # --- what can be looked at

    def open_store(self) -> Store:
        """What the keystore holds is there at every opening."""
        where, keys = self.config.terminal, self.store_keys
        return Store.open(self.disk.path, where.id, where.branch, wall_clock=self.wall, head_key=keys.head, data_keys=keys.data)

    def anchor(self) -> tuple[int, str] | None:
        """The journal's head as the bank was told it last."""
        for text in reversed(self.published):
            message = json.loads(text)
            if "journalseq" in message:
                return message["journalseq"], message["journalhash"]
        return None

    def log(self) -> str:
        """What the terminal has written to standard error."""
        return self._setting.log.getvalue()

    @property
    def state(self) -> State:
        assert self.life.agent is not None
        return self.life.agent.state

    @property
    def payouts(self) -> list[Payout]:
        return self.dispenser.payouts

    # --- people

    def schedule_task(self) -> Task:
        assert self.time.current is not None
        return self.time.current

    def wake_watchers(self) -> None:
        watchers, self.watchers = self.watchers, set()
        for task in sorted(watchers, key=lambda one: one.name):
            self.time.poke(task)

    def page_of(self, life: Life, pipe: MemoryPipe) -> None:
        pipe.write(b'{"ready": {"port": 1}}')
        while (data := pipe.wait(HEARTBEAT_S)) is not None:
            for line in data.splitlines():
                message = json.loads(line)
                if "ping" in message:
                    pipe.write(b'{"pong": 1}')
                elif life is self.life:
                    self.look_at(message["view"])

    def look_at(self, view: Mapping[str, Any]) -> None:
        """This is on the screen now."""
        self.view = view
        self.views_shown.append(view)
        self.tell("kiosk", f"{view['screen']}: {view.get('title', '')}")
        self.wake_watchers()

    def press(self, seq: int, option: str) -> None:
        self.life.press(seq, option)

    def insert_card(self, name: str) -> None:
        self.slot.insert(name)

    def take_cash(self) -> None:
        from_exit = not self.dispenser.busy
        path = self.dispenser.mechanics.path
        standing = [note.cassette for note in path if note.place == "exit" and note not in self.strays] if from_exit else []
        taken = self.dispenser_line.hand("take_notes", from_exit=from_exit)
        self.dispenser.pulled_out(standing)
        if taken:
            self.tell("customer", f"takes the cash: {taken}")

    def cassette_back(self, unit: int) -> None:
        if not self.dispenser.mechanics.cassettes[unit - 1].present:
            self.dispenser_line.hand("insert_cassette", unit=unit)

    def when_dark(self, seconds: float) -> None:
        """Power that was cut by a plan comes back so long after."""

        def look() -> None:
            if self.dispenser.powered:
                self.time.later(LOOK_S, look)
            else:
                self.time.later(seconds, lambda: self.dispenser_line.hand("power", to="on"))

        if self.healed is False:
            self.time.later(0.5, look)

    healed = False
    quiet = False
    closing = False

    # --- the terminal's process

    def end_life(self, away_s: float, *, power: bool) -> None:
        """The agent's process ends now and is started again. When it is the one that runs, this does not return."""
        life = self.life
        if not life.alive:
            return
        self.tell("fault", "the power of the terminal fails" if power else "the agent's process ends")
        life.end(power=power)
        self.time.later(away_s, self.start_life)
        if life.runs_now(workers=power):
            assert self.time.current is not None
            self.time.kill(self.time.current)

    def start_life(self) -> None:
        self.lives += 1
        self.life = Life(self, self.lives)
        self.all_lives.append(self.life)

    # --- the course of things

    def play(self) -> None:
        """Customers and faults; then everything is put right, and the world comes to rest."""
        self.receive([Person(self, plan) for plan in self.schedule.customers])
        heal(self)
        rest(self)

    def receive(self, people: list[Person]) -> None:
        """They come, and go again."""
        self._done = 0
        self._next_customer(people, 0)
        self.run(CUSTOMERS_S, lambda: self._done >= len(people))

    def run(self, seconds: float, stop: Callable[[], bool]) -> None:
        try:
            self.time.run(self.now + seconds, stop)
        except Runaway as error:
            self.broke("comesToRest", str(error))

    def _next_customer(self, people: list[Person], number: int) -> None:
        """One after the other; an eager one stands there before the one before has gone."""
        if number >= len(people):
            return

        def gone() -> None:
            self._done += 1
            self.time.perhaps_done()
            if not (number + 1 < len(people) and people[number + 1].plan.eager):
                self._next_customer(people, number + 1)

        self.time.spawn(f"customer {number + 1}", people[number].main, gone)
        if number + 1 < len(people) and people[number + 1].plan.eager:
            self._next_customer(people, number + 1)

    def close(self) -> None:
        """Everything ends; the folder goes."""
        self.closing = True
        if self.life.alive:
            self.life.end(power=True)
        self.disk.throw_away()
        self.time.forget()
        for life in self.all_lives:
            life.untie()
        for one in (*self.lines.values(), self.broker, self.bank, self.dispenser, self.slot, self.moments, self.witness, self):
            vars(one).clear()  # a world is one knot of references: untied here, it does not wait for the collector
