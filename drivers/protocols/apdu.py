"""Command and response APDUs (ISO/IEC 7816-3 and -4; EMV 4.3 Book 1 section 9, Book 3 section 6). Short form only.

T=0 cannot carry data both ways in one exchange: `Exchange` turns one APDU into the exchanges the card wants (61xx, 6Cxx). It is
sans-I/O: it says what to send next and is told what came.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, unique

from drivers.errors import ProtocolError
from drivers.protocols.tlv import TlvError, parse, walk

MAX_EXCHANGES = 16
MAX_RESPONSE = 65536


@unique
class Ins(IntEnum):
    """Instruction bytes (Book 3, table 4)."""

    CARD_BLOCK = 0x16
    APPLICATION_UNBLOCK = 0x18
    APPLICATION_BLOCK = 0x1E
    VERIFY = 0x20
    PIN_CHANGE = 0x24
    EXTERNAL_AUTHENTICATE = 0x82
    GET_CHALLENGE = 0x84
    INTERNAL_AUTHENTICATE = 0x88
    SELECT = 0xA4
    GET_PROCESSING_OPTIONS = 0xA8
    GENERATE_AC = 0xAE
    READ_RECORD = 0xB2
    GET_RESPONSE = 0xC0
    GET_DATA = 0xCA


STATUS_WORDS = {
    0x9000: "done",
    0x6283: "selected file invalidated",
    0x6300: "authentication failed",
    0x6700: "wrong length",
    0x6982: "security status not satisfied",
    0x6983: "authentication method blocked",
    0x6985: "conditions of use not satisfied",
    0x6988: "wrong secure messaging data",
    0x6A80: "wrong data",
    0x6A81: "function not supported",
    0x6A82: "file not found",
    0x6A83: "record not found",
    0x6A86: "wrong P1 P2",
    0x6A88: "referenced data not found",
    0x6D00: "instruction not supported",
    0x6E00: "class not supported",
}


@dataclass(frozen=True, slots=True)
class Command:
    """A command APDU. `le` None: nothing is expected back; 0 means up to 256 bytes."""

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = field(default=b"", repr=False)
    le: int | None = None

    def encode(self) -> bytes:
        if len(self.data) > 255:
            raise ProtocolError(f"command data of {len(self.data)} bytes does not fit a short APDU")
        body = bytes([len(self.data)]) + self.data if self.data else b""
        return bytes([self.cla, self.ins, self.p1, self.p2]) + body + (b"" if self.le is None else bytes([self.le]))


@dataclass(frozen=True, slots=True)
class Response:
    """Data and status word of an answer."""

    data: bytes = field(repr=False)
    sw: int

    @classmethod
    def decode(cls, answer: bytes) -> Response:
        if len(answer) < 2:
            raise ProtocolError(f"an answer of {len(answer)} bytes has no status word")
        return cls(answer[:-2], int.from_bytes(answer[-2:], "big"))

    @property
    def ok(self) -> bool:
        return self.sw == 0x9000


def split(apdu: bytes) -> tuple[bytes, bytes, int | None]:
    """(header, data, Le) of a short APDU. ProtocolError when its lengths do not fit."""
    if len(apdu) < 4:
        raise ProtocolError(f"a command of {len(apdu)} bytes has no header")
    header, body = apdu[:4], apdu[4:]
    if not body:
        return header, b"", None
    if len(body) == 1:
        return header, b"", body[0]
    size = body[0]
    if size and len(body) == 1 + size:
        return header, body[1:], None
    if size and len(body) == 2 + size:
        return header, body[1:-1], body[-1]
    raise ProtocolError(f"a command's length byte says {size} and {len(body) - 1} bytes follow")


class Exchange:
    """One APDU over T=0 or T=1: `outgoing` is what to send, `incoming(answer)` takes what came; finished when `outgoing` is None.

    Book 1, 9.2.2 and 9.3.1: 6Cxx repeats the command with the length the card names, 61xx fetches data with GET RESPONSE, and a
    warning (62xx, 63xx) to a command that expects data has its data fetched, then keeps its own status word. At most 16 exchanges.
    """

    def __init__(self, apdu: bytes, *, t0: bool) -> None:
        header, data, le = split(apdu)
        self._expects_data = le is not None
        self._t0 = t0
        self._warning: bytes | None = None
        self._collected = b""
        self._exchanges = 0
        if t0:
            tail = bytes([len(data)]) + data if data else bytes([le or 0])
            self.outgoing: bytes | None = header + tail
        else:
            self.outgoing = apdu
        self._repeat_head = self.outgoing[:4]
        self._may_repeat = not data
        self.answer = b""

    def incoming(self, answer: bytes) -> None:
        """ProtocolError when the card makes no sense or would go on for ever."""
        if len(answer) < 2:
            raise ProtocolError(f"an answer of {len(answer)} bytes has no status word")
        self._exchanges += 1
        self._collected += answer[:-2]
        sw1, sw2 = answer[-2], answer[-1]
        if self._exchanges >= MAX_EXCHANGES or len(self._collected) > MAX_RESPONSE:
            raise ProtocolError(f"the card still has data after {self._exchanges} exchanges")
        if sw1 == 0x61:
            self._next(self._get_response(sw2), repeatable=True)
        elif sw1 == 0x6C and self._may_repeat:
            self._next(self._repeat_head + bytes([sw2]), repeatable=False)
        elif sw1 in (0x62, 0x63) and self._t0 and self._expects_data and not self._collected and self._warning is None:
            self._warning = answer[-2:]
            self._next(self._get_response(0), repeatable=True)
        else:
            self._finish(answer[-2:])

    def _get_response(self, length: int) -> bytes:
        """Always in the interindustry class (Book 1, 9.3.1.3)."""
        return bytes([0x00, Ins.GET_RESPONSE, 0x00, 0x00, length])

    def _next(self, outgoing: bytes, *, repeatable: bool) -> None:
        self._may_repeat = repeatable
        self._repeat_head = outgoing[:4]
        self.outgoing = outgoing

    def _finish(self, status: bytes) -> None:
        self.answer = self._collected + (self._warning if self._warning is not None else status)
        self.outgoing = None


def is_t0(atr: bytes) -> bool:
    """Whether an answer to reset offers T=0 first (ISO/IEC 7816-3, 8.2.3): no TD1, or TD1 with protocol 0."""
    if len(atr) < 2:
        raise ProtocolError(f"an answer to reset of {len(atr)} bytes is too short")
    if not atr[1] & 0x80:
        return True
    place = 2 + (atr[1] >> 4 & 7).bit_count()
    if place >= len(atr):
        raise ProtocolError("the answer to reset ends before TD1")
    return atr[place] & 0x0F == 0


SECRET_COMMANDS = frozenset({Ins.VERIFY, Ins.PIN_CHANGE})
# track 2 equivalent, PAN, name, track 1 and 2 discretionary, PIN block; 9F46 holds the PAN for everyone who has the public keys
SECRET_TAGS = (b"\x57", b"\x5a", b"\x5f\x20", b"\x9f\x1f", b"\x9f\x20", b"\x9f\x0b", b"\x56", b"\x9f\x6b", b"\x99", b"\x9f\x46")
SECRET_NUMBERS = frozenset(int.from_bytes(tag, "big") for tag in SECRET_TAGS)


def masked_apdu(command: bytes, response: bytes) -> str:
    """One line of a trace. PINs (VERIFY, PIN CHANGE) and values of PAN and track objects are dots; what cannot be read is not shown."""
    if len(command) > 1 and command[1] in SECRET_COMMANDS:
        shown = f"{command[:4].hex().upper()} {len(command) - 4} bytes hidden"
    else:
        shown = command.hex().upper()
    return f"> {shown} < {_masked_data(response[:-2])} {response[-2:].hex().upper()}"


def _masked_data(data: bytes) -> str:
    try:
        objects = parse(data)
    except TlvError:
        return f"{len(data)} bytes that are not TLV"
    hidden = [one.value for one in walk(objects) if one.tag in SECRET_NUMBERS]
    shown = data.hex().upper()
    for value in hidden:
        shown = shown.replace(value.hex().upper(), "." * (2 * len(value))) if value else shown
    return shown
