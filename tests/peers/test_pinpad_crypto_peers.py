"""psec (PIN blocks, TR-31) and pydukpt (TDES DUKPT), written by others, read what we write and the other way round."""

from __future__ import annotations

import random

import psec
import pydukpt
import pytest

from simulators.crypto import dukpt_tdes
from simulators.crypto.blocks import tdes_encrypt
from simulators.crypto.pin_block import decipher_format_4, decode_format_3, encipher_format_4, encode_format_0, encode_format_3
from simulators.crypto.tr31 import KeyBlockHeader, unwrap, wrap

pytestmark = pytest.mark.peer


@pytest.mark.parametrize("seed", range(20))
def test_psec_reads_our_key_blocks_and_we_read_its(seed: int) -> None:
    source = random.Random(seed)
    kbpk, key = source.randbytes(source.choice((16, 24, 32))), source.randbytes(source.choice((16, 24, 32)))
    optional = source.choice(({}, {"IK": source.randbytes(8).hex().upper()}, {"KS": source.randbytes(10).hex().upper()}))
    block = wrap(kbpk, KeyBlockHeader("B1", "A", "X", optional=optional), key, source.randbytes)
    header, theirs = psec.tr31.unwrap(kbpk, block)
    assert theirs == key
    assert (header.key_usage, header.algorithm, header.mode_of_use, header.exportability) == ("B1", "A", "X", "N")
    assert {name: header.blocks[name] for name in optional} == optional

    their_header = psec.tr31.Header("D", "P0", "T", "E", "00", "E")
    for name, data in optional.items():
        their_header.blocks[name] = data
    ours, unwrapped = unwrap(kbpk, psec.tr31.wrap(kbpk, their_header, key))
    assert unwrapped == key
    assert (ours.usage, ours.algorithm, ours.mode, dict(ours.optional)) == ("P0", "T", "E", optional)


@pytest.mark.parametrize("seed", range(20))
def test_psec_agrees_on_pin_blocks(seed: int) -> None:
    source = random.Random(seed)
    pin = "".join(source.choices("0123456789", k=source.randint(4, 12)))
    pan = "".join(source.choices("0123456789", k=source.randint(13, 19)))
    key = source.randbytes(source.choice((16, 24, 32)))
    assert encode_format_0(pin, pan) == psec.pinblock.encode_pinblock_iso_0(pin, pan)
    assert psec.pinblock.decode_pinblock_iso_3(encode_format_3(pin, pan, source.randbytes), pan) == pin
    assert decode_format_3(psec.pinblock.encode_pinblock_iso_3(pin, pan), pan) == pin
    assert psec.pinblock.decipher_pinblock_iso_4(key, encipher_format_4(key, pin, pan, source.randbytes), pan) == pin
    assert decipher_format_4(key, psec.pinblock.encipher_pinblock_iso_4(key, pin, pan), pan) == pin


@pytest.mark.parametrize("seed", range(20))
def test_pydukpt_agrees_on_tdes_dukpt(seed: int) -> None:
    source = random.Random(seed)
    bdk, ksn = source.randbytes(16), source.randbytes(10)
    counter = 0
    for _ in range(source.randint(1, 40)):
        counter = dukpt_tdes.next_counter(source.randint(0, 0x1FF000))
    ksn = dukpt_tdes.join_ksn(ksn, counter)
    initial = dukpt_tdes.initial_key(bdk, ksn)
    assert initial == pydukpt.derive_ipek(bdk, ksn)
    transaction = pydukpt.derive_key(initial, ksn)
    assert dukpt_tdes.transaction_key(initial, ksn) == transaction
    block = tdes_encrypt(dukpt_tdes.pin_key(initial, ksn), encode_format_0("135790", "6228480000000015"))
    assert block == pydukpt.encrypt_pin(transaction, "135790", "6228480000000015")
    if counter < 0x1FF800:
        assert dukpt_tdes.join_ksn(ksn, dukpt_tdes.next_counter(counter)) == pydukpt.next_ksn(ksn)
