"""How a schedule ends: every fault is over, a technician clears what lies about, and the world comes to rest by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from terminal.core import cash
from terminal.core.model import Phase

if TYPE_CHECKING:
    from money.world import World

QUIET_S = 420.0
LOOK_S = 2.0


def heal(world: World) -> None:
    """Every fault is over: power, wires, disk, bank; a technician has cleared the path. Nobody touches the terminal itself."""
    world.healed = True
    world.points_before_heal = world.points
    world.at_point.clear()
    world.at_name.clear()
    world.tell("world", "all faults are over")
    world.disk.heal()
    world.broker.faults.clear()
    world.broker.restart()
    world.bank.faults.clear()
    world.reader_gone_until = 0.0
    for line in world.lines.values():
        line.armed.clear()
        line.cut_until = 0.0
    _heal_dispenser(world)
    world.pad.hand("fault", name="silent", value=False)
    world.pad.hand("fault", name="drop_reply", value=0)
    world.pad.hand("power", on=True)
    world.printer.hand("power", on=True)
    world.printer.hand("paper", level="full")
    world.slot.control("clear_faults", {}, world.now)
    if world.slot.present:
        world.slot.remove()


def _heal_dispenser(world: World) -> None:
    unit, mechanics = world.dispenser, world.dispenser.mechanics
    unit.cut_at = None
    mechanics.jam = None
    mechanics.doubles.clear()
    mechanics.foreign.clear()
    mechanics.near_end_detection = False
    mechanics.reject_bin_present = True
    world.dispenser_line.hand("fault", kind="clear")
    world.dispenser_line.hand("power", to="on")
    for number in range(1, 5):
        world.cassette_back(number)


def rest(world: World) -> None:
    """Until the terminal rests and the bank has everything; the machine's path is cleared once it moves no more."""
    world.quiet = False
    _look(world)
    world.run(QUIET_S, lambda: world.quiet)
    if not world.quiet:
        world.broke("comesToRest", unrest(world) or "?")


def _look(world: World) -> None:
    if not world.dispenser.busy and world.dispenser.powered and world.dispenser.mechanics.path and world.life.alive and _settled(world):
        world.dispenser_line.hand("clear_jam")
    check_deadlines(world)
    world.quiet = not unrest(world)
    if not world.quiet:
        world.time.later(LOOK_S, lambda: _look(world))


def _settled(world: World) -> bool:
    return world.life.agent is not None and world.state.open_dispense is None and world.state.phase is not Phase.UNKNOWN


def unrest(world: World) -> str:
    """What still has to happen, or ""."""
    life = world.life
    if not life.alive or life.agent is None:
        return "the agent is not up"
    state = world.state
    if world.slot.present:
        world.slot.remove()
        return "a card was in the slot"
    if state.store_failed:
        return "the journal failed: the agent is about to end, and is started again"
    if state.phase not in (Phase.IDLE, Phase.OUT_OF_SERVICE):
        return f"the session is in {state.phase.value}"
    if state.phase is Phase.OUT_OF_SERVICE and not excused(world):
        return f"out of service: {world.view.get('lines')}"
    rows = life.waiting_messages()
    return f"{rows} messages wait for the bank" if rows else ""


def excused(world: World) -> bool:
    """Out of service for a reason that only a person can take away: a latch, no cash, restarts used up."""
    state = world.state
    gave_up = any(one.detail == "restartsUsedUp" for one in state.devices.values())
    return state.latch is not None or gave_up or not cash.payable(state.units, state.config.presets_minor, state.config.max_notes)


def check_deadlines(world: World) -> None:
    for one in world.life.overdue() if world.life.alive else ():
        world.broke("deadlines", one)
