"""What the terminal decides alone: CVM rules by their table, values by their formats, commands by their lengths."""

from __future__ import annotations

import datetime

import pytest

from drivers.emv.cryptogram import Kind, parse_cryptogram
from drivers.emv.decisions import default_reasons, denied_offline, verify_cardholder
from drivers.emv.faults import CardFault
from drivers.emv.issuer import read_issuer_answer
from drivers.emv.reading import CardFile, file_locator
from drivers.emv.record import DecisionLog, Results
from drivers.emv.selection import Candidate
from drivers.emv.terminal import TerminalData, TransactionData
from drivers.emv.values import terminal_values, transaction_values
from drivers.errors import ConfigurationFault, ProtocolError
from drivers.protocols.apdu import Command, Exchange, Response, is_t0, masked_apdu, split
from drivers.protocols.emv_data import FileEntry, bcd, cvm_list, date, digits, track2_pan
from drivers.protocols.emv_tags import Tag, Tvr
from drivers.protocols.tlv import TlvError, encode, parse, parse_dol, parse_one

NOON = datetime.datetime(2026, 11, 22, 4, 0, tzinfo=datetime.UTC)
AMOUNTS = "0000271000004E20"  # X = 100.00, Y = 200.00


def card(cvm: str | None = None, aip: str = "3D00", **more: str) -> CardFile:
    file = CardFile(Candidate(bytes.fromhex("A000000333010101"), "", "", 1, False))
    file.values[Tag.AIP] = bytes.fromhex(aip)
    if cvm is not None:
        file.values[Tag.CVM_LIST] = bytes.fromhex(AMOUNTS + cvm)
    file.values |= {int(tag, 16): bytes.fromhex(value) for tag, value in more.items()}
    return file


def withdrawal(amount_minor: int = 15_000, kind: int = 0x01, pin: bool = True) -> TransactionData:
    return TransactionData(amount_minor, "CNY", NOON, 1, type=kind, pin_entered=pin)


ATM, COUNTER = TerminalData(), TerminalData(terminal_type=0x11)
WITH_NO_CVM = TerminalData(capabilities=bytes.fromhex("6048C8"))


@pytest.mark.parametrize(
    ("cvm", "terminal", "transaction", "results", "bits"),
    [
        ("0201", ATM, withdrawal(), "020100", Tvr.ONLINE_PIN),
        ("4201", ATM, withdrawal(), "420100", Tvr.ONLINE_PIN),
        ("0200", ATM, withdrawal(), "020000", Tvr.ONLINE_PIN),
        ("0202", ATM, withdrawal(), "3F0000", Tvr.CVM_FAILED),
        ("0202", ATM, withdrawal(kind=0x00), "020200", Tvr.ONLINE_PIN),
        ("0203", ATM, withdrawal(), "020300", Tvr.ONLINE_PIN),
        ("1E03", ATM, withdrawal(), "3F0000", Tvr.CVM_FAILED),
        ("0204", ATM, withdrawal(), "3F0000", Tvr.CVM_FAILED),
        ("0204", COUNTER, withdrawal(), "020400", Tvr.ONLINE_PIN),
        ("0201", COUNTER, withdrawal(), "3F0000", Tvr.CVM_FAILED),
        ("0205", ATM, withdrawal(), "3F0000", Tvr.CVM_FAILED),
        ("027F", ATM, withdrawal(), "3F0000", Tvr.CVM_FAILED),
        ("0000", ATM, withdrawal(), "000001", Tvr.CVM_FAILED),
        ("1E000201", ATM, withdrawal(), "1E0001", Tvr.CVM_FAILED),
        ("5E000201", ATM, withdrawal(), "020100", Tvr.ONLINE_PIN),
        ("41004201", ATM, withdrawal(), "420100", Tvr.ONLINE_PIN),
        ("60000201", ATM, withdrawal(), "020100", Tvr.CVM_UNRECOGNISED | Tvr.ONLINE_PIN),
        ("42011F00", ATM, withdrawal(pin=False), "1F0001", Tvr.PIN_NOT_ENTERED | Tvr.CVM_FAILED),
        ("42011F00", WITH_NO_CVM, withdrawal(pin=False), "1F0000", Tvr.PIN_NOT_ENTERED),
        ("0206", ATM, withdrawal(9_999), "020600", Tvr.ONLINE_PIN),
        ("0206", ATM, withdrawal(10_001), "3F0000", Tvr.CVM_FAILED),
        ("0207", ATM, withdrawal(10_001), "020700", Tvr.ONLINE_PIN),
        ("0208", ATM, withdrawal(19_999), "020800", Tvr.ONLINE_PIN),
        ("0209", ATM, withdrawal(19_999), "3F0000", Tvr.CVM_FAILED),
        ("0209", ATM, withdrawal(20_001), "020900", Tvr.ONLINE_PIN),
    ],
)
def test_cvm_rules(cvm: str, terminal: TerminalData, transaction: TransactionData, results: str, bits: int) -> None:
    """EMV 4.3 Book 3, 10.5 and tables 39, 40."""
    found = Results()
    outcome = verify_cardholder(card(cvm, **{"9F42": "0156"}), terminal, transaction, found, DecisionLog())
    assert outcome.results.hex().upper() == results
    assert int.from_bytes(found.tvr, "big") == bits
    assert outcome.successful == (not bits & Tvr.CVM_FAILED)


