"""The bank's side of the PIN: its base keys, the key blocks for one PIN pad, and the PIN out of an encrypted block.

Test keys only (`test_pin_keys.json`): a real host keeps these in a hardware security module and never sees the PIN.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from simulators.crypto import dukpt_aes, dukpt_tdes
from simulators.crypto.blocks import tdes_decrypt
from simulators.crypto.dukpt_aes import DukptError, KeyUsage
from simulators.crypto.pin_block import PinBlockError, decipher_format_4, decode_format_0
from simulators.crypto.tr31 import KeyBlockHeader, wrap

TEST_KEYS = Path(__file__).with_name("test_pin_keys.json")
FORMATS = ("iso9564-4", "iso9564-0")


@dataclass(frozen=True, slots=True)
class HostPinKeys:
    """`bdk_aes_id` (4 bytes) and `key_set_id` (5 bytes) are public and begin every KSN; the rest is secret."""

    bdk_aes: bytes = field(repr=False)
    bdk_tdes: bytes = field(repr=False)
    kbpk: bytes = field(repr=False)
    bdk_aes_id: bytes
    key_set_id: bytes

    @classmethod
    def load(cls, path: Path = TEST_KEYS) -> HostPinKeys:
        """ValueError names the entry that is missing or wrong."""
        try:
            entries = json.loads(path.read_text("utf-8"))
            keys = {name: bytes.fromhex(entries[name]) for name in ("bdk_aes", "bdk_tdes", "kbpk", "bdk_aes_id", "key_set_id")}
        except KeyError as error:
            raise ValueError(f"{path}: {error} is missing") from None
        except (OSError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}: cannot be read as PIN keys ({type(error).__name__})") from None
        except ValueError:
            raise ValueError(f"{path}: an entry is not hex") from None
        for name, sizes in {
            "bdk_aes": (16, 24, 32),
            "bdk_tdes": (16,),
            "kbpk": (16, 24, 32),
            "bdk_aes_id": (4,),
            "key_set_id": (5,),
        }.items():
            if len(keys[name]) not in sizes:
                raise ValueError(f"{path}: {name} has {len(keys[name])} bytes, not {' or '.join(map(str, sizes))}")
        return cls(**keys)


def key_blocks_for(serial: str, keys: HostPinKeys, random: Callable[[int], bytes] | None = None) -> dict[str, str]:
    """The key blocks that the terminal loads into the PIN pad with this serial number (or terminal id): "pin-aes", "pin-tdes".

    Initial DUKPT keys (usage B1, derive only, not exportable) of ids that follow from `serial`. Without `random` the padding
    follows from the keys too, so that the same pad always gets the same blocks.
    """
    digest = hashlib.sha256(serial.encode()).digest()
    padding = random or (lambda size: hmac.digest(keys.kbpk, digest, "sha256")[:size])
    initial_key_id = keys.bdk_aes_id + digest[:4]
    device = int.from_bytes(digest[4:7], "big") & 0x7FFFF  # 19 bits of device id before the 21 bits of counter
    ksn = keys.key_set_id + (device << 21).to_bytes(5, "big")
    aes = KeyBlockHeader("B1", "A", "X", optional={"IK": initial_key_id.hex().upper()})
    tdes = KeyBlockHeader("B1", "T", "X", optional={"KS": ksn.hex().upper()})
    return {
        "pin-aes": wrap(keys.kbpk, aes, dukpt_aes.initial_key(keys.bdk_aes, initial_key_id), padding),
        "pin-tdes": wrap(keys.kbpk, tdes, dukpt_tdes.initial_key(keys.bdk_tdes, ksn), padding),
    }


def decrypt_pin(format: str, block: bytes, ksn: bytes, pan: str, keys: HostPinKeys) -> str:
    """The PIN. PinBlockError, without a digit in its text, when block, KSN, PAN and keys do not belong together."""
    try:
        if format == "iso9564-4":
            initial = dukpt_aes.initial_key(keys.bdk_aes, dukpt_aes.split_ksn(ksn)[0])
            return decipher_format_4(dukpt_aes.working_key(initial, ksn, KeyUsage.PIN_ENCRYPTION), block, pan)
        if format == "iso9564-0":
            if len(block) != 8:
                raise PinBlockError("a PIN block of this format has 8 bytes")
            key = dukpt_tdes.pin_key(dukpt_tdes.initial_key(keys.bdk_tdes, ksn), ksn)
            return decode_format_0(tdes_decrypt(key, block), pan)
    except DukptError as error:
        raise PinBlockError(f"key serial number: {error}") from None
    raise PinBlockError(f"unknown PIN block format; known are {', '.join(FORMATS)}")
