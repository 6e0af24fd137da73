"""What a terminal is, to a card: terminal data elements with defaults for a bank's cash machine in China (EMV 4.3 Book 4, annex A)."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from enum import Enum

UNIONPAY_DEBIT = bytes.fromhex("A000000333010101")
UNIONPAY_CREDIT = bytes.fromhex("A000000333010102")


class OdaMethod(Enum):
    """Offline data authentication methods (EMV 4.3 Book 2, sections 5 and 6)."""

    SDA = "SDA"
    DDA = "DDA"
    CDA = "CDA"


@dataclass(frozen=True, slots=True)
class TerminalAid:
    """An application the terminal supports. `partial`: longer names that begin so are taken as well (Book 1, 12.3.1)."""

    aid: bytes
    versions: tuple[bytes, ...] = (bytes.fromhex("0030"), bytes.fromhex("0020"))
    partial: bool = True

    def matches(self, aid: bytes) -> bool:
        return aid == self.aid or (self.partial and aid.startswith(self.aid))


@dataclass(frozen=True, slots=True)
class TerminalData:
    """Fixed by the terminal's configuration. The terminal action codes are UnionPay's usual ones: ask the acquirer.

    `capabilities` 9F33: chip and magnetic stripe; online PIN; SDA, DDA, CDA (set bit 6 of the third byte where cards are captured).
    `additional_capabilities` 9F40: cash; numeric, command and function keys; print and display for the customer; code table 1.
    """

    country: bytes = bytes.fromhex("0156")
    currency: str = "CNY"
    currency_code: bytes = bytes.fromhex("0156")
    currency_exponent: int = 2
    utc_offset_minutes: int = 480
    terminal_type: int = 0x14
    capabilities: bytes = bytes.fromhex("6040C8")
    additional_capabilities: bytes = bytes.fromhex("8000B05001")
    serial: str = "00000001"
    terminal_id: str = "T0000001"
    merchant_category: int = 6011
    acquirer: str = "000000"
    merchant: str = ""
    merchant_name: str = "SMART BRANCH"
    tac_denial: bytes = bytes.fromhex("0010000000")
    tac_online: bytes = bytes.fromhex("D84004F800")
    tac_default: bytes = bytes.fromhex("D84000A800")
    oda_methods: frozenset[OdaMethod] = frozenset(OdaMethod)
    default_ddol: bytes = bytes.fromhex("9F3704")
    aids: tuple[TerminalAid, ...] = (TerminalAid(UNIONPAY_DEBIT), TerminalAid(UNIONPAY_CREDIT))

    def versions(self, aid: bytes) -> tuple[bytes, ...]:
        """The application versions (9F09) the terminal knows for this application, its own first."""
        return next((one.versions for one in self.aids if one.matches(aid)), ())

    @property
    def unattended_cash(self) -> bool:
        """Terminal types 14, 15, 16 with cash among the additional capabilities: an ATM (Book 4, annex A1)."""
        return self.terminal_type in (0x14, 0x15, 0x16) and bool(self.additional_capabilities[0] & 0x80)


@dataclass(frozen=True, slots=True)
class TransactionData:
    """One withdrawal. `amount_minor` in the minor units of `currency`; `type` is 9C; `counter` is 9F41, 1 to 99,999,999.

    `pin_entered`: the PIN pad has made a PIN block for this attempt. The PIN itself is nowhere near here.
    """

    amount_minor: int
    currency: str
    date_utc: datetime.datetime
    counter: int
    type: int = 0x01
    other_minor: int = 0
    pin_entered: bool = True
