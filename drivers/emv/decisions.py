"""What the terminal decides by itself: restrictions, cardholder verification, terminal action analysis (EMV 4.3 Book 3, 10.4 to 10.7).

Pure: card data, terminal data and the running results in, bits and a sentence out.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from drivers.emv.reading import CardFile
from drivers.emv.record import DecisionLog, Results
from drivers.emv.terminal import TerminalData, TransactionData
from drivers.protocols.emv_data import CvmList, CvmRule, cvm_list, date
from drivers.protocols.emv_tags import TVR_BITS, Tag, Tsi, Tvr, bits_in_words

ONLINE_PIN = 0x02
NO_CVM_PERFORMED = bytes.fromhex("3F0000")
METHODS = {
    0x00: "fail",
    0x01: "plaintext PIN by the card",
    0x02: "enciphered PIN online",
    0x03: "plaintext PIN by the card and signature",
    0x04: "enciphered PIN by the card",
    0x05: "enciphered PIN by the card and signature",
    0x1E: "signature",
    0x1F: "no CVM",
}


def restrictions(file: CardFile, terminal: TerminalData, today: datetime.date, results: Results, log: DecisionLog) -> None:
    """Book 3, 10.4: versions, usage, dates. Each finding is a bit; none ends the transaction here."""
    card_version = file.value(Tag.VERSION_CARD)
    known = terminal.versions(file.candidate.aid)
    if card_version and card_version not in known:
        results.set(Tvr.DIFFERENT_VERSIONS)
        log.tal(f"Application version {card_version.hex().upper()} is not one of the terminal's")
    if not _usage_allows(file, terminal):
        results.set(Tvr.SERVICE_NOT_ALLOWED)
        log.tal("The card does not allow cash at this terminal (application usage control)")
    effective = file.value(Tag.EFFECTIVE)
    if effective and date(effective, Tag.EFFECTIVE) > today:
        results.set(Tvr.NOT_YET_EFFECTIVE)
        log.tal("The application is not yet effective")
    if date(file.values[Tag.EXPIRY], Tag.EXPIRY) < today:
        results.set(Tvr.EXPIRED)
        log.tal("The application has expired")
    log.tal("Processing restrictions checked")


def _usage_allows(file: CardFile, terminal: TerminalData) -> bool:
    """9F07, Book 3 table 35: valid at ATMs, and for cash in the issuer's country or abroad."""
    usage = file.value(Tag.USAGE)
    if not usage:
        return True
    place = 0x02 if terminal.unattended_cash else 0x01
    country = file.value(Tag.ISSUER_COUNTRY)
    if not country:
        return bool(usage[0] & place)
    cash = 0x80 if country == terminal.country else 0x40
    return bool(usage[0] & place) and bool(usage[0] & cash)


@dataclass(frozen=True, slots=True)
class CvmOutcome:
    """9F34: method, condition, result (0 unknown, 1 failed, 2 successful)."""

    results: bytes
    successful: bool


def verify_cardholder(
    file: CardFile, terminal: TerminalData, transaction: TransactionData, results: Results, log: DecisionLog
) -> CvmOutcome:
    """Book 3, 10.5. The PIN was entered before; here it is decided whether the card asks for it and what 9F34 says.

    An ATM verifies by online PIN alone; whatever else the list offers is not supported here.
    """
    if not file.aip[0] & 0x10 or not file.value(Tag.CVM_LIST):
        if file.aip[0] & 0x10:
            results.set(Tvr.ICC_DATA_MISSING)
        log.tal("The card asks for no cardholder verification")
        return CvmOutcome(NO_CVM_PERFORMED, False)
    rules = cvm_list(file.value(Tag.CVM_LIST), Tag.CVM_LIST)
    results.set(Tsi.CVM_PERFORMED)
    last: CvmRule | None = None
    for rule in rules.rules:
        if not _condition_holds(rule, rules, file, terminal, transaction):
            continue
        last = rule
        if _carry_out(rule, terminal, transaction, results):
            log.tal(f"Cardholder verification: {METHODS[rule.method]} (rule {rule.code:02X} {rule.condition:02X})")
            # the PIN's result is the host's to give: unknown here (Book 4, 6.3.4.5)
            return CvmOutcome(bytes([rule.code, rule.condition, 0x00]), True)
        if not rule.next_when_failed:
            break
    results.set(Tvr.CVM_FAILED)
    log.tal("Cardholder verification was not successful")
    return CvmOutcome(NO_CVM_PERFORMED if last is None else bytes([last.code, last.condition, 0x01]), False)


