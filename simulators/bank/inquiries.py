"""ATMInquiryRequest -> ATMInquiryResponse: the balance, and the face template sealed for the face worker."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from simulators.bank.cards import Card, Cast
from simulators.bank.faces import Faces
from simulators.bank.inbox import Inbox
from simulators.bank.keys import BankKeys
from simulators.bank.ledger import Ledger
from simulators.bank.messages import Amount, Envelope, Malformed, pin_block, transaction_id
from simulators.bank.store import Store
from simulators.bank.verify import Verdict, Verifier
from simulators.crypto.sealed_box import SealedBoxError, public_from_hex


class Inquiries:
    """Runs inside the caller's transaction."""

    def __init__(self, store: Store, cast: Cast, keys: BankKeys, faces: Faces) -> None:
        self._cast = cast
        self._keys = keys
        self._faces = faces
        self._inbox = Inbox(store)
        self._ledger = Ledger(store)
        self._verifier = Verifier(store, cast, keys)

    def respond(self, found: Envelope, now: datetime) -> dict[str, Any]:
        fields = found.data
        identity = transaction_id(fields, found.terminal)
        inquiry = fields.choice("inquiry", "faceTemplate", "balance")
        head = {"inResponseTo": found.id, "transactionId": identity, "inquiry": inquiry}
        if inquiry == "balance":
            return {**head, **self._balance(found, identity, now)}
        verdict, template = self._template(found, self._card(found, identity), now)
        answer = verdict.fields(self._keys)
        del answer["iccRelatedData"], answer["actions"]
        return {**head, **answer, **template}

    def _card(self, found: Envelope, identity: str) -> Card | None:
        return self._verifier.card(self._verifier.open_card(found.data.object("protectedCardData").values, identity))

    def _balance(self, found: Envelope, identity: str, now: datetime) -> dict[str, Any]:
        """Kept as a withdrawal's answer is: a message that the broker delivers twice costs one PIN try."""
        attempt = found.data.whole("attempt", 1, 99)
        answer = self._inbox.answered("balance", identity, attempt, found.data.values)
        if answer is not None:
            return answer
        card = self._card(found, identity)
        verdict = self._balance_verdict(found, card, identity, now)
        answer = {"attempt": attempt, **verdict.fields(self._keys)}
        if not verdict.reason and card:
            answer["balance"] = Amount(self._ledger.available(card.account), self._cast.currency).as_json()
        self._inbox.keep_answer("balance", identity, attempt, found.data.values, answer)
        return answer

    def _balance_verdict(self, found: Envelope, card: Card | None, identity: str, now: datetime) -> Verdict:
        """Behind card and PIN, as money is: a card number alone shows nobody's balance."""
        block = pin_block(found.data)
        field55 = found.data.hex("iccRelatedData", 1, 1024)
        return Verdict("unknownCard") if card is None else self._verifier.card_and_pin(card, block, field55, identity, now)

    def _template(self, found: Envelope, card: Card | None, now: datetime) -> tuple[Verdict, dict[str, Any]]:
        try:
            recipient = public_from_hex(found.data.values.get("recipientKey"), "data.recipientKey")
        except SealedBoxError as error:
            raise Malformed(str(error)) from None
        if card is None:
            return Verdict("unknownCard"), {}
        standing = self._verifier.card_standing(card, now)
        if standing:
            return standing, {}
        template = self._faces.deliver(card.customer, recipient, found.terminal, now)
        return (Verdict(""), {"template": template}) if template else (Verdict("noTemplate"), {})
