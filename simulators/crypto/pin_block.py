"""PIN blocks of ISO 9564-1:2017, formats 0 and 3 (8 bytes, clear) and 4 (16 bytes, enciphered with AES by its own rule).

Errors never quote a digit. Digits may be given as `bytearray` of ASCII so that the caller can overwrite them.
"""

from __future__ import annotations

from collections.abc import Callable

from simulators.crypto.blocks import aes_decrypt, aes_encrypt, xor

MIN_PIN = 4
MAX_PIN = 12
Digits = str | bytes | bytearray


class PinBlockError(ValueError):
    """The block, PIN or PAN is not acceptable. The text carries no digit."""


def encode_format_0(pin: Digits, pan: str) -> bytes:
    """Control 0, length, digits, F filler; XOR the 12 rightmost PAN digits without the check digit."""
    return xor(_packed([0, *_pin_nibbles(pin)], lambda _: 0xF, 16), _pan_8(pan))


def decode_format_0(block: bytes, pan: str) -> str:
    return _decoded(xor(_sized(block, 8), _pan_8(pan)), 0, lambda nibble: nibble == 0xF)


def encode_format_3(pin: Digits, pan: str, random: Callable[[int], bytes]) -> bytes:
    """As format 0 with control 3 and random filler A..F. `random(n)` gives n bytes."""
    filler = random(16)
    return xor(_packed([3, *_pin_nibbles(pin)], lambda at: 10 + filler[at] % 6, 16), _pan_8(pan))


def decode_format_3(block: bytes, pan: str) -> str:
    return _decoded(xor(_sized(block, 8), _pan_8(pan)), 3, lambda nibble: nibble >= 0xA)


def encipher_format_4(key: bytes, pin: Digits, pan: str, random: Callable[[int], bytes]) -> bytes:
    """AES(key, AES(key, PIN field) XOR PAN field); the PIN field ends in 8 random bytes (clause 9.4)."""
    pin_field = _packed([4, *_pin_nibbles(pin)], lambda _: 0xA, 16) + random(8)
    return aes_encrypt(key, xor(aes_encrypt(key, pin_field), pan_field_4(pan)))


def decipher_format_4(key: bytes, block: bytes, pan: str) -> str:
    pin_field = aes_decrypt(key, xor(aes_decrypt(key, _sized(block, 16)), pan_field_4(pan)))
    return _decoded(pin_field[:8], 4, lambda nibble: nibble == 0xA)


def pan_field_4(pan: str) -> bytes:
    """Length over 12, the digits right-justified to at least 12, zero filler to 16 bytes."""
    if not 1 <= len(pan) <= 19 or not (pan.isascii() and pan.isdigit()):
        raise PinBlockError("a PAN has 1 to 19 digits")
    padded = pan.rjust(12, "0")
    return bytes.fromhex(f"{len(padded) - 12}{padded}".ljust(32, "0"))


def _pan_8(pan: str) -> bytes:
    if not 13 <= len(pan) <= 19 or not (pan.isascii() and pan.isdigit()):
        raise PinBlockError("a PAN for this format has 13 to 19 digits")
    return bytes(2) + bytes.fromhex(pan[-13:-1])


def _pin_nibbles(pin: Digits) -> list[int]:
    """Length and digits."""
    codes = pin.encode("ascii", "replace") if isinstance(pin, str) else pin
    if not MIN_PIN <= len(codes) <= MAX_PIN or any(not 0x30 <= code <= 0x39 for code in codes):
        raise PinBlockError("a PIN has 4 to 12 digits")
    return [len(codes), *(code - 0x30 for code in codes)]


def _packed(nibbles: list[int], filler: Callable[[int], int], size: int) -> bytes:
    full = nibbles + [filler(at) for at in range(len(nibbles), size)]
    return bytes(high << 4 | low for high, low in zip(full[::2], full[1::2], strict=True))


def _sized(block: bytes, size: int) -> bytes:
    if len(block) != size:
        raise PinBlockError(f"a PIN block of this format has {size} bytes")
    return block


def _decoded(field: bytes, control: int, is_filler: Callable[[int], bool]) -> str:
    nibbles = [nibble for byte in field for nibble in (byte >> 4, byte & 0xF)]
    length = nibbles[1]
    if nibbles[0] != control or not MIN_PIN <= length <= MAX_PIN:
        raise PinBlockError("not a PIN block of this format under this key and PAN")
    digits = nibbles[2 : 2 + length]
    if any(digit > 9 for digit in digits) or not all(is_filler(nibble) for nibble in nibbles[2 + length :]):
        raise PinBlockError("not a PIN block of this format under this key and PAN")
    return "".join(map(str, digits))
