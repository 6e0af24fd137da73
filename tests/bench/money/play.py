"""One schedule from beginning to verdict: customers and faults, rest, judgement; a person who counts what is in doubt; a probe."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from money.ending import rest
from money.judge import Wrong, judge, out_of
from money.people import Person
from money.schedule import Customer, Schedule
from money.setting import Setting
from money.world import World
from terminal.adapters.store import Store
from terminal.cash_cli import exchange_unit, release_dispenser, settle_doubt
from terminal.config import Config, ConfigError
from terminal.core import cash
from terminal.core.cash import Accuracy
from terminal.core.model import Latch, Phase

PROBE_CARD, PROBE_PIN = "other-face", "135790"
BY = "bench"
PROBES = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """`wrong` empty is what we want. `taken`: (phase, event) pairs; `struck`: (kind of fault, where); `effects`: the kinds that
    were felt. `points` only with `trail`."""

    wrong: tuple[Wrong, ...]
    latched: str
    taken: frozenset[tuple[str, str]]
    struck: tuple[tuple[str, str], ...]
    effects: tuple[str, ...]
    points: tuple[str, ...]
    points_before_heal: int
    virtual_s: float
    lives: int
    story: tuple[tuple[float, str, str], ...] = ()


def play(schedule: Schedule, setting: Setting, *, story: bool = False, trail: bool = False) -> Outcome:
    """Deterministic: the same schedule gives the same outcome, word for word."""
    setting.log.seek(0)
    setting.log.truncate()
    with contextlib.redirect_stderr(setting.log):
        world = World(schedule, setting, story=story)
        world.moments.trail = [] if trail else None
        try:
            return _outcome(world, list(_course(world)))
        finally:
            world.close()
            setting.wire.begin(on=False)


def _course(world: World) -> Iterable[Wrong]:
    world.play()
    points, world.moments.trail = world.moments.trail, None
    wrong = judge(world)
    world.moments.trail = points
    yield from wrong
    latch = world.state.latch if not wrong else None
    world.first_latch = latch.reason if latch else ""
    if latch is not None:
        wrong = _counted(world, latch)
        yield from wrong
    if not wrong and (latch is not None or world.schedule.whole) and world.state.phase is Phase.IDLE:
        yield from _probe(world)


def _counted(world: World, latch: Latch) -> list[Wrong]:
    """A person counts, exchanges the cassettes whose counts are not accurate, and tells the terminal; from then on everything agrees."""
    world.tell("person", f"has counted: {latch.transaction_id} ({latch.reason})")
    paid = sum(payout.minor for payout in world.payouts if payout.transaction_id == latch.transaction_id)
    doubted = [kind for kind, unit in enumerate(world.state.units) if unit.accuracy is Accuracy.INACCURATE]
    world.life.end(power=False)
    config = dataclasses.replace(world.config, terminal=dataclasses.replace(world.config.terminal, store=world.disk.path))

    def opened(_: Config) -> Store:
        return world.open_store()

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            if latch.reason == "outcomeUnknown":
                settle_doubt(config, latch.transaction_id, paid, BY, opened)
                world.told["txn"] += 1
            else:
                release_dispenser(config, BY, opened)
            for kind in doubted:
                held = sum(cassette.remaining for cassette in world.dispenser.mechanics.cassettes if cassette.type == kind + 1)
                exchange_unit(config, str(kind + 1), held, BY, opened)
                world.exchanged[kind] = out_of(world)[kind]
        world.moments.excuses.clear()  # no fault is left: from here on nothing may be in doubt, and no count inaccurate
    except (ConfigError, ValueError) as error:  # ValueError: what the terminal shows as latched is not in its journal
        return [("reconciliation", str(error))]
    world.start_life()
    rest(world)
    return [(f"afterReconciliation/{name}", sentence) for name, sentence in judge(world)]


def _probe(world: World) -> list[Wrong]:
    """Somebody comes with a good card and wants what the terminal offers: they get it, and it is booked.

    The second such customer at the latest: a PUBACK that never came breaks the connection a while after the fault is over.
    """
    offered = cash.payable(world.state.units, world.state.config.presets_minor, world.state.config.max_notes)
    held = {cassette.type: cassette.remaining for cassette in world.dispenser.mechanics.cassettes}
    mix = cash.mix(world.state.units, offered[0], world.state.config.max_notes) or ()
    if any(asked > held[kind] for kind, asked in enumerate(mix, 1)):
        return []  # filled with fewer notes than anybody was told: the first customer to get none finds it out
    paid: list[int] = []
    for _ in range(PROBES):
        before = len(world.payouts)
        world.receive([Person(world, Customer(PROBE_CARD, (PROBE_PIN,), offered[0]))])
        rest(world)
        paid = [payout.minor for payout in world.payouts[before:]]
        if paid:
            break
    if paid != [offered[0]]:
        return [("servesAgain", f"a probe for {offered[0]} got {paid}")]
    return [(f"afterProbe/{name}", sentence) for name, sentence in judge(world)]


def _outcome(world: World, wrong: list[Wrong]) -> Outcome:
    return Outcome(
        tuple(wrong),
        world.first_latch,
        frozenset(world.taken),
        tuple(world.moments.struck),
        tuple(world.moments.effects),
        tuple(world.moments.trail or ()),
        world.moments.points_before_heal,
        world.now - world.began,
        world.lives,
        tuple(world.story or ()),
    )


def story_lines(outcome: Outcome) -> Iterable[str]:
    """Who did what when."""
    for at, who, what in outcome.story:
        yield f"{at:9.3f} s  {who:<9} {what}"


def tell(schedule: Schedule, outcome: Outcome) -> None:
    """On standard output: the schedule, the story, the verdict."""
    for customer in schedule.customers:
        sys.stdout.write(f"customer   {customer}\n")
    for fault in schedule.faults:
        sys.stdout.write(f"fault      {fault}\n")
    for line in story_lines(outcome):
        sys.stdout.write(line + "\n")
    for name, sentence in outcome.wrong:
        sys.stdout.write(f"VIOLATION  {name}: {sentence}\n")
    verdict = "violated" if outcome.wrong else "all invariants hold"
    sys.stdout.write(f"verdict    {verdict}{', latched: ' if outcome.latched else ''}{outcome.latched}\n")
