"""What people (and the power company) do to the dispenser: the verbs of its control wire.

Cassettes are named by `unit` 1..4, top first. Every verb answers something JSON can carry; a request that makes no sense is a
ValueError whose sentence says why.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from simulators.devices.dispenser_physics import CASSETTES, JAM_ERRORS, SENSORS, Jam, PathNote, grouped

if TYPE_CHECKING:
    from simulators.devices.dispenser import Dispenser

MAX_COUNT = 5000
CUT_PLACES = ("chk", "dvt", "ejt", "exit", "rjt", "out", "bin")


def _whole(value: Any, low: int, high: int, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{what} {value!r}: a whole number from {low} to {high}")
    return value


def _slot(unit: Any) -> int:
    return _whole(unit, 1, CASSETTES, "unit") - 1


def state(device: Dispenser, now: float) -> Any:
    """The physical truth, see `Dispenser.snapshot`."""
    return device.snapshot(now)


def set_cassette(
    device: Dispenser,
    now: float,
    unit: int,
    count: int | None = None,
    denomination: str | None = None,
    type: int | None = None,  # the device's own word
    near_end_at: int | None = None,
) -> Any:
    """Fill or change a cassette. A new count is a refill (or a removal by hand): `initial` follows."""
    slot = _slot(unit)
    cassette = device.mechanics.cassettes[slot]
    new_count = cassette.remaining if count is None else _whole(count, 0, MAX_COUNT, "count")
    new_type = cassette.type if type is None else _whole(type, 1, CASSETTES, "type")
    new_threshold = cassette.near_end_at if near_end_at is None else _whole(near_end_at, 0, MAX_COUNT, "near_end_at")
    if denomination is not None and not isinstance(denomination, str):
        raise ValueError(f"denomination {denomination!r}: a text such as CNY 100")
    device.mechanics.set_count(slot, new_count)
    cassette.type, cassette.near_end_at = new_type, new_threshold
    cassette.denomination = cassette.denomination if denomination is None else denomination
    return device.mechanics.snapshot()["cassettes"][slot]


def remove_cassette(device: Dispenser, now: float, unit: int) -> Any:
    """Pulled out, with the notes in it."""
    cassette = device.mechanics.cassettes[_slot(unit)]
    if not cassette.present:
        raise ValueError(f"cassette {unit} is not there")
    cassette.present = False
    return None


def insert_cassette(device: Dispenser, now: float, unit: int, type: int | None = None, count: int | None = None) -> Any:
    """Put back, perhaps refilled, perhaps the cassette of another position (`type`)."""
    cassette = device.mechanics.cassettes[_slot(unit)]
    if cassette.present:
        raise ValueError(f"cassette {unit} is already there")
    result = set_cassette(device, now, unit, count=count, type=type)
    cassette.present = True
    return {**result, "present": True}


def exchange_cassettes(device: Dispenser, now: float, unit: int, other: int) -> Any:
    """Two cassettes, pulled out and pushed in again, each in the other's place."""
    slots = _slot(unit), _slot(other)
    if device.busy:
        raise ValueError("the dispenser is moving: its cassettes are locked")
    device.mechanics.exchange(*slots)
    return None


def reject_bin(device: Dispenser, now: float, present: bool | None = None, empty: bool = False) -> Any:
    """Pull it out, push it in, empty it. Answers how many notes were taken out of it."""
    if present is not None:
        device.mechanics.reject_bin_present = bool(present)
    return {"emptied": device.mechanics.empty_reject_bin() if empty else 0}


def double_note(device: Dispenser, now: float, count: int = 1, reported: int = 2) -> Any:
    """The next `count` picks take two notes. `reported`: as how many rejects the unit counts each (1 or 2)."""
    _whole(reported, 1, 2, "reported")
    device.mechanics.doubles += [reported] * _whole(count, 1, 100, "count")
    return None


def foreign_note(device: Dispenser, now: float, unit: int) -> Any:
    """The next pick brings a note of cassette `unit`, whichever was asked for."""
    device.mechanics.foreign.append(_slot(unit))
    return None


def stray_note(device: Dispenser, now: float, unit: int, place: str) -> Any:
    """A note of cassette `unit` lies on the path at the sensor `place`, as after a sudden end."""
    mechanics, slot = device.mechanics, _slot(unit)
    if place not in SENSORS:
        raise ValueError(f"place {place!r}: one of {', '.join(SENSORS)}")
    if device.busy or not mechanics.cassettes[slot].remaining:
        raise ValueError("the dispenser is moving" if device.busy else f"cassette {unit} is empty")
    mechanics.cassettes[slot].remaining -= 1
    mechanics.path.append(PathNote(slot, place))
    return None


