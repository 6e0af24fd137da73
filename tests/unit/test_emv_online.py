"""What the bank says to the card: approvals that are none, refusals, silence, and scripts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from emv_bench import KEYS, Bench, check

from drivers.emv.cryptogram import Kind
from drivers.emv.faults import CardFault
from drivers.errors import ProtocolError
from drivers.protocols.emv_tags import Tag, Tvr
from drivers.protocols.tlv import find, parse
from simulators.crypto.emv import issuer_response, script_command, script_template, verify_tc


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    return partial(Bench, tmp_path)


@pytest.mark.parametrize("card", ["everyday", "static"])
def test_a_false_answer_of_the_bank_is_no_approval(bench: Callable[..., Bench], card: str) -> None:
    b = bench(card)
    application = b.select()
    first = b.first()
    answer = bytearray(issuer_response(check(application, first), True, KEYS))
    answer[8] ^= 1
    second = b.session.second_generate_ac(bytes(answer), True, b.deadline())
    assert second.kind is Kind.AAC and second.reason == "declined by the card"
    assert b.tvr & Tvr.ISSUER_AUTHENTICATION_FAILED
    final = verify_tc(first.field55, second.data, application.pan.reveal(), application.pan_sequence or 0, KEYS, kind="AAC")
    assert final.ok and final.iad is not None and final.iad.issuer_authentication_failed


def test_a_false_answer_inside_the_second_command_is_no_approval(bench: Callable[..., Bench]) -> None:
    b = bench("two-applications")
    application = b.select(1)
    first = b.first()
    answer = bytearray(issuer_response(check(application, first), True, KEYS))
    answer[6] ^= 1
    second = b.session.second_generate_ac(bytes(answer), True, b.deadline())
    assert second.kind is Kind.AAC
    final = verify_tc(first.field55, second.data, application.pan.reveal(), 1, KEYS, kind="AAC")
    assert final.ok and final.iad is not None and final.iad.issuer_authentication_failed


def test_an_approval_without_the_banks_cryptogram_is_none(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.select()
    b.first()
    assert b.session.second_generate_ac(bytes.fromhex("8A023030"), True, b.deadline()).kind is Kind.AAC


@pytest.mark.parametrize("which", [0, 1])
def test_the_card_believes_the_bank_and_not_the_terminal(bench: Callable[..., Bench], which: int) -> None:
    """An authentic refusal does not become an approval because the terminal says so."""
    b = bench("two-applications")
    application = b.select(which)
    refusal = issuer_response(check(application, b.first()), False, KEYS)
    second = b.session.second_generate_ac(refusal, True, b.deadline())
    assert second.kind is Kind.AAC and second.reason == "declined by the card"
    assert not b.tvr & Tvr.ISSUER_AUTHENTICATION_FAILED


def test_the_bank_declines(bench: Callable[..., Bench]) -> None:
    b = bench()
    application = b.select()
    first = b.first()
    second = b.session.second_generate_ac(issuer_response(check(application, first), False, KEYS), False, b.deadline())
    assert second.kind is Kind.AAC and second.reason == "declined by the bank"
    assert not b.tvr & Tvr.ISSUER_AUTHENTICATION_FAILED


def test_the_bank_cannot_be_reached(bench: Callable[..., Bench]) -> None:
    b = bench()
    application = b.select()
    first = b.first()
    second = b.session.second_generate_ac(None, False, b.deadline())
    assert second.kind is Kind.AAC
    final = verify_tc(first.field55, second.data, application.pan.reveal(), 1, KEYS, kind="AAC")
    assert final.ok and final.iad is not None and final.iad.went_offline


def test_a_banks_answer_that_cannot_be_read_still_leaves_the_card_to_be_told(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.select()
    b.first()
    with pytest.raises(ProtocolError, match="tag 91"):
        b.session.second_generate_ac(bytes.fromhex("8A02303091FF"), True, b.deadline())
    assert b.session.second_generate_ac(None, False, b.deadline()).kind is Kind.AAC


def test_scripts_before_and_after(bench: Callable[..., Bench]) -> None:
    b = bench("pin-limit")
    application = b.select()
    online = check(application, b.first())
    unblock = script_command(online, "84240000")
    scripts = script_template("71", b"\x00\x00\x00\x01", [unblock]) + script_template("72", b"\x00\x00\x00\x02", [unblock, unblock])
    second = b.session.second_generate_ac(issuer_response(online, True, KEYS, scripts=scripts), True, b.deadline())
    assert second.kind is Kind.TC
    assert [one.encode().hex() for one in second.script_results] == ["2000000001", "2000000002"]
    assert find(parse(second.data), Tag.SCRIPT_RESULTS) == bytes.fromhex("20000000012000000002")
    assert b.slot.card and b.slot.card.applications[0].pin_tries == 3


def test_a_script_blocks_the_application_for_good(bench: Callable[..., Bench]) -> None:
    b = bench()
    application = b.select()
    online = check(application, b.first())
    scripts = script_template("72", b"", [script_command(online, "841E0000")])
    b.session.second_generate_ac(issuer_response(online, False, KEYS, scripts=scripts), False, b.deadline())
    with pytest.raises(CardFault) as caught:
        b.session.applications(b.deadline())
    assert caught.value.name == "applicationBlocked"


def test_a_script_with_a_false_mac_fails_and_shows(bench: Callable[..., Bench]) -> None:
    b = bench()
    application = b.select()
    online = check(application, b.first())
    command = bytearray(script_command(online, "841E0000"))
    command[-1] ^= 1
    scripts = script_template("71", b"\x01\x02\x03\x04", [bytes(command), script_command(online, "84240000")])
    second = b.session.second_generate_ac(issuer_response(online, True, KEYS, scripts=scripts), True, b.deadline())
    assert [one.encode().hex() for one in second.script_results] == ["1101020304"]
    assert b.tvr & Tvr.SCRIPT_FAILED_BEFORE
    assert b.slot.card and not b.slot.card.applications[0].blocked


def test_every_attempt_is_a_transaction_of_its_own_to_the_card(bench: Callable[..., Bench]) -> None:
    b = bench()
    counters = []
    for _ in range(3):
        application = b.select()
        online = check(application, b.first())
        counters.append(online.atc)
        b.session.second_generate_ac(issuer_response(online, False, KEYS, response_code="55"), False, b.deadline())
    assert counters == [1, 2, 3]
    b.hand("remove")
    b.hand("insert", card="everyday")
    assert b.slot.card and b.slot.card.applications[0].atc == 3