def test_amount_rules_are_for_the_applications_own_currency() -> None:
    found = Results()
    assert not verify_cardholder(card("0206", **{"9F42": "0978"}), ATM, withdrawal(1), found, DecisionLog()).successful


@pytest.mark.parametrize(("file", "bits"), [(card("0201", aip="2C00"), 0), (card(None), Tvr.ICC_DATA_MISSING)])
def test_a_card_that_asks_for_no_verification_gets_none(file: CardFile, bits: int) -> None:
    found = Results()
    outcome = verify_cardholder(file, ATM, withdrawal(), found, DecisionLog())
    assert (outcome.results, outcome.successful) == (bytes.fromhex("3F0000"), False)
    assert int.from_bytes(found.tvr, "big") == bits


def test_the_issuers_denial_code_declines_and_its_absence_does_not() -> None:
    results = Results()
    results.set(Tvr.EXPIRED)
    assert denied_offline(card(**{"9F0E": "0040000000"}), ATM, results, DecisionLog())
    assert not denied_offline(card(), ATM, results, DecisionLog())
    assert default_reasons(card(), ATM, results) == ("expired application",)


def test_a_terminal_that_cannot_be_written_as_emv_wants_it_is_refused() -> None:
    with pytest.raises(ConfigurationFault, match="terminal data"):
        terminal_values(TerminalData(merchant_category=60_111), b"")
    with pytest.raises(ConfigurationFault, match="terminal data"):
        terminal_values(TerminalData(serial="序列"), b"")
    with pytest.raises(ConfigurationFault, match="no time zone"):
        transaction_values(ATM, TransactionData(1, "CNY", datetime.datetime(2026, 1, 1), 1))


@pytest.mark.parametrize(
    ("answer", "asked", "sentence"),
    [
        ("6985", Kind.ARQC, "6985"),
        ("9000", Kind.ARQC, "two formats"),
        ("80058000010203" + "9000", Kind.ARQC, "5 bytes in format 1"),
        ("7703" + "9F2701" + "9000", Kind.ARQC, "length says"),
        ("7704" + "9F270180" + "9000", Kind.ARQC, "lacks 9F27 or 9F36"),
        ("7709" + "9F270180" + "9F36020001" + "9000", Kind.ARQC, "no cryptogram"),
        ("7714" + "9F270140" + "9F36020001" + "9F26080102030405060708" + "9000", Kind.ARQC, "TC where ARQC"),
        ("7714" + "9F2701C0" + "9F36020001" + "9F26080102030405060708" + "9000", Kind.ARQC, "reserved"),
        ("770D" + "9F270180" + "9F36020001" + "9F4B0101" + "9000", Kind.ARQC, "without being asked"),
    ],
)
def test_answers_to_generate_ac_that_cannot_be_used(answer: str, asked: Kind, sentence: str) -> None:
    with pytest.raises(CardFault, match=sentence):
        parse_cryptogram(Response.decode(bytes.fromhex(answer)), asked, None, bytes(4), b"")


@pytest.mark.parametrize(("data", "place"), [("8A0130", "8A"), ("910401020304", "91"), ("8A0230", "8A")])
def test_a_banks_answer_of_a_wrong_length_is_refused(data: str, place: str) -> None:
    with pytest.raises(TlvError, match=place):
        read_issuer_answer(bytes.fromhex(data))


