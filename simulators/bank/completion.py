"""ATMWithdrawalCompletionAdvice: what the customer got, booked once, whatever order, number or delay the advices come in.

==============  ==========================  ===========================  =====================================
the bank knows  SCSS                        FAIL                         DOBT
==============  ==========================  ===========================  =====================================
nothing         suspense pays, discrepancy  closed (`released`)          in doubt, nothing held
declined        suspense pays, discrepancy  `released`                   in doubt, nothing held, discrepancy
authorised      the account pays            `released`, hold gone        in doubt, hold stays
in doubt        only with `reconciles`      only with `reconciles`       -
final           the same: -; else discrepancy, the first one stands      - after a correction, else discrepancy
==============  ==========================  ===========================  =====================================

An advice that contradicts itself (FAIL with cash presented, SCSS with none) tells nothing: it counts as DOBT and is a discrepancy.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime

from simulators.bank.cards import Cast
from simulators.bank.inbox import Inbox
from simulators.bank.keys import BankKeys
from simulators.bank.ledger import SUSPENSE, Ledger, cash_account
from simulators.bank.messages import Advice, Amount, Envelope, Malformed, completion_advice, utc_text
from simulators.bank.store import Store
from simulators.crypto.ber import objects
from simulators.crypto.emv import verify_tc

FINAL = {"SCSS": "settled", "FAIL": "released"}


class Completion:
    """Runs inside the caller's transaction."""

    def __init__(self, store: Store, cast: Cast, keys: BankKeys) -> None:
        self._store = store
        self._cast = cast
        self._keys = keys
        self._ledger = Ledger(store)
        self._inbox = Inbox(store)

    def apply(self, found: Envelope, day: str, now: datetime) -> None:
        """Malformed when the advice cannot be read; every other surprise is a discrepancy."""
        advice = completion_advice(found)
        for name, money in (("requestedAmount", advice.requested), ("presentedAmount", advice.presented)):
            if money and money.currency != self._cast.currency:
                raise Malformed(f"data.{name}.currency: this bank keeps {self._cast.currency}")
        row = self._row(advice, found.terminal, day, now)
        status = advice.status
        contradiction = self._contradiction(advice)
        if contradiction:
            self._inbox.discrepancy(advice.transaction_id, "contradictoryAdvice", contradiction, now)
            status = "DOBT"
        if row["status"] in FINAL.values():
            self._after_the_end(row, advice, status, now)
        elif row["status"] == "inDoubt":
            self._while_in_doubt(row, advice, status, now)
        elif status == "DOBT":
            if row["status"] != "authorised" and row["status"] != "new":
                self._inbox.discrepancy(advice.transaction_id, "doubtWithoutAuthorisation", f"the bank had {row['status']}", now)
            self._change(advice, "inDoubt", None, now)
        else:
            self._finish(row, advice, status, now)

    def _row(self, advice: Advice, terminal: str, day: str, now: datetime) -> sqlite3.Row:
        """The transaction, opened as `new` when its advice comes first: from then on no request for it can be approved."""
        at = utc_text(now)
        self._store.execute(
            "INSERT INTO withdrawal (transaction_id, terminal, status, day, opened_at, changed_at) VALUES (?,?,'new',?,?,?)"
            " ON CONFLICT DO NOTHING",
            advice.transaction_id,
            terminal,
            day,
            at,
            at,
        )
        row = self._store.one("SELECT * FROM withdrawal WHERE transaction_id = ?", advice.transaction_id)
        assert row is not None
        return row

    @staticmethod
    def _contradiction(advice: Advice) -> str:
        minor = advice.presented.minor if advice.presented else 0
        if advice.status == "FAIL" and (minor or advice.presented_flag in ("FULL", "PART") or advice.notes_minor):
            return "FAIL, and yet cash presented"
        if advice.status == "SCSS" and (not minor or advice.presented_flag == "NONE"):
            return "SCSS, and yet no amount presented"
        return ""

    def _after_the_end(self, row: sqlite3.Row, advice: Advice, status: str, now: datetime) -> None:
        if status == "DOBT":
            if not row["reconciled"]:
                self._inbox.discrepancy(advice.transaction_id, "doubtAfterTheEnd", f"the bank has {row['status']}", now)
            return
        minor = advice.presented.minor if advice.presented else 0
        if FINAL[status] != row["status"] or (status == "SCSS" and minor != row["presented_minor"]):
            detail = f"first {row['status']} {row['presented_minor'] or 0}, then {status} {minor}: the first one stands"
            self._inbox.discrepancy(advice.transaction_id, "conflictingAdvice", detail, now)

    def _while_in_doubt(self, row: sqlite3.Row, advice: Advice, status: str, now: datetime) -> None:
        if status == "DOBT":
            return
        if advice.reconciles:
            self._finish(row, advice, status, now)
        else:
            self._inbox.discrepancy(advice.transaction_id, "unreconciledAdvice", f"{status} without `reconciles` after DOBT", now)

    def _finish(self, row: sqlite3.Row, advice: Advice, status: str, now: datetime) -> None:
        minor = advice.presented.minor if status == "SCSS" and advice.presented else 0
        if minor:
            self._check_amounts(row, advice, minor, now)
            held = self._store.one("SELECT account FROM hold WHERE transaction_id = ?", advice.transaction_id)
            if held is None:
                detail = f"{minor} presented; the bank had {row['status']}"
                self._inbox.discrepancy(advice.transaction_id, "presentedWithoutAuthorisation", detail, now)
            payer = held["account"] if held else SUSPENSE
            cash = cash_account(row["terminal"])
            self._ledger.open_account(cash, "terminalCash")
            self._ledger.book("settlement", advice.transaction_id, {payer: -minor, cash: minor}, now)
            if self._ledger.balance(payer) < 0 and payer != SUSPENSE:
                self._inbox.discrepancy(advice.transaction_id, "overdrawn", f"account {payer} by {-self._ledger.balance(payer)}", now)
        self._check_cryptogram(row, advice, status, now)
        self._ledger.release(advice.transaction_id)
        self._change(advice, FINAL[status], minor, now)

    def _check_amounts(self, row: sqlite3.Row, advice: Advice, minor: int, now: datetime) -> None:
        """What was presented is booked in any case; what does not fit is told."""
        asked = row["requested_minor"] if row["requested_minor"] is not None else advice.requested.minor if advice.requested else None
        found: list[tuple[str, str]] = []
        if asked is not None and minor > asked:
            found.append(("presentedMoreThanRequested", f"presented {minor}, requested {asked}"))
        if advice.notes_minor is not None and advice.notes_minor != minor:
            found.append(("notesDoNotAddUp", f"presented {minor}, the notes make {advice.notes_minor}"))
        if advice.requested and asked is not None and advice.requested.minor != asked:
            found.append(("requestedAmountDiffers", f"the advice says {advice.requested.minor}, the request said {asked}"))
        if asked is not None and advice.presented_flag and (advice.presented_flag == "FULL") != (minor == asked):
            found.append(("presentedFlagDiffers", f"{advice.presented_flag}, and {minor} of {asked} presented"))
        for kind, detail in found:
            self._inbox.discrepancy(advice.transaction_id, kind, detail, now)

    def _check_cryptogram(self, row: sqlite3.Row, advice: Advice, status: str, now: datetime) -> None:
        """The final cryptogram, if one came: a TC for cash (EMV Book 3, 10.8). It proves or disproves, it does not move money."""
        if not advice.field55 or row["card"] is None or row["field55"] is None:
            return
        card = next((card for card in self._cast.cards.values() if card.token == row["card"]), None)
        try:
            kind = "TC" if objects(advice.field55).get("9F27", b"\x00")[:1] == b"\x40" else "AAC"
        except ValueError as error:
            self._inbox.discrepancy(advice.transaction_id, "invalidFinalCryptogram", str(error), now)
            return
        if card:
            check = verify_tc(row["field55"], advice.field55, card.pan, card.sequence, self._keys.issuer, kind)
            if not check.ok:
                self._inbox.discrepancy(advice.transaction_id, "invalidFinalCryptogram", check.reason, now)
        if kind == "AAC" and status == "SCSS":
            self._inbox.discrepancy(advice.transaction_id, "presentedAfterCardDeclined", "the card's last word was AAC", now)

    def _change(self, advice: Advice, status: str, minor: int | None, now: datetime) -> None:
        requested: Amount | None = advice.requested
        self._store.execute(
            "UPDATE withdrawal SET status=?, reason=CASE WHEN ?<>'' THEN ? ELSE reason END, presented_minor=?, reconciled=?,"
            " requested_minor=coalesce(requested_minor, ?), changed_at=? WHERE transaction_id=?",
            status,
            advice.failure_reason,
            advice.failure_reason,
            minor,
            int(advice.reconciles),
            requested.minor if requested else None,
            utc_text(now),
            advice.transaction_id,
        )
