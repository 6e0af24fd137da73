"""What can go wrong with wires, dispenser, card, PIN pad and printer. Striking never raises."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from money.kinds import AWAY, LONG_AWAY, Strike, kind
from money.lines import WIRE_FAULTS, WireFault
from simulators.devices.dispenser_faults import KINDS as ANSWER_FAULTS

if TYPE_CHECKING:
    from money.world import World


# --- the wires


def _wire(fault: str, device: str, direction: str) -> Strike:
    def strike(world: World, seconds: float = 0.5) -> None:
        world.lines[device].armed.append(WireFault(fault, direction, seconds))

    return strike


for _device, _weight in (("cashDispenser", 1.0), ("pinPad", 0.25), ("printer", 0.1)):
    for _direction in ("toDevice", "toHost"):
        for _fault in WIRE_FAULTS:
            _choices = {"seconds": (0.5, 2.0, 12.0)} if _fault in ("delay", "swallow") else {}
            kind(f"wire/{_device}/{_direction}/{_fault}", _weight * 0.4, **_choices)(_wire(_fault, _device, _direction))

# --- the dispenser


def _answer(fault: str) -> Strike:
    def strike(world: World, **arguments: Any) -> None:
        world.dispenser_line.hand("fault", kind=fault, **arguments)

    return strike


for _fault in ANSWER_FAULTS:
    _more: dict[str, tuple[Any, ...]] = {"count": (1, 2, 4), "command": (None, 0x52, 0x52, 0x55, 0x50)}
    if _fault == "delay_reply":
        _more["seconds"] = (5.0, 0.7, 30.0)
    if _fault == "flood_before_reply":
        _more["size"] = (1000, 40, 70_000)
    kind(f"dispenser/{_fault}", 0.6, **_more)(_answer(_fault))


@kind("dispenser/powerOff", 1.5, seconds=LONG_AWAY)
def dispenser_power(world: World, seconds: float) -> None:
    world.dispenser_line.hand("power", to="off")
    world.time.later(seconds, lambda: world.dispenser_line.hand("power", to="on"))


@kind("dispenser/powerCutInMovement", 1.5, notes=(1, 0, 2, 4), place=("exit", "chk", "dvt", "ejt", "out"), seconds=LONG_AWAY)
def dispenser_cut(world: World, notes: int, place: str, seconds: float) -> None:
    world.dispenser_line.hand("power", cut_after_notes=notes, at=place)
    world.when_dark(seconds)


@kind("dispenser/jam", 1.5, where=("ejt", "chk", "dvt", "exit"), after_notes=(1, 0, 2, 5))
def jam(world: World, where: str, after_notes: int) -> None:
    world.dispenser_line.hand("jam", where=where, after_notes=after_notes)


@kind("dispenser/doubleNote", reported=(2, 1), count=(1, 2))
def double_note(world: World, reported: int, count: int) -> None:
    world.dispenser_line.hand("double_note", count=count, reported=reported)


@kind("dispenser/rejectStorm", 0.7, reported=(2, 1))
def reject_storm(world: World, reported: int) -> None:
    world.dispenser_line.hand("double_note", count=14, reported=reported)


@kind("dispenser/cassetteEmpty", unit=(1, 2, 3, 4), left=(1, 0, 2))
def cassette_empty(world: World, unit: int, left: int) -> None:
    """Fewer notes are in it than anybody believes: it was filled with fewer."""
    with contextlib.suppress(ValueError):
        world.dispenser_line.hand("set_cassette", unit=unit, count=left)


@kind("dispenser/nearEnd", 0.4, unit=(1, 2))
def near_end(world: World, unit: int) -> None:
    world.dispenser_line.hand("set_cassette", unit=unit, count=15)
    world.dispenser_line.hand("near_end_detection", on=True)


@kind("dispenser/cassetteRemoved", 0.7, unit=(1, 2, 3), seconds=AWAY)
def cassette_removed(world: World, unit: int, seconds: float) -> None:
    with contextlib.suppress(ValueError):
        world.dispenser_line.hand("remove_cassette", unit=unit)
    world.time.later(seconds, lambda: world.cassette_back(unit))


@kind("dispenser/wrongNote", 0.7, unit=(2, 1, 3))
def wrong_note(world: World, unit: int) -> None:
    world.dispenser_line.hand("foreign_note", unit=unit)


@kind("dispenser/noteLeftInExit", unit=(1, 2), place=("exit", "ejt", "chk"))
def note_left(world: World, unit: int, place: str) -> None:
    """A note of no transaction of ours lies on the path: what becomes of it is nobody's payout, and nobody's count."""
    with contextlib.suppress(ValueError):
        world.dispenser_line.hand("stray_note", unit=unit, place=place)
        world.strays.append(world.dispenser.mechanics.path[-1])


@kind("dispenser/rejectBinOut", 0.5, seconds=AWAY)
def reject_bin_out(world: World, seconds: float) -> None:
    world.dispenser_line.hand("reject_bin", present=False)
    world.time.later(seconds, lambda: world.dispenser_line.hand("reject_bin", present=True))


# --- the card


@kind("card/pulled", 1.5)
def pulled(world: World) -> None:
    with contextlib.suppress(ValueError):
        world.slot.remove()


@kind("card/pulledOverCommand", after=(1, 3, 8, 15, 20))
def pulled_over(world: World, after: int) -> None:
    world.slot.control("pull_after", {"apdus": after}, world.now)


@kind("card/mute", apdus=("next", "all"))
def mute(world: World, apdus: str) -> None:
    world.slot.control("mute", {"apdus": apdus}, world.now)


@kind("card/slow", 0.6, seconds=(0.5, 3.0, 12.0))
def slow_card(world: World, seconds: float) -> None:
    world.slot.control("slow", {"seconds": seconds}, world.now)


@kind("card/wrongStatus", ins=("AE", "A4", "A8", "B2", "82"), sw=("6985", "6F00"))
def wrong_status(world: World, ins: str, sw: str) -> None:
    world.slot.control("wrong_sw", {"ins": ins, "sw": sw}, world.now)


@kind("card/truncated", 0.6, ins=("AE", "A8", "B2"))
def truncated(world: World, ins: str) -> None:
    world.slot.control("truncate", {"ins": ins}, world.now)


@kind("card/swapped", 0.6)
def swapped(world: World) -> None:
    if world.slot.present:
        world.slot.control("swap", {"card": "everyday"}, world.now)
        world.slot.changed()


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
def pad_late(world: World, seconds: float) -> None:
    world.pad.hand("fault", name="delay", value=seconds)


@kind("pinPad/lostAnswer", 0.5, count=(1, 4))
def pad_lost(world: World, count: int) -> None:
    world.pad.hand("fault", name="drop_reply", value=count)


@kind("printer/paperOut", 0.4)
def paper_out(world: World) -> None:
    world.printer.hand("paper", level="out")


@kind("printer/powerOff", 0.3, seconds=AWAY)
def printer_power(world: World, seconds: float) -> None:
    world.printer.hand("power", on=False)
    world.time.later(seconds, lambda: world.printer.hand("power", on=True))
