"""The vendor's own commands of the simulated ZT588, as far as its open implementation (smartkiosk/smartware) shows them.

Plain and 3DES keys (commands 1, 2, 6, 7, ':') are refused: this pad takes key blocks only. What a success answers is not publicly
known; this one answers '0'.
"""

from __future__ import annotations

from simulators.devices.pinpad_keyboard import FACTORY_CODES, LEGENDS, Entry
from simulators.devices.pinpad_vault import Vault

DONE = b"0"
REFUSED = {b"1": b"\xec", b"2": b"\xec", b"6": b"\xe5", b"7": b"\xe5", b":": b"\xe2"}
GENERAL_ERROR, INCORRECT_DATA, COMMAND_LENGTH, INCORRECT_PARAMETER = b"\xef", b"\xe9", b"\xe8", b"\xeb"
AUTHORIZATION_REQUIRED, LOCKED = b"\xec", b"\xed"


class VendorCommands:
    """Settings of the pad; lost with the power."""

    def __init__(self, vault: Vault, entry: Entry, serial: str) -> None:
        self._vault = vault
        self._entry = entry
        self._serial = serial
        self.reset()

    def reset(self) -> None:
        """Power-up values."""
        self.codes = FACTORY_CODES
        self.mask = ord("*")
        self._user = ""
        self._sound = True
        self._lengths = [4, 12]
        self._limit_s = 60

    def execute(self, text: bytes) -> bytes:
        command, arguments = text[:1], text[1:].decode("ascii", "replace")
        if command == b"3":
            return DONE + self._information(arguments)
        try:
            if command == b"4":
                return self._scancodes(bytes.fromhex(arguments))
            if command == b"5":
                return self._control(arguments[:1], bytes.fromhex(arguments[1:]))
        except ValueError:
            return INCORRECT_DATA
        return REFUSED.get(command, GENERAL_ERROR)

    def _information(self, user: str) -> bytes:
        if user:
            self._user = user[:50]
        flags = int(self._vault.tampered) | (self._entry.mode != "idle") << 1 | self._sound << 2
        settings = bytes([flags, 0, self._limit_s, self.mask, *self._lengths, ord("7"), ord("7"), 10, 0])
        fixed = f"{'':8}{'ZT588 ':6}{'1.0':3}{'SIM':3}{'2611':4}{self._serial[-4:]:4}"
        return f"{self._user:<50}{self.codes.hex().upper()}{settings.hex().upper()}{fixed}".encode("ascii", "replace")

    def _scancodes(self, codes: bytes) -> bytes:
        if len(codes) != len(LEGENDS) or any(code in b"\x02\x03\x80" for code in codes):
            return INCORRECT_DATA
        self.codes = codes
        return DONE

    def _control(self, parameter: str, value: bytes) -> bytes:
        if len(value) != 1:
            return COMMAND_LENGTH
        number = value[0]
        if parameter == "0":
            return self._misc(value)
        if parameter == "2" and number:
            self._limit_s = number
        elif parameter == "3" and number not in b"0123456789\x02\x03\x80":
            self.mask = number
        elif parameter in ("4", "5") and 1 <= number <= 16:
            self._lengths[parameter == "5"] = number
        elif not (parameter == "8" or (parameter == "6" and value in b"7HIJKLMNO")):
            return INCORRECT_PARAMETER
        return DONE

    def _misc(self, value: bytes) -> bytes:
        if value in (b"0", b"2"):  # reset, input off
            self._entry.end()
        elif value == b"3" and self._vault.tampered:
            return LOCKED
        elif value == b"3":  # input on, without a time limit
            self._entry.begin("clear", None)
        elif value in (b"4", b"5"):
            self._sound = value == b"5"
        else:  # wipe and what is not known
            return AUTHORIZATION_REQUIRED
        return DONE
