"""Is this the card, and is this its PIN: what every request of a customer has to pass before money is looked at."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from simulators.bank.cards import Card, Cast, track2_pan
from simulators.bank.keys import BankKeys
from simulators.bank.messages import Malformed
from simulators.bank.store import Store
from simulators.crypto.ber import tlv
from simulators.crypto.emv import ArqcCheck, issuer_response, verify_arqc
from simulators.crypto.sealed_box import SealedBoxError, open_box

# ISO 8583:1987 field 39, carried to the card in tag 8A.
RESPONSE_CODES = {
    "": "00",
    "insufficientFunds": "51",
    "incorrectPin": "55",
    "pinTriesExceeded": "75",
    "limitExceeded": "61",
    "cardBlocked": "62",
    "cardExpired": "54",
    "unknownCard": "14",
    "invalidCryptogram": "05",
    "transactionClosed": "05",
    "noTemplate": "05",
    "authenticationRequired": "05",
    "noFaceSession": "05",
    "faceSessionOver": "05",
    "consentWithdrawn": "05",
    "templateRefused": "05",
    "malformed": "30",
    "systemError": "96",
}
TECHNICAL = ("malformed", "systemError")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` "" approves. `check` is there when the card's cryptogram was looked at."""

    reason: str
    actions: tuple[str, ...] = ()
    check: ArqcCheck | None = field(default=None, repr=False)

    @property
    def response(self) -> str:
        return "TECH" if self.reason in TECHNICAL else "DECL" if self.reason else "APPR"

    def fields(self, keys: BankKeys, scripts: bytes = b"") -> dict[str, Any]:
        """The part of a response that every decision has."""
        code = RESPONSE_CODES[self.reason]
        if self.check is None:
            icc = tlv("8A", code.encode("ascii"))
        else:
            icc = issuer_response(self.check, not self.reason, keys.issuer, response_code=code, scripts=scripts)
        found: dict[str, Any] = {"response": self.response, "actions": list(self.actions), "iccRelatedData": icc.hex()}
        if self.reason:
            found["reason"] = self.reason
        return found


@dataclass(frozen=True, slots=True)
class ClearCard:
    """What was in the sealed box."""

    pan: str = field(repr=False)
    sequence: int


class Verifier:
    def __init__(self, store: Store, cast: Cast, keys: BankKeys) -> None:
        self._store = store
        self._cast = cast
        self._keys = keys

    def open_card(self, box: Mapping[str, Any], transaction_id: str) -> ClearCard:
        """Malformed when the box does not open or holds something else than a card."""
        try:
            content = json.loads(open_box(box, self._keys.private, transaction_id.encode()))
        except SealedBoxError as error:
            raise Malformed(f"data.protectedCardData: {error}") from None
        except ValueError:
            raise Malformed("data.protectedCardData: what is sealed is not JSON") from None
        if not isinstance(content, dict):
            raise Malformed("data.protectedCardData: what is sealed is not an object")
        pan, sequence, track2 = content.get("pan"), content.get("panSequence"), content.get("track2")
        if not isinstance(pan, str) or not pan.isascii() or not pan.isdigit() or not 12 <= len(pan) <= 19:
            raise Malformed("data.protectedCardData: pan must be 12 to 19 digits")
        if isinstance(sequence, bool) or not isinstance(sequence, int) or not 0 <= sequence <= 99:
            raise Malformed("data.protectedCardData: panSequence must be 0 to 99")
        if not isinstance(track2, str) or track2_pan(track2.upper()) != pan:
            raise Malformed("data.protectedCardData: track2 is not track 2 data of this pan")
        return ClearCard(pan, sequence)

    def card(self, clear: ClearCard) -> Card | None:
        found = self._cast.cards.get(clear.pan)
        return found if found is not None and found.sequence == clear.sequence else None

    def card_standing(self, card: Card, now: datetime) -> Verdict | None:
        """Expiry and block; None when the card is in good standing."""
        if card.expired((now + timedelta(hours=self._cast.limits.day_offset_hours)).date()):
            return Verdict("cardExpired")
        if card.blocked:
            return Verdict("cardBlocked", ("CPTR",) if card.capture else ())
        if self.tries_left(card) <= 0:
            return Verdict("pinTriesExceeded")
        return None

    def card_and_pin(self, card: Card, block: tuple[str, bytes, bytes], field55: bytes, identity: str, now: datetime) -> Verdict:
        """Behind both, as money is: a card number alone shows nothing and opens nothing."""
        verdict = self.cryptogram(card, field55, identity)
        if verdict.reason:
            return verdict
        standing = self.card_standing(card, now)
        return replace(standing, check=verdict.check) if standing else self.pin(card, block, verdict.check)

    def cryptogram(self, card: Card, field55: bytes, transaction_id: str) -> Verdict:
        """The ARQC must be this card's, and not have served another transaction before."""
        check = verify_arqc(field55, card.pan, card.sequence, self._keys.issuer)
        if not check.ok:
            return Verdict("invalidCryptogram", (), check)
        self._store.execute(
            "INSERT INTO cryptogram VALUES (?,?,?,?) ON CONFLICT DO NOTHING", card.token, check.atc, check.cryptogram, transaction_id
        )
        first = self._store.one(
            "SELECT transaction_id FROM cryptogram WHERE card=? AND atc=? AND arqc=?", card.token, check.atc, check.cryptogram
        )
        replayed = first is None or first["transaction_id"] != transaction_id
        return Verdict("invalidCryptogram" if replayed else "", (), None if replayed else check)

    def tries_left(self, card: Card) -> int:
        """Wrong PINs that are still allowed. The card's applications share the PIN but each number counts for itself, as hosts do."""
        row = self._store.one("SELECT pin_tries_left FROM card WHERE token = ?", card.token)
        return card.pin_tries if row is None else int(row["pin_tries_left"])

    def pin(self, card: Card, block: tuple[str, bytes, bytes], check: ArqcCheck | None) -> Verdict:
        """A wrong PIN costs a try, a right one gives all of them back. A block that is none costs nothing: TECH."""
        try:
            digits = self._keys.pin_of(*block, card.pan)
        except ValueError:
            return Verdict("systemError", (), check)
        if hmac.compare_digest(self._keys.pin_value(card.pan, digits), card.pin_value):
            self._store.execute("DELETE FROM card WHERE token = ?", card.token)
            return Verdict("", (), check)
        left = self.tries_left(card) - 1
        self._store.execute(
            "INSERT INTO card VALUES (?,?) ON CONFLICT DO UPDATE SET pin_tries_left = excluded.pin_tries_left", card.token, left
        )
        if left <= 0:
            return Verdict("pinTriesExceeded", (), check)
        return Verdict("incorrectPin", ("PINL",) if left == 1 else ("PINR",), check)
