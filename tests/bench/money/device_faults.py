"""What can go wrong with wires, dispenser, card, PIN pad and printer. Striking never raises.

Each kind declares the caution that it justifies (kinds.py): which latch it may lead to, and whether it may make counters inaccurate.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from money.kinds import AWAY, COUNTERS, DOUBT, FAULT, LONG_AWAY, LOST, Effect, Strike, kind
from money.lines import WIRE_FAULTS, WireFault
from simulators.devices.dispenser_faults import KINDS as ANSWER_FAULTS
from simulators.devices.dispenser_physics import JAM_ERRORS

if TYPE_CHECKING:
    from money.world import World


# --- the wires


def _wire(fault: str, device: str, direction: str) -> Strike:
    def strike(world: World, seconds: float = 0.5) -> Effect:
        armed = WireFault(fault, direction, seconds)
        world.lines[device].armed.append(armed)
        return lambda: armed.used

    return strike


NOT_HEARD = ("lose", "loseByte", "corrupt", "swallow", "delay", "flood")
"""After these a dispense may not have arrived, or too late; what only disturbs the answer leaves LAST STATUS to ask."""

for _device, _weight in (("cashDispenser", 1.0), ("pinPad", 0.25), ("printer", 0.1)):
    for _direction in ("toDevice", "toHost"):
        for _fault in WIRE_FAULTS:
            _choices = {"seconds": (0.5, 2.0, 12.0)} if _fault in ("delay", "swallow") else {}
            _doubt = DOUBT if _direction == "toDevice" and _fault in NOT_HEARD else LOST
            _leads = (_doubt,) if _device == "cashDispenser" else ()
            kind(f"wire/{_device}/{_direction}/{_fault}", _weight * 0.4, *_leads, **_choices)(_wire(_fault, _device, _direction))

# --- the dispenser


def _answer(fault: str) -> Strike:
    def strike(world: World, **arguments: Any) -> Effect:
        world.dispenser_line.hand("fault", kind=fault, **arguments)
        armed = world.dispenser.link.faults.armed[-1]
        return lambda: armed.left != arguments["count"]

    return strike


NO_WORD = ("nak", "silent", "delay_reply")
"""Not heard, or not answered for longer than anybody waits."""

for _fault in ANSWER_FAULTS:
    _more: dict[str, tuple[Any, ...]] = {"count": (1, 2, 4), "command": (None, 0x52, 0x52, 0x55, 0x50)}
    if _fault == "delay_reply":
        _more["seconds"] = (5.0, 0.7, 30.0)
    if _fault == "flood_before_reply":
        _more["size"] = (1000, 40, 70_000)
    kind(f"dispenser/{_fault}", 0.6, DOUBT if _fault in NO_WORD else LOST, **_more)(_answer(_fault))


@kind("dispenser/powerOff", 1.5, DOUBT, FAULT, seconds=LONG_AWAY)
def dispenser_power(world: World, seconds: float) -> Effect:
    powered = world.dispenser.powered
    world.dispenser_line.hand("power", to="off")
    world.time.later(seconds, lambda: world.dispenser_line.hand("power", to="on"))
    return powered


@kind("dispenser/powerCutInMovement", 1.5, DOUBT, FAULT, notes=(1, 0, 2, 4), place=("exit", "chk", "dvt", "ejt", "out"), seconds=LONG_AWAY)
def dispenser_cut(world: World, notes: int, place: str, seconds: float) -> Effect:
    world.dispenser_line.hand("power", cut_after_notes=notes, at=place)
    world.when_dark(seconds)
    before = world.dispenser.cuts
    return lambda: world.dispenser.cuts > before


@kind("dispenser/jam", 1.5, DOUBT, FAULT, where=("ejt", "chk", "dvt", "exit"), after_notes=(1, 0, 2, 5))
def jam(world: World, where: str, after_notes: int) -> Effect:
    world.dispenser_line.hand("jam", where=where, after_notes=after_notes)
    return lambda: JAM_ERRORS[where] in world.dispenser.errors


@kind("dispenser/doubleNote", 1.0, COUNTERS, reported=(2, 1), count=(1, 2))
def double_note(world: World, reported: int, count: int) -> Effect:
    world.dispenser_line.hand("double_note", count=count, reported=reported)
    return _with_the_next_pick(world, world.dispenser.mechanics.doubles, count)


def _with_the_next_pick(world: World, coming: list[int], more: int) -> Effect:
    """One of those that wait in the list since now, or were there before, was taken from it: what is first in it comes first."""
    armed = world.dispenser.armed
    used = armed[id(coming)] - (len(coming) - more)
    armed[id(coming)] += more
    return lambda: armed[id(coming)] - len(coming) > used


@kind("dispenser/rejectStorm", 0.7, COUNTERS, reported=(2, 1))
def reject_storm(world: World, reported: int) -> Effect:
    return double_note(world, reported, 14)


@kind("dispenser/cassetteEmpty", 1.0, COUNTERS, unit=(1, 2, 3, 4), left=(1, 0, 2))
def cassette_empty(world: World, unit: int, left: int) -> Effect:
    """Fewer notes are in it than anybody believes: it was filled with fewer."""
    held = world.dispenser.mechanics.cassettes[unit - 1].remaining
    world.dispenser_line.hand("set_cassette", unit=unit, count=min(left, held))
    return left < held


@kind("dispenser/nearEnd", 0.4, COUNTERS, unit=(1, 2))
def near_end(world: World, unit: int) -> None:
    held = world.dispenser.mechanics.cassettes[unit - 1].remaining
    world.dispenser_line.hand("set_cassette", unit=unit, count=min(15, held))
    world.dispenser_line.hand("near_end_detection", on=True)


@kind("dispenser/cassetteRemoved", 0.7, COUNTERS, unit=(1, 2, 3), seconds=AWAY)
def cassette_removed(world: World, unit: int, seconds: float) -> Effect:
    present = world.dispenser.mechanics.cassettes[unit - 1].present
    with contextlib.suppress(ValueError):
        world.dispenser_line.hand("remove_cassette", unit=unit)
    world.time.later(seconds, lambda: world.cassette_back(unit))
    return present


@kind("dispenser/cassettesExchanged", 0.7, DOUBT, unit=(1, 2), other=(2, 1, 3, 4))
def cassettes_exchanged(world: World, unit: int, other: int) -> Effect:
    """Somebody opens the safe and puts two cassettes in each other's place. They stay there."""
    if unit == other or world.dispenser.busy:
        return False
    on_path = {id(note) for note in world.dispenser.mechanics.path}
    world.dispenser_line.hand("exchange_cassettes", unit=unit, other=other)
    places = {unit - 1: other - 1, other - 1: unit - 1}
    for stray in world.strays:
        if id(stray) not in on_path:
            stray.cassette = places.get(stray.cassette, stray.cassette)
    return True


