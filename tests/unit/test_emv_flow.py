"""Whole card transactions in memory and in virtual time: every card of the cast, and what goes wrong with cards and banks."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.emv.capk import load_capks
from drivers.emv.cryptogram import Kind
from drivers.emv.faults import CardFault
from drivers.emv.reading import Application
from drivers.emv.session import EmvSession, FirstCryptogram, OutOfOrder
from drivers.emv.terminal import OdaMethod, TerminalAid, TerminalData, TransactionData
from drivers.errors import ConfigurationFault, LinkError, ProtocolError
from drivers.protocols.emv_tags import Tag, Tvr
from drivers.protocols.tlv import find, parse
from drivers.transports.base import CardChannel, Deadline
from drivers.transports.card_memory import MemoryCardReader
from simulators.card.capk import capk_toml
from simulators.card.keys import icc_certificate, load_card_keys
from simulators.card.slot import CardSlot
from simulators.crypto.ber import tlv
from simulators.crypto.emv import ArqcCheck, issuer_response, load_issuer_keys, script_command, script_template, verify_arqc, verify_tc

NOON = datetime.datetime(2026, 11, 22, 4, 0, tzinfo=datetime.UTC)
KEYS = load_issuer_keys()
PAYING = ["everyday", "two-applications", "static", "little-money", "expired", "pin-limit", "host-blocked", "other-face"]


class VirtualClock:
    def __init__(self) -> None:
        self.moment = 1000.0

    def now(self) -> float:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.moment += max(0.0, seconds)


class Bench:
    """One slot, one terminal, one bank; the person's hand is `slot.control`."""

    def __init__(self, folder: Path, card: str, terminal: TerminalData | None = None) -> None:
        self.clock = VirtualClock()
        self.slot = CardSlot.of_cast()
        self.slot.insert(card)
        path = folder / "capk.toml"
        path.write_text(capk_toml(load_card_keys()), encoding="utf-8")
        self.terminal = terminal or TerminalData()
        self.traces: list[str] = []
        channel = MemoryCardReader(self.slot, self.clock).connect()
        self.session = EmvSession(channel, self.terminal, lambda n: bytes(range(1, n + 1)), load_capks(path), self.traces.append)

    def hand(self, do: str, **arguments: object) -> None:
        self.slot.control(do, arguments, self.clock.now())

    def deadline(self, seconds: float = 30.0) -> Deadline:
        return Deadline.after(self.clock, seconds)

    def select(self, which: int = 0) -> Application:
        return self.session.select(self.session.applications(self.deadline())[which], self.deadline())

    def first(self, **changed: object) -> FirstCryptogram:
        values = {"amount_minor": 30_000, "currency": "CNY", "date_utc": NOON, "counter": 17} | changed
        return self.session.first_generate_ac(TransactionData(**values), self.deadline())  # type: ignore[arg-type]

    @property
    def tvr(self) -> int:
        lines = [line for line in self.session.log if line.startswith("[TAL] TVR")]
        return int(lines[-1].split()[2].rstrip(":"), 16)


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    return lambda card="everyday", terminal=None: Bench(tmp_path, card, terminal)


def check(application: Application, first: FirstCryptogram) -> ArqcCheck:
    return verify_arqc(first.field55, application.pan.reveal(), application.pan_sequence or 0, KEYS)


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


def test_track_2_of_another_card_is_invalid(bench: Callable[..., Bench]) -> None:
    b = bench()
    assert b.slot.card
    record = b.slot.card.applications[0].files.records[1, 1]
    record[0] = ("57", bytes.fromhex("6228480000000999D30122200100001230"))
    with pytest.raises(CardFault, match="track 2 and the card number") as caught:
        b.select()
    assert caught.value.name == "invalidData"


def test_a_blocked_t0_card_without_a_directory_still_says_its_name(bench: Callable[..., Bench]) -> None:
    """The warning 6283 keeps its data waiting behind GET RESPONSE."""
    b = bench("blocked")
    b.hand("wrong_sw", ins="A4", sw="6A82")
    with pytest.raises(CardFault) as caught:
        b.session.applications(b.deadline())
    assert caught.value.name == "applicationBlocked"
    assert any("A000000333010101 UICC DEBIT, priority 1, blocked" in line for line in b.session.log)


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


def test_a_foreign_currency_is_the_terminals_mistake(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.select()
    with pytest.raises(ConfigurationFault, match="CNY, not EUR"):
        b.first(currency="EUR")


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
