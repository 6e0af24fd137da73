"""What a Puloon LCDM-4000 (a dispenser with four cassettes) can be told and what it answers, as values.

Source: the vendor's description of the commands as three independent drivers carry it (the manual itself is not public); they
agree with each other. How these values look on the wire is `puloon_lcdm4000`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, unique
from typing import ClassVar

Four = tuple[int, int, int, int]
PROTOCOL_MAX_NOTES = 100  # a transaction, rejected notes included
LENGTH_UNIT_MM = 0.785  # one unit of the note length


@unique
class Command(IntEnum):
    RESET = 0x44
    STATUS = 0x50
    PURGE = 0x51
    DISPENSE = 0x52
    TEST_DISPENSE = 0x53
    LAST_STATUS = 0x55
    SENSOR_DIAGNOSTICS = 0x58
    SET_OPACITIES = 0x5A
    GET_OPACITIES = 0x5B
    SET_DISPENSE_ORDER = 0x5C
    GET_DISPENSE_ORDER = 0x5D
    SET_LENGTHS = 0x5E
    GET_LENGTHS = 0x5F
    GET_SERIAL_NUMBER = 0x67  # one source only: not verified


@unique
class ErrorCode(IntEnum):
    """The ERROR byte less 20h. CHK, DVT (diverter), EJT (eject), EXIT are the sensors in the order a note passes them."""

    OK = 0x00
    PICK_UP = 0x01
    JAM_CHK_DVT = 0x02
    JAM_DVT_EJT = 0x03
    JAM_EJT_EXIT = 0x04
    NOTE_STAYING_IN_EXIT = 0x05
    EJECTING_SUSPECTED_REJECT = 0x06
    COUNT_MISMATCH_AT_EJECT = 0x07
    REJECT_PASSED_EJECT = 0x08
    LENGTH_AT_EJECT_TOO_LONG = 0x09
    LENGTH_AT_EXIT_TOO_LONG = 0x0A
    NOTES_ON_PATH_BEFORE_PICK = 0x0B
    TOO_MANY_DISPENSED = 0x0C
    TOO_MANY_REJECTS = 0x0D
    PURGE_ENDED_ABNORMALLY = 0x0E
    SENSOR_TROUBLE_BEFORE_START = 0x20
    SENSOR_TROUBLE_BEFORE_START_2 = 0x21
    SOLENOID_TROUBLE = 0x22
    MOTOR_OR_SLIT_SENSOR_TROUBLE = 0x23
    NO_CASSETTE = 0x24
    NEAR_END = 0x25
    NO_REJECT_TRAY = 0x26
    BAD_COMMAND = 0x30
    BAD_PARAMETER = 0x31
    NOT_VERIFIED_AFTER_DOWNLOAD = 0x32
    PROGRAM_WRITE_FAILURE = 0x33
    VERIFY_FAILURE = 0x34
    EEPROM_WRITE_FAILURE = 0x35
    EEPROM_CHECKSUM = 0x36
    NOTE_FROM_CASSETTE_1 = 0x40
    NOTE_FROM_CASSETTE_2 = 0x41
    NOTE_FROM_CASSETTE_3 = 0x42
    NOTE_FROM_CASSETTE_4 = 0x43


NOT_EXECUTED = frozenset({ErrorCode.BAD_COMMAND, ErrorCode.BAD_PARAMETER})


@dataclass(frozen=True, slots=True)
class ErrorStatus:
    """`name` is the ErrorCode in camelCase, ``unknown7A`` for a number that the description does not have."""

    code: int
    name: str

    @classmethod
    def of(cls, code: int) -> ErrorStatus:
        try:
            first, *rest = ErrorCode(code).name.lower().split("_")
        except ValueError:
            return cls(code, f"unknown{code:02X}")
        return cls(code, first + "".join(word.capitalize() for word in rest))

    @property
    def ok(self) -> bool:
        return self.code == ErrorCode.OK


# ---- commands, in the manual's order ----


@dataclass(frozen=True, slots=True)
class PlainCommand:
    """A command without parameters: RESET, STATUS, PURGE, LAST STATUS and the GET family."""

    code: Command


@dataclass(frozen=True, slots=True)
class DispenseCommand:
    """DISPENSE, or TEST DISPENSE to the reject tray. `quantities` by cassette TYPE 1..4; `timeout` 0 = the device's own, or 1..9."""

    quantities: Four
    timeout: int = 0
    test: bool = False

    @property
    def code(self) -> Command:
        return Command.TEST_DISPENSE if self.test else Command.DISPENSE


