"""Whole card transactions in memory and in virtual time: every card of the cast, what it offers and says, and what is declined at once."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from emv_bench import KEYS, Bench, check

from drivers.emv.cryptogram import Kind
from drivers.emv.faults import CardFault
from drivers.emv.session import OutOfOrder
from drivers.emv.terminal import TerminalAid, TerminalData
from drivers.errors import ConfigurationFault
from drivers.protocols.emv_tags import Tag, Tvr
from drivers.protocols.tlv import find, parse
from simulators.crypto.emv import issuer_response, verify_tc

PAYING = ["everyday", "two-applications", "static", "little-money", "expired", "pin-limit", "host-blocked", "other-face"]


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    return partial(Bench, tmp_path)


@pytest.mark.parametrize("name", PAYING)
def test_every_paying_card_withdraws_and_every_cryptogram_verifies(bench: Callable[..., Bench], name: str) -> None:
    b = bench(name)
    for which in range(len(b.session.applications(b.deadline()))):
        application = b.select(which)
        first = b.first()
        assert first.kind is Kind.ARQC
        online = check(application, first)
        assert online.ok, online.reason
        second = b.session.second_generate_ac(issuer_response(online, True, KEYS), True, b.deadline())
        assert second.kind is Kind.TC
        final = verify_tc(first.field55, second.data, application.pan.reveal(), application.pan_sequence or 0, KEYS)
        assert final.ok, final.reason
        assert final.iad is not None and final.iad.second_cryptogram == 1
        oda_bits = Tvr.ODA_NOT_PERFORMED | Tvr.SDA_FAILED | Tvr.DDA_FAILED | Tvr.CDA_FAILED | Tvr.ICC_DATA_MISSING
        assert not b.tvr & oda_bits


def test_field_55_has_what_the_bank_is_promised(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.select()
    objects = parse(b.first().field55)
    promised = "9F26 9F27 9F10 9F37 9F36 95 9A 9C 9F02 5F2A 82 9F1A 9F03 9F33 9F34 9F35 9F1E 84 9F09 9F41 5F34"
    assert [f"{one.tag:X}" for one in objects] == promised.split()
    assert find(objects, Tag.AMOUNT) == bytes.fromhex("000000030000")
    assert find(objects, Tag.DATE) == bytes.fromhex("261122")
    assert find(objects, Tag.CVM_RESULTS) == bytes.fromhex("020100")
    assert find(objects, Tag.COUNTER) == bytes.fromhex("00000017")
    assert find(objects, Tag.TERMINAL_TYPE) == b"\x14"


def test_the_date_is_the_terminals_own(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.select()
    first = b.first(date_utc=datetime.datetime(2026, 11, 22, 20, 0, tzinfo=datetime.UTC))
    assert find(parse(first.field55), Tag.DATE) == bytes.fromhex("261123")


def test_two_applications_are_offered_best_first(bench: Callable[..., Bench]) -> None:
    found = bench("two-applications").session.applications(bench("two-applications").deadline())
    assert [(one.label, one.priority, one.blocked) for one in found] == [("UICC DEBIT", 1, False), ("UICC CREDIT", 2, False)]


def test_the_application_says_who_it_is_and_hides_the_number(bench: Callable[..., Bench]) -> None:
    b = bench()
    application = b.select()
    assert application.pan.reveal() == "6228480000000015"
    assert application.masked_pan == "622848******0015"
    assert application.track2.reveal().startswith("6228480000000015=3012220")
    assert application.pan_sequence == 1
    assert application.expiry == datetime.date(2030, 12, 31)
    assert application.language_preference == ("zh",)
    assert application.issuer_country == "0156"
    first = b.first()
    second = b.session.second_generate_ac(issuer_response(check(application, first), True, KEYS), True, b.deadline())
    for shown in (repr(application), repr(first), "\n".join(second.log), "\n".join(b.traces), repr(b.session.__dict__)):
        assert "6228480000000015" not in shown
    assert b.traces and all(re.fullmatch(r"\[(EMV|ODA|TAL)\] .+", line) for line in second.log)


def test_a_card_without_a_directory_is_found_by_name(bench: Callable[..., Bench]) -> None:
    b = bench("two-applications", TerminalData(aids=(TerminalAid(bytes.fromhex("A000000333")),)))
    b.hand("wrong_sw", ins="A4", sw="6A82")
    found = b.session.applications(b.deadline())
    assert [one.aid.hex().upper() for one in found] == ["A000000333010101", "A000000333010102"]
    assert any("No payment system directory (status word 6A82)" in line for line in b.session.log)
    assert b.select().aid == found[0].aid


@pytest.mark.parametrize(
    ("card", "name", "code"),
    [("blocked", "applicationBlocked", 0x6283), ("not-a-bank-card", "noApplication", 0)],
)
def test_cards_that_cannot_pay_say_how(bench: Callable[..., Bench], card: str, name: str, code: int) -> None:
    b = bench(card)
    with pytest.raises(CardFault) as caught:
        b.session.applications(b.deadline())
    assert (caught.value.name, caught.value.code) == (name, code)


def test_a_blocked_card_says_so(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.hand("block", application=False, card=True)
    with pytest.raises(CardFault, match="6A81") as caught:
        b.session.applications(b.deadline())
    assert caught.value.name == "cardBlocked"


def test_an_application_blocked_after_it_was_offered(bench: Callable[..., Bench]) -> None:
    b = bench()
    candidate = b.session.applications(b.deadline())[0]
    b.hand("block")
    with pytest.raises(CardFault) as caught:
        b.session.select(candidate, b.deadline())
    assert caught.value.name == "applicationBlocked"


def test_one_of_two_applications_blocked_is_offered_last(bench: Callable[..., Bench]) -> None:
    b = bench("two-applications")
    assert b.slot.card
    b.slot.card.applications[0].blocked = True
    found = b.session.applications(b.deadline())
    assert [(one.label, one.blocked) for one in found] == [("UICC CREDIT", False), ("UICC DEBIT", True)]


def test_a_blocked_t0_card_without_a_directory_still_says_its_name(bench: Callable[..., Bench]) -> None:
    """The warning 6283 keeps its data waiting behind GET RESPONSE."""
    b = bench("blocked")
    b.hand("wrong_sw", ins="A4", sw="6A82")
    with pytest.raises(CardFault) as caught:
        b.session.applications(b.deadline())
    assert caught.value.name == "applicationBlocked"
    assert any("A000000333010101 UICC DEBIT, priority 1, blocked" in line for line in b.session.log)


def test_an_expired_card_goes_online_and_the_bank_is_told(bench: Callable[..., Bench]) -> None:
    b = bench("expired")
    application = b.select()
    assert application.expiry == datetime.date(2024, 6, 30)
    assert b.first().kind is Kind.ARQC
    assert b.tvr & Tvr.EXPIRED


def test_restrictions_each_have_their_bit(bench: Callable[..., Bench]) -> None:
    terminal = TerminalData(aids=(TerminalAid(bytes.fromhex("A000000333010101"), versions=(bytes.fromhex("0096"),)),))
    b = bench("static", terminal)
    b.select()
    b.first(date_utc=datetime.datetime(2019, 1, 1, tzinfo=datetime.UTC))
    assert b.tvr & Tvr.DIFFERENT_VERSIONS and b.tvr & Tvr.NOT_YET_EFFECTIVE and not b.tvr & Tvr.EXPIRED


def test_a_card_that_forbids_cash_abroad_is_declined_here(bench: Callable[..., Bench]) -> None:
    b = bench("static", TerminalData(country=bytes.fromhex("0250")))
    assert b.slot.card
    record = b.slot.card.applications[0].files.records[2, 1]
    record[record.index(("9F07", bytes.fromhex("FF80")))] = ("9F07", bytes.fromhex("8380"))
    b.select()
    first = b.first()
    assert first.kind is Kind.AAC and first.reason == "declined by the terminal"
    assert b.tvr & Tvr.SERVICE_NOT_ALLOWED


def test_a_card_that_is_not_for_cash_machines_is_declined_here(bench: Callable[..., Bench]) -> None:
    b = bench("static")
    assert b.slot.card
    record = b.slot.card.applications[0].files.records[2, 1]
    record[record.index(("9F07", bytes.fromhex("FF80")))] = ("9F07", bytes.fromhex("FD80"))
    b.select()
    assert b.first().kind is Kind.AAC
    assert b.tvr & Tvr.SERVICE_NOT_ALLOWED


def test_without_a_pin_nothing_goes_online(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.select()
    first = b.first(pin_entered=False)
    assert first.kind is Kind.AAC
    assert b.tvr & Tvr.PIN_NOT_ENTERED and b.tvr & Tvr.CVM_FAILED and not b.tvr & Tvr.ONLINE_PIN


def test_verbs_out_of_order_are_refused(bench: Callable[..., Bench]) -> None:
    b = bench()
    with pytest.raises(OutOfOrder):
        b.first()
    application = b.select()
    with pytest.raises(OutOfOrder):
        b.session.second_generate_ac(None, False, b.deadline())
    answer = issuer_response(check(application, b.first()), True, KEYS)
    with pytest.raises(OutOfOrder):
        b.first()
    b.session.second_generate_ac(answer, True, b.deadline())
    with pytest.raises(OutOfOrder):
        b.session.second_generate_ac(answer, True, b.deadline())


def test_a_foreign_currency_is_the_terminals_mistake(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.select()
    with pytest.raises(ConfigurationFault, match="CNY, not EUR"):
        b.first(currency="EUR")
