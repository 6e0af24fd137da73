"""TDES DUKPT, ANSI X9.24-1:2009 annex A, for hosts that have no AES yet.

The key serial number (KSN) is 10 bytes whose last 21 bits are the transaction counter; counters with more than ten 1 bits are
never used. Only the PIN variant of the transaction key is offered.
"""

from __future__ import annotations

from simulators.crypto.blocks import tdes_encrypt, xor
from simulators.crypto.dukpt_aes import CounterExhausted, DukptError

KSN_LENGTH = 10
KEY_LENGTH = 16
MAX_ONE_BITS = 10
COUNTER_MASK = 0x1FFFFF
_KEY_MASK = bytes.fromhex("C0C0C0C000000000C0C0C0C000000000")
_PIN_VARIANT = bytes.fromhex("00000000000000FF00000000000000FF")


def initial_key(bdk: bytes, ksn: bytes) -> bytes:
    """A.6: the device's key (IPEK) of 16 bytes; the counter in `ksn` does not matter."""
    if len(bdk) != KEY_LENGTH:
        raise DukptError("a TDES base derivation key has 16 bytes")
    start = join_ksn(ksn, 0)[:8]
    return tdes_encrypt(bdk, start) + tdes_encrypt(xor(bdk, _KEY_MASK), start)


def transaction_key(initial: bytes, ksn: bytes) -> bytes:
    """A.3: the key of the counter in `ksn`, before any variant."""
    if len(initial) != KEY_LENGTH:
        raise DukptError("a TDES initial key has 16 bytes")
    counter = split_ksn(ksn)[1]
    register = int.from_bytes(join_ksn(ksn, 0)[2:], "big")
    key = initial
    for bit in range(20, -1, -1):
        if counter >> bit & 1:
            register |= 1 << bit
            key = _half(xor(key, _KEY_MASK), register.to_bytes(8, "big")) + _half(key, register.to_bytes(8, "big"))
    return key


def pin_key(initial: bytes, ksn: bytes) -> bytes:
    """The PIN encryption variant (A.4.1) of the transaction's key."""
    return xor(transaction_key(initial, ksn), _PIN_VARIANT)


def next_counter(last: int) -> int:
    """The counter after `last` (0 before the first transaction), skipping those with more than ten 1 bits."""
    counter = last + 1
    while counter.bit_count() > MAX_ONE_BITS:
        counter += counter & -counter
    if counter > COUNTER_MASK:
        raise CounterExhausted("the DUKPT counter is used up")
    return counter


def split_ksn(ksn: bytes) -> tuple[bytes, int]:
    """The serial number with counter 0, and the counter."""
    return join_ksn(ksn, 0), int.from_bytes(ksn[7:], "big") & COUNTER_MASK


def join_ksn(ksn: bytes, counter: int) -> bytes:
    """`ksn` with another counter."""
    if len(ksn) != KSN_LENGTH:
        raise DukptError("a TDES DUKPT serial number has 10 bytes")
    return ksn[:7] + (int.from_bytes(ksn[7:], "big") & ~COUNTER_MASK | counter).to_bytes(3, "big")


def _half(key: bytes, register: bytes) -> bytes:
    """A.2, non-reversible key generation for one half of the new key."""
    left, right = key[:8], key[8:]
    return xor(right, tdes_encrypt(left, xor(right, register)))