def jam(device: Dispenser, now: float, where: str, after_notes: int = 0) -> Any:
    """`where`: the sensor at which a note sticks once `after_notes` more have passed."""
    if where not in JAM_ERRORS:
        raise ValueError(f"where {where!r}: one of {', '.join(JAM_ERRORS)}")
    device.mechanics.jam = Jam(where, _whole(after_notes, 0, MAX_COUNT, "after_notes"))
    return None


def clear_jam(device: Dispenser, now: float) -> Any:
    """A technician takes all notes off the path."""
    if device.busy:
        raise ValueError("the dispenser is moving: nobody puts a hand in now")
    return {"cleared": device.mechanics.clear_path()}


def take_notes(device: Dispenser, now: float, from_exit: bool = False) -> Any:
    """The customer takes the notes: pairs of cassette and number. `from_exit` also pulls at one that stands in the slot."""
    if from_exit and device.busy:
        raise ValueError("the dispenser is moving: a note in the slot cannot be pulled out now")
    return grouped(device.mechanics.take_notes(from_exit=from_exit))


def near_end_detection(device: Dispenser, now: float, on: bool) -> Any:
    """When on, a request from a nearly empty cassette is refused (error 25h)."""
    device.mechanics.near_end_detection = bool(on)
    return None


def damage_eeprom(device: Dispenser, now: float) -> Any:
    """Noticed at the next power-on: factory values."""
    device.eeprom_damaged = True
    return None


def power(device: Dispenser, now: float, to: str = "", cut_after_notes: int | None = None, at: str | None = None) -> Any:
    """`to` on or off at once; or `cut_after_notes`: when so many more have left and the next is `at` a place.

    Without `at` it is cut the moment the last of them is out (with 0: when the first note is picked).
    """
    if cut_after_notes is not None:
        notes = _whole(cut_after_notes, 0, MAX_COUNT, "cut_after_notes")
        place = at or ("out" if notes else "chk")
        if place not in CUT_PLACES:
            raise ValueError(f"at {at!r}: one of {', '.join(CUT_PLACES)}")
        device.cut_at = (device.mechanics.passed + notes, place)
    elif to == "off":
        device.lose_power()
    elif to == "on":
        device.restore_power(now)
    else:
        raise ValueError(f"to {to!r}: on or off, or cut_after_notes")
    return None


def fault(device: Dispenser, now: float, kind: str, **arguments: Any) -> Any:
    """See `dispenser_faults.KINDS`; `clear` disarms all. Arguments: count, command, seconds, size, seed."""
    device.link.faults.arm(kind, **arguments)
    return device.link.faults.state()


def history(device: Dispenser, now: float) -> Any:
    """The commands that came with a good checksum, and how many of each ever."""
    return {"commands": list(device.history), "totals": dict(device.totals)}


def configure(device: Dispenser, now: float, **options: Any) -> Any:
    """The fields of `Options`: speed, boot_s, reset_replies, last_status_survives, serial_number."""
    known = {field.name for field in fields(device.options)}
    if unknown := set(options) - known:
        raise ValueError(f"unknown option {', '.join(sorted(unknown))}: one of {', '.join(sorted(known))}")
    new = type(device.options)(**{name: options.get(name, getattr(device.options, name)) for name in known})
    new.check()
    device.options = new
    return {name: getattr(new, name) for name in sorted(known)}


VERBS: dict[str, Callable[..., Any]] = {
    verb.__name__: verb
    for verb in (
        state,
        set_cassette,
        remove_cassette,
        insert_cassette,
        exchange_cassettes,
        reject_bin,
        double_note,
        foreign_note,
        stray_note,
        jam,
        clear_jam,
        take_notes,
        near_end_detection,
        damage_eeprom,
        power,
        fault,
        history,
        configure,
    )
}


_signature = functools.cache(inspect.signature)


def do_by_hand(device: Dispenser, do: str, arguments: dict[str, Any], now: float) -> Any:
    verb = VERBS.get(do)
    if verb is None:
        raise ValueError(f"{do!r} is nothing one can do to a dispenser: {', '.join(sorted(VERBS))}")
    try:
        _signature(verb).bind(device, now, **arguments)
    except TypeError as error:
        raise ValueError(f"{do}: {error}") from error
    try:
        return verb(device, now, **arguments)
    except TypeError as error:  # a list where a number belongs
        raise ValueError(f"{do}: {error}") from error