def _carry_out(rule: CvmRule, terminal: TerminalData, transaction: TransactionData, results: Results) -> bool:
    if rule.method == ONLINE_PIN and terminal.capabilities[1] & 0x40:
        if transaction.pin_entered:
            results.set(Tvr.ONLINE_PIN)
            return True
        results.set(Tvr.PIN_NOT_ENTERED)
        return False
    if rule.method == 0x1F and terminal.capabilities[1] & 0x08:
        return True
    if rule.method not in METHODS:
        results.set(Tvr.CVM_UNRECOGNISED)
    return False


def _condition_holds(rule: CvmRule, rules: CvmList, file: CardFile, terminal: TerminalData, transaction: TransactionData) -> bool:
    """Book 3, table 40."""
    cash = transaction.type == 0x01
    match rule.condition:
        case 0x00:
            return True
        case 0x01:
            return cash and terminal.unattended_cash
        case 0x02:
            return not cash
        case 0x03:
            return _supports(rule.method, terminal)
        case 0x04:
            return cash and not terminal.unattended_cash
        case 0x05:
            return False  # cashback is a purchase's
        case 0x06 | 0x07 | 0x08 | 0x09:
            return _amount_condition(rule, rules, file, terminal, transaction)
    return False


def _amount_condition(rule: CvmRule, rules: CvmList, file: CardFile, terminal: TerminalData, transaction: TransactionData) -> bool:
    """Only when the transaction is in the application's own currency (9F42)."""
    if file.value(0x9F42) != terminal.currency_code:
        return False
    limit = rules.amount_x if rule.condition in (0x06, 0x07) else rules.amount_y
    return transaction.amount_minor < limit if rule.condition in (0x06, 0x08) else transaction.amount_minor > limit


def _supports(method: int, terminal: TerminalData) -> bool:
    """9F33 byte 2 (Book 4, table 26)."""
    bits = {0x01: 0x80, 0x02: 0x40, 0x03: 0xA0, 0x04: 0x10, 0x05: 0x30, 0x1E: 0x20, 0x1F: 0x08}
    bit = bits.get(method, 0)
    return bool(bit) and terminal.capabilities[1] & bit == bit


def denied_offline(file: CardFile, terminal: TerminalData, results: Results, log: DecisionLog) -> bool:
    """Terminal action analysis before the first GENERATE AC (Book 3, 10.7): denial codes, then online, always (type 14 is online only)."""
    issuer = file.value(Tag.IAC_DENIAL) or bytes(5)
    hit = _common(results.tvr, _either(issuer, terminal.tac_denial))
    if any(hit):
        log.tal(f"Declined offline by the action codes: {'; '.join(bits_in_words(hit, TVR_BITS))}")
        return True
    online = _either(file.value(Tag.IAC_ONLINE) or b"\xff" * 5, terminal.tac_online)
    reasons = bits_in_words(_common(results.tvr, online), TVR_BITS)
    log.tal(f"Online: {'; '.join(reasons)}" if reasons else "Online: this terminal authorises nothing by itself")
    return False


def _either(left: bytes, right: bytes) -> bytes:
    return bytes(a | b for a, b in zip(left, right, strict=True))


def _common(left: bytes, right: bytes) -> bytes:
    return bytes(a & b for a, b in zip(left, right, strict=True))


def default_reasons(file: CardFile, terminal: TerminalData, results: Results) -> tuple[str, ...]:
    """When the bank cannot be reached: what the default action codes hold against it. An ATM declines in any case."""
    issuer = file.value(Tag.IAC_DEFAULT) or b"\xff" * 5
    return bits_in_words(_common(results.tvr, _either(issuer, terminal.tac_default)), TVR_BITS)
