"""Simulated SZZT ZT588 encrypting PIN pad with the extension of docs/pinpad-extensions.md. Sans-I/O; a simulator, no PCI PTS claim.

The clear PIN exists only in one `bytearray` here, overwritten when it is fetched, cleared, cancelled, timed out, or the power
goes. `state` and every answer carry counts, never digits; so no error text repeats what was pressed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from simulators.devices.pinpad_frames import FrameReader, frame
from simulators.devices.pinpad_vault import Vault, VaultError

ANSWER_S = 0.004
BLOCK_S = 0.030  # two AES passes and a flash write
PRESS_S = 0.030  # a finger is not faster; contacts closer than DEBOUNCE_S are one press
DEBOUNCE_S = 0.015
MAX_WAITING_KEYS = 64

# Physical position -> what is printed on the key.
LEGENDS = (
    *("1", "2", "3", "cancel", "4", "5", "6", "clear", "7", "8", "9", "backspace", ".", "0", "00", "enter"),
    *("fdk01", "fdk03", "fdk05", "fdk07", "fdk02", "fdk04", "fdk06", "fdk08"),
)
FACTORY_CODES = b"123\x1b456\x08789\x07.0#\rACEGBDFH"
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
    """A SerialDevice (simulators.process). `serial` has up to 16 characters."""

    def __init__(self, vault: Vault, serial: str = "ZT588SIM00000001") -> None:
        if not (serial.isascii() and serial.isprintable() and 4 <= len(serial) <= 16):
            raise ValueError("a serial number has 4 to 16 printable characters")
        self._vault = vault
        self._serial = serial
        self._reader = FrameReader()
        self._codes = FACTORY_CODES
        self._mask = ord("*")
        self._user = ""
        self._sound = True
        self._lengths = [4, 12]
        self._limit_s = 60
        self._mode = "idle"
        self._pin = bytearray()
        self._minimum = self._maximum = 0
        self._ends_at: float | None = None
        self._timed_out = False
        self._powered = True
        self._contacts: deque[tuple[float, int]] = deque()
        self._last_contact = (-1.0, -1)
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
        moments = [self._contacts[0][0]] if self._contacts else []
        if self._output:
            moments.append(self._output[0][0])
        if self._ends_at is not None:
            moments.append(self._ends_at)
        return min(moments, default=None)

    def _settle(self, now: float) -> None:
        """Contacts and the time limit up to `now`, in their order."""
        while True:
            contact = self._contacts[0][0] if self._contacts else None
            if self._ends_at is not None and self._ends_at <= now and (contact is None or self._ends_at < contact):
                at = self._ends_at
                self._end_entry()
                self._timed_out = True
                self._send(bytes([ENDED_BY_PAD]), at)
            elif contact is not None and contact <= now:
                at, position = self._contacts.popleft()
                bounce = self._last_contact[1] == position and at - self._last_contact[0] < DEBOUNCE_S
                self._last_contact = (at, position)
                if not bounce:
                    self._pressed(position, at)
            else:
                return

    def _send(self, data: bytes, at: float, *, reply: bool = False) -> None:
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

    # The keys

    def _pressed(self, position: int, at: float) -> None:
        legend, code = LEGENDS[position], self._codes[position]
        if self._mode == "clear":
            self._send(bytes([code]), at)
        elif self._mode == "pin":
            self._pin_key(legend, code, at)

    def _pin_key(self, legend: str, code: int, at: float) -> None:
        if legend in (".", "00"):
            return
        if legend.isdigit():
            if len(self._pin) < self._maximum:
                self._pin += legend.encode()
                self._send(bytes([self._mask]), at)
            return
        if legend == "clear":
            self._wipe()
        elif legend == "backspace" and self._pin:
            self._pin[-1] = 0
            del self._pin[-1:]
        elif legend == "cancel":
            self._end_entry()
        elif legend == "enter" and len(self._pin) >= self._minimum:
            self._mode = "complete"
        self._send(bytes([code]), at)

    def _wipe(self) -> None:
        self._pin[:] = bytes(len(self._pin))
        del self._pin[:]

    def _end_entry(self) -> None:
        self._wipe()
        self._mode = "idle"
        self._ends_at = None

    # The commands

    def _execute(self, text: bytes, now: float) -> tuple[bytes, float]:
        if text[:1] != b";":
            return self._vendor(text), ANSWER_S
        head = text[:4]
        try:
            if len(head) < 4 or not head[2:].isalnum():
                raise VaultError("invalidData")
            verb, arguments = text[1:2], text[4:].decode("ascii", "replace")
            if self._vault.tampered and verb not in (b"S", b"X"):
                raise VaultError("tampered")
            data = self._verbs().get(verb, self._unknown)(arguments, now)
            return b"0" + head + data, BLOCK_S if verb == b"G" else ANSWER_S
        except VaultError as error:
            status, number = REASONS[error.name]
            return bytes([status]) + head + f"{number:02X}".encode(), ANSWER_S

    def _verbs(self) -> dict[bytes, Callable[[str, float], bytes]]:
        return {b"S": self._status, b"L": self._load, b"P": self._start_pin, b"C": self._start_clear, b"G": self._get, b"X": self._stop}

    def _unknown(self, _arguments: str, _now: float) -> bytes:
        raise VaultError("unsupportedCommand")

    def _status(self, _arguments: str, _now: float) -> bytes:
        mode = {"idle": "I", "pin": "P", "complete": "E", "clear": "C"}[self._mode]
        slots = self._vault.slots
        text = f"{int(self._vault.tampered)}{mode}{len(self._pin):02d}{self._serial:<16}{len(slots):02d}"
        for number, slot in sorted(slots.items()):
            ksn = self._vault.ksn(number)
            text += f"{number:02X}{slot.header.usage}{slot.header.algorithm}{slot.check}{len(ksn):02d}{ksn.hex().upper()}"
        return text.encode()

    def _load(self, arguments: str, _now: float) -> bytes:
        if self._mode != "idle":
            raise VaultError("sequenceError")
        return self._vault.load(_number(arguments[:2], 2, 16), arguments[2:]).encode()

    def _start_pin(self, arguments: str, now: float) -> bytes:
        if self._mode != "idle":
            raise VaultError("sequenceError")
        if len(arguments) != 7:
            raise VaultError("invalidData")
        minimum, maximum, limit = _number(arguments[:2], 2), _number(arguments[2:4], 2), _number(arguments[4:], 3)
        if not 4 <= minimum <= maximum <= 12 or not limit:
            raise VaultError("invalidData")
        if not self._vault.slots:
            raise VaultError("keyNotFound")
        self._begin("pin", now + limit)
        self._minimum, self._maximum = minimum, maximum
        return b""

    def _start_clear(self, arguments: str, now: float) -> bytes:
        if self._mode != "idle":
            raise VaultError("sequenceError")
        limit = _number(arguments, 3)
        if not limit:
            raise VaultError("invalidData")
        self._begin("clear", now + limit)
        return b""

    def _begin(self, mode: str, ends_at: float | None) -> None:
        self._wipe()
        self._mode, self._ends_at, self._timed_out = mode, ends_at, False

    def _get(self, arguments: str, _now: float) -> bytes:
        slot, kind, length, pan = _number(arguments[:2], 2, 16), _number(arguments[2:3], 1), _number(arguments[3:5], 2), arguments[5:]
        if len(pan) != length or not 13 <= length <= 19 or not (pan.isascii() and pan.isdigit()):
            raise VaultError("invalidData")
        if self._timed_out:
            raise VaultError("entryTimeout")
        if self._mode == "pin" and 0 < len(self._pin) < self._minimum:
            raise VaultError("minimumLength")
        if self._mode != "complete":
            raise VaultError("noPin")
        try:
            ksn, block = self._vault.seal(slot, kind, self._pin, pan)
        finally:
            self._end_entry()
        return f"{kind}{len(ksn):02d}{ksn.hex().upper()}{block.hex().upper()}".encode()

    def _stop(self, _arguments: str, _now: float) -> bytes:
        self._end_entry()
        self._timed_out = False
        return b""

    # The vendor's commands: what its open implementation shows. Plain and 3DES keys are refused: key blocks only.

    def _vendor(self, text: bytes) -> bytes:
        command, arguments = text[:1], text[1:].decode("ascii", "replace")
        if command == b"3":
            return b"0" + self._information(arguments)
        try:
            if command == b"4":
                codes = bytes.fromhex(arguments)
                if len(codes) != len(LEGENDS) or any(code in (0x02, 0x03, ENDED_BY_PAD) for code in codes):
                    return b"\xe9"
                self._codes = codes
                return b"0"
            if command == b"5":
                return self._control_command(arguments[:1], bytes.fromhex(arguments[1:]))
        except ValueError:
            return b"\xe9"
        return {b"1": b"\xec", b"2": b"\xec", b"6": b"\xe5", b"7": b"\xe5", b":": b"\xe2"}.get(command, b"\xef")

    def _information(self, user: str) -> bytes:
        if user:
            self._user = user[:50]
        flags = int(self._vault.tampered) | (self._mode != "idle") << 1 | self._sound << 2
        settings = bytes([flags, 0, self._limit_s, self._mask, *self._lengths, ord("7"), ord("7"), 10, 0])
        fixed = f"{'':8}{'ZT588 ':6}{'1.0':3}{'SIM':3}{'2611':4}{self._serial[-4:]:4}"
        text = f"{self._user:<50}{self._codes.hex().upper()}{settings.hex().upper()}{fixed}"
        return text.encode("ascii", "replace")

    def _control_command(self, parameter: str, value: bytes) -> bytes:
        if len(value) != 1:
            return b"\xe8"
        number = value[0]
        if parameter == "0":
            return self._misc(value)
        if parameter == "2" and number:
            self._limit_s = number
        elif parameter == "3" and chr(number) not in "0123456789\x02\x03\x80":
            self._mask = number
        elif parameter in ("4", "5") and 1 <= number <= 16:
            self._lengths[parameter == "5"] = number
        elif not (parameter == "8" or (parameter == "6" and value in b"7HIJKLMNO")):
            return b"\xeb"
        return b"0"

    def _misc(self, value: bytes) -> bytes:
        if value in (b"0", b"2"):  # reset, input off
            self._end_entry()
        elif value == b"3" and self._vault.tampered:
            return b"\xed"
        elif value == b"3":  # input on, without a time limit
            self._begin("clear", None)
        elif value in (b"4", b"5"):
            self._sound = value == b"5"
        else:  # wipe and what is not known
            return b"\xec"
        return b"0"

    # The hand

    def control(self, do: str, arguments: dict[str, Any], now: float) -> Any:
        """press(key), type(digits), tamper, repair, power(on), bounce(key, times), fault(name, ...), state."""
        self._settle(now)
        if do == "state":
            return self._state()
        hands: dict[str, Callable[[dict[str, Any], float], None]] = {
            "press": lambda given, at: self._contact(given.get("key"), at, 1),
            "bounce": lambda given, at: self._contact(given.get("key"), at, 3),
            "type": self._type,
            "tamper": self._tamper,
            "repair": lambda given, at: self._vault.repair(),
            "power": self._power,
            "fault": self._fault,
        }
        if do not in hands:
            raise ValueError(f"unknown verb; known are state, {', '.join(hands)}")
        hands[do](arguments, now)
        return None

    def _contact(self, key: object, now: float, closings: int) -> None:
        """Presses queue up at the pace of a finger. `closings` > 1: the contact bounces a few milliseconds."""
        if not isinstance(key, str) or key not in LEGENDS:
            raise ValueError(f"no such key; keys are {', '.join(LEGENDS)}")
        if len(self._contacts) + closings > MAX_WAITING_KEYS:
            raise ValueError("too many keys are waiting")
        last = self._contacts[-1][0] if self._contacts else self._last_contact[0]
        at = max(now, last + PRESS_S)
        position = LEGENDS.index(key)
        self._contacts.extend((at + number * 0.002, position) for number in range(closings))

    def _type(self, arguments: dict[str, Any], now: float) -> None:
        digits = arguments.get("digits")
        if not isinstance(digits, str) or not (digits.isascii() and digits.isdigit()) or len(digits) > 19:
            raise ValueError("digits is 1 to 19 digits")
        for digit in digits:
            self._contact(digit, now, 1)

    def _tamper(self, _arguments: dict[str, Any], now: float) -> None:
        entry = self._mode != "idle"
        self._end_entry()
        self._contacts.clear()
        self._vault.tamper()
        if entry and self._powered:
            self._send(bytes([ENDED_BY_PAD]), now)

    def _power(self, arguments: dict[str, Any], _now: float) -> None:
        on = arguments.get("on")
        if not isinstance(on, bool):
            raise ValueError("on is true or false")
        self._powered = on
        self._end_entry()
        self._timed_out = False
        self._codes, self._mask = FACTORY_CODES, ord("*")
        self._contacts.clear()
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
            "mode": self._mode,
            "mask_count": len(self._pin),
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
