"""A bank that nobody here wrote (pydukpt, psec) opens what the pad made."""

from __future__ import annotations

import random

import psec
import pydukpt
import pytest

from drivers.devices.szzt_zt588 import PinBlock, SzztZt588
from drivers.secret import Secret
from drivers.transports.base import Deadline
from drivers.transports.memory import MemoryStream, VirtualClock
from simulators.crypto import dukpt_aes
from simulators.crypto.host_pin import HostPinKeys, key_blocks_for
from simulators.devices.pinpad_device import PinPad
from simulators.devices.pinpad_vault import Vault, VolatileMemory

pytestmark = pytest.mark.peer
KEYS = HostPinKeys.load()
PAN = "6228480000000015"


def sealed(pins: list[str], format: str) -> list[PinBlock]:
    """The pad's blocks for these PINs, one after another."""
    clock = VirtualClock()
    pad = PinPad(Vault(KEYS.kbpk, VolatileMemory(), random.Random(5).randbytes))
    driver = SzztZt588(MemoryStream(pad, clock), clock)

    def soon() -> Deadline:
        return Deadline.after(clock, 5)

    for name, block in key_blocks_for("PAD", KEYS).items():
        driver.load_key_block(name, Secret(block), soon())
    made = []
    for pin in pins:
        driver.start_pin_entry(4, 12, soon())
        pad.control("type", {"digits": pin}, clock.now())
        pad.control("press", {"key": "enter"}, clock.now())
        while driver.next_key(Deadline.after(clock, 1)):
            pass
        made.append(driver.get_pin_block(Secret(PAN), format, soon()))
    return made


PINS = ["1357", "0000", "123456789012", "975310"] * 4


def test_pydukpt_as_host_reads_every_format_0_block() -> None:
    for pin, made in zip(PINS, sealed(PINS, "iso9564-0"), strict=True):
        key = pydukpt.derive_key(pydukpt.derive_ipek(KEYS.bdk_tdes, made.ksn), made.ksn)
        assert pydukpt.decrypt_pin(key, made.block.reveal(), PAN) == pin


def test_psec_reads_every_format_4_block() -> None:
    for pin, made in zip(PINS, sealed(PINS, "iso9564-4"), strict=True):
        initial = dukpt_aes.initial_key(KEYS.bdk_aes, made.ksn[:8])
        key = dukpt_aes.working_key(initial, made.ksn, dukpt_aes.KeyUsage.PIN_ENCRYPTION)
        assert psec.pinblock.decipher_pinblock_iso_4(key, made.block.reveal(), PAN) == pin


def test_psec_opens_the_key_blocks_that_the_terminal_loads() -> None:
    for name, algorithm, optional in (("pin-aes", "A", "IK"), ("pin-tdes", "T", "KS")):
        header, key = psec.tr31.unwrap(KEYS.kbpk, key_blocks_for("PAD", KEYS)[name])
        assert (header.version_id, header.key_usage, header.algorithm, header.mode_of_use, header.exportability) == (
            "D",
            "B1",
            algorithm,
            "X",
            "N",
        )
        identity = bytes.fromhex(header.blocks[optional])
        expected = pydukpt.derive_ipek(KEYS.bdk_tdes, identity) if algorithm == "T" else dukpt_aes.initial_key(KEYS.bdk_aes, identity)
        assert key == expected
