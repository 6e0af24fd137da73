"""AES DUKPT, ANSI X9.24-3:2017: a key per transaction from one initial key, so that a stolen device tells nothing of the past.

The key serial number (KSN) is 12 bytes: 4 base key id, 4 derivation id (together the initial key id), 4 transaction counter.
Derivation runs along the counter's 1 bits (clause 6.3.3); counters with more than 16 of them are never used.
"""

from __future__ import annotations

from enum import IntEnum, unique

from simulators.crypto.blocks import aes_encrypt

KSN_LENGTH = 12
INITIAL_KEY_ID_LENGTH = 8
MAX_ONE_BITS = 16
MAX_COUNTER = 0xFFFF0000
_KEY_TYPE = {16: 2, 24: 3, 32: 4}


@unique
class KeyUsage(IntEnum):
    """Clause 6.3.1, table 2: what the derived key is for."""

    KEY_ENCRYPTION = 0x0002
    PIN_ENCRYPTION = 0x1000
    MAC_GENERATION = 0x2000
    MAC_VERIFICATION = 0x2001
    MAC_BOTH = 0x2002
    DATA_ENCRYPTION = 0x3000
    DATA_DECRYPTION = 0x3001
    DATA_BOTH = 0x3002
    KEY_DERIVATION = 0x8000
    INITIAL_KEY = 0x8001


class DukptError(ValueError):
    """A serial number or key that cannot be used; no key material in the text."""


class CounterExhausted(DukptError):
    """No transaction counter is left: the device needs a new initial key."""


def initial_key(bdk: bytes, initial_key_id: bytes) -> bytes:
    """The key that is loaded into the device, of the base derivation key's own length."""
    if len(initial_key_id) != INITIAL_KEY_ID_LENGTH:
        raise DukptError("an initial key id has 8 bytes")
    return _derive(bdk, len(bdk), KeyUsage.INITIAL_KEY, initial_key_id)


def derivation_key(initial: bytes, ksn: bytes) -> bytes:
    """The intermediate key that belongs to the counter of `ksn`."""
    identity, counter = split_ksn(ksn)
    if not 0 < counter <= MAX_COUNTER:
        raise DukptError("the transaction counter is out of range")
    key, reached = initial, 0
    for bit in range(31, -1, -1):
        if counter >> bit & 1:
            reached |= 1 << bit
            key = _derive(key, len(key), KeyUsage.KEY_DERIVATION, identity[4:] + reached.to_bytes(4, "big"))
    return key


def working_key(initial: bytes, ksn: bytes, usage: KeyUsage, length: int | None = None) -> bytes:
    """The key of one transaction for one usage; AES of `length` bytes, by default as long as the initial key."""
    identity, counter = split_ksn(ksn)
    size = len(initial) if length is None else length
    if size > len(initial):
        raise DukptError("a working key is not stronger than its initial key")
    return _derive(derivation_key(initial, ksn), size, usage, identity[4:] + counter.to_bytes(4, "big"))


def next_counter(last: int) -> int:
    """The counter after `last` (0 before the first transaction), skipping those with more than 16 one bits."""
    counter = last + 1
    while counter.bit_count() > MAX_ONE_BITS:
        counter += counter & -counter  # everything in between has even more one bits
    if counter > MAX_COUNTER:
        raise CounterExhausted("the DUKPT counter is used up")
    return counter


def split_ksn(ksn: bytes) -> tuple[bytes, int]:
    """Initial key id and counter."""
    if len(ksn) != KSN_LENGTH:
        raise DukptError("an AES DUKPT serial number has 12 bytes")
    return ksn[:INITIAL_KEY_ID_LENGTH], int.from_bytes(ksn[INITIAL_KEY_ID_LENGTH:], "big")


def join_ksn(initial_key_id: bytes, counter: int) -> bytes:
    if len(initial_key_id) != INITIAL_KEY_ID_LENGTH:
        raise DukptError("an initial key id has 8 bytes")
    return initial_key_id + counter.to_bytes(4, "big")


def _derive(key: bytes, length: int, usage: KeyUsage, tail: bytes) -> bytes:
    """Clause 6.3.2: AES-ECB of derivation data (version 1, block counter, usage, key type, bits, 8 bytes of identity)."""
    if len(key) not in _KEY_TYPE or length not in _KEY_TYPE:
        raise DukptError("an AES key has 16, 24 or 32 bytes")
    fixed = usage.to_bytes(2, "big") + _KEY_TYPE[length].to_bytes(2, "big") + (8 * length).to_bytes(2, "big") + tail
    return b"".join(aes_encrypt(key, bytes([1, number]) + fixed) for number in range(1, (length + 15) // 16 + 1))[:length]
