"""The few moves that every handler is made of: number a command, start the timer, go to a phase."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from terminal.core.commands import Command, DeviceCommand, Entry, Record, StartTimer, StopEntry, StopFace
from terminal.core.model import Device, DeviceState, DeviceStatus, Phase, State, Transaction
from terminal.core.values import replace

Step = tuple[State, tuple[Command, ...]]
C = TypeVar("C", bound=DeviceCommand)

BANK = "bank"
LOOKING = (Phase.VERIFYING_FACE, Phase.ENROLLING_FACE)


def stay(state: State, *commands: Command, **changes: Any) -> Step:
    return (replace(state, **changes) if changes else state), commands


def goto(state: State, phase: Phase, *commands: Command, seconds: float | None = None, **changes: Any) -> Step:
    """The next phase. With `seconds` its timer starts; without, no timer runs any more."""
    serial = state.serial + 1
    state = replace(state, phase=phase, serial=serial, timer=serial if seconds is not None else 0, **changes)
    if seconds is None:
        return state, commands
    return state, (*commands, StartTimer(serial, seconds))


def ask(state: State, command: type[C], deadline_s: float, **fields: Any) -> tuple[State, C]:
    """Number a device command and remember that its answer is awaited."""
    serial = state.serial + 1
    numbered = command(command_id=serial, deadline_s=deadline_s, **fields)
    return awaiting(replace(state, serial=serial), command.device.value, serial), numbered


def awaiting(state: State, whom: str, serial: int | None) -> State:
    pending = {**state.pending}
    if serial is None:
        pending.pop(whom, None)
    else:
        pending[whom] = serial
    return replace(state, pending=MappingProxyType(pending))


def stop_entry(state: State) -> tuple[State, tuple[Command, ...]]:
    """The pad must not go on collecting digits, nor the camera looking, when nobody wants it any more."""
    phase = state.resume if state.phase is Phase.STILL_THERE else state.phase
    if phase in LOOKING:
        return stop_face(state)
    if phase not in (Phase.ENTERING_PIN, Phase.ENTERING_AMOUNT) or not online(state, Device.PIN_PAD):
        return state, ()
    state, stop = ask(state, StopEntry, state.config.timeouts.pin_pad_s)
    return state, (stop,)


def stop_face(state: State) -> tuple[State, tuple[Command, ...]]:
    """What the worker still answers is nobody's. It is told even while it is busy, and ends early."""
    busy = Device.FACE.value in state.pending
    state = awaiting(state, Device.FACE.value, None)
    if not busy or state.phase not in LOOKING or not online(state, Device.FACE):
        return state, ()
    serial = state.serial + 1
    return replace(state, serial=serial), (StopFace(serial, state.config.timeouts.face_s),)


def limit_s(state: State, phase: Phase) -> float:
    """How long a screen waits for the customer."""
    times = state.config.timeouts
    return times.consent_s if phase is Phase.CONSENTING else times.input_s


def with_device(state: State, device: Device, status: DeviceStatus, detail: str = "") -> State:
    return replace(state, devices=MappingProxyType({**state.devices, device: DeviceState(status, detail)}))


def online(state: State, device: Device) -> bool:
    known = state.devices.get(device)
    return known is not None and known.status is DeviceStatus.ONLINE


def record(kind: str, transaction_id: str | None = None, /, **data: Any) -> Record:
    return Record((Entry(kind, transaction_id, data),))


def with_transaction(state: State, **changes: Any) -> State:
    return replace(state, transaction=replace(transaction_of(state), **changes))


def transaction_of(state: State) -> Transaction:
    """The transaction that this phase cannot be without."""
    if state.transaction is None:
        raise AssertionError(f"{state.phase.value} without a transaction")
    return state.transaction


def amount(state: State, minor: int | None) -> Mapping[str, Any] | None:
    return None if minor is None else {"minor": minor, "currency": state.config.currency}