@kind("dispenser/wrongNote", 0.7, COUNTERS, unit=(2, 1, 3))
def wrong_note(world: World, unit: int) -> Effect:
    world.dispenser_line.hand("foreign_note", unit=unit)
    return _with_the_next_pick(world, world.dispenser.mechanics.foreign, 1)


@kind("dispenser/noteLeftInExit", 1.0, FAULT, COUNTERS, unit=(1, 2), place=("exit", "ejt", "chk"))
def note_left(world: World, unit: int, place: str) -> Effect:
    """A note of no transaction of ours lies on the path: what becomes of it is nobody's payout, and nobody's count."""
    try:
        world.dispenser_line.hand("stray_note", unit=unit, place=place)
    except ValueError:
        return False
    world.strays.append(world.dispenser.mechanics.path[-1])
    return True


@kind("dispenser/rejectBinOut", 0.5, COUNTERS, seconds=AWAY)
def reject_bin_out(world: World, seconds: float) -> None:
    world.dispenser_line.hand("reject_bin", present=False)
    world.time.later(seconds, lambda: world.dispenser_line.hand("reject_bin", present=True))


# --- the card


@kind("card/pulled", 1.5)
def pulled(world: World) -> Effect:
    present = world.slot.present
    if present:
        world.slot.remove()
    return present


