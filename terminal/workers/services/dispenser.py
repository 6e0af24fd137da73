"""The dispenser's service: core commands -> verbs of the Puloon LCDM-4000.

`Dispense` is one call of the driver's one verb that moves money; whatever goes wrong in it is an event, never a second call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from drivers.devices.puloon_lcdm4000 import PuloonLcdm4000
from drivers.errors import DeviceFault, LinkError, LinkTimeout, OutcomeUnknown, ProtocolError
from drivers.protocols.puloon_messages import Command, ErrorCode, MovementResult, Status
from drivers.transports.base import Clock, Deadline, MonotonicClock
from terminal.core.cash import DispenserResult, UnitResult
from terminal.core.commands import AskLastStatus, CheckDispenser, DeviceCommand, Dispense, InitialiseDispenser, PrepareDispense
from terminal.core.events import (
    CommandFailed,
    DeviceNoted,
    DeviceOnline,
    DispenserInitialised,
    DispenserPrepared,
    Event,
    LastStatusRead,
    NotesDispensed,
    SelfCheckDone,
)
from terminal.core.model import Device
from terminal.workers.ports import OpenStream, serial_opener

COMMANDS = {Command.PURGE: "purge", Command.DISPENSE: "dispense", Command.TEST_DISPENSE: "testDispense"}
MISS_NONE = 0x30  # the MISS byte in every source
STATUS_S = 4.0
WATCH_S = 5.0
WATCH_FAULT_S = 1.0


class DispenserService:
    """Four units, numbered as the configuration's: by cassette type."""

    device = Device.DISPENSER

    def __init__(self, open_stream: OpenStream, clock: Clock, max_notes: int) -> None:
        self._open_stream = open_stream
        self._clock = clock
        self._max_notes = max_notes
        self._driver: PuloonLcdm4000 | None = None
        self._fault = ""
        self._noted = ""
        self._next_look = 0.0

    def open(self) -> Iterable[Event]:
        """STATUS only: nothing is reset before LAST STATUS was read."""
        self.close()
        self._driver = PuloonLcdm4000(self._open_stream(), self._clock, max_notes=self._max_notes)
        self._fault = fault_of(self._unit.status(self._deadline(STATUS_S)))
        return self._looked()

    def close(self) -> None:
        if self._driver is not None:
            self._driver.close()
            self._driver = None

    @property
    def poll_interval_s(self) -> float:
        return max(0.0, self._next_look - self._clock.now())

    def poll(self) -> Iterable[Event]:
        """Look at the unit now and then: a fault that appears or that somebody cleared makes the core initialise it anew."""
        if self._clock.now() < self._next_look:
            return []
        status = self._unit.status(self._deadline(STATUS_S))
        fault = fault_of(status)
        changed, self._fault = fault != self._fault, fault
        near_end = ",".join(f"nearEnd{cassette.type}" for cassette in status.cassettes if cassette.near_end)
        noted, self._noted = near_end != self._noted, near_end
        events: list[Event] = [DeviceOnline(self.device)] if changed else []
        if noted and not fault:
            events.append(DeviceNoted(self.device, near_end))
        return [*events, *self._looked()]

    def handle(self, command: DeviceCommand) -> Iterable[Event]:
        deadline = self._deadline(command.deadline_s)
        try:
            return [self._answer(command, deadline)]
        finally:
            self._looked()

    def _answer(self, command: DeviceCommand, deadline: Deadline) -> Event:
        match command:
            case Dispense():
                return self._dispense(command, deadline)
            case PrepareDispense(command_id=number, quantities=quantities):
                return self._prepare(number, quantities, deadline)
            case AskLastStatus(command_id=number, cassettes=cassettes):
                return LastStatusRead(number, self._ask_until_it_answers(cassettes, deadline))
            case InitialiseDispenser(command_id=number):
                return DispenserInitialised(number, self._initialise(deadline))
            case CheckDispenser(command_id=number):
                return SelfCheckDone(number, self.device, findings_of(self._unit.status(deadline)))
        raise ProtocolError(f"{type(command).__name__} is no command of a dispenser")

    def _dispense(self, command: Dispense, deadline: Deadline) -> Event:
        """A last look, then one call. Whether the unit acknowledged it is told with the loss, for whoever reads it: it proves nothing."""
        if self._ready(command.quantities, deadline) != command.cassettes:
            raise DeviceFault("cassettes have changed places since the dispense was prepared", code=0, name="cassettesMoved")
        try:
            result = self._unit.dispense(four(command.quantities), deadline)
        except OutcomeUnknown:
            heard = "acknowledged" if self._unit.acknowledged else "notAcknowledged"
            return CommandFailed(command.command_id, self.device, "outcomeUnknown", heard)
        return NotesDispensed(command.command_id, result_of(result, "dispense", command.cassettes))

    def _prepare(self, number: int, quantities: tuple[int, ...], deadline: Deadline) -> DispenserPrepared:
        """The baseline against which a lost answer will be judged, and the cassettes whose notes its counts will be."""
        cassettes = self._ready(quantities, deadline)
        return DispenserPrepared(number, self._last_status(cassettes, deadline), cassettes)

    def _ready(self, quantities: tuple[int, ...], deadline: Deadline) -> tuple[int, ...]:
        """The cassettes that stand there, top first, by type (0: none). DeviceFault when the unit cannot pay this now."""
        status = self._unit.status(deadline.sooner(STATUS_S))
        fault = fault_of(status) or missing_cassette(status, quantities)
        if fault:
            self._fault = fault
            raise DeviceFault(f"the dispenser cannot pay: {fault}", code=status.error.code, name=fault)
        return tuple(cassette.type for cassette in status.cassettes)

    def _ask_until_it_answers(self, cassettes: Sequence[int], deadline: Deadline) -> DispenserResult:
        """While it moves notes the unit is silent; reading moves nothing and may be repeated."""
        while True:
            try:
                self._unit.status(deadline.sooner(STATUS_S))
                return self._last_status(cassettes, deadline.sooner(STATUS_S))
            except (LinkTimeout, ProtocolError):  # a dead port is a LinkError: out with it, so that it is opened anew
                if deadline.expired:
                    raise

    def _initialise(self, deadline: Deadline) -> str:
        """RESET only when STATUS shows an error: a healthy unit is not touched."""
        self._fault = "notInitialised"  # when this fails, the next look that finds it well tells the core to try again
        fault = fault_of(self._unit.status(deadline))
        if fault:
            fault = fault_of(self._unit.reset(deadline).status)
        self._fault = fault
        return fault

    def _last_status(self, cassettes: Sequence[int], deadline: Deadline) -> DispenserResult:
        last = self._unit.last_status(deadline)
        names: Mapping[int, str] = {int(command): name for command, name in COMMANDS.items()}
        return result_of(last, names.get(last.last_command, "none"), cassettes)

    def _looked(self) -> list[Event]:
        self._next_look = self._clock.now() + (WATCH_FAULT_S if self._fault else WATCH_S)
        return []

    def _deadline(self, seconds: float) -> Deadline:
        return Deadline.after(self._clock, seconds)

    @property
    def _unit(self) -> PuloonLcdm4000:
        if self._driver is None:
            raise LinkError("the dispenser's port is not open")
        return self._driver


