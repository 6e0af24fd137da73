"""ATMWithdrawalRequest -> ATMWithdrawalResponse: one decision for a (transactionId, attempt), kept with its effect."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from simulators.bank.cards import Card, Cast
from simulators.bank.inbox import Inbox
from simulators.bank.keys import BankKeys
from simulators.bank.ledger import Ledger
from simulators.bank.messages import Amount, Envelope, Malformed, WithdrawalRequest, utc_text, withdrawal_request
from simulators.bank.store import Store
from simulators.bank.verify import Verdict, Verifier
from simulators.crypto.ber import objects
from simulators.crypto.emv import script_command, script_template


@dataclass(slots=True)
class Planned:
    """Decisions that a test or a demonstration has asked for, each used once."""

    declines: deque[Verdict] = field(default_factory=deque)
    scripts: deque[tuple[str, str]] = field(default_factory=deque)
    risky: set[str] = field(default_factory=set)
    """Accounts whose withdrawals need the face beside card and PIN, whatever the amount."""


class Authorisation:
    """Runs inside the caller's transaction."""

    def __init__(self, store: Store, cast: Cast, keys: BankKeys, planned: Planned) -> None:
        self._store = store
        self._cast = cast
        self._keys = keys
        self._planned = planned
        self._ledger = Ledger(store)
        self._inbox = Inbox(store)
        self._verifier = Verifier(store, cast, keys)

    def respond(self, found: Envelope, now: datetime) -> dict[str, Any]:
        """The data of the response. A repeated request gets the stored one; Malformed when the key comes with another content."""
        request = withdrawal_request(found)
        if request.amount.currency != self._cast.currency:
            raise Malformed(f"data.amount.currency: this bank keeps {self._cast.currency}")
        key = ("withdrawal", request.transaction_id, request.attempt)
        answer = self._inbox.answered(*key, found.data.values)
        if answer is None:
            answer = self._decide_new(request, found.terminal, now)
            self._inbox.keep_answer(*key, found.data.values, answer)
        return {"inResponseTo": found.id, **answer}

    def _decide_new(self, request: WithdrawalRequest, terminal: str, now: datetime) -> dict[str, Any]:
        before = self._store.one("SELECT * FROM withdrawal WHERE transaction_id=?", request.transaction_id)
        head = {"transactionId": request.transaction_id, "attempt": request.attempt}
        clear = self._verifier.open_card(request.box, request.transaction_id)
        card = self._verifier.card(clear)
        if before and not (before["status"] in ("pinRetry", "faceRetry") and request.attempt > before["attempt"]):
            if before["account"] is None and before["status"] in ("settled", "inDoubt") and card:
                detail = f"the request came after the advice; the card belongs to account {card.account}"
                self._inbox.discrepancy(request.transaction_id, "cardOfUnauthorisedCash", detail, now)
            return {**head, **Verdict("transactionClosed").fields(self._keys)}
        verdict = self._judge(request, card, now)
        scripts = self._scripts(verdict)
        self._record(request, terminal, card, verdict, now)
        answer = {**head, **verdict.fields(self._keys, scripts)}
        if not verdict.reason and card:
            self._ledger.hold(request.transaction_id, card.account, request.amount.minor, now)
            answer["authorisationCode"] = self._keys.authorisation_code(request.transaction_id, request.attempt)
            answer["balance"] = Amount(self._ledger.available(card.account), self._cast.currency).as_json()
        return answer

    def _judge(self, request: WithdrawalRequest, card: Card | None, now: datetime) -> Verdict:
        self._same_amount(request)
        if card is None:
            return Verdict("unknownCard")
        verdict = self._verifier.cryptogram(card, request.field55, request.transaction_id)
        if verdict.reason:
            return verdict
        if self._planned.declines:
            return replace(self._planned.declines.popleft(), check=verdict.check)
        standing = self._verifier.card_standing(card, now)
        if standing:
            return replace(standing, check=verdict.check)
        verdict = self._verifier.pin(card, (request.pin_format, request.pin_block, request.ksn), verdict.check)
        if verdict.reason:
            return verdict
        verdict = replace(verdict, reason=self._money(request, card, now))
        if not verdict.reason and card.account in self._planned.risky and request.face != "accepted":
            return replace(verdict, reason="authenticationRequired", actions=("CHDA",))
        return verdict

    def _money(self, request: WithdrawalRequest, card: Card, now: datetime) -> str:
        limits = self._cast.limits
        used = self._store.number(
            "SELECT sum(CASE status WHEN 'settled' THEN presented_minor ELSE requested_minor END) FROM withdrawal"
            " WHERE account = ? AND day = ? AND status IN ('authorised', 'inDoubt', 'settled')",
            card.account,
            self.day(now),
        )
        if request.amount.minor > limits.per_transaction_minor or used + request.amount.minor > limits.per_day_minor:
            return "limitExceeded"
        return "insufficientFunds" if request.amount.minor > self._ledger.available(card.account) else ""

    def day(self, now: datetime) -> str:
        return (now + timedelta(hours=self._cast.limits.day_offset_hours)).date().isoformat()

    def _same_amount(self, request: WithdrawalRequest) -> None:
        """The card must have signed what the terminal asks for."""
        try:
            values = objects(request.field55)
        except ValueError as error:
            raise Malformed(f"data.iccRelatedData: {error}") from None
        if values.get("9F02", b"").hex() != f"{request.amount.minor:012d}":
            raise Malformed("data.iccRelatedData: 9F02 is not the amount of the request")
        if values.get("5F2A") != self._cast.numeric_currency:
            raise Malformed("data.iccRelatedData: 5F2A is not the currency of the request")
        if any(tag in values for tag in ("57", "5A", "9F6B")):
            raise Malformed("data.iccRelatedData: a card number travels in protectedCardData only")

    def _scripts(self, verdict: Verdict) -> bytes:
        if not self._planned.scripts or verdict.check is None or not verdict.check.ok:
            return b""
        tag, header = self._planned.scripts.popleft()
        return script_template(tag, b"\x00\x00\x00\x01", [script_command(verdict.check, header)])

    def _record(self, request: WithdrawalRequest, terminal: str, card: Card | None, verdict: Verdict, now: datetime) -> None:
        status = {"": "authorised", "incorrectPin": "pinRetry", "authenticationRequired": "faceRetry"}.get(verdict.reason, "declined")
        row: Mapping[str, Any] = {
            "transaction_id": request.transaction_id,
            "terminal": terminal,
            "status": status,
            "reason": verdict.reason,
            "account": card.account if card else None,
            "card": card.token if card else None,
            "last_four": card.last_four if card else None,
            "attempt": request.attempt,
            "requested_minor": request.amount.minor,
            "face": request.face,
            "field55": request.field55,
            "day": self.day(now),
            "opened_at": utc_text(now),
            "changed_at": utc_text(now),
        }
        names = ", ".join(row)
        changes = ", ".join(f"{name} = excluded.{name}" for name in row if name not in ("transaction_id", "opened_at"))
        self._store.execute(
            f"INSERT INTO withdrawal ({names}) VALUES ({', '.join('?' * len(row))}) ON CONFLICT DO UPDATE SET {changes}", *row.values()
        )
