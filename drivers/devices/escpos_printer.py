"""ESC/POS receipt printer on a serial line: is it ready, print a receipt, did it come out.

Standard: ESC/POS. python-escpos builds the bytes of a receipt, `drivers.protocols.escpos_status` reads the status back (python-escpos'
own reading takes a missing answer for "paper adequate"). Chinese goes as GB18030 between FS & and FS . (Kanji mode), as printers sold
in China take it, two columns a character; everything else as ASCII. Text cannot carry commands: control characters are refused.

python-escpos brings Pillow, a bar code and a QR code library: about 20 MB. It is imported when the first receipt is built, so an idle
worker stays small. An ESC/POS printer without a presenter cannot tell whether the receipt was taken.
"""

from __future__ import annotations

import os
import shutil
import unicodedata
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Any, Literal

from drivers.errors import DeviceFault, LinkTimeout, ProtocolError
from drivers.protocols.escpos_status import (
    CLEAR_BUFFERS,
    CLEAR_RESPONSE,
    Answer,
    AnswerReader,
    ErrorCause,
    OfflineCause,
    PaperSensors,
    PrinterReport,
    Query,
    decode_answer,
    encode_query,
    split_answers,
)
from drivers.transports.base import ByteStream, Clock, Deadline

ANSWER_S = 0.5
"""A real-time answer comes within milliseconds; asked again once after this."""
CHUNK_BYTES = 256
"""At most this much is handed to the line at once, so that the deadline is looked at in between."""
WATCH_S = 0.25
"""While the receipt is being printed, look this often whether the printer went off line."""
KANJI_ON, KANJI_OFF = b"\x1c&", b"\x1c."
MAX_LINES, MAX_LINE_CHARACTERS = 200, 400


@unique
class Paper(StrEnum):
    """XFS4IoT printer.paper. ESC/POS has no jam bit: a cutter that does not get through is reported as `jammed`."""

    UNKNOWN = "unknown"
    FULL = "full"
    LOW = "low"
    OUT = "out"
    JAMMED = "jammed"


@dataclass(frozen=True, slots=True)
class PrinterStatus:
    """What DLE EOT 1..4 said. `device`: XFS4IoT online, offline, userError (cover open) or hardwareError."""

    device: Literal["online", "offline", "userError", "hardwareError"]
    paper: Paper
    cover_open: bool
    cutter_error: bool
    unrecoverable: bool
    auto_recoverable: bool


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """One line of text; wrapped when it is wider than the paper."""

    text: str
    align: Literal["left", "center", "right"] = "left"
    bold: bool = False
    size: Literal["normal", "doubleHeight", "doubleWidth", "double"] = "normal"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What comes out as one piece of paper. `language` (BCP 47) is kept for the trace; the characters decide how they are sent."""

    lines: tuple[ReceiptLine, ...]
    language: str = "zh"


class PrintFault(DeviceFault):
    """The printer cannot print, or could not finish. `printed` is False when the whole receipt did not come out.

    Names: paperOut, coverOpen, paperJam (cutter), hardwareError (unrecoverable), overheated (recovers by itself), offline, invalidData.
    """

    def __init__(self, text: str, *, code: int, name: str, printed: bool, retryable: bool) -> None:
        super().__init__(text, code=code, name=name, retryable=retryable)
        self.printed = printed


def wrap(text: str, columns: int) -> list[str]:
    """Pieces of `text` at most `columns` half-width columns wide; at least one. Breaks at a space where there is one."""
    pieces, piece, width, space = [], "", 0, -1
    for character in text:
        wide = _width(character)
        if width + wide > columns:
            if space > 0 and character.isascii() and character != " ":
                pieces.append(piece[:space])
                piece = piece[space + 1 :]
            else:
                pieces.append(piece)
                piece = ""
            width, space = sum(map(_width, piece)), -1
            if character == " " and not piece:
                continue
        if character == " ":
            space = len(piece)
        piece += character
        width += wide
    return [*pieces, piece]


def _width(character: str) -> int:
    return 2 if _encoded(character)[0] > 0x7F else 1


def _encoded(character: str) -> bytes:
    """ASCII in itself, everything else GB18030 (2 or 4 bytes, a full-width cell on paper)."""
    return character.encode("gb18030")


def checked_text(text: str) -> str:
    """`text` composed (NFC), or ValueError: control, format and private characters would be commands or nothing on paper."""
    text = unicodedata.normalize("NFC", text)
    if len(text) > MAX_LINE_CHARACTERS:
        raise ValueError(f"a receipt line has at most {MAX_LINE_CHARACTERS} characters, this one has {len(text)}")
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
            raise ValueError(f"a receipt line may not contain U+{ord(character):04X}")
    return text


def receipt_bytes(receipt: Receipt, columns: int) -> bytes:
    """The bytes of a whole receipt: initialise, the lines, feed, cut. ValueError names what cannot be printed."""
    if not 1 <= len(receipt.lines) <= MAX_LINES:
        raise ValueError(f"a receipt has 1 to {MAX_LINES} lines, this one has {len(receipt.lines)}")
    lines = [(line, checked_text(line.text)) for line in receipt.lines]
    printer = _escpos_recorder()
    printer.hw("INIT")
    printer._raw(KANJI_OFF)
    for line, text in lines:
        wide = line.size in ("doubleWidth", "double")
        high = line.size in ("doubleHeight", "double")
        printer.set(align=line.align, bold=line.bold, custom_size=True, width=1 + wide, height=1 + high)
        for piece in wrap(text, columns // (1 + wide)):
            if piece.isascii():
                printer._raw(piece.encode("ascii") + b"\n")
            else:
                printer._raw(KANJI_ON + piece.encode("gb18030") + KANJI_OFF + b"\n")
    printer.cut()
    return bytes(printer.output)


def _escpos_recorder() -> Any:
    """python-escpos' printer that only collects bytes. Its import costs a second and 20 MB, and leaves a temporary folder: removed here."""
    from escpos import capabilities
    from escpos.printer import Dummy

    if "ESCPOS_CAPABILITIES_PICKLE_DIR" not in os.environ:
        shutil.rmtree(capabilities.pickle_dir, ignore_errors=True)
    return Dummy()


