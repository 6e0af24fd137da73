"""Key blocks version D: ASC X9.143-2022 (TR-31:2018), AES key derivation binding method.

A key travels encrypted under a key block protection key (KBPK) together with what it may be used for; the authenticator binds
both. Layout: header of 16 characters, optional blocks, encrypted key data in hex, 16 bytes of CMAC in hex.
Error texts name the field that is wrong, never its key material.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from simulators.crypto.blocks import aes_cbc_decrypt, aes_cbc_encrypt, aes_cmac, tdes_encrypt

HEADER_LENGTH = 16
MAC_LENGTH = 16
MAX_BLOCK = 1024
HEX = frozenset("0123456789ABCDEFabcdef")

# X9.143 table "derivation data": counter, usage of the derived key, separator, algorithm, length in bits.
_ALGORITHM = {16: b"\x00\x02", 24: b"\x00\x03", 32: b"\x00\x04"}
_FOR_ENCRYPTION = b"\x00\x00"
_FOR_AUTHENTICATION = b"\x00\x01"


class KeyBlockError(ValueError):
    """The block is not acceptable: malformed, or its authenticator does not match."""


@dataclass(frozen=True, slots=True)
class KeyBlockHeader:
    """What the key is and may do (X9.143 clause 6).

    `usage` two characters (B1 initial DUKPT key, P0 PIN encryption), `algorithm` A or T, `mode` X (derive) or E (encrypt only),
    `exportability` N / E / S, `optional` id -> data: IK (initial key id, AES DUKPT), KS (initial KSN, TDES DUKPT).
    """

    usage: str
    algorithm: str
    mode: str
    key_version: str = "00"
    exportability: str = "N"
    optional: Mapping[str, str] = field(default_factory=dict)


def wrap(kbpk: bytes, header: KeyBlockHeader, key: bytes, random: Callable[[int], bytes] = os.urandom) -> str:
    """The key block of `key` under `kbpk` (16, 24 or 32 bytes). `random(n)` gives the padding (and is a seed's in tests)."""
    _check_kbpk(kbpk)
    if len(key) not in (8, 16, 24, 32):
        raise KeyBlockError(f"a key of {len(key)} bytes cannot be wrapped")
    optional, count = _optional_text(header.optional)
    padding = -(2 + len(key)) % 16
    length = HEADER_LENGTH + len(optional) + 2 * (2 + len(key) + padding) + 2 * MAC_LENGTH
    text = f"D{length:04d}{header.usage}{header.algorithm}{header.mode}{header.key_version}{header.exportability}{count:02d}00{optional}"
    if len(text) != HEADER_LENGTH + len(optional) or not text.isascii():
        raise KeyBlockError("a header field has the wrong length")
    clear = (8 * len(key)).to_bytes(2, "big") + key + random(padding)
    encryption, authentication = _derive(kbpk)
    mac = aes_cmac(authentication, text.encode("ascii") + clear)
    return text + aes_cbc_encrypt(encryption, mac, clear).hex().upper() + mac.hex().upper()


def unwrap(kbpk: bytes, block: str) -> tuple[KeyBlockHeader, bytes]:
    """Header and key of a block whose authenticator matches; KeyBlockError otherwise. What the key may do is the caller's check."""
    _check_kbpk(kbpk)
    header, body_at = _parse_header(block)
    body = block[body_at:]
    if not HEX.issuperset(body) or len(body) % 32 or len(body) < 2 * (16 + MAC_LENGTH):
        raise KeyBlockError("the encrypted key is not whole blocks of hex digits")
    data = bytes.fromhex(body)
    encrypted, mac = data[:-MAC_LENGTH], data[-MAC_LENGTH:]
    encryption, authentication = _derive(kbpk)
    clear = aes_cbc_decrypt(encryption, mac, encrypted)
    if not hmac.compare_digest(aes_cmac(authentication, block[:body_at].encode("ascii") + clear), mac):
        raise KeyBlockError("the authenticator does not match: wrong protection key or changed block")
    bits = int.from_bytes(clear[:2], "big")
    if bits % 8 or not 0 < bits // 8 <= len(clear) - 2:
        raise KeyBlockError("the key length inside the block is impossible")
    return header, clear[2 : 2 + bits // 8]


def check_value(algorithm: str, key: bytes) -> bytes:
    """Three bytes: for AES the CMAC of a zero block, for TDES the encryption of one (ANSI X9.24-1:2017 annex A)."""
    if algorithm == "A":
        return aes_cmac(key, bytes(16))[:3]
    if algorithm == "T":
        return tdes_encrypt(key, bytes(8))[:3]
    raise KeyBlockError(f"no check value for algorithm {algorithm!r}")


def _check_kbpk(kbpk: bytes) -> None:
    if len(kbpk) not in _ALGORITHM:
        raise KeyBlockError(f"a version D protection key has 16, 24 or 32 bytes, not {len(kbpk)}")


def _derive(kbpk: bytes) -> tuple[bytes, bytes]:
    """Encryption and authentication key of the block: CMAC of numbered derivation data, both as long as the KBPK."""

    def derived(usage: bytes) -> bytes:
        tail = usage + b"\x00" + _ALGORITHM[len(kbpk)] + (8 * len(kbpk)).to_bytes(2, "big")
        return b"".join(aes_cmac(kbpk, bytes([number]) + tail) for number in (1, 2))[: len(kbpk)]

    return derived(_FOR_ENCRYPTION), derived(_FOR_AUTHENTICATION)


def _optional_text(optional: Mapping[str, str]) -> tuple[str, int]:
    """Optional blocks, filled up with a PB block so that the whole is a multiple of the AES block (clause 6.4)."""
    parts = []
    for name, data in optional.items():
        if len(name) != 2 or not data.isascii() or len(data) > 200:
            raise KeyBlockError(f"optional block {name!r} cannot be written")
        parts.append(f"{name}{len(data) + 4:02X}{data}")
    text = "".join(parts)
    fill = -len(text) % 16
    if fill:
        fill += 16 if fill < 4 else 0
        parts.append(f"PB{fill:02X}{'0' * (fill - 4)}")
    return "".join(parts), len(parts)


def _parse_header(block: str) -> tuple[KeyBlockHeader, int]:
    if not block.isascii() or not HEADER_LENGTH < len(block) <= MAX_BLOCK:
        raise KeyBlockError("not a key block: its length is impossible")
    if block[0] != "D":
        raise KeyBlockError(f"key block version {block[0]!r} is not accepted, only D")
    if not (block[1:5] + block[12:14]).isdigit() or int(block[1:5]) != len(block):
        raise KeyBlockError("the length in the header is not the length of the block")
    optional: dict[str, str] = {}
    at = HEADER_LENGTH
    for _ in range(int(block[12:14])):
        size = block[at + 2 : at + 4]
        if len(size) != 2 or not HEX.issuperset(size) or int(size, 16) < 4 or at + int(size, 16) > len(block):
            raise KeyBlockError("an optional block has an impossible length")
        name, data = block[at : at + 2], block[at + 4 : at + int(size, 16)]
        if name in optional:
            raise KeyBlockError(f"optional block {name!r} comes twice")
        if name != "PB":
            optional[name] = data
        at += int(size, 16)
    return KeyBlockHeader(block[5:7], block[7], block[8], block[9:11], block[11], optional), at
