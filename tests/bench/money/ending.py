"""How a schedule ends: every fault is over, a technician clears what lies about, and the world comes to rest by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from money.hardware import DENOMINATIONS
from money.stops import hangs
from terminal.core.model import Phase
from terminal.core.service import reasons_out_of_service

if TYPE_CHECKING:
    from money.world import World

QUIET_S = 420.0
LOOK_S = 2.0


def heal(world: World) -> None:
    """Every fault is over: power, wires, disk, bank; a technician has cleared the path. Nobody touches the terminal itself."""
    world.healed = True
    world.moments.over()
    world.tell("world", "all faults are over")
    world.disk.heal()
    world.broker.faults.clear()
    world.broker.restart()
    world.bank.faults.clear()
    world.bank.go_on()
    world.broker.go_on()
    for go_on in world.to_continue:
        go_on()
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
    if world.life.alive:
        world.life.check_deadlines()
    world.quiet = not unrest(world)
    if world.quiet:
        world.time.perhaps_done()
    else:
        world.time.later(LOOK_S, lambda: _look(world))


def _settled(world: World) -> bool:
    return world.life.agent is not None and world.state.open_dispense is None and world.state.phase is not Phase.UNKNOWN


def unrest(world: World) -> str:
    """What still has to happen, or ""."""
    life = world.life
    if not life.alive or life.agent is None:
        return "the agent is not up"
    if any(hangs(child) for child in life.children.values()):
        return "a process hangs"
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
    if world.dispenser.mechanics.path:
        return "notes lie on the path, and it moves or is without power"
    rows = life.waiting_messages()
    return f"{rows} messages wait for the bank" if rows else ""


def excused(world: World) -> bool:
    """Out of service, and each reason that it gives is one that only a person can take away: a latch, a device whose restarts are used up,
    no cash when there really is none."""
    state = world.state
    reasons = reasons_out_of_service(state)
    fine = {device.value for device, one in state.devices.items() if one.detail == "restartsUsedUp"}
    if state.latch is not None:
        fine |= {"cashOutLatched", "cashDispenser"}
    if "noCash" in reasons and not _payable(world):
        fine.add("noCash")
    return bool(reasons) and fine.issuperset(reasons)


def _payable(world: World) -> bool:
    """What lies in the cassettes would pay one of the amounts on the screen; what a dispense in doubt was to take counts as gone."""
    state, held = world.state, [0] * len(DENOMINATIONS)
    for cassette in world.dispenser.mechanics.cassettes:
        held[cassette.type - 1] += cassette.remaining
    store = world.life.store
    assert store is not None
    intended: dict[str | None, list[int]] = {}
    doubtful = [0] * len(DENOMINATIONS)
    for entry in store.entries():
        if entry.kind == "dispenseIntended":
            intended[entry.transaction_id] = entry.data["quantities"]
        elif entry.kind == "dispenseUnknown":
            left = _left_by(world, entry.transaction_id)
            asked = intended[entry.transaction_id]
            doubtful = [before + wanted - gone for before, wanted, gone in zip(doubtful, asked, left, strict=True)]
        elif entry.kind == "cashUnitExchanged":
            doubtful[int(entry.data["unit"]) - 1] = 0
    held = [max(0, there - gone) for there, gone in zip(held, doubtful, strict=True)]
    return any(_makes(amount, DENOMINATIONS, held, state.config.max_notes) for amount in state.config.presets_minor)


def _left_by(world: World, transaction_id: str | None) -> list[int]:
    """Notes of it that really left, by cassette type: they are not to be taken off twice."""
    return [sum(payout.notes[kind] for payout in world.payouts if payout.transaction_id == transaction_id) for kind in range(4)]


def _makes(amount_minor: int, denominations: Sequence[int], held: Sequence[int], notes: int) -> bool:
    """Tried out, not asked of the terminal's own arithmetic."""
    if not denominations or not amount_minor:
        return not amount_minor
    most = min(amount_minor // denominations[0], held[0], notes)
    left = range(most, -1, -1)
    return any(_makes(amount_minor - n * denominations[0], denominations[1:], held[1:], notes - n) for n in left)