class EscPosPrinter:
    """The verbs of one printer. `columns`: half-width characters a line (48 on 80 mm paper, 32 on 58 mm).

    `confirms`: the printer answers GS r 1 in the order of the data (standard). Where a clone does not, set it to False: then a receipt
    counts as printed when the printer is still ready after the last byte was accepted, which proves less.
    """

    def __init__(self, stream: ByteStream, clock: Clock, columns: int = 48, *, confirms: bool = True) -> None:
        if not 8 <= columns <= 96:
            raise ValueError(f"a receipt printer has 8 to 96 columns, not {columns}")
        self._stream = stream
        self._clock = clock
        self._columns = columns
        self._confirms = confirms

    def close(self) -> None:
        self._stream.close()

    def status(self, deadline: Deadline) -> PrinterStatus:
        """Asks all four questions. LinkTimeout when the printer is silent (power off, cable); ProtocolError on nothing but noise."""
        return self._read_status(deadline)[0]

    def print_receipt(self, receipt: Receipt, deadline: Deadline) -> PrinterStatus:
        """Prints and cuts one receipt; returns the status afterwards (paper may have become low).

        PrintFault(printed=False) before the first byte when the printer is not ready, or when it stopped on the way: then what it still
        held was thrown away; invalidData: the text cannot be printed. LinkError: nobody knows how much came out.
        """
        try:
            data = receipt_bytes(receipt, self._columns)
        except ValueError as error:
            raise PrintFault(str(error), code=0, name="invalidData", printed=False, retryable=False) from None
        self._require_ready(deadline)
        for at in range(0, len(data), CHUNK_BYTES):
            self._stream.write(data[at : at + CHUNK_BYTES], deadline)
        if self._confirms:
            self._await_printed(deadline)
            return self.status(deadline)
        return self._require_ready(deadline)

    def _await_printed(self, deadline: Deadline) -> None:
        """GS r 1 is answered once all before it is on paper; a printer that stops never answers it, so look at it meanwhile."""
        self._stream.discard_input()
        self._stream.write(encode_query(Query.PAPER_IN_ORDER), deadline)
        while not deadline.expired:
            self._stream.write(encode_query(Query.PRINTER), deadline)
            pause = deadline.sooner(WATCH_S)
            while not pause.expired:
                real_time, in_order, noise = split_answers(self._stream.read(pause))
                if in_order and not noise:  # a byte without a checksum proves nothing in the middle of noise: ask again
                    return
                if any(self._is_offline(value) for value in real_time):
                    self._find_cause(deadline)
                    noise += 1  # the answer may have been flushed while the cause was asked for
                if noise:
                    self._stream.discard_input()
                    self._stream.write(encode_query(Query.PAPER_IN_ORDER), deadline)
        self._discard_unprinted(Deadline.after(self._clock, ANSWER_S))
        raise LinkTimeout("the printer did not confirm the receipt in time: nobody knows how much of it came out")

    @staticmethod
    def _is_offline(value: int) -> bool:
        report = decode_answer(Query.PRINTER, value)
        return isinstance(report, PrinterReport) and report.offline

    def _find_cause(self, deadline: Deadline) -> None:
        """Off line in the middle: throw the rest away and raise the cause. Returns when it was only for a moment."""
        try:
            self._require_ready(deadline)
        except PrintFault:
            self._discard_unprinted(deadline)
            raise

    def _discard_unprinted(self, deadline: Deadline) -> None:
        """So that the next customer does not get the rest of this receipt when paper is put in. Best effort: clones may not know it."""
        self._stream.write(CLEAR_BUFFERS, deadline)
        seen, until = b"", deadline.sooner(ANSWER_S)
        while CLEAR_RESPONSE not in seen and not until.expired:
            seen = (seen + self._stream.read(until))[-64:]

    def _require_ready(self, deadline: Deadline) -> PrinterStatus:
        status, codes = self._read_status(deadline)
        fault = _fault_of(status, codes)
        if fault is not None:
            raise fault
        return status

    def _read_status(self, deadline: Deadline) -> tuple[PrinterStatus, dict[Query, int]]:
        printer, cause = self._ask(Query.PRINTER, deadline), self._ask(Query.OFFLINE_CAUSE, deadline)
        error, sensors = self._ask(Query.ERROR_CAUSE, deadline), self._ask(Query.PAPER, deadline)
        assert isinstance(printer, PrinterReport) and isinstance(cause, OfflineCause)
        assert isinstance(error, ErrorCause) and isinstance(sensors, PaperSensors)
        codes = {Query.PRINTER: printer.raw, Query.OFFLINE_CAUSE: cause.raw, Query.ERROR_CAUSE: error.raw, Query.PAPER: sensors.raw}
        return _status_of(printer, cause, error, sensors), codes

    def _ask(self, query: Query, deadline: Deadline) -> Answer:
        """One question, one answer; a question moves nothing, so it is asked a second time when the answer is lost or unreadable."""
        for _ in range(2):
            self._stream.discard_input()
            reader = AnswerReader(query)
            self._stream.write(encode_query(query), deadline)
            answer = self._collect(reader, deadline.sooner(ANSWER_S))
            if answer is not None:
                return answer
        if reader.noise_bytes:
            raise ProtocolError(
                f"the printer answers DLE EOT {query.value} with bytes that are no status: wrong line settings or no printer"
            )
        raise LinkTimeout(f"the printer does not answer DLE EOT {query.value}")

    def _collect(self, reader: AnswerReader, deadline: Deadline) -> Answer | None:
        while not deadline.expired:
            answer = reader.feed(self._stream.read(deadline))
            if answer is not None:
                return answer
        return None


