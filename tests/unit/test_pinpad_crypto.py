"""The published vectors of ANSI X9.24-1, X9.24-3, ISO 9564-1 and TR-31, and what is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from simulators.crypto import dukpt_aes, dukpt_tdes
from simulators.crypto.blocks import tdes_encrypt
from simulators.crypto.dukpt_aes import CounterExhausted, KeyUsage
from simulators.crypto.host_pin import HostPinKeys, decrypt_pin, key_blocks_for
from simulators.crypto.pin_block import (
    PinBlockError,
    decipher_format_4,
    decode_format_0,
    decode_format_3,
    encipher_format_4,
    encode_format_0,
    encode_format_3,
    pan_field_4,
)
from simulators.crypto.tr31 import KeyBlockError, KeyBlockHeader, check_value, unwrap, wrap

VECTORS: dict[str, Any] = tomllib.loads((Path(__file__).parents[1] / "golden" / "pin_crypto.toml").read_text())
PAN = "6228480000000015"


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize("name", ["aes_dukpt", "aes256_dukpt"])
def test_aes_dukpt_derives_the_published_keys(name: str) -> None:
    vector = VECTORS[name]
    initial = dukpt_aes.initial_key(raw(vector["bdk"]), raw(vector["initial_key_id"]))
    assert initial == raw(vector["initial_key"])
    for entry in vector["counters"]:
        ksn = dukpt_aes.join_ksn(raw(vector["initial_key_id"]), entry["counter"])
        assert dukpt_aes.derivation_key(initial, ksn) == raw(entry["derivation"])
        assert dukpt_aes.working_key(initial, ksn, KeyUsage.PIN_ENCRYPTION) == raw(entry["pin"])
        for usage in (KeyUsage.MAC_GENERATION, KeyUsage.DATA_ENCRYPTION):
            if usage.name.lower() in entry:
                assert dukpt_aes.working_key(initial, ksn, usage) == raw(entry[usage.name.lower()])


def test_tdes_dukpt_derives_the_published_keys_and_blocks() -> None:
    vector = VECTORS["tdes_dukpt"]
    initial = dukpt_tdes.initial_key(raw(vector["bdk"]), raw(vector["initial_ksn"]))
    assert initial == raw(vector["initial_key"])
    clear = encode_format_0(vector["pin"], vector["pan"])
    assert clear == raw(vector["clear_block"])
    for entry in vector["counters"]:
        assert dukpt_tdes.transaction_key(initial, raw(entry["ksn"])) == raw(entry["transaction"])
        key = dukpt_tdes.pin_key(initial, raw(entry["ksn"]))
        assert key == raw(entry["pin_key"])
        assert tdes_encrypt(key, clear) == raw(entry["block"])


def test_format_4_is_the_published_block() -> None:
    vector = VECTORS["format_4"]
    assert pan_field_4(vector["pan"]) == raw(vector["pan_field"])
    for entry, block in zip(VECTORS["aes_dukpt"]["counters"], vector["blocks"], strict=False):
        made = encipher_format_4(raw(entry["pin"]), vector["pin"], vector["pan"], lambda size: raw(vector["random"])[:size])
        assert made == raw(block)
        assert decipher_format_4(raw(entry["pin"]), made, vector["pan"]) == vector["pin"]


def test_tr31_version_d_is_the_published_block() -> None:
    vector = VECTORS["tr31"]
    header, key = unwrap(raw(vector["kbpk"]), vector["block"])
    assert key == raw(vector["key"])
    assert (header.usage, header.algorithm, header.mode, header.exportability) == ("P0", "A", "E", "E")
    again = wrap(raw(vector["kbpk"]), header, key, lambda size: raw(vector["padding"])[:size])
    assert again == vector["block"]
    assert check_value("A", key) == raw(vector["check_value"])


@pytest.mark.parametrize("at", [0, 1, 5, 7, 8, 11, 13, 16, 40, 60, 111])
def test_a_changed_character_of_a_key_block_is_refused(at: int) -> None:
    vector = VECTORS["tr31"]
    block = vector["block"]
    changed = block[:at] + ("1" if block[at] != "1" else "2") + block[at + 1 :]
    with pytest.raises(KeyBlockError):
        unwrap(raw(vector["kbpk"]), changed)


def test_key_blocks_refuse_what_they_cannot_carry() -> None:
    kbpk = bytes(32)
    header = KeyBlockHeader("P0", "A", "E")
    for call in (
        lambda: wrap(bytes(8), header, bytes(16)),
        lambda: wrap(kbpk, header, bytes(5)),
        lambda: wrap(kbpk, KeyBlockHeader("P", "A", "E"), bytes(16)),
        lambda: wrap(kbpk, KeyBlockHeader("P0", "A", "E", optional={"LONG": ""}), bytes(16)),
        lambda: check_value("R", bytes(16)),
        lambda: unwrap(kbpk, "D0016P0AE00E0000"),
        lambda: unwrap(kbpk, "D0080P0AE00E0100KS03" + "0" * 60),
        lambda: unwrap(kbpk, "D0032P0AE00E0200KS04KS04" + "0" * 8),
    ):
        with pytest.raises(KeyBlockError):
            call()


@pytest.mark.parametrize("ik", ["", "1234567890123456", "123456789012", "1234567890"])
def test_optional_blocks_are_filled_up_to_the_cipher_block(ik: str) -> None:
    block = wrap(bytes(32), KeyBlockHeader("B1", "A", "X", optional={"IK": ik}), bytes(range(16)))
    header, key = unwrap(bytes(32), block)
    assert header.optional == {"IK": ik}
    assert key == bytes(range(16))
    assert len(block) % 16 == 0


def test_counters_skip_and_end() -> None:
    assert dukpt_aes.next_counter(0) == 1
    assert dukpt_aes.next_counter(0xFFFF) == 0x10000
    assert dukpt_aes.next_counter(0x1FFFE) == 0x20000  # 0x1FFFF has 17 one bits
    assert dukpt_tdes.next_counter(0x7FE) == 0x800  # 0x7FF has 11
    with pytest.raises(CounterExhausted):
        dukpt_aes.next_counter(0xFFFF0000)
    with pytest.raises(CounterExhausted):
        dukpt_tdes.next_counter(0x1FF800)


def test_the_bank_opens_what_a_pad_with_its_blocks_would_make() -> None:
    keys = HostPinKeys.load()
    blocks = key_blocks_for("PAD-1", keys)
    assert blocks == key_blocks_for("PAD-1", keys) != key_blocks_for("PAD-2", keys)
    header, initial = unwrap(keys.kbpk, blocks["pin-aes"])
    ksn = dukpt_aes.join_ksn(raw(header.optional["IK"]), 7)
    key = dukpt_aes.working_key(initial, ksn, KeyUsage.PIN_ENCRYPTION)
    assert decrypt_pin("iso9564-4", encipher_format_4(key, bytearray(b"135790"), PAN, bytes), ksn, PAN, keys) == "135790"
    header, initial = unwrap(keys.kbpk, blocks["pin-tdes"])
    ksn = dukpt_tdes.join_ksn(raw(header.optional["KS"]), 5)
    sealed = tdes_encrypt(dukpt_tdes.pin_key(initial, ksn), encode_format_0("135790", PAN))
    assert decrypt_pin("iso9564-0", sealed, ksn, PAN, keys) == "135790"


def test_a_block_that_does_not_belong_is_refused_without_a_digit() -> None:
    keys = HostPinKeys.load()
    header, initial = unwrap(keys.kbpk, key_blocks_for("PAD-1", keys)["pin-aes"])
    ksn = dukpt_aes.join_ksn(raw(header.optional["IK"]), 1)
    block = encipher_format_4(dukpt_aes.working_key(initial, ksn, KeyUsage.PIN_ENCRYPTION), "987650", PAN, bytes)
    later = dukpt_aes.join_ksn(raw(header.optional["IK"]), 2)
    for arguments in (
        ("iso9564-4", block, later, PAN),
        ("iso9564-4", block, ksn, "6228480000000023"),
        ("iso9564-4", block[:8], ksn, PAN),
        ("iso9564-4", block, ksn[:10], PAN),
        ("iso9564-4", block, ksn[:8] + bytes(4), PAN),
        ("iso9564-0", block, ksn, PAN),
        ("iso9564-0", block[:8], bytes(10), PAN),
        ("iso9564-3", block, ksn, PAN),
        ("iso9564-4", block, ksn, "x"),
        ("iso9564-0", block[:8], bytes(10), "12"),
    ):
        with pytest.raises(PinBlockError) as caught:
            decrypt_pin(*arguments, keys)
        assert "987650" not in str(caught.value)
        assert PAN not in str(caught.value)


@pytest.mark.parametrize("pin", ["123", "1234567890123", "12a4", "１２３４", ""])
def test_a_pin_that_is_none_is_refused_without_quoting_it(pin: str) -> None:
    for call in (
        lambda: encode_format_0(pin, PAN),
        lambda: encode_format_3(pin, PAN, bytes),
        lambda: encipher_format_4(bytes(16), pin, PAN, bytes),
    ):
        with pytest.raises(PinBlockError) as caught:
            call()
        assert str(caught.value) == "a PIN has 4 to 12 digits"


def test_formats_0_and_3_do_not_accept_each_other() -> None:
    zero, three = encode_format_0("123456", PAN), encode_format_3("123456", PAN, lambda size: bytes(range(size)))
    assert decode_format_0(zero, PAN) == decode_format_3(three, PAN) == "123456"
    with pytest.raises(PinBlockError):
        decode_format_3(zero, PAN)
    with pytest.raises(PinBlockError):
        decode_format_0(three, PAN)


def test_keys_are_not_in_a_repr_and_a_bad_key_file_is_named(tmp_path: Path) -> None:
    keys = HostPinKeys.load()
    assert keys.kbpk.hex() not in repr(keys).lower()
    assert repr(keys.bdk_aes) not in repr(keys)
    for text, word in (("{}", "missing"), ("nonsense", "cannot be read"), ('{"bdk_aes": "zz"}', "hex"), ("[]", "cannot be read")):
        path = tmp_path / "keys.json"
        path.write_text(text)
        with pytest.raises(ValueError, match=word):
            HostPinKeys.load(path)
    short = {"bdk_aes": "00", "bdk_tdes": "00", "kbpk": "00", "bdk_aes_id": "00", "key_set_id": "00"}
    path.write_text(str(short).replace("'", '"'))
    with pytest.raises(ValueError, match="bdk_aes has 1 bytes"):
        HostPinKeys.load(path)
