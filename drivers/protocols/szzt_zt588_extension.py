"""Commands of our own in the ZT588 frame: TR-31 key blocks, PIN entry for DUKPT, clear entry, status.

NOT the vendor's: docs/pinpad-extensions.md is the standard of this file. The vendor's own commands know neither key blocks nor
AES; a pad that is to be used with this driver needs firmware that speaks these (our simulator does).

Request: ';', verb, two hex digits of sequence, arguments. Answer: status byte ('0' or E0h..EFh), ';', verb, sequence, data; the
data of a refusal are two hex digits that name the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, unique

from drivers.errors import ProtocolError
from drivers.protocols.szzt_zt588_commands import Answer, parse_answer
from drivers.secret import Secret

MARK = ord(";")
SERIAL_LENGTH = 16
ENDED_BY_PAD = 0x80  # sent outside a frame when the pad ended the entry by itself (time limit, tamper)


@unique
class Verb(IntEnum):
    STATUS = ord("S")
    LOAD_KEY_BLOCK = ord("L")
    START_PIN_ENTRY = ord("P")
    START_CLEAR_ENTRY = ord("C")
    GET_PIN_BLOCK = ord("G")
    STOP_ENTRY = ord("X")


@unique
class Reason(IntEnum):
    """Why a command was refused. Names follow XFS4IoT (Keyboard.PinEntry, PinPad.GetPinBlock) where it has one."""

    KEY_NOT_FOUND = 0x01
    ACCESS_DENIED = 0x02
    KEY_NO_VALUE = 0x03
    USE_VIOLATION = 0x04
    NO_PIN = 0x05
    MINIMUM_LENGTH = 0x06
    ENTRY_TIMEOUT = 0x07
    DUKPT_OVERFLOW = 0x08
    FORMAT_NOT_SUPPORTED = 0x09
    TAMPERED = 0x0A
    KEY_INVALID = 0x0B
    SEQUENCE_ERROR = 0x0C
    INVALID_DATA = 0x0D
    UNSUPPORTED_COMMAND = 0x0E


@unique
class Mode(Enum):
    """What the keys do. COMPLETE: a PIN lies in the pad, ended by the enter key, not fetched yet."""

    IDLE = "I"
    PIN = "P"
    COMPLETE = "E"
    CLEAR = "C"


@dataclass(frozen=True, slots=True)
class AskStatus:
    verb = Verb.STATUS

    def arguments(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True)
class StopEntry:
    verb = Verb.STOP_ENTRY

    def arguments(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True)
class LoadKeyBlock:
    """Slot (2 hex digits), then the key block as it is."""

    slot: int
    block: Secret[str]
    verb = Verb.LOAD_KEY_BLOCK

    def arguments(self) -> bytes:
        return b"%02X%b" % (self.slot, self.block.reveal().encode("ascii"))


@dataclass(frozen=True, slots=True)
class StartPinEntry:
    """Fewest and most digits (2 decimals each), time limit of the whole entry in seconds (3 decimals)."""

    minimum: int
    maximum: int
    limit_s: int
    verb = Verb.START_PIN_ENTRY

    def arguments(self) -> bytes:
        return b"%02d%02d%03d" % (self.minimum, self.maximum, self.limit_s)


@dataclass(frozen=True, slots=True)
class StartClearEntry:
    """Time limit in seconds (3 decimals)."""

    limit_s: int
    verb = Verb.START_CLEAR_ENTRY

    def arguments(self) -> bytes:
        return b"%03d" % self.limit_s


@dataclass(frozen=True, slots=True)
class GetPinBlock:
    """Slot (2 hex digits), ISO 9564 format (1 digit), length of the PAN (2 decimals), PAN."""

    slot: int
    format: int
    pan: Secret[str]
    verb = Verb.GET_PIN_BLOCK

    def arguments(self) -> bytes:
        pan = self.pan.reveal().encode("ascii")
        return b"%02X%d%02d%b" % (self.slot, self.format, len(pan), pan)


Request = AskStatus | StopEntry | LoadKeyBlock | StartPinEntry | StartClearEntry | GetPinBlock


def request_text(request: Request, sequence: int) -> bytes:
    return b"%c%c%02X%b" % (MARK, request.verb, sequence & 0xFF, request.arguments())


def match_answer(text: bytes, request: Request, sequence: int) -> Answer | None:
    """The answer to exactly this request, or None: a late answer to an earlier one is not ours."""
    head = b"%c%c%02X" % (MARK, request.verb, sequence & 0xFF)
    if text[1:5] != head:
        return None
    answer = parse_answer(text)
    return Answer(answer.status, answer.data[4:])


def parse_reason(data: bytes) -> int:
    """The reason's number, which may be one we do not know."""
    return _number(data, 16, 2, "the reason of a refusal")


@dataclass(frozen=True, slots=True)
class SlotState:
    """A loaded key: TR-31 usage and algorithm, check value, and the KSN of the last block (empty for a fixed key)."""

    slot: int
    usage: str
    algorithm: str
    check_value: str
    ksn: bytes


@dataclass(frozen=True, slots=True)
class PadState:
    tampered: bool
    mode: Mode
    masks: int
    serial: str
    slots: tuple[SlotState, ...]


def parse_status(data: bytes) -> PadState:
    """Tampered '0' / '1', mode, digits entered (2 decimals), serial number (16), slots (2 decimals), then each slot."""
    try:
        mode = Mode(data[1:2].decode("ascii", "replace"))
    except ValueError:
        raise ProtocolError("the PIN pad is in a mode that is not known") from None
    rest, slots = data[22:], []
    for _ in range(_number(data[20:22], 10, 2, "the number of slots")):
        size = 13 + 2 * _number(rest[11:13], 10, 2, "the length of a serial number")
        slot = _number(rest[:2], 16, 2, "a slot")
        ksn = _bytes(rest[13:size], (size - 13) // 2, "a key serial number")
        slots.append(SlotState(slot, rest[2:4].decode("ascii", "replace"), chr(rest[4]), rest[5:11].decode("ascii", "replace"), ksn))
        rest = rest[size:]
    if rest:
        raise ProtocolError("the status of the PIN pad is longer than it says")
    masks = _number(data[2:4], 10, 2, "the number of digits")
    return PadState(data[:1] != b"0", mode, masks, data[4:20].decode("ascii", "replace").rstrip(), tuple(slots))


def parse_check_value(data: bytes) -> str:
    """Six hex digits."""
    return _bytes(data, 3, "the check value").hex().upper()


def parse_pin_block(data: bytes) -> tuple[int, bytes, bytes]:
    """Format, KSN, block (16 bytes for format 4, else 8)."""
    kind = _number(data[:1], 10, 1, "the PIN block format")
    size = 2 * _number(data[1:3], 10, 2, "the length of a serial number")
    ksn = _bytes(data[3 : 3 + size], size // 2, "a key serial number")
    return kind, ksn, _bytes(data[3 + size :], 16 if kind == 4 else 8, "the PIN block")


def _number(digits: bytes, base: int, size: int, what: str) -> int:
    if len(digits) != size or not digits.isalnum():
        raise ProtocolError(f"{what} is not {size} digits")
    try:
        return int(digits, base)
    except ValueError:
        raise ProtocolError(f"{what} is not {size} digits") from None


def _bytes(digits: bytes, size: int, what: str) -> bytes:
    if len(digits) != 2 * size or not (digits.isalnum() or not digits):
        raise ProtocolError(f"{what} does not have {size} bytes")
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        raise ProtocolError(f"{what} is not hex") from None