def _status_of(printer: PrinterReport, cause: OfflineCause, error: ErrorCause, sensors: PaperSensors) -> PrinterStatus:
    if error.cutter:
        paper = Paper.JAMMED
    elif sensors.end or cause.stopped_by_paper_end:
        paper = Paper.OUT
    else:
        paper = Paper.LOW if sensors.near_end else Paper.FULL
    device: Literal["online", "offline", "userError", "hardwareError"] = "online"
    if error.unrecoverable or error.cutter:
        device = "hardwareError"
    elif cause.cover_open:
        device = "userError"
    elif printer.offline:
        device = "offline"
    return PrinterStatus(device, paper, cause.cover_open, error.cutter, error.unrecoverable, error.auto_recoverable)


def _fault_of(status: PrinterStatus, codes: dict[Query, int]) -> PrintFault | None:
    """The worst thing that keeps a printer from printing, or None. `code` is the status byte that said so."""
    reasons = (
        (status.unrecoverable, "hardwareError", Query.ERROR_CAUSE, "the printer reports an unrecoverable error", False),
        (status.cutter_error, "paperJam", Query.ERROR_CAUSE, "the printer's cutter is stuck", False),
        (status.cover_open, "coverOpen", Query.OFFLINE_CAUSE, "the printer's cover is open", True),
        (status.paper is Paper.OUT, "paperOut", Query.PAPER, "the printer is out of paper", True),
        (status.auto_recoverable, "overheated", Query.ERROR_CAUSE, "the print head is too hot", True),
        (status.device == "offline", "offline", Query.PRINTER, "the printer is off line and names no cause", True),
    )
    for holds, name, query, text, retryable in reasons:
        if holds:
            return PrintFault(text, code=codes[query], name=name, printed=False, retryable=retryable)
    return None
