"""The simulated card refuses what a chip refuses, and the slot does what a hand does."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.card.card import SimulatedCard
from simulators.card.profiles import load_profiles
from simulators.card.slot import CardSlot
from simulators.crypto.ber import objects
from simulators.crypto.emv import IssuerKeys, load_issuer_keys, parse_iad, verify_arqc

PROFILES = load_profiles()
DEBIT = "00A4040008A00000033301010100"
GPO = "80A800000D830B01566040C8148000B0500100"
CDOL = "000000030000" + "000000000000" + "0156" + "0000048000" + "0156" + "261122" + "01" + "01020304"


def t1(card: SimulatedCard, apdu: str) -> str:
    return card.transmit(bytes.fromhex(apdu)).hex().upper()


@pytest.fixture
def card() -> SimulatedCard:
    """Speaks T=1, so that one command is one answer."""
    return SimulatedCard(PROFILES["two-applications"])


@pytest.mark.parametrize(
    ("apdu", "sw"),
    [
        ("00A40400", "6A82"),
        ("00A4040005A00000000300", "6A82"),
        ("00A4000002" + "3F0000", "6A86"),
        (GPO, "6985"),
        ("80AE80001D" + CDOL + "00", "6985"),
        ("00B2010C00", "6985"),
        ("00B2010000", "6A86"),
        ("0020008008241234FFFFFFFFFF", "6D00"),
        ("90A8000000", "6E00"),
        ("00A404000EA0", "6700"),
        ("00A4", "6700"),
        ("", "6700"),
    ],
)
def test_before_selection_nothing_works(card: SimulatedCard, apdu: str, sw: str) -> None:
    assert t1(card, apdu) == sw


def test_the_order_of_commands_is_the_cards_own_business(card: SimulatedCard) -> None:
    assert t1(card, DEBIT).endswith("9000")
    assert t1(card, "00B2011400") == "6985"
    assert t1(card, "80AE80001D" + CDOL + "00") == "6985"
    assert t1(card, "80A8000003830112" + "00") == "6700"
    assert t1(card, GPO).endswith("9000")
    assert t1(card, GPO) == "6985"
    assert t1(card, "00820000" + "0A" + "00" * 10) == "6985"
    assert t1(card, "841E000004" + "00" * 4) == "6985"
    assert t1(card, "80AE800005" + "00" * 5 + "00") == "6700"
    assert t1(card, "80AE90001D" + CDOL + "00") == "6A86"
    assert t1(card, "80AE80001D" + CDOL + "00").endswith("9000")
    assert t1(card, "0088000004" + "01020304" + "00") == "6985"
    assert t1(card, "00820000" + "0A" + "00" * 10) == "6300"
    assert t1(card, "00820000" + "0A" + "00" * 10) == "6985"
    assert t1(card, "841E000004" + "00" * 4) == "6988"
    assert t1(card, "80AE40001F" + "3030" + CDOL + "00").endswith("9000")
    assert t1(card, "80AE40001F" + "3030" + CDOL + "00") == "6985"


def test_approval_is_never_given_offline_nor_without_the_bank(card: SimulatedCard) -> None:
    t1(card, DEBIT)
    t1(card, GPO)
    first = objects(card.transmit(bytes.fromhex("80AE40001D" + CDOL + "00"))[:-2])["80"]
    assert first[0] == 0x80
    second = objects(card.transmit(bytes.fromhex("80AE40001F" + "3030" + CDOL + "00"))[:-2])["80"]
    assert second[0] == 0x00
    assert parse_iad(second[11:]).second_cryptogram == 0


def test_a_power_cut_forgets_the_transaction_and_keeps_the_counter(card: SimulatedCard) -> None:
    t1(card, DEBIT)
    t1(card, GPO)
    card.reset()
    assert t1(card, "80AE80001D" + CDOL + "00") == "6985"
    t1(card, DEBIT)
    t1(card, GPO)
    assert t1(card, "80CA9F3600") == "9F360200029000"


def test_a_t0_card_makes_the_terminal_fetch() -> None:
    card = SimulatedCard(PROFILES["everyday"])
    assert card.atr.hex().upper().startswith("3B6C0000")
    announced = card.transmit(bytes.fromhex(DEBIT[:-2]))
    assert announced[0] == 0x61
    assert card.transmit(bytes.fromhex("00C0000001")) == bytes([0x6C, announced[1]])
    assert card.transmit(bytes([0x00, 0xC0, 0x00, 0x00, announced[1]]))[-2:] == b"\x90\x00"
    assert card.transmit(bytes([0x00, 0xC0, 0x00, 0x00, announced[1]])) == b"\x69\x85"


def test_cryptograms_of_two_cards_differ_and_verify_only_for_their_own() -> None:
    keys = load_issuer_keys()
    card = SimulatedCard(PROFILES["two-applications"])
    t1(card, DEBIT)
    aip = objects(card.transmit(bytes.fromhex(GPO))[:-2])["80"][:2]
    answer = objects(card.transmit(bytes.fromhex("80AE80001D" + CDOL + "00"))[:-2])["80"]
    field55 = bytes.fromhex("9F02060000000300009F03060000000000009F1A020156950500000480005F2A0201569A032611229C0101")
    field55 += bytes.fromhex("9F3704010203048202") + aip + bytes.fromhex("9F2701") + answer[:1] + bytes.fromhex("9F3602") + answer[1:3]
    field55 += bytes.fromhex("9F2608") + answer[3:11] + bytes.fromhex("9F1007") + answer[11:]
    assert verify_arqc(field55, "6228480000000023", 1, keys).ok
    assert verify_arqc(field55, "6228480000000031", 1, keys).reason == "the cryptogram does not verify"
    assert verify_arqc(field55, "6228480000000023", 2, keys).reason == "the cryptogram does not verify"
    assert (
        verify_arqc(field55.replace(bytes.fromhex("000000030000"), bytes.fromhex("000000040000")), "6228480000000023", 1, keys).ok is False
    )
    assert "lacks 9F26" in verify_arqc(b"", "6228480000000023", 1, keys).reason
    assert "cut short" in verify_arqc(field55[:-1], "6228480000000023", 1, keys).reason
    assert keys.ac.hex() not in repr(keys)


def test_the_hand_at_the_slot() -> None:
    slot = CardSlot.of_cast()
    assert slot.control("state", {}, 0.0)["inserted"] is False
    with pytest.raises(ValueError, match='no card "gold"'):
        slot.control("insert", {"card": "gold"}, 0.0)
    assert slot.control("insert", {"card": "everyday"}, 0.0)["card"]["profile"] == "everyday"
    with pytest.raises(ValueError, match="is in"):
        slot.control("insert", {"card": "static"}, 0.0)
    assert slot.control("swap", {"card": "static"}, 0.0)["generation"] == 2
    slot.control("remove", {}, 0.0)
    with pytest.raises(ValueError, match="no card in"):
        slot.control("remove", {}, 0.0)
    with pytest.raises(ValueError, match="pull_after takes either"):
        slot.control("pull_after", {}, 0.0)
    with pytest.raises(ValueError, match="instruction byte"):
        slot.control("truncate", {"ins": 300}, 0.0)
    with pytest.raises(ValueError, match='no "eat"'):
        slot.control("eat", {}, 0.0)


def test_faults_are_armed_once_and_named() -> None:
    slot = CardSlot.of_cast()
    slot.insert("everyday")
    slot.power_on()
    select = bytes.fromhex(DEBIT[:-2])
    slot.control("wrong_sw", {"ins": "A4", "sw": "6A82"}, 0.0)
    assert slot.transmit(select).data == b"\x6a\x82"
    assert (slot.transmit(select).data or b"")[0] == 0x61
    slot.control("mute", {}, 0.0)
    assert slot.transmit(select).data is None
    slot.control("pull_after", {"apdus": 2}, 0.0)
    assert slot.transmit(select).data
    assert slot.transmit(select).gone and not slot.present


@pytest.mark.parametrize(
    "text", ['country = "0156"\n[[card]]\nname = "x"', 'country = "0156"\n[[card]]\nname = "x"\nauthentication = "XDA"']
)
def test_a_cast_that_is_wrong_names_the_card(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cast.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match='card "x"'):
        load_profiles(path)


def test_issuer_keys_that_are_wrong_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"issuer_master_keys": {"ac": "00"}}', encoding="utf-8")
    with pytest.raises(ValueError, match="'smi'"):
        load_issuer_keys(path)
    assert isinstance(load_issuer_keys(), IssuerKeys)
