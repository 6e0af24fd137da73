"""Cards and customers as the bank knows them, opened from the cast (simulators/cast.toml).

An account belongs to a card of the cast and has its name; every application (card number) of that card draws on it, and all of them
share the card's PIN.
"""

from __future__ import annotations

import re
import tomllib
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from simulators.bank.keys import BankKeys

PIN_TRIES = 3
NUMERIC_CURRENCY = {"CNY": "0156", "HKD": "0344", "JPY": "0392", "SGD": "0702", "GBP": "0826", "USD": "0840", "EUR": "0978"}  # ISO 4217
TRACK2 = re.compile(r"([0-9]{12,19})[D=]([0-9]{4})[0-9]{3}[0-9]*F?")  # ISO/IEC 7813: PAN, separator, YYMM, service code


class CastError(ValueError):
    """The cast file cannot be used; the text names the card and the field."""


@dataclass(frozen=True, slots=True)
class Card:
    """One application of a card. `token` stands for the PAN in the store; `customer` is whose it is (the cast's `face`, else its name)."""

    account: str
    token: str
    last_four: str
    pan: str = field(repr=False)
    sequence: int
    expiry: str
    blocked: bool
    capture: bool
    pin_tries: int
    pin_value: bytes = field(repr=False)
    customer: str

    def expired(self, today: date) -> bool:
        """A card is good to the last day of its month (ISO/IEC 7813)."""
        year, month = 2000 + int(self.expiry[:2]), int(self.expiry[2:])
        return today > date(year, month, monthrange(year, month)[1])


@dataclass(frozen=True, slots=True)
class Limits:
    """Minor units. A day is a calendar day at the bank, `day_offset_hours` east of UTC."""

    per_transaction_minor: int = 500_000
    per_day_minor: int = 2_000_000
    day_offset_hours: float = 8


@dataclass(frozen=True, slots=True)
class Cast:
    currency: str
    numeric_currency: bytes
    accounts: Mapping[str, int]
    limits: Limits
    cards: Mapping[str, Card] = field(repr=False)


def _card(raw: Mapping[str, Any], pan: str, keys: BankKeys) -> Card:
    expiry = str(raw["expiry"])
    if not re.fullmatch(r"[0-9]{2}(0[1-9]|1[0-2])", expiry):
        raise CastError(f"card {raw['name']}: expiry must be YYMM")
    if not re.fullmatch(r"[0-9]{12,19}", pan):
        raise CastError(f"card {raw['name']}: a pan has 12 to 19 digits")
    return Card(
        raw["name"],
        keys.card_token(pan),
        pan[-4:],
        pan,
        int(raw["pan_sequence"]),
        expiry,
        bool(raw.get("host_blocked", False)),
        bool(raw.get("host_capture", False)),
        int(raw.get("pin_tries_left", PIN_TRIES)),
        keys.pin_value(pan, str(raw["pin"])),
        str(raw.get("face") or raw["name"]),
    )


def open_cast(content: Mapping[str, Any], keys: BankKeys) -> Cast:
    """CastError names what is missing or wrong."""
    try:
        currency = str(content["currency"])
        cards: dict[str, Card] = {}
        accounts: dict[str, int] = {}
        for raw in content["card"]:
            if raw["name"] in accounts:
                raise CastError(f"card {raw['name']}: twice in the cast")
            accounts[raw["name"]] = int(raw["balance_minor"])
            for application in raw["applications"]:
                cards[application["pan"]] = _card(raw, application["pan"], keys)
        limits = Limits(**content.get("limits", {}))
    except (KeyError, TypeError) as error:
        raise CastError(f"the cast lacks or misuses {error}") from error
    if currency not in NUMERIC_CURRENCY:
        raise CastError(f"currency {currency}: this bank knows {', '.join(NUMERIC_CURRENCY)}")
    return Cast(currency, bytes.fromhex(NUMERIC_CURRENCY[currency]), accounts, limits, cards)


def load_cast(path: Path | None, keys: BankKeys) -> Cast:
    path = path or Path(__file__).parent.parent / "cast.toml"
    try:
        return open_cast(tomllib.loads(path.read_text(encoding="utf-8")), keys)
    except (OSError, tomllib.TOMLDecodeError, CastError) as error:
        raise CastError(f"{path}: {error}") from error


def track2_pan(track2: str) -> str:
    """The card number in track 2 equivalent data; "" when it is not track 2."""
    found = TRACK2.fullmatch(track2)
    return found[1] if found else ""
