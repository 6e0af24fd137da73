"""Codec of the Puloon LCDM-4000: `encode` and `decode_command` for what the host sends, `decode` for what the device answers. Sans-I/O.

Source: see `puloon_messages`. Numbers are sent with 20h added; a byte value that needs all 8 bits as two bytes 30h + high nibble,
30h + low nibble; cassette types and positions with 30h added. Frames are in `puloon_frame`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from drivers.errors import ProtocolError
from drivers.protocols.puloon_frame import EOT, Frame, build
from drivers.protocols.puloon_messages import (
    PROTOCOL_MAX_NOTES,
    Answer,
    AnyCommand,
    BareError,
    CassetteResult,
    CassetteStatus,
    Command,
    DispenseCommand,
    DispenseOrder,
    DispenseResult,
    ErrorStatus,
    Four,
    LastStatus,
    PlainCommand,
    PurgeResult,
    ReferenceValues,
    ResetReply,
    SensorDiagnostics,
    SensorDiagnosticsCommand,
    Sensors,
    SerialNumber,
    SetBytesCommand,
    SetDispenseOrderCommand,
    Status,
    TestDispenseResult,
)

NUMBER = 0x20
DIGIT = 0x30


def _offset(value: int, base: int, what: str) -> int:
    if value < base:
        raise ProtocolError(f"the dispenser sent {value:02X}h for {what}, at least {base:02X}h was due")
    return value - base


def _error(value: int) -> ErrorStatus:
    return ErrorStatus.of((value - NUMBER) & 0xFF)


def _nibbles(data: bytes, what: str) -> Four:
    if any(not DIGIT <= value <= DIGIT + 15 for value in data):
        raise ProtocolError(f"{what}: {data.hex()} are not eight half bytes of 30h..3Fh")
    return _four([((high - DIGIT) << 4) | (low - DIGIT) for high, low in zip(data[::2], data[1::2], strict=True)])


def _four(values: list[int]) -> Four:
    first, second, third, fourth = values
    return first, second, third, fourth


def _split(values: Four) -> bytes:
    return b"".join(bytes((DIGIT + (value >> 4), DIGIT + (value & 15))) for value in values)


COMMAND_LENGTHS: Mapping[int, int] = {
    **dict.fromkeys(Command, 0),
    **dict.fromkeys((Command.DISPENSE, Command.TEST_DISPENSE), 15),
    **dict.fromkeys((Command.SET_OPACITIES, Command.SET_LENGTHS), 8),
    Command.SENSOR_DIAGNOSTICS: 1,
    Command.SET_DISPENSE_ORDER: 4,
}


def encode(command: AnyCommand) -> bytes:
    """The whole frame. Values out of range are a ValueError: nothing wrong leaves."""
    return build(EOT, command.code, _parameters(command))


def _parameters(command: AnyCommand) -> bytes:
    match command:
        case DispenseCommand(quantities, timeout):
            _check(quantities, 0, PROTOCOL_MAX_NOTES, "quantities")
            _check((timeout,), 0, 9, "timeout")
            wait = bytes((0x1C, DIGIT + timeout)) if timeout else b"\x20\x20"
            return bytes(NUMBER + n for n in quantities) + wait + b"\x20" * 9
        case SensorDiagnosticsCommand(position):
            _check((position,), 1, 4, "position")
            return bytes((DIGIT + position,))
        case SetBytesCommand(code, values):
            _check(values, 0, 255, code.name)
            return _split(values)
        case SetDispenseOrderCommand(order):
            if sorted(order) != [1, 2, 3, 4]:
                raise ValueError(f"dispense order {order}: each of 1, 2, 3, 4 once")
            return bytes(DIGIT + n for n in order)
    return b""


def _check(values: tuple[int, ...], low: int, high: int, what: str) -> None:
    if any(not low <= value <= high for value in values):
        raise ValueError(f"{what} {values}: each must be {low} to {high}")


def decode_command(frame: Frame) -> AnyCommand:
    """The host's side of the line, for a trace. ProtocolError when it is no command of this family."""
    code, data = frame.command, frame.data
    if code not in COMMAND_LENGTHS or len(data) != COMMAND_LENGTHS[code]:
        raise ProtocolError(f"{code:02X}h with {len(data)} data bytes is not a command of the LCDM-4000")
    if code in (Command.DISPENSE, Command.TEST_DISPENSE):
        quantities = _four([_offset(value, NUMBER, "a quantity") for value in data[:4]])
        timeout = _offset(data[5], DIGIT, "the time-out") if data[4] == 0x1C else 0
        return DispenseCommand(quantities, timeout, code == Command.TEST_DISPENSE)
    if code == Command.SENSOR_DIAGNOSTICS:
        return SensorDiagnosticsCommand(_offset(data[0], DIGIT, "the position"))
    if code in (Command.SET_OPACITIES, Command.SET_LENGTHS):
        return SetBytesCommand(Command(code), _nibbles(data, "a reference value"))
    if code == Command.SET_DISPENSE_ORDER:
        return SetDispenseOrderCommand(_four([_offset(value, DIGIT, "a cassette type") for value in data]))
    return PlainCommand(Command(code))


