"""The commands of an ESC/POS printer as sold in China: a reading of the command reference, one byte at a time.

Chinese models start in Kanji mode (GB18030, FS & / FS .), so ESC @ selects it again. Commands this printer does not have are noted in
`unknown` and skipped as far as their length is known. Real-time commands (DLE ...) were obeyed when they arrived: here they are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Protocol

from simulators.devices.printer_paper import WIDTH_DOTS, Feed, Head, RasterRow, Row
from simulators.devices.printer_qr import qr_dots

Step = Generator[None, int, None]
Take = Generator[None, int, bytes]

CODE_PAGES = {0: "cp437", 2: "cp850", 3: "cp860", 4: "cp863", 5: "cp865", 14: "cp737", 16: "cp1252", 17: "cp866", 18: "cp852", 19: "cp858"}
MAX_RASTER_BYTES = 1 << 20
MAX_UNKNOWN = 50

ESC_LENGTHS = {0x20: 1, 0x3D: 1, 0x52: 1, 0x54: 1, 0x56: 1, 0x7B: 1, 0x4D: 1, 0x72: 1, 0x70: 3, 0x24: 2, 0x5C: 2, 0x63: 2}
GS_LENGTHS = {0x61: 1, 0x62: 1, 0x66: 1, 0x68: 1, 0x77: 1, 0x48: 1, 0x7C: 1, 0x4C: 2, 0x57: 2, 0x50: 2}
FS_LENGTHS = {0x2D: 1, 0x43: 1, 0x53: 2}


class Mechanics(Protocol):
    """What the commands move."""

    def lay(self, row: Row) -> None:
        """Print a row; the paper moves by its pitch."""
        ...

    def cut(self) -> None: ...

    def answer(self, data: bytes) -> None:
        """An answer in the order of the data."""
        ...

    def paper_in_order(self) -> int:
        """The byte of GS r 1."""
        ...


class Interpreter:
    """`feed(byte)`. Everything it does goes to the mechanics; `reset()` forgets a command that was half received."""

    def __init__(self, mechanics: Mechanics) -> None:
        self._mechanics = mechanics
        self._head = Head()
        self.unknown: list[str] = []
        self._stored_graphics: RasterRow | None = None
        self._qr_data, self._qr_size, self._qr_level = b"", 3, 48
        self._initialise()
        self.reset()

    def reset(self) -> None:
        self._head.cells = []
        self._bit_image_dots = 0
        self._machine = self._run()
        next(self._machine)

    def feed(self, byte: int) -> None:
        self._machine.send(byte)

    def _initialise(self) -> None:
        self._head.reset()
        self._kanji = True
        self._code_page = 0

    def _note(self, *code: int) -> None:
        if len(self.unknown) < MAX_UNKNOWN:
            self.unknown.append(bytes(code).hex())

    # --- the bytes ------------------------------------------------------------------------------------------------------------------

    def _run(self) -> Step:
        while True:
            byte = yield
            if byte == 0x1B:
                yield from self._escape()
            elif byte == 0x1D:
                yield from self._group()
            elif byte == 0x1C:
                yield from self._file()
            elif byte == 0x10:
                yield from self._real_time()
            elif byte == 0x0A:
                self._line_feed()
            elif byte == 0x09:
                self._tab()
            elif byte >= 0x20:
                yield from self._character(byte)

    def _take(self, count: int) -> Take:
        data = bytearray()
        for _ in range(count):
            data.append((yield))
        return bytes(data)

    def _length(self) -> Generator[None, int, int]:
        low, high = yield from self._take(2)
        return low + 256 * high

    def _character(self, byte: int) -> Step:
        double_byte = False
        if byte < 0x80:
            character = chr(byte) if byte != 0x7F else " "
        elif self._kanji:
            code = bytes([byte, (yield)])
            if 0x30 <= code[1] <= 0x39:
                code += yield from self._take(2)
            character, double_byte = code.decode("gb18030", "replace")[:1], True
        else:
            character = bytes([byte]).decode(CODE_PAGES.get(self._code_page, "cp437"), "replace")
        row = self._head.put(character, double_byte)
        if row is not None:
            self._mechanics.lay(row)

    def _line_feed(self) -> None:
        """After a bit image the paper has moved by the image's height already: only what the line spacing has more is added."""
        moved, self._bit_image_dots = self._bit_image_dots, 0
        if not moved or self._head.cells:
            self._mechanics.lay(self._head.finish())
        elif self._head.spacing > moved:
            self._mechanics.lay(Feed(self._head.spacing - moved))

    def _tab(self) -> None:
        columns = sum(cell.dots for cell in self._head.cells) // 12
        for _ in range(8 - columns % 8):
            self._head.put(" ", False)

    def _flush(self) -> None:
        if self._head.cells:
            self._mechanics.lay(self._head.finish())

    def _real_time(self) -> Step:
        command = yield
        count = {0x04: 1, 0x05: 1}.get(command)
        if command == 0x14:
            function = yield
            count = {1: 2, 2: 2, 8: 7}.get(function, 0)
        yield from self._take(count or 0)

    # --- ESC ------------------------------------------------------------------------------------------------------------------------

    def _escape(self) -> Step:
        code = yield
        head = self._head
        if code == 0x40:
            self._initialise()
            head.cells = []
        elif code == 0x32:
            head.spacing = 30
        elif code == 0x76:
            self._mechanics.answer(bytes([self._mechanics.paper_in_order()]))
        elif code == 0x2A:
            yield from self._bit_image()
        elif code == 0x44:
            while (yield):
                pass
        elif code in ESC_LENGTHS:
            yield from self._take(ESC_LENGTHS[code])
        elif code in b"!-EGadJ3t":
            self._escape_one(code, (yield))
        else:
            self._note(0x1B, code)

    def _escape_one(self, code: int, n: int) -> None:
        head = self._head
        if code == 0x21:
            head.style = replace(head.style, bold=bool(n & 8), height=1 + (n >> 4 & 1), width=1 + (n >> 5 & 1), underline=n >> 7)
        elif code == 0x2D:
            head.style = replace(head.style, underline=n % 48 if n % 48 <= 2 else 0)
        elif code in (0x45, 0x47):
            head.style = replace(head.style, bold=bool(n & 1))
        elif code == 0x61:
            head.align = n % 48 if n % 48 <= 2 else head.align
        elif code == 0x33:
            head.spacing = n
        elif code == 0x74:
            self._code_page = n
        else:
            self._flush()
            dots = n if code == 0x4A else n * head.spacing
            if dots:
                self._mechanics.lay(Feed(dots))

    def _bit_image(self) -> Step:
        mode = yield
        columns = yield from self._length()
        rows = 3 if mode in (32, 33) else 1
        data = yield from self._take(columns * rows)
        width = (columns + 7) // 8 * 8
        picture = bytearray(width // 8 * rows * 8)
        for column in range(columns):
            for at in range(rows * 8):
                if data[column * rows + at // 8] >> (7 - at % 8) & 1:
                    picture[at * width // 8 + column // 8] |= 0x80 >> column % 8
        self._lay_raster(width, rows * 8, bytes(picture))
        self._bit_image_dots = rows * 8

    # --- FS -------------------------------------------------------------------------------------------------------------------------

    def _file(self) -> Step:
        code = yield
        if code in (0x26, 0x2E):
            self._kanji = code == 0x26
        elif code == 0x21:
            n = yield
            self._head.kanji_width, self._head.kanji_height = 1 + (n >> 2 & 1), 1 + (n >> 3 & 1)
        elif code == 0x57:
            n = yield
            self._head.kanji_width = self._head.kanji_height = 1 + (n & 1)
        elif code in FS_LENGTHS:
            yield from self._take(FS_LENGTHS[code])
        else:
            self._note(0x1C, code)

    # --- GS -------------------------------------------------------------------------------------------------------------------------

    def _group(self) -> Step:
        code = yield
        head = self._head
        if code == 0x21:
            n = yield
            head.style = replace(head.style, width=1 + (n >> 4 & 7), height=1 + (n & 7))
        elif code == 0x42:
            head.style = replace(head.style, invert=bool((yield) & 1))
        elif code == 0x56:
            yield from self._cut()
        elif code == 0x72:
            n = yield
            self._mechanics.answer(bytes([self._mechanics.paper_in_order() if n in (1, 49) else 0]))
        elif code == 0x49:
            n = yield
            self._mechanics.answer({1: b"\x20", 2: b"\x02", 3: b"\x01", 67: b"_SIM-80\0", 66: b"_SMART BRANCH\0"}.get(n, b""))
        elif code == 0x76:
            yield from self._raster()
        elif code == 0x28:
            yield from self._parenthesis()
        elif code == 0x6B:
            yield from self._bar_code()
        elif code in GS_LENGTHS:
            yield from self._take(GS_LENGTHS[code])
        else:
            self._note(0x1D, code)

    def _cut(self) -> Step:
        mode = yield
        if mode in (65, 66, 97, 98, 103, 104):
            dots = yield
            self._flush()
            if dots:
                self._mechanics.lay(Feed(dots))
        self._flush()
        self._mechanics.cut()

    def _raster(self) -> Step:
        yield  # always '0'
        scale = yield
        width = yield from self._length()
        height = yield from self._length()
        data = yield from self._take(min(width * height, MAX_RASTER_BYTES))
        if scale & 3:
            self._note(0x1D, 0x76, 0x30, scale)
        if len(data) == width * height and data:
            self._lay_raster(width * 8, height, data)

    def _lay_raster(self, width: int, height: int, data: bytes, text: str = "") -> None:
        self._flush()
        if width > WIDTH_DOTS:  # what does not fit on the paper is not printed
            stride = width // 8
            data = b"".join(data[row * stride : row * stride + WIDTH_DOTS // 8] for row in range(height))
            width = WIDTH_DOTS
        self._mechanics.lay(RasterRow(width, height, data, self._head.align, text))

    def _parenthesis(self) -> Step:
        group = yield
        data = yield from self._take((yield from self._length()))
        handlers: dict[int, Callable[[bytes], None]] = {0x4C: self._graphics, 0x6B: self._two_dimensional}
        if group in handlers and len(data) >= 2:
            handlers[group](data)
        else:
            self._note(0x1D, 0x28, group, *data[:2])

    def _graphics(self, data: bytes) -> None:
        """GS ( L: fn 112 stores a raster picture, fn 50 prints it."""
        function = data[1]
        if function == 112 and len(data) >= 10:
            width, height = data[6] + 256 * data[7], data[8] + 256 * data[9]
            stride = (width + 7) // 8
            if len(data) - 10 >= stride * height:
                self._stored_graphics = RasterRow(stride * 8, height, data[10 : 10 + stride * height], 0)
        elif function in (2, 50) and self._stored_graphics is not None:
            self._lay_raster(self._stored_graphics.width, self._stored_graphics.height, self._stored_graphics.data)
        else:
            self._note(0x1D, 0x28, 0x4C, *data[:2])

    def _two_dimensional(self, data: bytes) -> None:
        """GS ( k with cn 49: a QR code, drawn by the `qrcode` library that python-escpos brings, else noted as text."""
        code, function = data[0], data[1]
        if code != 49:
            self._note(0x1D, 0x28, 0x6B, code, function)
        elif function == 67 and len(data) > 2:
            self._qr_size = max(1, min(16, data[2]))
        elif function == 69 and len(data) > 2:
            self._qr_level = data[2]
        elif function == 80:
            self._qr_data = data[3:]
        elif function == 81:
            width, height, dots = qr_dots(self._qr_data, self._qr_size, self._qr_level)
            self._lay_raster(width, height, dots, text="[QR] " + self._qr_data.decode("utf-8", "replace"))

    def _bar_code(self) -> Step:
        """GS k, both forms; kept as text (this printer's picture of bars would prove nothing)."""
        kind = yield
        if kind >= 65:
            data = yield from self._take((yield))
        else:
            collected = bytearray()
            while byte := (yield):
                collected.append(byte)
            data = bytes(collected)
        self._lay_raster(8, 80, b"\xff" * 80, text="[bar code] " + data.decode("ascii", "replace"))
