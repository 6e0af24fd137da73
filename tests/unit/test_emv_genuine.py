"""Whether a card is genuine: data that were tampered with, false signatures and certificates, and the keys that it takes to see it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from emv_bench import KEYS, Bench, check

from drivers.emv.capk import load_capks
from drivers.emv.cryptogram import Kind
from drivers.emv.faults import CardFault
from drivers.emv.session import EmvSession, OutOfOrder
from drivers.emv.terminal import OdaMethod, TerminalData
from drivers.errors import ConfigurationFault
from drivers.protocols.emv_tags import Tvr
from drivers.transports.base import CardChannel, Deadline
from drivers.transports.card_memory import MemoryCardReader
from simulators.card.keys import icc_certificate, load_card_keys
from simulators.crypto.ber import tlv
from simulators.crypto.emv import issuer_response


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    return partial(Bench, tmp_path)


@pytest.mark.parametrize(
    ("card", "tag", "bit"),
    [
        ("static", "9F07", Tvr.SDA_FAILED),
        ("static", "93", Tvr.SDA_FAILED),
        ("two-applications", "5F25", Tvr.DDA_FAILED),
        ("two-applications", "9F4B", Tvr.DDA_FAILED),
        ("two-applications", "9F48", Tvr.DDA_FAILED),
        ("everyday", "9F46", Tvr.CDA_FAILED),
        ("everyday", "90", Tvr.CDA_FAILED),
    ],
)
def test_tampered_data_show_in_the_results_and_the_bank_is_asked(bench: Callable[..., Bench], card: str, tag: str, bit: Tvr) -> None:
    b = bench(card)
    b.hand("flip", tag=tag)
    application = b.select()
    first = b.first()
    assert b.tvr & bit
    assert any(line.startswith("[ODA]") and "failed" in line for line in first.log)
    assert first.kind is Kind.ARQC and check(application, first).ok
    assert int.from_bytes(check(application, first).tvr, "big") & bit


def test_a_cryptogram_with_a_false_signature_never_goes_online(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.hand("flip", tag="9F4B")
    b.select()
    first = b.first()
    assert first.kind is Kind.AAC and "not genuine" in first.reason
    assert b.tvr & Tvr.CDA_FAILED
    with pytest.raises(OutOfOrder):
        b.session.second_generate_ac(None, False, b.deadline())


class Between:
    """Somebody between card and terminal who changes bytes of what the card answers."""

    def __init__(self, channel: CardChannel, old: bytes, new: bytes) -> None:
        self.channel, self.old, self.new = channel, old, new

    def transmit(self, apdu: bytes, deadline: Deadline) -> bytes:
        return self.channel.transmit(apdu, deadline).replace(self.old, self.new)

    def close(self) -> None:
        self.channel.close()


@pytest.mark.parametrize(
    ("old", "new"),
    [("9F36020042", "9F36020043"), ("9F270180", "9F270140"), ("9F1007060101", "9F1007060201")],
    ids=["counter", "kind", "issuer data"],
)
def test_what_a_signed_answer_says_cannot_be_changed_on_the_way(tmp_path: Path, old: str, new: str) -> None:
    b = Bench(tmp_path, "everyday")
    assert b.slot.card
    b.slot.card.applications[0].atc = 0x0041
    before, after = bytes.fromhex(old), bytes.fromhex(new)
    capks = load_capks(tmp_path / "capk.toml")
    b.session = EmvSession(Between(MemoryCardReader(b.slot, b.clock).connect(), before, after), b.terminal, lambda n: bytes(n), capks)
    b.select()
    if new == "9F270140":
        with pytest.raises(CardFault, match="gave TC where ARQC"):
            b.first()
        return
    first = b.first()
    assert first.kind is Kind.AAC and b.tvr & Tvr.CDA_FAILED
    assert any("hash of the transaction data" in line for line in first.log)


def test_a_final_signature_that_is_false_is_no_approval(bench: Callable[..., Bench]) -> None:
    b = bench()
    application = b.select()
    first = b.first()
    b.hand("flip", tag="9F4B")
    second = b.session.second_generate_ac(issuer_response(check(application, first), True, KEYS), True, b.deadline())
    assert second.kind is Kind.AAC and "not genuine" in second.reason


def test_a_certificate_of_another_card_is_refused(bench: Callable[..., Bench]) -> None:
    b = bench()
    assert b.slot.card
    files = b.slot.card.applications[0].files
    static = b"".join(tlv(tag, value) for tag, value in files.records[2, 1]) + files.aip
    files.records[3, 1][0] = ("9F46", icc_certificate(load_card_keys(), "6228480000000999", static)[0])
    b.select()
    b.first()
    assert b.tvr & Tvr.CDA_FAILED
    assert any("is of another card" in line for line in b.session.log)


def test_without_ca_keys_data_authentication_fails_and_the_bank_decides(tmp_path: Path) -> None:
    b = Bench(tmp_path, "everyday")
    b.session = EmvSession(MemoryCardReader(b.slot, b.clock).connect(), b.terminal, lambda n: bytes(n))
    b.select()
    assert b.first().kind is Kind.ARQC
    assert b.tvr & Tvr.CDA_FAILED
    assert any("has no key F1 of A000000333" in line for line in b.session.log)


@pytest.mark.parametrize(
    ("methods", "seen"),
    [(frozenset(), "Not performed"), ({OdaMethod.DDA}, "DDA: verified"), ({OdaMethod.SDA}, "Not performed")],
)
def test_the_terminal_chooses_what_both_can(bench: Callable[..., Bench], methods: set[OdaMethod], seen: str) -> None:
    b = bench("everyday", TerminalData(oda_methods=frozenset(methods)))
    application = b.select()
    first = b.first()
    assert any(line.startswith(f"[ODA] {seen}") for line in first.log)
    assert bool(b.tvr & Tvr.ODA_NOT_PERFORMED) == (seen == "Not performed")
    assert check(application, first).ok


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"no \[\[key\]\]"),
        ("[[key]]\nrid = 1", "key 1: rid is missing"),
        ('[[key]]\nrid = "A0"\nindex = "01"\nmodulus = "00"\nexponent = "03"', "key 1: rid has five bytes"),
        ('[[key]]\nrid = "A000000333"\nindex = "01"\nmodulus = "zz"\nexponent = "03"', "key 1: modulus is not hex"),
        ('[[key]]\nrid = "A000000333"\nindex = "01"\nmodulus = "' + "AB" * 64 + '"\nexponent = "05"', "exponent is 3 or 65537"),
        ("[[key", "Expected"),
    ],
)
def test_a_key_file_that_is_wrong_says_where(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationFault, match=sentence) as caught:
        load_capks(path)
    assert str(path) in str(caught.value)
    with pytest.raises(ConfigurationFault, match="No such file"):
        load_capks(tmp_path / "absent.toml")
