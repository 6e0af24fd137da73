"""The terminal's and the transaction's data elements by tag (EMV 4.3 Book 4, annex A; Book 3, annex A1)."""

from __future__ import annotations

import datetime

from drivers.emv.terminal import TerminalData, TransactionData
from drivers.errors import ConfigurationFault, ProtocolError
from drivers.protocols.emv_data import bcd
from drivers.protocols.emv_tags import Tag


def terminal_values(terminal: TerminalData, aid: bytes) -> dict[int, bytes]:
    """What does not change from one transaction to the next. ConfigurationFault names what cannot be written as EMV wants it."""
    try:
        return {
            Tag.COUNTRY: terminal.country,
            Tag.CURRENCY: terminal.currency_code,
            Tag.CURRENCY_EXPONENT: bytes([terminal.currency_exponent]),
            Tag.TERMINAL_TYPE: bytes([terminal.terminal_type]),
            Tag.CAPABILITIES: terminal.capabilities,
            Tag.ADDITIONAL_CAPABILITIES: terminal.additional_capabilities,
            Tag.SERIAL: terminal.serial.encode("ascii")[:8].ljust(8),
            Tag.TERMINAL_ID: terminal.terminal_id.encode("ascii")[:8].ljust(8),
            Tag.MERCHANT_CATEGORY: bcd(terminal.merchant_category, 2),
            Tag.MERCHANT: terminal.merchant.encode("ascii")[:15].ljust(15),
            Tag.MERCHANT_NAME: terminal.merchant_name.encode("ascii", "replace")[:20].ljust(20),
            Tag.ACQUIRER: bcd(int(terminal.acquirer), 6),
            Tag.FLOOR_LIMIT: bytes(4),
            Tag.AID_TERMINAL: aid,
            Tag.VERSION_TERMINAL: next(iter(terminal.versions(aid)), bytes(2)),
        }
    except (ValueError, ProtocolError) as error:
        raise ConfigurationFault(f"terminal data: {error}") from error


def local_time(terminal: TerminalData, transaction: TransactionData) -> datetime.datetime:
    """9A and 9F21 are the terminal's local date and time."""
    if transaction.date_utc.tzinfo is None:
        raise ConfigurationFault("the transaction's date has no time zone")
    return transaction.date_utc.astimezone(datetime.timezone(datetime.timedelta(minutes=terminal.utc_offset_minutes)))


def transaction_values(terminal: TerminalData, transaction: TransactionData) -> dict[int, bytes]:
    """ConfigurationFault for a currency the terminal does not pay."""
    if transaction.currency != terminal.currency:
        raise ConfigurationFault(f"the terminal pays {terminal.currency}, not {transaction.currency}")
    local = local_time(terminal, transaction)
    return {
        Tag.AMOUNT: bcd(transaction.amount_minor, 6),
        Tag.AMOUNT_OTHER: bcd(transaction.other_minor, 6),
        Tag.DATE: bytes.fromhex(f"{local:%y%m%d}"),
        Tag.TIME: bytes.fromhex(f"{local:%H%M%S}"),
        Tag.TYPE: bytes([transaction.type]),
        Tag.COUNTER: bcd(transaction.counter, 4),
    }
