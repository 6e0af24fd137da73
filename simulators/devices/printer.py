"""An ESC/POS receipt printer of the 80 mm kind, GB18030 model, behind a serial wire.

    python -m simulators.devices.printer --link .run/printer --control .run/printer.ctl [--pictures .run/receipts]

Verbs on the control wire: ``state``; ``take_receipt``; ``paper`` {"level": "full"|"low"|"out"} or {"remaining_mm": 120};
``cover`` {"open": true}; ``cutter_error`` {"on": true, "when": "now"|"next_cut"}; ``unrecoverable``, ``overheated`` {"on": true};
``power`` {"on": false}; ``speed`` {"bytes_per_s": 960}; ``fault`` {"kind": "drop"|"garbage"|"silent"|"none", "count": 1}.

Time is the argument of every call. Print data is carried out at `bytes_per_s`; DLE commands are obeyed the moment they arrive, also
inside other data and while the printer is off line, as the command reference says.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from simulators.devices.printer_interpreter import Interpreter
from simulators.devices.printer_paper import DOTS_PER_MM, Feed, Piece, Row, render
from simulators.process import run_serial

FULL_ROLL_MM, LOW_MM = 80_000.0, 1_500.0
BUFFER_BYTES = 16 * 1024
KEPT_RECEIPTS = 50
SLICE_S = 0.02
GARBAGE = bytes([0xFF, 0x81, 0x00])
CLEAR = bytes([0x10, 0x14, 8, 1, 3, 20, 1, 6, 2, 8])


class Printer:
    """simulators.process.SerialDevice. `pictures`: a folder for a PNG of every receipt, or None."""

    def __init__(self, pictures: Path | None = None, bytes_per_s: float = 960.0) -> None:
        self._pictures = pictures
        self._bytes_per_s = bytes_per_s
        self._power = True
        self._remaining_mm = FULL_ROLL_MM
        self._cover_open = self._cutter_error = self._cutter_fails_next = self._unrecoverable = self._overheated = False
        self._fault, self._fault_count = "none", 0
        self._receipts: list[Piece] = []
        self._number = 0
        self._hanging = Piece(0)
        self._now = 0.0
        self._lost_bytes = 0
        self._forget()

    def _forget(self) -> None:
        """What a power failure takes away."""
        self._buffer = bytearray()
        self._due = 0.0
        self._recent = b""
        self._out = bytearray()
        self._interpreter = Interpreter(self)

    # --- the wire -------------------------------------------------------------------------------------------------------------------

    def feed(self, data: bytes, now: float) -> None:
        self._advance(now)
        if not self._power:
            return
        for byte in data:
            self._recent = (self._recent + bytes([byte]))[-len(CLEAR) :]
            if not self._buffer:
                self._due = max(self._due, now)
            if len(self._buffer) < BUFFER_BYTES:
                self._buffer.append(byte)
            else:
                self._lost_bytes += 1
            self._obey_real_time()

    def take_output(self, now: float) -> bytes:
        self._advance(now)
        data = bytes(self._out)
        self._out.clear()
        return data

    def next_wakeup(self) -> float | None:
        if self._out:
            return self._now
        if not self._buffer or self._offline:
            return None
        return self._due + max(1 / self._bytes_per_s, min(len(self._buffer) / self._bytes_per_s, SLICE_S))

    def _advance(self, now: float) -> None:
        self._now = max(self._now, now)
        while self._power and self._buffer and not self._offline and self._due + 1 / self._bytes_per_s <= self._now:
            self._due += 1 / self._bytes_per_s
            self._interpreter.feed(self._buffer.pop(0))
        if not self._buffer or self._offline:
            self._due = self._now

    def _obey_real_time(self) -> None:
        if self._recent == CLEAR:
            self._buffer.clear()
            self._interpreter.reset()
            self._send(bytes([0x37, 0x25, 0x00]))
        elif self._recent[-3:-1] == b"\x10\x04" and 1 <= self._recent[-1] <= 4:
            self._send(bytes([self._real_time_status(self._recent[-1])]))
        elif self._recent[-3:] == b"\x10\x05\x02":
            self._buffer.clear()
            self._interpreter.reset()

    def _real_time_status(self, n: int) -> int:
        out, error = self._paper_out, self._cutter_error or self._unrecoverable or self._overheated
        if n == 1:
            bits = 0x08 * self._offline
        elif n == 2:
            bits = 0x04 * self._cover_open | 0x20 * out | 0x40 * error
        elif n == 3:
            bits = 0x08 * self._cutter_error | 0x20 * self._unrecoverable | 0x40 * self._overheated
        else:
            bits = 0x0C * self._paper_low | 0x60 * out
        return 0x12 | bits

    def _send(self, data: bytes) -> None:
        """One answer, with the fault that was asked for."""
        kind = self._fault
        if kind in ("drop", "garbage"):
            self._fault_count -= 1
            if self._fault_count <= 0:
                self._fault = "none"
        if kind == "garbage":
            self._out += GARBAGE
        elif kind == "none":
            self._out += data

    # --- the mechanics (printer_interpreter.Mechanics) ----------------------------------------------------------------------------------

    @property
    def _paper_out(self) -> bool:
        return self._remaining_mm <= 0

    @property
    def _paper_low(self) -> bool:
        return self._remaining_mm <= LOW_MM

    @property
    def _offline(self) -> bool:
        return self._cover_open or self._paper_out or self._cutter_error or self._unrecoverable or self._overheated

    def lay(self, row: Row) -> None:
        """A row that begins on paper is printed; the sensor sits before the head, so its end stops the next one."""
        self._hanging.rows.append(row)
        self._remaining_mm = max(0.0, self._remaining_mm - row.pitch / DOTS_PER_MM)

    def cut(self) -> None:
        if self._cutter_fails_next:
            self._cutter_fails_next, self._cutter_error = False, True
            return
        self._separate(cut=True)

    def answer(self, data: bytes) -> None:
        self._send(data)

    def paper_in_order(self) -> int:
        return 0x03 * self._paper_low | 0x0C * self._paper_out

    def _separate(self, *, cut: bool) -> None:
        if all(isinstance(row, Feed) for row in self._hanging.rows):
            self._hanging = Piece(0)
            return
        self._number += 1
        piece, self._hanging = self._hanging, Piece(0)
        piece.number, piece.cut = self._number, cut
        if self._pictures is not None:
            path = self._pictures / f"receipt-{piece.number:04d}.png"
            render(piece, path)
            piece.picture = str(path)
        self._receipts = [*self._receipts, piece][-KEPT_RECEIPTS:]

    # --- the hand of a person -------------------------------------------------------------------------------------------------------

    def control(self, do: str, arguments: dict[str, Any], now: float) -> Any:
        self._advance(now)
        verb = getattr(self, f"_do_{do}", None)
        if verb is None:
            raise ValueError(f"a printer has no verb {do!r}")
        answer = verb(**arguments)
        self._due = max(self._due, now)
        return answer

    def _do_state(self) -> dict[str, Any]:
        return {
            "power": self._power,
            "offline": self._offline,
            "paper": "out" if self._paper_out else "low" if self._paper_low else "full",
            "remaining_mm": round(self._remaining_mm, 1),
            "cover_open": self._cover_open,
            "cutter_error": self._cutter_error,
            "unrecoverable": self._unrecoverable,
            "overheated": self._overheated,
            "fault": self._fault,
            "buffered_bytes": len(self._buffer),
            "lost_bytes": self._lost_bytes,
            "unknown_commands": list(self._interpreter.unknown),
            "hanging": self._hanging.lines,
            "receipts": [piece.as_json() for piece in self._receipts],
        }

    def _do_take_receipt(self) -> dict[str, Any]:
        for piece in self._receipts:
            if not piece.taken:
                piece.taken = True
                return piece.as_json()
        raise ValueError("there is no receipt to take")

    def _do_paper(self, level: str | None = None, remaining_mm: float | None = None) -> float:
        """A new roll (or the end of one). Text that hung from the old roll is torn off with it."""
        levels = {"full": FULL_ROLL_MM, "low": LOW_MM, "out": 0.0}
        if level in levels:
            remaining_mm = levels[level]
        if level not in (None, *levels) or isinstance(remaining_mm, bool) or not isinstance(remaining_mm, int | float):
            raise ValueError('paper takes "level": "full", "low" or "out", or "remaining_mm": a number')
        if not 0 <= remaining_mm <= FULL_ROLL_MM:
            raise ValueError(f"a roll has 0 to {FULL_ROLL_MM:.0f} mm")
        if self._paper_out and remaining_mm > 0:
            self._separate(cut=False)
        self._remaining_mm = float(remaining_mm)
        return self._remaining_mm

    def _do_cover(self, open: bool) -> bool:
        self._cover_open = _flag(open)
        return self._cover_open

    def _do_cutter_error(self, on: bool = True, when: str = "now") -> bool:
        if when not in ("now", "next_cut"):
            raise ValueError('"when" is "now" or "next_cut"')
        if when == "next_cut":
            self._cutter_fails_next = _flag(on)
        else:
            if self._cutter_error and not on:
                self._separate(cut=False)  # whoever frees the cutter tears the paper off
            self._cutter_error = _flag(on)
        return self._cutter_error

    def _do_unrecoverable(self, on: bool = True) -> bool:
        self._unrecoverable = _flag(on)
        return self._unrecoverable

    def _do_overheated(self, on: bool = True) -> bool:
        self._overheated = _flag(on)
        return self._overheated

    def _do_power(self, on: bool) -> bool:
        self._power = _flag(on)
        if not on:
            self._forget()
        return self._power

    def _do_speed(self, bytes_per_s: float) -> float:
        if not isinstance(bytes_per_s, int | float) or not 1 <= bytes_per_s <= 1e9:
            raise ValueError("bytes_per_s is 1 to 1e9")
        self._bytes_per_s = float(bytes_per_s)
        return self._bytes_per_s

    def _do_fault(self, kind: str, count: int = 1) -> str:
        if kind not in ("drop", "garbage", "silent", "none") or not isinstance(count, int) or count < 1:
            raise ValueError('fault takes "kind": "drop", "garbage", "silent" or "none", and "count": 1 or more')
        self._fault, self._fault_count = kind, count
        return kind


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("a switch is true or false")
    return value


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m simulators.devices.printer", description="An ESC/POS receipt printer on a pty.")
    parser.add_argument("--link", type=Path, required=True, help="where the serial port appears")
    parser.add_argument("--control", type=Path, required=True, help="the control socket")
    parser.add_argument("--pictures", type=Path, help="a folder for a picture of every receipt")
    parser.add_argument("--bytes-per-s", type=float, default=960.0, help="how fast print data is carried out")
    options = parser.parse_args()
    run_serial(Printer(options.pictures, options.bytes_per_s), options.link, options.control)


if __name__ == "__main__":
    main()
