"""The dispenser's side of the Puloon LCDM-4000 wire, read from the description a second time.

A host's command is EOT 30h STX CMD data ETX BCC and must be complete within 200 ms; an answer is SOH 30h STX CMD data ETX BCC. BCC is
the exclusive or of everything before it. Counts travel with 20h added, cassette types with 30h, byte values as two half bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulators.devices.dispenser_physics import Counts

RESET, STATUS, PURGE, DISPENSE, TEST_DISPENSE, LAST_STATUS = 0x44, 0x50, 0x51, 0x52, 0x53, 0x55
SENSOR_DIAGNOSTICS, SET_OPACITIES, GET_OPACITIES = 0x58, 0x5A, 0x5B
SET_ORDER, GET_ORDER, SET_LENGTHS, GET_LENGTHS, GET_SERIAL = 0x5C, 0x5D, 0x5E, 0x5F, 0x67
ACK, NAK, EOT = b"\x06", b"\x15", b"\x04"
FRAME_TIME_S = 0.2
MAX_COMMAND = 40
MISS = 0x30  # reserved, always this
NO_COMMAND = 0x20  # LAST_CMD when nothing has moved since power-up


@dataclass(frozen=True, slots=True)
class Heard:
    """`kind`: command, bad (checksum), ack, nak."""

    kind: str
    code: int = 0
    data: bytes = b""


class Ear:
    """Byte by byte, as a UART interrupt does it."""

    def __init__(self) -> None:
        self._frame = bytearray()
        self._began = 0.0
        self._text_ended = False

    def forget(self) -> None:
        self._frame.clear()
        self._text_ended = False

    def hear(self, data: bytes, now: float) -> list[Heard]:
        if self._frame and now - self._began > FRAME_TIME_S:
            self.forget()
        heard: list[Heard] = []
        for byte in data:
            item = self._byte(byte, now)
            if item is not None:
                heard.append(item)
        return heard

    def _byte(self, byte: int, now: float) -> Heard | None:
        frame = self._frame
        if not frame:
            if byte == 0x04:
                frame.append(byte)
                self._began = now
                return None
            return {0x06: Heard("ack"), 0x15: Heard("nak")}.get(byte)
        if len(frame) < 3:
            if byte == (0x04, 0x30, 0x02)[len(frame)]:
                frame.append(byte)
                return None
            self.forget()
            return self._byte(byte, now)
        if self._text_ended:
            whole, self._frame = bytes(frame), bytearray()
            self._text_ended = False
            return Heard("command", whole[3], whole[4:-1]) if checksum(whole) == byte else Heard("bad")
        frame.append(byte)
        self._text_ended = byte == 0x03 and len(frame) > 4
        if len(frame) > MAX_COMMAND:
            self.forget()
        return None


def checksum(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
    return value


def answer(code: int, *data: int) -> bytes:
    frame = bytes((0x01, 0x30, 0x02, code, *data, 0x03))
    return frame + bytes((checksum(frame),))


def error_byte(error: int) -> int:
    return (0x20 + error) & 0xFF


def counted(number: int) -> int:
    """One byte; what is too large for it is shown as the largest."""
    return min(0x20 + number, 0xFF)


def movement_data(counts: Counts, types: Sequence[int]) -> list[int]:
    """ERROR MISS and four times EXIT REJECT TYPE. `types`: 0 for a removed cassette."""
    data = [error_byte(counts.error), MISS]
    for exits, rejects, kind in zip(counts.exits, counts.rejects, types, strict=True):
        data += [counted(exits), counted(rejects), 0x30 + kind]
    return data


def movement_answer(counts: Counts, types: Sequence[int]) -> bytes:
    reserved = [] if counts.command == PURGE else [0x20] * 9
    return answer(counts.command, *movement_data(counts, types), *reserved)


def last_status_answer(counts: Counts | None, types: Sequence[int]) -> bytes:
    last = counts or Counts(NO_COMMAND)
    return answer(LAST_STATUS, last.command, *movement_data(last, types))


def halves(values: Sequence[int]) -> list[int]:
    return [0x30 + half for value in values for half in divmod(value, 16)]


def whole_bytes(data: bytes) -> list[int] | None:
    """Four values from eight half bytes; None when they are not that."""
    if len(data) != 8 or any(not 0x30 <= byte <= 0x3F for byte in data):
        return None
    return [(data[at] - 0x30) * 16 + data[at + 1] - 0x30 for at in range(0, 8, 2)]


def quantities_of(data: bytes) -> list[int] | None:
    """QTY1..4 of a dispense; None for parameters that a dispenser refuses."""
    wait_ok = data[4:6] == b"\x20\x20" or (data[4:5] == b"\x1c" and data[5:6] in b"123456789" and len(data) > 5)
    if len(data) != 15 or not wait_ok or any(byte < 0x20 for byte in data[:4]):
        return None
    quantities = [byte - 0x20 for byte in data[:4]]
    return quantities if sum(quantities) <= 100 else None