def _status(data: bytes) -> Status:
    disp = data[1]
    sensors = Sensors(*(bool(disp >> bit & 1) for bit in range(5)))
    cassettes = tuple(
        CassetteStatus(
            state=data[at],
            near_end=bool(data[at] & 0x08),
            type=_offset(data[at + 1], DIGIT, "a cassette type"),
            opacity=_offset(data[at + 2], NUMBER, "an opacity"),
            length=_offset(data[at + 3], NUMBER, "a length"),
        )
        for at in range(2, 18, 4)
    )
    return Status(_error(data[0]), sensors, cassettes)


def _results(data: bytes) -> tuple[CassetteResult, ...]:
    return tuple(
        CassetteResult(
            exit=_offset(data[at], NUMBER, "an EXIT count"),
            reject=_offset(data[at + 1], NUMBER, "a REJECT count"),
            type=_offset(data[at + 2], DIGIT, "a cassette type"),
        )
        for at in range(0, 12, 3)
    )


def _last_status(data: bytes) -> LastStatus:
    return LastStatus(_error(data[1]), data[2], _results(data[3:]), last_command=data[0])


def _diagnostics(data: bytes) -> SensorDiagnostics:
    values = [_offset(value, NUMBER, "a measured value") for value in data[1:]]
    return SensorDiagnostics(_error(data[0]), *values)


def _order(data: bytes) -> DispenseOrder:
    return DispenseOrder(_error(data[0]), _four([_offset(value, DIGIT, "a cassette type") for value in data[1:]]))


_DECODERS: Mapping[Command, tuple[int, Callable[[bytes], Answer]]] = {
    Command.STATUS: (18, _status),
    Command.PURGE: (14, lambda data: PurgeResult(_error(data[0]), data[1], _results(data[2:]))),
    Command.DISPENSE: (23, lambda data: DispenseResult(_error(data[0]), data[1], _results(data[2:14]))),
    Command.TEST_DISPENSE: (23, lambda data: TestDispenseResult(_error(data[0]), data[1], _results(data[2:14]))),
    Command.LAST_STATUS: (15, _last_status),
    Command.SENSOR_DIAGNOSTICS: (5, _diagnostics),
    Command.SET_OPACITIES: (1, lambda data: BareError(Command.SET_OPACITIES, _error(data[0]))),
    Command.GET_OPACITIES: (9, lambda data: ReferenceValues(Command.GET_OPACITIES, _error(data[0]), _nibbles(data[1:], "opacities"))),
    Command.SET_DISPENSE_ORDER: (1, lambda data: BareError(Command.SET_DISPENSE_ORDER, _error(data[0]))),
    Command.GET_DISPENSE_ORDER: (5, _order),
    Command.SET_LENGTHS: (1, lambda data: BareError(Command.SET_LENGTHS, _error(data[0]))),
    Command.GET_LENGTHS: (9, lambda data: ReferenceValues(Command.GET_LENGTHS, _error(data[0]), _nibbles(data[1:], "lengths"))),
    Command.GET_SERIAL_NUMBER: (2, lambda data: SerialNumber(_error(data[0]), _offset(data[1], NUMBER, "the serial number"))),
}

ANSWER_LENGTHS: Mapping[int, int] = {code: length for code, (length, _) in _DECODERS.items()}


def decode(frame: Frame) -> Answer:
    """A device's frame. ProtocolError when its content is not what the description allows."""
    code, data = frame.command, frame.data
    if code == Command.RESET:
        return ResetReply()
    if code not in ANSWER_LENGTHS:
        raise ProtocolError(f"the dispenser answered with the unknown command {code:02X}h")
    length, decoder = _DECODERS[Command(code)]
    if len(data) == length:
        return decoder(data)
    if len(data) == 1:
        return BareError(Command(code), _error(data[0]))
    raise ProtocolError(f"the dispenser answered {code:02X}h with {len(data)} data bytes instead of {length}")
