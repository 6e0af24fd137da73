"""ESC/POS status: DLE EOT 1..4 (real time, works off line) and GS r 1 (in the order of the data). Sans I/O.

Standard: the ESC/POS command reference for paper roll printers, commands DLE EOT, GS r, DLE DC4. Every status answer is one byte without
frame or checksum; only its fixed bits tell it from noise. DLE EOT answers have bits 1 and 4 set and bits 0 and 7 clear (12h when all is
well), GS r answers have bits 4 and 7 clear. Neither carries the number of the question: flush the input before each. The two lay the
same paper sensors out differently. GS r is the barrier: on line, its answer means that all data sent before it has been carried out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, unique

from drivers.errors import ProtocolError

DLE, EOT, GS = 0x10, 0x04, 0x1D
XON, XOFF = 0x11, 0x13
REAL_TIME_MASK, REAL_TIME_FIXED = 0x93, 0x12
IN_ORDER_MASK, IN_ORDER_FIXED = 0x90, 0x00
MAX_NOISE_BYTES = 64

CLEAR_BUFFERS = bytes([DLE, 0x14, 8, 1, 3, 20, 1, 6, 2, 8])
"""DLE DC4 fn=8: throw away what is received and not yet printed, in real time: nobody gets the rest of another's receipt."""

CLEAR_RESPONSE = bytes([0x37, 0x25, 0x00])
"""What `CLEAR_BUFFERS` is answered with by printers that know it; nothing may be sent before it came."""


@unique
class Query(IntEnum):
    """n of DLE EOT n; `PAPER_IN_ORDER` is GS r 1, which is answered when all that was sent before it has been carried out."""

    PRINTER = 1
    OFFLINE_CAUSE = 2
    ERROR_CAUSE = 3
    PAPER = 4
    PAPER_IN_ORDER = 0x101


@dataclass(frozen=True, slots=True)
class PrinterReport:
    """DLE EOT 1. Bit 2 drawer pin 3, bit 3 off line, bit 5 waiting for on-line recovery, bit 6 feed button held."""

    raw: int
    offline: bool
    waiting_for_recovery: bool
    feed_button: bool


@dataclass(frozen=True, slots=True)
class OfflineCause:
    """DLE EOT 2. Bit 2 cover open, bit 3 paper is being fed by the button, bit 5 printing stopped by paper end, bit 6 an error."""

    raw: int
    cover_open: bool
    feeding: bool
    stopped_by_paper_end: bool
    error: bool


@dataclass(frozen=True, slots=True)
class ErrorCause:
    """DLE EOT 3. Bit 2 recoverable error, bit 3 cutter, bit 5 unrecoverable, bit 6 recovers by itself (head too hot)."""

    raw: int
    recoverable: bool
    cutter: bool
    unrecoverable: bool
    auto_recoverable: bool


@dataclass(frozen=True, slots=True)
class PaperSensors:
    """DLE EOT 4 (bits 2 and 3 near end, 5 and 6 end of the roll) and GS r 1 (bits 0 and 1 near end, 2 and 3 end)."""

    raw: int
    near_end: bool
    end: bool


Answer = PrinterReport | OfflineCause | ErrorCause | PaperSensors


def encode_query(query: Query) -> bytes:
    """The bytes of a question."""
    if query is Query.PAPER_IN_ORDER:
        return bytes([GS, 0x72, 1])
    return bytes([DLE, EOT, query.value])


def _bit(value: int, number: int) -> bool:
    return bool(value >> number & 1)


def decode_answer(query: Query, value: int) -> Answer:
    """One status byte as an answer to `query`. ProtocolError when its fixed bits say that it cannot be one."""
    in_order = query is Query.PAPER_IN_ORDER
    mask, fixed = (IN_ORDER_MASK, IN_ORDER_FIXED) if in_order else (REAL_TIME_MASK, REAL_TIME_FIXED)
    if value & mask != fixed:
        raise ProtocolError(f"{value:02X}h is no answer to {query.name}: its fixed bits are wrong")
    if query is Query.PRINTER:
        return PrinterReport(value, offline=_bit(value, 3), waiting_for_recovery=_bit(value, 5), feed_button=_bit(value, 6))
    if query is Query.OFFLINE_CAUSE:
        return OfflineCause(
            value, cover_open=_bit(value, 2), feeding=_bit(value, 3), stopped_by_paper_end=_bit(value, 5), error=_bit(value, 6)
        )
    if query is Query.ERROR_CAUSE:
        return ErrorCause(
            value, recoverable=_bit(value, 2), cutter=_bit(value, 3), unrecoverable=_bit(value, 5), auto_recoverable=_bit(value, 6)
        )
    near_end, end = (0x03, 0x0C) if in_order else (0x0C, 0x60)
    return PaperSensors(value, near_end=bool(value & near_end), end=bool(value & end))


class AnswerReader:
    """Waits for the answer to one question. Skips flow control characters and noise, counts the noise, gives up after 64 bytes of it."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.noise_bytes = 0

    def feed(self, data: bytes) -> Answer | None:
        """The answer as soon as a byte can be one, else None. ProtocolError after 64 bytes that cannot."""
        for value in data:
            if value in (XON, XOFF):
                continue
            try:
                return decode_answer(self.query, value)
            except ProtocolError:
                self.noise_bytes += 1
                if self.noise_bytes >= MAX_NOISE_BYTES:
                    raise ProtocolError(f"{self.noise_bytes} bytes came and none can answer {self.query.name}") from None
        return None


def split_answers(data: bytes) -> tuple[bytes, bytes, int]:
    """(real-time answers, in-order answers, how many bytes can be neither) of a mixed input: they differ in a fixed bit."""
    real_time = bytes(value for value in data if value & REAL_TIME_MASK == REAL_TIME_FIXED)
    in_order = bytes(value for value in data if value & IN_ORDER_MASK == IN_ORDER_FIXED)
    flow = sum(value in (XON, XOFF) for value in data)
    return real_time, in_order, len(data) - len(real_time) - len(in_order) - flow
