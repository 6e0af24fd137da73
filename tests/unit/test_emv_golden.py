"""TLV, lists, results, keys and signatures against values that were not made here."""

from __future__ import annotations

import datetime
import tomllib
from pathlib import Path
from typing import Any

import pytest

from drivers.emv.capk import CaPublicKey
from drivers.emv.oda import OdaFailure, PublicKey, issuer_key, verify_dynamic
from drivers.emv.reading import CardFile
from drivers.emv.selection import Candidate
from drivers.protocols.apdu import is_t0
from drivers.protocols.emv_tags import TVR_BITS, Tag, bits_in_words
from drivers.protocols.tlv import TlvError, find, parse, parse_dol
from simulators.crypto.ber import objects, walk
from simulators.crypto.emv import arpc_method1, arpc_method2, icc_master_key, session_key

GOLDEN = tomllib.loads((Path(__file__).parent.parent / "golden" / "emv.toml").read_text(encoding="utf-8"))
ODA = {name: "".join(value.split()) for name, value in GOLDEN["oda"].items() if name != "source"}


@pytest.mark.parametrize("vector", GOLDEN["tlv"], ids=lambda one: one["name"])
def test_both_readings_of_tlv_agree_with_the_vector(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    parsed = parse(data)
    level = data
    while len(found := objects(level)) == 1 and next(iter(found)) not in vector["message"]:
        level = next(iter(found.values()))
    simulated = dict(found)
    for tag, value in list(found.items()):
        if tag == "A5":
            simulated |= dict(walk(value))
    for tag, value in vector["message"].items():
        assert find(parsed, int(tag, 16)) == bytes.fromhex(value)
        assert simulated[tag] == bytes.fromhex(value)


@pytest.mark.parametrize("vector", GOLDEN["broken"], ids=lambda one: one["name"])
def test_broken_tlv_is_refused_with_tag_and_offset(vector: dict[str, Any]) -> None:
    with pytest.raises(TlvError) as caught:
        parse(bytes.fromhex(vector["hex"]))
    assert caught.value.tag == int(vector["message"]["tag"], 16)
    assert caught.value.offset == vector["message"]["offset"]
    assert f"offset {caught.value.offset}" in str(caught.value)


@pytest.mark.parametrize("vector", GOLDEN["dol"], ids=lambda one: one["name"])
def test_lists(vector: dict[str, Any]) -> None:
    assert parse_dol(bytes.fromhex(vector["hex"])) == tuple((int(tag, 16), length) for tag, length in vector["message"])


@pytest.mark.parametrize("vector", GOLDEN["tvr"], ids=lambda one: one["hex"])
def test_results_in_words(vector: dict[str, Any]) -> None:
    assert list(bits_in_words(bytes.fromhex(vector["hex"]), TVR_BITS)) == vector["message"]


@pytest.mark.parametrize("vector", GOLDEN["atr"], ids=lambda one: one["hex"])
def test_answer_to_reset(vector: dict[str, Any]) -> None:
    assert is_t0(bytes.fromhex(vector["hex"])) == (vector["message"] == "T=0")


def test_keys_and_answers_of_the_simulated_issuer() -> None:
    option_a, common, arpc = GOLDEN["kdf"]["option_a"], GOLDEN["kdf"]["common_session"], GOLDEN["arpc"]
    assert icc_master_key(bytes.fromhex(option_a["imk"]), option_a["pan"], option_a["psn"]).hex().upper() == option_a["key"]
    assert session_key(bytes.fromhex(common["mk"]), bytes.fromhex(common["r"])).hex().upper() == common["key"]
    assert session_key(bytes.fromhex(common["mk"]), 0x001C).hex().upper() == common["key"]
    session, arqc = bytes.fromhex(arpc["session"]), bytes.fromhex(arpc["arqc"])
    assert arpc_method1(session, arqc, bytes.fromhex(arpc["method1_code"])).hex().upper() == arpc["method1"]
    assert arpc_method2(session, arqc, bytes.fromhex(arpc["method2_csu"])).hex().upper() == arpc["method2"]


def golden_card(**changed: bytes) -> tuple[CardFile, CaPublicKey]:
    rid = bytes.fromhex(ODA["rid"])
    file = CardFile(Candidate(rid + bytes.fromhex("1010"), "", "", 1, False))
    file.values = {
        Tag.PAN: bytes.fromhex(ODA["pan"]),
        Tag.CA_INDEX: bytes.fromhex(ODA["index"]),
        Tag.ISSUER_CERTIFICATE: bytes.fromhex(ODA["issuer_certificate"]),
        Tag.ISSUER_EXPONENT: b"\x03",
    } | {Tag[name]: value for name, value in changed.items()}
    return file, CaPublicKey(rid, int(ODA["index"], 16), bytes.fromhex(ODA["ca_modulus"]), 3)


def test_an_issuer_certificate_of_a_test_scheme_gives_its_key() -> None:
    file, authority = golden_card()
    key = issuer_key(file, [authority], datetime.date(2025, 5, 6))
    assert key.modulus == bytes.fromhex(ODA["issuer_modulus"])
    assert key.exponent == 3


@pytest.mark.parametrize(
    ("changed", "today", "reason"),
    [
        ({"ISSUER_EXPONENT": b"\x01\x00\x01"}, datetime.date(2025, 5, 6), "hash"),
        ({"PAN": bytes.fromhex("6228480000000015")}, datetime.date(2025, 5, 6), "another issuer"),
        ({}, datetime.date(2028, 1, 1), "expired"),
        ({"ISSUER_CERTIFICATE": b""}, datetime.date(2025, 5, 6), "lacks 90"),
        ({"CA_INDEX": b"\xf2"}, datetime.date(2025, 5, 6), "no key F2"),
        ({"ISSUER_CERTIFICATE": bytes(176)}, datetime.date(2025, 5, 6), "not signed"),
        ({"ISSUER_CERTIFICATE": bytes(100)}, datetime.date(2025, 5, 6), "100 bytes"),
    ],
)
def test_an_issuer_certificate_that_does_not_fit_is_refused(changed: dict[str, bytes], today: datetime.date, reason: str) -> None:
    file, authority = golden_card(**changed)
    with pytest.raises(OdaFailure, match=reason):
        issuer_key(file, [authority], today)


def test_a_dynamic_signature_of_a_test_scheme_verifies() -> None:
    key = PublicKey(bytes.fromhex(ODA["icc_modulus"]), 3)
    signature, unpredictable = bytes.fromhex(ODA["signed_dynamic"]), bytes.fromhex(ODA["unpredictable"])
    assert verify_dynamic(key, signature, unpredictable).hex().upper() == ODA["dynamic_number"]
    with pytest.raises(OdaFailure, match="hash"):
        verify_dynamic(key, signature, bytes(4))
    with pytest.raises(OdaFailure, match="not signed"):
        verify_dynamic(key, signature[:-1] + b"\x47", unpredictable)