@kind("card/pulledOverCommand", after=(1, 3, 8, 15, 20))
def pulled_over(world: World, after: int) -> Effect:
    world.slot.control("pull_after", {"apdus": after}, world.now)
    armed = world.slot.faults
    return lambda: armed.pull_after_apdus is None


@kind("card/mute", apdus=("next", "all"))
def mute(world: World, apdus: str) -> Effect:
    world.slot.control("mute", {"apdus": apdus}, world.now)
    return _with_the_next_command(world)


@kind("card/slow", 0.6, seconds=(0.5, 3.0, 12.0))
def slow_card(world: World, seconds: float) -> Effect:
    world.slot.control("slow", {"seconds": seconds}, world.now)
    return _with_the_next_command(world)


def _with_the_next_command(world: World) -> Effect:
    slot, said = world.slot, world.slot.commands
    return lambda: slot.commands > said


@kind("card/wrongStatus", ins=("AE", "A4", "A8", "B2", "82"), sw=("6985", "6F00"))
def wrong_status(world: World, ins: str, sw: str) -> Effect:
    world.slot.control("wrong_sw", {"ins": ins, "sw": sw}, world.now)
    armed = world.slot.faults.wrong_sw
    return lambda: int(ins, 16) not in armed


@kind("card/truncated", 0.6, ins=("C0", "B2", "AE", "A8"))
def truncated(world: World, ins: str) -> Effect:
    """Cards that speak T=0 answer AE and A8 with "so much is waiting": there it is the C0 that fetches it."""
    world.slot.control("truncate", {"ins": ins}, world.now)
    armed = world.slot.faults.truncate
    return lambda: int(ins, 16) not in armed


@kind("card/swapped", 0.6)
def swapped(world: World) -> Effect:
    present = world.slot.present
    if present:
        world.slot.control("swap", {"card": "everyday"}, world.now)
        world.slot.changed()
    return present


@kind("card/readerGone", seconds=AWAY)
def reader_gone(world: World, seconds: float) -> None:
    world.reader_gone_until = world.now + seconds
    world.slot.changed()


# --- PIN pad and printer


@kind("pinPad/powerOff", 0.7, seconds=AWAY)
def pad_power(world: World, seconds: float) -> None:
    world.pad.hand("power", on=False)
    world.time.later(seconds, lambda: world.pad.hand("power", on=True))


@kind("pinPad/silent", 0.5, seconds=AWAY)
def pad_silent(world: World, seconds: float) -> None:
    world.pad.hand("fault", name="silent", value=True)
    world.time.later(seconds, lambda: world.pad.hand("fault", name="silent", value=False))


@kind("pinPad/late", 0.4, seconds=(3.0, 9.0))
def pad_late(world: World, seconds: float) -> Effect:
    world.pad.hand("fault", name="delay", value=seconds)
    armed = world.pad_device._faults
    return lambda: "delay" not in armed


@kind("pinPad/lostAnswer", 0.5, count=(1, 4))
def pad_lost(world: World, count: int) -> Effect:
    world.pad.hand("fault", name="drop_reply", value=count)
    armed = world.pad_device._faults
    return lambda: bool(armed["drop_reply"] < count)


@kind("printer/paperOut", 0.4)
def paper_out(world: World) -> None:
    world.printer.hand("paper", level="out")


@kind("printer/powerOff", 0.3, seconds=AWAY)
def printer_power(world: World, seconds: float) -> None:
    world.printer.hand("power", on=False)
    world.time.later(seconds, lambda: world.printer.hand("power", on=True))
