"""SZZT ZT588 encrypting PIN pad: the vendor's commands, the texts inside the frames of `szzt_zt588`.

Source: as there (smartkiosk/smartware, MIT: `pin_pad/zt588.rb`). An answer begins with a status byte; E0h..EFh are errors.

The vendor's key and PIN commands (1, 2, 6, 7) know only 3DES without key blocks. The driver does not use them; see
`szzt_zt588_extension` for the commands of our own that carry TR-31 blocks and DUKPT.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, unique

from drivers.errors import ProtocolError
from drivers.secret import Secret

SCANCODES = 24


@unique
class Command(IntEnum):
    """First byte of the text."""

    LOAD_PLAIN_KEY = ord("1")
    LOAD_ENCRYPTED_KEY = ord("2")
    USER_INFORMATION = ord("3")
    LOAD_SCANCODE_TABLE = ord("4")
    CONTROL = ord("5")
    START_PIN = ord("6")
    GET_PIN = ord("7")
    AUTHENTICATE = ord(":")


@unique
class Parameter(IntEnum):
    """What command 5 sets. The value follows as hex."""

    MISC = ord("0")
    TIME_LIMIT = ord("2")
    MASK = ord("3")
    MINIMUM_LENGTH = ord("4")
    MAXIMUM_LENGTH = ord("5")
    COMMUNICATION = ord("6")
    BEEP_TIME = ord("8")


@unique
class Misc(IntEnum):
    """Values of Parameter.MISC."""

    RESET = ord("0")
    WIPE = ord("1")
    DISABLE_INPUT = ord("2")
    ENABLE_INPUT = ord("3")
    DISABLE_SOUND = ord("4")
    ENABLE_SOUND = ord("5")


COMMUNICATION_HEX = b"7"  # plain hex digits, the form every value here uses


@unique
class PinBlockType(IntEnum):
    """Block types of command 6."""

    ISO_0 = ord(" ")
    ISO_1 = ord("!")
    ISO_3 = ord("#")
    IBM_3624 = ord("0")
    ASCII = ord("@")


@unique
class ErrorCode(IntEnum):
    """Status byte of a refused command. EAh is not publicly known."""

    LOW_BATTERY = 0xE0
    IMK_REQUIRED = 0xE1
    TMK_REQUIRED = 0xE2
    KEY_SIZE = 0xE3
    KEY_NOT_FOUND = 0xE4
    KEY_NOT_COMPATIBLE = 0xE5
    KEY_PARITY = 0xE6
    KEY_INVALID = 0xE7
    COMMAND_LENGTH = 0xE8
    INCORRECT_DATA = 0xE9
    INCORRECT_PARAMETER = 0xEB
    AUTHORIZATION_REQUIRED = 0xEC
    AUTHORIZATION_LOCKED = 0xED
    INPUT_TIMED_OUT = 0xEE
    GENERAL = 0xEF


@dataclass(frozen=True, slots=True)
class LoadPlainKey:
    """Command 1: key index, type, length code 0, 1, 2 (8, 16, 24 bytes), hex. Answer: check value."""

    index: int
    key_type: int
    key: Secret[bytes]

    def text(self) -> bytes:
        key = self.key.reveal()
        return b"%c%02X%d%d%b" % (Command.LOAD_PLAIN_KEY, self.index, self.key_type, len(key) // 8 - 1, hexed(key))


@dataclass(frozen=True, slots=True)
class LoadEncryptedKey:
    """Command 2: index of the key it is encrypted under, own index, type, length code + 1, hex. Answer: check value."""

    under: int
    index: int
    key_type: int
    key: Secret[bytes]

    def text(self) -> bytes:
        key = self.key.reveal()
        return b"%c%02X%02X%d%d%b" % (Command.LOAD_ENCRYPTED_KEY, self.under, self.index, self.key_type, len(key) // 8, hexed(key))


@dataclass(frozen=True, slots=True)
class AskUserInformation:
    """Command 3 without data: who are you."""

    def text(self) -> bytes:
        return b"%c" % Command.USER_INFORMATION


@dataclass(frozen=True, slots=True)
class LoadScancodeTable:
    """Command 4: the byte each of the 24 key positions sends, row by row."""

    codes: bytes

    def text(self) -> bytes:
        return b"%c%b" % (Command.LOAD_SCANCODE_TABLE, hexed(self.codes))


@dataclass(frozen=True, slots=True)
class Control:
    """Command 5: a parameter and its value."""

    parameter: Parameter
    value: bytes

    def text(self) -> bytes:
        return b"%c%c%b" % (Command.CONTROL, self.parameter, hexed(self.value))


@dataclass(frozen=True, slots=True)
class StartPin:
    """Command 6: key index, block type, hint code, PIN length, PAN."""

    key: int
    block_type: PinBlockType
    hint: int
    length: int
    pan: Secret[str]

    def text(self) -> bytes:
        return b"%c%02X%c%d%02d%b" % (
            Command.START_PIN,
            self.key,
            self.block_type,
            self.hint,
            self.length,
            self.pan.reveal().encode("ascii"),
        )


@dataclass(frozen=True, slots=True)
class GetPin:
    """Command 7. Answer: track (2 digits), length (2 digits), block in hex."""

    def text(self) -> bytes:
        return b"%c" % Command.GET_PIN


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Command ':': step A0h asks for a challenge, a key number names the key, 90h / 91h answer under TMK / IMK; 8 bytes each."""

    step: int
    data: Secret[bytes]

    def text(self) -> bytes:
        return b"%c%02X%b" % (Command.AUTHENTICATE, self.step, hexed(self.data.reveal()))