def fault_of(status: Status) -> str:
    """Why the unit cannot pay now, as a code; empty when it can. Near end only warns."""
    if not status.error.ok and status.error.code not in (ErrorCode.NEAR_END, ErrorCode.PICK_UP):
        return status.error.name
    sensors = status.sensors
    if sensors.dvtl or sensors.dvtr or sensors.ejt or sensors.exit or sensors.rjt:
        return "notesOnPath"
    return "noCassette" if all(cassette.type == 0 for cassette in status.cassettes) else ""


def findings_of(status: Status) -> dict[str, str | int | bool]:
    """What STATUS says, for the centre."""
    types = ",".join(str(cassette.type) for cassette in status.cassettes)
    near_end = ",".join(str(cassette.type) for cassette in status.cassettes if cassette.near_end)
    return {"fault": fault_of(status), "error": status.error.name, "cassettes": types, "nearEnd": near_end}


def missing_cassette(status: Status, quantities: tuple[int, ...]) -> str:
    present = {cassette.type for cassette in status.cassettes}
    return next((f"cassetteMissing{unit}" for unit, n in enumerate(quantities, 1) if n and unit not in present), "")


def four(quantities: tuple[int, ...]) -> tuple[int, int, int, int]:
    first, second, third, fourth = quantities
    return first, second, third, fourth


def result_of(result: MovementResult, command: str, types: Sequence[int]) -> DispenserResult:
    """The answer is by position; units are by cassette type. `types`: what stood at each position when it was sent, 0 when nothing did.

    A cassette that was taken out meanwhile comes without its type (0): it is the one that stood at its place, unless that one now stands
    elsewhere. Notes of a place where another one stands now are missing: then the account proves nothing (docs/decisions/0035, 0038).
    """
    presented, rejected, unknown = [0] * 4, [0] * 4, 0
    moved = {cassette.type for cassette, before in zip(result.cassettes, types, strict=True) if cassette.type != before}
    for cassette, before in zip(result.cassettes, types, strict=True):
        there = cassette.type == before or (cassette.type == 0 and before not in moved)
        if there and 1 <= before <= 4:
            presented[before - 1] += cassette.exit
            rejected[before - 1] += cassette.reject
        else:
            unknown += cassette.exit + cassette.reject
    units = tuple(UnitResult(p, r) for p, r in zip(presented, rejected, strict=True))
    missing = max(0, result.miss - MISS_NONE) + unknown
    counted = tuple(count for cassette in result.cassettes for count in (cassette.exit, cassette.reject))
    return DispenserResult(command, result.error.code, "" if result.error.ok else result.error.name, missing, units, counted)


def build(settings: Mapping[str, Any]) -> DispenserService:
    clock = MonotonicClock()
    return DispenserService(serial_opener(settings, clock), clock, settings["max_notes"])
