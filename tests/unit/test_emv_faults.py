"""Cards that answer nonsense, half of it or nothing, and cards that are pulled or swapped: each fault by its name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from emv_bench import KEYS, Bench, check

from drivers.emv.cryptogram import Kind
from drivers.emv.faults import CardFault
from drivers.errors import LinkError, ProtocolError
from drivers.protocols.emv_tags import Tvr
from simulators.crypto.emv import issuer_response, script_command, script_template


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    return partial(Bench, tmp_path)


def test_track_2_of_another_card_is_invalid(bench: Callable[..., Bench]) -> None:
    b = bench()
    assert b.slot.card
    record = b.slot.card.applications[0].files.records[1, 1]
    record[0] = ("57", bytes.fromhex("6228480000000999D30122200100001230"))
    with pytest.raises(CardFault, match="track 2 and the card number") as caught:
        b.select()
    assert caught.value.name == "invalidData"


@pytest.mark.parametrize(
    ("ins", "sw", "name"),
    [("A8", "6985", "applicationBlocked"), ("A8", "6F00", "refused"), ("B2", "6A83", "missingData")],
)
def test_status_words_while_reading(bench: Callable[..., Bench], ins: str, sw: str, name: str) -> None:
    b = bench("two-applications")
    candidate = b.session.applications(b.deadline())[0]
    b.hand("wrong_sw", ins=ins, sw=sw)
    with pytest.raises(CardFault) as caught:
        b.session.select(candidate, b.deadline())
    assert (caught.value.name, caught.value.code) == (name, int(sw, 16))


@pytest.mark.parametrize("ins", ["A4", "A8", "B2"])
def test_a_cut_answer_is_a_protocol_error_or_a_fault_that_names_it(bench: Callable[..., Bench], ins: str) -> None:
    b = bench("two-applications")
    candidate = b.session.applications(b.deadline())[0]
    b.hand("truncate", ins=ins)
    with pytest.raises((ProtocolError, CardFault), match=r"offset|format"):
        b.session.select(candidate, b.deadline())


def test_a_cut_cryptogram_is_invalid_data(bench: Callable[..., Bench]) -> None:
    b = bench("two-applications")
    b.select()
    b.hand("truncate", ins="AE")
    with pytest.raises(CardFault) as caught:
        b.first()
    assert caught.value.name == "invalidData"


def test_a_card_without_its_expiry_lacks_data(bench: Callable[..., Bench]) -> None:
    b = bench()
    assert b.slot.card
    record = b.slot.card.applications[0].files.records[2, 1]
    record[:] = [one for one in record if one[0] != "5F24"]
    with pytest.raises(CardFault, match="lacks 5F24") as caught:
        b.select()
    assert caught.value.name == "missingData"


def test_an_object_that_comes_twice_is_invalid(bench: Callable[..., Bench]) -> None:
    b = bench()
    assert b.slot.card
    b.slot.card.applications[0].files.records[1, 1].append(("5A", bytes.fromhex("6228480000000015")))
    with pytest.raises(CardFault, match="5A twice") as caught:
        b.select()
    assert caught.value.name == "invalidData" and "6228480000000015" not in str(caught.value)


def test_a_mute_card_costs_its_deadline_and_no_more(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.select()
    b.hand("mute")
    before = b.clock.now()
    with pytest.raises(CardFault) as caught:
        b.first()
    assert caught.value.name == "mute"
    assert b.clock.now() - before == pytest.approx(30.0)
    with pytest.raises(LinkError):
        b.session.applications(b.deadline())


def test_a_slow_card_takes_its_time(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.hand("slow", seconds=0.5)
    before = b.clock.now()
    b.select()
    assert b.clock.now() - before > 2.0


@pytest.mark.parametrize("ins", ["A4", "A8", "B2", "AE"])
def test_a_card_pulled_in_the_middle_is_a_link_error(bench: Callable[..., Bench], ins: str) -> None:
    b = bench()
    b.hand("pull_after", ins=ins)
    with pytest.raises(LinkError, match=r"pulled|gone"):
        b.select()
        b.first()
    assert not b.slot.present


def test_a_card_pulled_before_the_final_cryptogram_gives_none(bench: Callable[..., Bench]) -> None:
    b = bench()
    application = b.select()
    answer = issuer_response(check(application, b.first()), True, KEYS)
    b.hand("pull_after", ins="AE")
    with pytest.raises(LinkError):
        b.session.second_generate_ac(answer, True, b.deadline())


def test_a_card_pulled_during_the_last_script_still_gave_its_approval(bench: Callable[..., Bench]) -> None:
    b = bench()
    application = b.select()
    online = check(application, b.first())
    scripts = script_template("72", b"", [script_command(online, "84240000")])
    b.hand("pull_after", ins="24")
    second = b.session.second_generate_ac(issuer_response(online, True, KEYS, scripts=scripts), True, b.deadline())
    assert second.kind is Kind.TC
    assert b.tvr & Tvr.SCRIPT_FAILED_AFTER


def test_a_swapped_card_is_never_reached_through_the_old_channel(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.select()
    b.hand("swap", card="static")
    with pytest.raises(LinkError):
        b.first()
