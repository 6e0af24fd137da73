"""The keyboard and the entry buffer of the simulated PIN pad: the only place where a clear digit exists.

`Keyboard` is the rubber and the contacts, `Entry` what has been typed. Digits live in one `bytearray`, overwritten before it is
let go (as far as Python allows); nothing here prints.
"""

from __future__ import annotations

from collections import deque

PRESS_S = 0.030  # a finger is not faster; contacts closer than DEBOUNCE_S are one press
DEBOUNCE_S = 0.015
BOUNCE_S = 0.002
MAX_WAITING_KEYS = 64

# Physical position -> what is printed on the key.
LEGENDS = (
    *("1", "2", "3", "cancel", "4", "5", "6", "clear", "7", "8", "9", "backspace", ".", "0", "00", "enter"),
    *("fdk01", "fdk03", "fdk05", "fdk07", "fdk02", "fdk04", "fdk06", "fdk08"),
)
FACTORY_CODES = b"123\x1b456\x08789\x07.0#\rACEGBDFH"


class Keyboard:
    """Contacts in time. Presses queue up at the pace of a finger; bounces are swallowed."""

    def __init__(self) -> None:
        self._contacts: deque[tuple[float, int]] = deque()
        self._last = (-1.0, -1)

    def press(self, key: object, now: float, closings: int = 1) -> None:
        """`closings` > 1: the contact bounces a few milliseconds. ValueError, which does not repeat the key."""
        if not isinstance(key, str) or key not in LEGENDS:
            raise ValueError(f"no such key; keys are {', '.join(LEGENDS)}")
        if len(self._contacts) + closings > MAX_WAITING_KEYS:
            raise ValueError("too many keys are waiting")
        last = self._contacts[-1][0] if self._contacts else self._last[0]
        at = max(now, last + PRESS_S)
        position = LEGENDS.index(key)
        self._contacts.extend((at + number * BOUNCE_S, position) for number in range(closings))

    def type(self, digits: object, now: float) -> None:
        if not isinstance(digits, str) or not (digits.isascii() and digits.isdigit()) or len(digits) > 19:
            raise ValueError("digits is 1 to 19 digits")
        for digit in digits:
            self.press(digit, now)

    def next_at(self) -> float | None:
        return self._contacts[0][0] if self._contacts else None

    def take(self) -> int | None:
        """The position of the next contact, None when it is a bounce. There must be one."""
        at, position = self._contacts.popleft()
        bounce = self._last[1] == position and at - self._last[0] < DEBOUNCE_S
        self._last = (at, position)
        return None if bounce else position

    def release(self) -> None:
        """No finger on any key."""
        self._contacts.clear()


class Entry:
    """What the customer types, in one of the modes idle, pin, complete (ended by enter, not fetched yet), clear."""

    def __init__(self) -> None:
        self.mode = "idle"
        self.digits = bytearray()
        self.minimum = 0
        self._maximum = 0
        self.ends_at: float | None = None
        self.timed_out = False

    def begin(self, mode: str, ends_at: float | None, minimum: int = 0, maximum: int = 0) -> None:
        self._wipe()
        self.mode, self.ends_at, self.timed_out = mode, ends_at, False
        self.minimum, self._maximum = minimum, maximum

    def end(self, *, timed_out: bool = False) -> None:
        """Destroys what was typed."""
        self._wipe()
        self.mode, self.ends_at, self.timed_out = "idle", None, timed_out

    def press(self, position: int, code: int, mask: int) -> bytes:
        """What goes over the line for this key: its code, the mask for a PIN digit, or nothing."""
        if self.mode == "clear":
            return bytes([code])
        legend = LEGENDS[position]
        if self.mode != "pin" or legend in (".", "00"):
            return b""
        if legend.isdigit():
            return bytes([mask]) if self._take(legend) else b""
        if legend == "clear":
            self._wipe()
        elif legend == "backspace" and self.digits:
            self.digits[-1] = 0
            del self.digits[-1:]
        elif legend == "cancel":
            self.end()
        elif legend == "enter" and len(self.digits) >= self.minimum:
            self.mode = "complete"
        return bytes([code])

    def _take(self, digit: str) -> bool:
        if len(self.digits) >= self._maximum:
            return False
        self.digits += digit.encode()
        return True

    def _wipe(self) -> None:
        self.digits[:] = bytes(len(self.digits))
        del self.digits[:]
