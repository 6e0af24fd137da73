"""Simulated SZZT ZT588 encrypting PIN pad with the extension of docs/pinpad-extensions.md. Sans-I/O; a simulator, no PCI PTS claim.

The clear PIN exists only in its `Entry`, overwritten when it is fetched, cleared, cancelled, timed out, or the power goes.
`state` and every answer carry counts, never digits, and no error text repeats what was pressed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from simulators.devices.pinpad_frames import FrameReader, frame
from simulators.devices.pinpad_keyboard import Entry, Keyboard
from simulators.devices.pinpad_vault import Vault, VaultError
from simulators.devices.pinpad_vendor import VendorCommands

ANSWER_S = 0.004
BLOCK_S = 0.030  # two AES passes and a flash write
ENDED_BY_PAD = 0x80

# Reason of a refusal -> (status byte, number), docs/pinpad-extensions.md "Reasons".
REASONS = {
    "keyNotFound": (0xE4, 0x01),
    "accessDenied": (0xEC, 0x02),
    "keyNoValue": (0xE4, 0x03),
    "useViolation": (0xE5, 0x04),
    "noPin": (0xEB, 0x05),
    "minimumLength": (0xEB, 0x06),
    "entryTimeout": (0xEE, 0x07),
    "dukptOverflow": (0xEF, 0x08),
    "formatNotSupported": (0xEB, 0x09),
    "tampered": (0xED, 0x0A),
    "keyInvalid": (0xE7, 0x0B),
    "sequenceError": (0xEB, 0x0C),
    "invalidData": (0xE9, 0x0D),
    "unsupportedCommand": (0xEF, 0x0E),
}


class PinPad:
    """A SerialDevice (simulators.process). `serial` has up to 16 characters; `latency` scales how long it takes to answer."""

    def __init__(self, vault: Vault, serial: str = "ZT588SIM00000001", latency: float = 1.0) -> None:
        if not (serial.isascii() and serial.isprintable() and 4 <= len(serial) <= 16):
            raise ValueError("a serial number has 4 to 16 printable characters")
        self._vault = vault
        self._serial = serial
        self._answer_s, self._block_s = ANSWER_S * latency, BLOCK_S * latency
        self._reader = FrameReader()
        self._keyboard = Keyboard()
        self._entry = Entry()
        self._vendor = VendorCommands(vault, self._entry, serial)
        self._powered = True
        self._output: deque[tuple[float, bytes]] = deque()
        self._faults: dict[str, Any] = {}

    # The wire

    def feed(self, data: bytes, now: float) -> None:
        self._settle(now)
        if not self._powered:
            return
        for text in self._reader.feed(data):
            if not text:
                continue
            reply, after = self._execute(text, now)
            self._send(frame(reply), now + after, reply=True)

    def take_output(self, now: float) -> bytes:
        self._settle(now)
        due = b""
        while self._output and self._output[0][0] <= now:
            due += self._output.popleft()[1]
        return due

    def next_wakeup(self) -> float | None:
        moments = (self._keyboard.next_at(), self._entry.ends_at, self._output[0][0] if self._output else None)
        return min((moment for moment in moments if moment is not None), default=None)

    def _settle(self, now: float) -> None:
        """Contacts and the time limit up to `now`, in their order."""
        while True:
            contact, end = self._keyboard.next_at(), self._entry.ends_at
            if end is not None and end <= now and (contact is None or end < contact):
                self._entry.end(timed_out=True)
                self._send(bytes([ENDED_BY_PAD]), end)
            elif contact is not None and contact <= now:
                position = self._keyboard.take()
                if position is not None:
                    self._send(self._entry.press(position, self._vendor.codes[position], self._vendor.mask), contact)
            else:
                return

    def _send(self, data: bytes, at: float, *, reply: bool = False) -> None:
        if not data:
            return
        if self._output:
            at = max(at, self._output[-1][0])  # one line: nothing overtakes
        if reply:
            if self._faults.get("silent") or self._use("drop_reply"):
                return
            at += self._faults.pop("delay", 0.0)
            data = self._faults.pop("garbage", b"") + data
            if self._use("corrupt"):
                data = data[:5] + bytes([data[5] ^ 0x01]) + data[6:]
        self._output.append((at, data))

    def _use(self, fault: str) -> bool:
        left = int(self._faults.get(fault, 0))
        if left > 0:
            self._faults[fault] = left - 1
        return left > 0

    # The commands

    def _execute(self, text: bytes, now: float) -> tuple[bytes, float]:
        if text[:1] != b";":
            return self._vendor.execute(text), self._answer_s
        head = text[:4]
        try:
            if len(head) < 4 or not head[2:].isalnum():
                raise VaultError("invalidData")
            verb, arguments = text[1:2], text[4:].decode("ascii", "replace")
            if self._vault.tampered and verb not in (b"S", b"X"):
                raise VaultError("tampered")
            data = self._verbs().get(verb, self._unknown)(arguments, now)
            return b"0" + head + data, self._block_s if verb == b"G" else self._answer_s
        except VaultError as error:
            status, number = REASONS[error.name]
            return bytes([status]) + head + f"{number:02X}".encode(), self._answer_s

    def _verbs(self) -> dict[bytes, Callable[[str, float], bytes]]:
        return {b"S": self._status, b"L": self._load, b"P": self._start_pin, b"C": self._start_clear, b"G": self._get, b"X": self._stop}

    def _unknown(self, _arguments: str, _now: float) -> bytes:
        raise VaultError("unsupportedCommand")

    def _status(self, _arguments: str, _now: float) -> bytes:
        mode = {"idle": "I", "pin": "P", "complete": "E", "clear": "C"}[self._entry.mode]
        slots = self._vault.slots
        text = f"{int(self._vault.tampered)}{mode}{len(self._entry.digits):02d}{self._serial:<16}{len(slots):02d}"
        for number, slot in sorted(slots.items()):
            ksn = self._vault.ksn(number)
            text += f"{number:02X}{slot.header.usage}{slot.header.algorithm}{slot.check}{len(ksn):02d}{ksn.hex().upper()}"
        return text.encode()

    def _load(self, arguments: str, _now: float) -> bytes:
        if self._entry.mode != "idle":
            raise VaultError("sequenceError")
        return self._vault.load(_number(arguments[:2], 2, 16), arguments[2:]).encode()

    def _start_pin(self, arguments: str, now: float) -> bytes:
        if self._entry.mode != "idle":
            raise VaultError("sequenceError")
        if len(arguments) != 7:
            raise VaultError("invalidData")
        minimum, maximum, limit = _number(arguments[:2], 2), _number(arguments[2:4], 2), _number(arguments[4:], 3)
        if not 4 <= minimum <= maximum <= 12 or not limit:
            raise VaultError("invalidData")
        if not self._vault.slots:
            raise VaultError("keyNotFound")
        self._entry.begin("pin", now + limit, minimum, maximum)
        return b""

    def _start_clear(self, arguments: str, now: float) -> bytes:
        if self._entry.mode != "idle":
            raise VaultError("sequenceError")
        limit = _number(arguments, 3)
        if not limit:
            raise VaultError("invalidData")
        self._entry.begin("clear", now + limit)
        return b""

    def _get(self, arguments: str, _now: float) -> bytes:
        slot, kind, length, pan = _number(arguments[:2], 2, 16), _number(arguments[2:3], 1), _number(arguments[3:5], 2), arguments[5:]
        if len(pan) != length or not 13 <= length <= 19 or not (pan.isascii() and pan.isdigit()):
            raise VaultError("invalidData")
        if self._entry.timed_out:
            raise VaultError("entryTimeout")
        if self._entry.mode == "pin" and 0 < len(self._entry.digits) < self._entry.minimum:
            raise VaultError("minimumLength")
        if self._entry.mode != "complete":
            raise VaultError("noPin")
        try:
            ksn, block = self._vault.seal(slot, kind, self._entry.digits, pan)
        finally:
            self._entry.end()
        return f"{kind}{len(ksn):02d}{ksn.hex().upper()}{block.hex().upper()}".encode()

    def _stop(self, _arguments: str, _now: float) -> bytes:
        self._entry.end()
        return b""

    # The hand

    def control(self, do: str, arguments: dict[str, Any], now: float) -> Any:
        """press(key), type(digits), tamper, repair, power(on), bounce(key, times), fault(name, ...), state."""
        self._settle(now)
        if do == "state":
            return self._state()
        hands: dict[str, Callable[[dict[str, Any], float], None]] = {
            "press": lambda given, at: self._keyboard.press(given.get("key"), at),
            "bounce": lambda given, at: self._keyboard.press(given.get("key"), at, 3),
            "type": lambda given, at: self._keyboard.type(given.get("digits"), at),
            "tamper": self._tamper,
            "repair": lambda given, at: self._vault.repair(),
            "power": self._power,
            "fault": self._fault,
        }
        if do not in hands:
            raise ValueError(f"unknown verb; known are state, {', '.join(hands)}")
        hands[do](arguments, now)
        return None

    def _tamper(self, _arguments: dict[str, Any], now: float) -> None:
        entry = self._entry.mode != "idle"
        self._entry.end()
        self._keyboard.release()
        self._vault.tamper()
        if entry and self._powered:
            self._send(bytes([ENDED_BY_PAD]), now)

    def _power(self, arguments: dict[str, Any], _now: float) -> None:
        on = arguments.get("on")
        if not isinstance(on, bool):
            raise ValueError("on is true or false")
        self._powered = on
        self._entry.end()
        self._vendor.reset()
        self._keyboard.release()
        self._output.clear()
        self._reader.forget()

    def _fault(self, arguments: dict[str, Any], now: float) -> None:
        name, value = arguments.get("name"), arguments.get("value", 1)
        if name == "silent" and isinstance(value, bool | int):
            self._faults["silent"] = bool(value)
        elif name in ("drop_reply", "corrupt") and isinstance(value, int) and 0 <= value <= 1000:
            self._faults[name] = value
        elif name == "delay" and isinstance(value, int | float) and 0 <= value <= 600:
            self._faults["delay"] = float(value)
        elif name == "garbage" and isinstance(value, str) and len(value) <= 512:
            self._faults["garbage"] = bytes.fromhex(value)
        elif name == "noise" and isinstance(value, str) and len(value) <= 512:
            self._send(bytes.fromhex(value), now)
        else:
            raise ValueError("faults: drop_reply n, corrupt n, delay seconds, garbage hex, noise hex, silent true|false")

    def _state(self) -> dict[str, Any]:
        keys = {
            str(number): {
                "usage": slot.header.usage,
                "algorithm": slot.header.algorithm,
                "check_value": slot.check,
                "ksn": self._vault.ksn(number).hex(),
            }
            for number, slot in self._vault.slots.items()
        }
        faults = {name: value.hex() if isinstance(value, bytes) else value for name, value in self._faults.items() if value}
        return {
            "power": self._powered,
            "mode": self._entry.mode,
            "mask_count": len(self._entry.digits),
            "tampered": self._vault.tampered,
            "serial": self._serial,
            "keys": keys,
            "faults": faults,
        }


def _number(digits: str, size: int, base: int = 10) -> int:
    if len(digits) != size or not digits.isalnum() or not digits.isascii():
        raise VaultError("invalidData")
    try:
        return int(digits, base)
    except ValueError:
        raise VaultError("invalidData") from None
