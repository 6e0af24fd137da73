"""The world of one schedule: hardware, terminal, broker, bank, people, and the faults that strike at its moments.

Every moment worth distinguishing is a **point** (`point`): before and after each effect of the agent, each chunk on a wire, each command to
the chip, each note that moves, each message at the bank. Points are counted; a fault strikes at one of them, or at a time.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from money.children import HEARTBEAT_S, MemoryPipe
from money.disk import Disk
from money.ending import heal, rest
from money.hardware import DENOMINATIONS, Payout, WatchedSlot, WitnessedDispenser, chance_of
from money.kinds import KINDS, WHILE_OPEN, Kind
from money.life import Life
from money.lines import Line
from money.network import BankAtBroker
from money.people import Person
from money.sched import Killed, Runaway, Scheduler, Task, TaskClock
from money.schedule import Fault, Schedule
from money.setting import Setting
from simulators.broker.memory import MemoryBroker
from simulators.card.application import TC
from simulators.devices.dispenser import Options
from simulators.devices.dispenser_physics import Cassette, PathNote
from simulators.devices.pinpad_device import PinPad
from simulators.devices.pinpad_vault import Vault, VolatileMemory
from simulators.devices.printer import Printer
from terminal.adapters.store import Store
from terminal.core import commands as c
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
        self.points = self.points_before_heal = 0
        self.trail: list[str] | None = None
        self.struck: list[tuple[str, str]] = []
        self.effects: list[str] = []
        """Kinds that struck and were felt. `excuses`: the caution they justify together."""
        self.excuses: set[str] = set()
        self._in_wait: list[tuple[Kind, frozenset[str], Callable[[], bool]]] = []
        self._dispense_open = False
        self._occurrences: Counter[str] = Counter()
        self._here = ""
        self._plan_faults()
        self.view: Mapping[str, Any] = {"screen": "dark"}
        self.watchers: set[Task] = set()
        self.intents: list[str] = []
        self.dispenses_sent: Counter[str] = Counter()
        self.cards_of: dict[str, int] = {}
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
        self.dispenser = WitnessedDispenser(cassettes, options, self.last_intent, self.point)
        wires = chance_of(schedule.seed, "wires")
        self.dispenser_line = Line(self.time, "cashDispenser", self.dispenser, wires, self._on_wire)
        vault = Vault(self._setting.pin_keys.kbpk, VolatileMemory(), chance_of(schedule.seed, "vault").randbytes)
        self.pad_device = PinPad(vault)
        self.pad = Line(self.time, "pinPad", self.pad_device, wires, self._on_wire)
        self.printer = Line(self.time, "printer", Printer(None, 9600.0), wires, self._on_wire)
        self.lines = {line.name: line for line in (self.dispenser_line, self.pad, self.printer)}
        self.slot: WatchedSlot = self._setting.slot(self.point)
        self.broker = MemoryBroker(self.time.later)
        self.bank = BankAtBroker(
            self._setting.bank_host(schedule.seed, self.wall, risky=schedule.risky), self.time, self.broker, self.wall, self.tell
        )
        self.bank.point = self.point

    # --- time, story, moments

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

    def _plan_faults(self) -> None:
        self.at_point: dict[int, list[Fault]] = {}
        self.at_name: dict[tuple[str, int], list[Fault]] = {}
        for fault in self.schedule.faults:
            if isinstance(fault.at, int):
                self.at_point.setdefault(fault.at, []).append(fault)
            elif fault.at.startswith("t="):
                self.time.later(float(fault.at[2:]), lambda fault=fault: self._strike(fault))  # type: ignore[misc]
            else:
                name, _, number = fault.at.rpartition("#")
                self.at_name.setdefault((name, int(number)), []).append(fault)

    def point(self, name: str) -> None:
        """A moment. May not return: Killed, when the process that runs is the one that ends here."""
        number, self.points = self.points, self.points + 1
        if self.trail is not None:
            self.trail.append(name)
        faults = self.at_point.pop(number, None)
        if self.at_name:
            self._occurrences[name] += 1
            faults = [*(faults or ()), *self.at_name.pop((name, self._occurrences[name]), ())]
        if faults:
            self._here = name
            self._strike_all(faults)
            self.time.hold()

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
        if self.healed:
            return
        self.tell("fault", str(fault))
        self.struck.append((fault.kind, self._here))
        kind = KINDS[fault.kind]
        leads = kind.leads if self._dispense_open or WHILE_OPEN not in kind.leads else frozenset()
        try:
            came = kind.strike(self, **dict(fault.arguments))
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

    def ask_what_was_felt(self) -> None:
        """Of the faults that lay in wait."""
        in_wait, self._in_wait = self._in_wait, []
        for kind, leads, felt in in_wait:
            if felt():
                self._felt(kind, leads)

    # --- witnesses

    def _on_wire(self, line: str, direction: str, data: bytes) -> None:
        if self.story is not None:
            arrow = ">" if direction == "toDevice" else "<"
            self.tell("wire", f"{line} {arrow} {data.hex() if line == 'cashDispenser' else f'{len(data)} bytes'}")
        if line == "cashDispenser" and direction == "toDevice" and data[3:4] == b"\x52":
            self._dispense_on_wire()
        self.point(f"wire {line} {direction}")

    def _dispense_on_wire(self) -> None:
        transaction_id = self.last_intent()
        self.dispenses_sent[transaction_id] += 1
        if self.dispenses_sent[transaction_id] > 1 or not transaction_id:
            self.broke("neverTwice", transaction_id or "without any intent")

    def last_intent(self) -> str:
        return self.intents[-1] if self.intents else ""

    def recorded(self, entries: Any) -> None:
        """An append has returned: on disk."""
        for entry in entries:
            if entry.kind == "dispenseIntended":
                self.intents.append(entry.transaction_id)
                self._dispense_open = True
            elif entry.kind == "transactionSettled":
                self._dispense_open = False
            elif entry.kind == "authorisationRequested":
                self.cards_of[entry.transaction_id] = self.slot.generation if self.slot.present else -1

    def ordered(self, command: c.DeviceCommand) -> None:
        """The agent is about to send this to a worker."""
        if isinstance(command, c.Dispense):
            transaction = self.state.transaction
            identity = transaction.transaction_id if transaction else ""
            if identity != self.last_intent():
                self.broke("intentFirst", identity)
            generation = self.cards_of.get(identity, -1)
            if self.slot.present and self.slot.generation == generation:
                self.broke("cardBeforeCash", identity)
            if self.slot.last_words.get(generation) != TC:
                self.broke("noCashBeforeTc", f"{identity}: the chip's last word was {self.slot.last_words.get(generation)}")

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
        for one in (*self.lines.values(), self.broker, self.bank, self.dispenser, self.slot, self):
            vars(one).clear()  # a world is one knot of references: untied here, it does not wait for the collector