@dataclass(frozen=True, slots=True)
class Answer:
    """The status byte and what follows. What the byte of a success is, is not publicly known: any but E0h..EFh."""

    status: int
    data: bytes

    @property
    def refused(self) -> bool:
        return 0xE0 <= self.status <= 0xEF


def parse_answer(text: bytes) -> Answer:
    """Any answer's text. ProtocolError when it is empty."""
    if not text:
        raise ProtocolError("the PIN pad answered with an empty text")
    return Answer(text[0], text[1:])


@dataclass(frozen=True, slots=True)
class UserInformation:
    """Answer to command 3: 146 bytes after the status byte."""

    user: str
    scancodes: bytes
    blank: bool
    input_enabled: bool
    sound: bool
    time_limit_s: int
    mask: int
    minimum_length: int
    maximum_length: int
    model: str
    hardware_version: str
    software_version: str
    production_date: str
    serial: str


USER_INFORMATION_LENGTH = 146


def parse_user_information(data: bytes) -> UserInformation:
    """Fields by offset: user 50, scancodes 48 hex, settings 20 hex, function code 8, model 6, versions 3 + 3, date 4, serial 4."""
    if len(data) != USER_INFORMATION_LENGTH:
        raise ProtocolError(f"user information has {USER_INFORMATION_LENGTH} bytes, {len(data)} came")
    try:
        scancodes, settings = bytes.fromhex(data[50:98].decode("ascii")), bytes.fromhex(data[98:118].decode("ascii"))
    except ValueError:
        raise ProtocolError("the settings in the user information are not hex") from None

    def words(start: int, end: int) -> str:
        return data[start:end].decode("ascii", "replace").strip(" \x00")

    flags, _, limit, mask, minimum, maximum = settings[:6]
    return UserInformation(
        user=words(0, 50),
        scancodes=scancodes,
        blank=bool(flags & 1),
        input_enabled=bool(flags & 2),
        sound=bool(flags & 4),
        time_limit_s=limit,
        mask=mask,
        minimum_length=minimum,
        maximum_length=maximum,
        model=words(126, 132),
        hardware_version=words(132, 135),
        software_version=words(135, 138),
        production_date=words(138, 142),
        serial=words(142, 146),
    )


def hexed(data: bytes) -> bytes:
    """Upper-case hex digits."""
    return data.hex().upper().encode("ascii")