@dataclass(frozen=True, slots=True)
class SensorDiagnosticsCommand:
    """Sends five notes of the cassette at `position` (1..4, top first) to the reject tray and measures the last."""

    position: int
    code: ClassVar[Command] = Command.SENSOR_DIAGNOSTICS


@dataclass(frozen=True, slots=True)
class SetBytesCommand:
    """SET OPACITIES (thickness reference) or SET LENGTHS (units of 0.785 mm), by position. 0 keeps the stored value."""

    code: Command
    values: Four


@dataclass(frozen=True, slots=True)
class SetDispenseOrderCommand:
    """Which cassette type is picked first, second, ..."""

    order: Four
    code: ClassVar[Command] = Command.SET_DISPENSE_ORDER


AnyCommand = PlainCommand | DispenseCommand | SensorDiagnosticsCommand | SetBytesCommand | SetDispenseOrderCommand

# ---- answers, in the manual's order ----


@dataclass(frozen=True, slots=True)
class BareError:
    """An answer that is an error only: what the SET family sends, and any command that a device refuses in short form."""

    command: Command
    error: ErrorStatus


@dataclass(frozen=True, slots=True)
class ResetReply:
    """Some units answer RESET (once or twice), most do not."""


@dataclass(frozen=True, slots=True)
class Sensors:
    """True = blocked. DVTL, DVTR: diverter left and right; EJT: eject; EXIT; RJT: reject."""

    dvtl: bool
    dvtr: bool
    ejt: bool
    exit: bool
    rjt: bool


@dataclass(frozen=True, slots=True)
class CassetteStatus:
    """One position. `type` 0 = removed; `state` the STAT byte as sent; `opacity`, `length` the references as STATUS shows them."""

    state: int
    near_end: bool
    type: int
    opacity: int
    length: int


@dataclass(frozen=True, slots=True)
class Status:
    error: ErrorStatus
    sensors: Sensors
    cassettes: tuple[CassetteStatus, ...]


@dataclass(frozen=True, slots=True)
class CassetteResult:
    """One position, top first. `exit`: notes that left to the customer; `reject`: to the reject tray; `type`: 0 = removed."""

    exit: int
    reject: int
    type: int


@dataclass(frozen=True, slots=True)
class MovementResult:
    """What moved, also when `error` is not ok: a partial dispense is a result. `miss` as sent (reserved, 30h in all sources)."""

    error: ErrorStatus
    miss: int
    cassettes: tuple[CassetteResult, ...]


@dataclass(frozen=True, slots=True)
class PurgeResult(MovementResult):
    """A note that stood in EXIT may have come out: it is in `exit`."""


@dataclass(frozen=True, slots=True)
class DispenseResult(MovementResult):
    """`exit` is the cash that is paid, whatever was requested."""


@dataclass(frozen=True, slots=True)
class TestDispenseResult(MovementResult):
    """Everything went to the reject tray."""

    __test__: ClassVar[bool] = False  # not a test case, whatever pytest thinks of the name


@dataclass(frozen=True, slots=True)
class LastStatus(MovementResult):
    """The result of the last PURGE, DISPENSE or TEST DISPENSE. `last_command` is its code, another number when there was none."""

    last_command: int


@dataclass(frozen=True, slots=True)
class SensorDiagnostics:
    """Measured on the last of five notes; `divert_ms` is the time of the diverter's solenoid, `reject` the notes rejected."""

    error: ErrorStatus
    opacity: int
    length: int
    divert_ms: int
    reject: int


@dataclass(frozen=True, slots=True)
class ReferenceValues:
    """GET OPACITIES or GET LENGTHS (units of 0.785 mm), by position."""

    command: Command
    error: ErrorStatus
    values: Four


@dataclass(frozen=True, slots=True)
class DispenseOrder:
    error: ErrorStatus
    order: Four


@dataclass(frozen=True, slots=True)
class SerialNumber:
    """One source only, meaning not documented: not verified."""

    error: ErrorStatus
    number: int


Answer = BareError | ResetReply | Status | MovementResult | SensorDiagnostics | ReferenceValues | DispenseOrder | SerialNumber