def test_values_and_their_formats() -> None:
    assert digits(bytes.fromhex("6228480000000015"), Tag.PAN) == "6228480000000015"
    assert digits(bytes.fromhex("622848000000001F"), Tag.PAN) == "622848000000001"
    assert bcd(30_000, 6) == bytes.fromhex("000000030000")
    assert date(bytes.fromhex("491231"), Tag.EXPIRY) == datetime.date(2049, 12, 31)
    assert date(bytes.fromhex("500101"), Tag.EXPIRY) == datetime.date(1950, 1, 1)
    assert date(bytes.fromhex("301200"), Tag.EXPIRY) == datetime.date(2030, 12, 1)
    assert track2_pan(bytes.fromhex("6228480000000015D30122"), Tag.TRACK2) == "6228480000000015"
    assert cvm_list(bytes.fromhex(AMOUNTS + "4203"), Tag.CVM_LIST).rules[0].next_when_failed
    assert file_locator(bytes.fromhex("08010301"), Tag.AFL) == (FileEntry(1, 1, 3, 1),)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: digits(b"\xab\xcd", Tag.PAN),
        lambda: date(bytes.fromhex("301301"), Tag.EXPIRY),
        lambda: date(bytes.fromhex("3012"), Tag.EXPIRY),
        lambda: file_locator(b"", Tag.AFL),
        lambda: file_locator(bytes.fromhex("080101"), Tag.AFL),
        lambda: file_locator(bytes.fromhex("08000100"), Tag.AFL),
        lambda: file_locator(bytes.fromhex("08020100"), Tag.AFL),
        lambda: file_locator(bytes.fromhex("08010102"), Tag.AFL),
        lambda: file_locator(bytes.fromhex("09010100"), Tag.AFL),
        lambda: file_locator(bytes.fromhex("F8010100"), Tag.AFL),
        lambda: file_locator(bytes.fromhex("0801FF00"), Tag.AFL),
        lambda: cvm_list(bytes.fromhex("0000000000"), Tag.CVM_LIST),
        lambda: cvm_list(bytes.fromhex(AMOUNTS + "42"), Tag.CVM_LIST),
        lambda: track2_pan(bytes.fromhex("6228480000000015"), Tag.TRACK2),
        lambda: track2_pan(bytes.fromhex("62D30122"), Tag.TRACK2),
        lambda: parse_one(bytes.fromhex("8201AA"), Tag.FCI),
        lambda: parse(bytes.fromhex("9F80010100")),
        lambda: parse(bytes.fromhex("9F8181810100")),
        lambda: parse(bytes.fromhex("82")),
        lambda: parse(bytes.fromhex("8281")),
        lambda: parse(bytes.fromhex("8283000001AA")),
        lambda: parse(bytes.fromhex("820100") * 600),
        lambda: parse_dol(bytes.fromhex("9F02")),
        lambda: parse_dol(bytes.fromhex("9F0281")),
        lambda: encode(Tag.RECORD, bytes(70_000)),
    ],
)
def test_values_that_make_no_sense_name_their_tag(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(TlvError, match="offset") as caught:
        wrong()
    assert "6228480000000015" not in str(caught.value)


def test_amounts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ProtocolError):
        bcd(10**12, 6)
    with pytest.raises(ProtocolError):
        bcd(-1, 6)


@pytest.mark.parametrize("apdu", ["00A404", "00A40400020101" + "0000", "00A404000301"])
def test_commands_that_are_none(apdu: str) -> None:
    with pytest.raises(ProtocolError):
        split(bytes.fromhex(apdu))


def test_commands_and_answers_of_wrong_lengths() -> None:
    with pytest.raises(ProtocolError, match="256 bytes"):
        Command(0, 0, 0, 0, bytes(256)).encode()
    with pytest.raises(ProtocolError, match="no status word"):
        Response.decode(b"\x90")
    with pytest.raises(ProtocolError, match="too short"):
        is_t0(b"\x3b")
    with pytest.raises(ProtocolError, match="ends before TD1"):
        is_t0(b"\x3b\xf0\x00")
    assert "1 bytes that are not TLV" in masked_apdu(b"\x00\xb2\x01\x0c\x00", b"\x82\x90\x00")


def play(apdu: str, t0: bool, *script: tuple[str, str]) -> str:
    """The terminal's sends must be the script's, one for one."""
    exchange = Exchange(bytes.fromhex(apdu), t0=t0)
    for sent, answer in script:
        assert exchange.outgoing == bytes.fromhex(sent)
        exchange.incoming(bytes.fromhex(answer))
    assert exchange.outgoing is None
    return exchange.answer.hex().upper()


def test_t0_exchanges_as_book_1_writes_them() -> None:
    """EMV 4.3 Book 1, annex A: examples of exchanges using T=0, by their cases."""
    assert play("00840000", True, ("0084000000", "9000")) == "9000"
    assert play("00B2010C00", True, ("00B2010C00", "6C03"), ("00B2010C03", "0102039000")) == "0102039000"
    assert play("00820000021122", True, ("00820000021122", "9000")) == "9000"
    assert play("00A4040002A00000", True, ("00A4040002A000", "6102"), ("00C0000002", "AABB9000")) == "AABB9000"
    two = (("00A4040002A000", "6102"), ("00C0000002", "AABB6101"), ("00C0000001", "CC9000"))
    assert play("00A4040002A00000", True, *two) == "AABBCC9000"
    warned = (("00A4040002A000", "6283"), ("00C0000000", "6C02"), ("00C0000002", "AABB9000"))
    assert play("00A4040002A00000", True, *warned) == "AABB6283"
    assert play("00A4040002A000", True, ("00A4040002A000", "6300")) == "6300"


def test_t1_sends_the_command_whole() -> None:
    assert play("00A4040002A00000", False, ("00A4040002A00000", "AABB9000")) == "AABB9000"
    assert play("00A4040002A00000", False, ("00A4040002A00000", "AABB6283")) == "AABB6283"
