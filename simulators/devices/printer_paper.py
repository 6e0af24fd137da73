"""What a thermal print head leaves on the paper: rows of characters and dots, and a picture of them.

80 mm paper, 72 mm (576 dots) printable at 203 dpi = 8 dots a millimetre; font A is 12 x 24 dots, a Chinese character 24 x 24.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

DOTS_PER_MM = 8
WIDTH_DOTS = 576
CELL_W, CELL_H = 12, 24
MARGIN = 32
FONTS = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
)


@dataclass(frozen=True, slots=True)
class Style:
    """How characters are set. `width` and `height` are the factors 1..8 of GS !."""

    bold: bool = False
    underline: int = 0
    invert: bool = False
    width: int = 1
    height: int = 1


@dataclass(frozen=True, slots=True)
class Cell:
    character: str
    style: Style
    double_byte: bool

    @property
    def dots(self) -> int:
        return (CELL_H if self.double_byte else CELL_W) * self.style.width


@dataclass(frozen=True, slots=True)
class TextRow:
    cells: tuple[Cell, ...]
    align: int  # 0 left, 1 centre, 2 right
    pitch: int  # dots the paper moved

    @property
    def text(self) -> str:
        return "".join(cell.character for cell in self.cells)

    @property
    def dots(self) -> int:
        return sum(cell.dots for cell in self.cells)


@dataclass(frozen=True, slots=True)
class RasterRow:
    """A picture: `data` has `width` / 8 bytes a line, one bit a dot, black is 1."""

    width: int
    height: int
    data: bytes
    align: int
    text: str = ""

    @property
    def pitch(self) -> int:
        return self.height


@dataclass(frozen=True, slots=True)
class Feed:
    pitch: int


Row = TextRow | RasterRow | Feed


@dataclass(slots=True)
class Piece:
    """A piece of paper: what hangs out of the slot, or a receipt once it is cut (or torn) off."""

    number: int
    rows: list[Row] = field(default_factory=list)
    cut: bool = False
    taken: bool = False
    picture: str | None = None

    @property
    def lines(self) -> list[str]:
        return [row.text for row in self.rows if isinstance(row, TextRow) or (isinstance(row, RasterRow) and row.text)]

    def as_json(self) -> dict[str, Any]:
        return {"number": self.number, "lines": self.lines, "picture": self.picture, "cut": self.cut, "taken": self.taken}


def render(piece: Piece, path: Path) -> None:
    """A PNG of the piece, put at `path` in one step. Pillow is imported here: without --pictures the simulator does without."""
    from PIL import Image

    height = sum(row.pitch for row in piece.rows)
    image = Image.new("L", (WIDTH_DOTS + 2 * MARGIN, max(1, height) + 2 * MARGIN), 255)
    painter = _Painter()
    y = MARGIN
    for row in piece.rows:
        if isinstance(row, TextRow):
            painter.text(image, row, y)
        elif isinstance(row, RasterRow):
            painter.raster(image, row, y)
        y += row.pitch
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    image.save(fresh, format="PNG")
    fresh.replace(path)


class _Painter:
    """Draws cell by cell, so that columns stand where the print head would put them whatever the font's own widths are."""

    def __init__(self) -> None:
        from PIL import ImageFont

        path = next((name for name in FONTS if Path(name).exists()), None)
        self._has_cjk = path is not None
        wide, narrow = (2, 7) if path and path.endswith("CJK-Regular.ttc") else (0, 0)  # "Sans CJK SC" and "Sans Mono CJK SC"
        self._wide: Any = ImageFont.truetype(path, 23, index=wide) if path else None
        self._narrow: Any = ImageFont.truetype(path, 23, index=narrow) if path else ImageFont.load_default(18)

    def text(self, image: Any, row: TextRow, y: int) -> None:
        x = MARGIN + (0, (WIDTH_DOTS - row.dots) // 2, WIDTH_DOTS - row.dots)[row.align]
        bottom = y + max((CELL_H * cell.style.height for cell in row.cells), default=CELL_H)
        for cell in row.cells:
            glyph = self._glyph(cell)
            image.paste(glyph, (x, bottom - glyph.height))
            x += cell.dots

    def _glyph(self, cell: Cell) -> Any:
        from PIL import Image, ImageDraw

        base_w = CELL_H if cell.double_byte else CELL_W
        glyph = Image.new("L", (base_w, CELL_H), 255)
        draw = ImageDraw.Draw(glyph)
        if cell.double_byte and not self._has_cjk:
            self._draw_code(draw, cell.character)
        elif not cell.character.isspace():
            font = self._wide if cell.double_byte else self._narrow
            for shift in (0, 1) if cell.style.bold else (0,):
                draw.text((base_w // 2 + shift, 20), cell.character, font=font, fill=0, anchor="ms")
        if cell.style.underline:
            draw.line((0, CELL_H - 1, base_w, CELL_H - 1), fill=0, width=cell.style.underline)
        if cell.style.invert:
            glyph = glyph.point(lambda value: 255 - value)
        return glyph.resize((base_w * cell.style.width, CELL_H * cell.style.height), Image.Resampling.NEAREST)

    @staticmethod
    def _draw_code(draw: Any, character: str) -> None:
        """No Chinese font on this machine: a box with the code point, as old printers do for what they do not have."""
        from PIL import ImageFont

        code = f"{ord(character):04X}"
        draw.rectangle((1, 1, CELL_H - 2, CELL_H - 2), outline=0)
        small: Any = ImageFont.load_default(9)
        draw.text((4, 2), code[:2], font=small, fill=0)
        draw.text((4, 11), code[-2:], font=small, fill=0)

    @staticmethod
    def raster(image: Any, row: RasterRow, y: int) -> None:
        from PIL import Image

        picture = Image.frombytes("1", (row.width, row.height), bytes(byte ^ 0xFF for byte in row.data))
        x = MARGIN + (0, (WIDTH_DOTS - row.width) // 2, WIDTH_DOTS - row.width)[row.align]
        image.paste(picture, (max(MARGIN, x), y))


class Head:
    """Collects a line of characters and lays finished rows on the piece that hangs out of the slot."""

    def __init__(self) -> None:
        self.reset()
        self.cells: list[Cell] = []

    def reset(self) -> None:
        self.style = Style()
        self.kanji_width, self.kanji_height = 1, 1
        self.align = 0
        self.spacing = 30

    def put(self, character: str, double_byte: bool) -> TextRow | None:
        """Adds a character; a full line is returned first, as the printer prints it by itself."""
        style = self.style
        if double_byte:
            style = replace(style, width=max(style.width, self.kanji_width), height=max(style.height, self.kanji_height))
        if unicodedata.category(character) in ("Cc", "Cf"):
            character = "\N{REPLACEMENT CHARACTER}"
        cell = Cell(character, style, double_byte)
        row = self.finish() if sum(old.dots for old in self.cells) + cell.dots > WIDTH_DOTS else None
        self.cells.append(cell)
        return row

    def finish(self) -> TextRow:
        """The collected line as a row; empty when there was nothing."""
        tallest = max((CELL_H * cell.style.height for cell in self.cells), default=0)
        row = TextRow(tuple(self.cells), self.align, max(self.spacing, tallest))
        self.cells = []
        return row
