"""What a person sees of the bank, as plain JSON: accounts, transactions, discrepancies, refusals, terminals."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from simulators.bank.host import BankHost
from simulators.bank.ledger import FUNDING

ACCOUNTS = (
    "SELECT name, kind, balance_minor, coalesce((SELECT sum(amount_minor) FROM hold WHERE account = name), 0) AS held_minor FROM account"
)
TRANSACTIONS = (
    "SELECT transaction_id, terminal, status, reason, account, last_four, attempt, requested_minor, presented_minor, reconciled, face,"
    " opened_at, changed_at FROM withdrawal"
)


class Books:
    """Reads, and the two corrections that an operator may make. The caller holds no transaction."""

    def __init__(self, host: BankHost) -> None:
        self._host = host
        self._store = host.store

    def accounts(self) -> list[dict[str, Any]]:
        return [self._with_available(row) for row in self._store.rows(f"{ACCOUNTS} ORDER BY name")]

    def account(self, name: str) -> dict[str, Any]:
        rows = self._store.rows(f"{ACCOUNTS} WHERE name = ?", name)
        if not rows:
            raise ValueError(f"no account {name}")
        return self._with_available(rows[0])

    @staticmethod
    def _with_available(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "available_minor": row["balance_minor"] - row["held_minor"]}

    def transactions(self, most: int) -> list[dict[str, Any]]:
        """The newest first."""
        return self._store.rows(f"{TRANSACTIONS} ORDER BY changed_at DESC, rowid DESC LIMIT ?", most)

    def transaction(self, identity: str) -> dict[str, Any]:
        rows = self._store.rows(f"{TRANSACTIONS} WHERE transaction_id = ?", identity)
        if not rows:
            raise ValueError(f"no transaction {identity}")
        postings = self._store.rows(
            "SELECT kind, account, amount_minor, booked_at FROM posting JOIN entry ON entry.id = posting.entry WHERE transaction_id = ?"
            " ORDER BY posting.rowid",
            identity,
        )
        found = self._store.rows("SELECT at, kind, detail FROM discrepancy WHERE transaction_id = ? ORDER BY id", identity)
        return {**rows[0], "postings": postings, "discrepancies": found}

    def discrepancies(self, most: int = 100) -> list[dict[str, Any]]:
        return self._store.rows("SELECT at, transaction_id, kind, detail FROM discrepancy ORDER BY id DESC LIMIT ?", most)

    def refusals(self, most: int = 100) -> list[dict[str, Any]]:
        return self._store.rows("SELECT at, base, leaf, message_id, reason, digest FROM refusal ORDER BY id DESC LIMIT ?", most)

    def terminals(self) -> list[dict[str, Any]]:
        rows = self._store.rows("SELECT base, state, since, last_seen, telemetry FROM terminal ORDER BY base")
        acknowledged = self._store.rows("SELECT terminal, class, epoch, upto FROM acknowledged ORDER BY terminal, class, epoch")
        for row in rows:
            row["telemetry"] = json.loads(row["telemetry"])
            name = row["base"].rsplit("/", 1)[1]
            row["acknowledged"] = [{k: v for k, v in ack.items() if k != "terminal"} for ack in acknowledged if ack["terminal"] == name]
        return rows

    def messages(self, kind: str, most: int) -> list[dict[str, Any]]:
        """Numbered messages of one class (`txn`, `audit`, `alarm`), the newest last."""
        rows = self._store.rows(
            "SELECT terminal, epoch, seq, type, time, received_at, data FROM inbox WHERE class = ? ORDER BY received_at DESC, epoch DESC,"
            " seq DESC LIMIT ?",
            kind,
            most,
        )
        return [{**row, "data": json.loads(row["data"])} for row in reversed(rows)]

    def set_balance(self, account: str, minor: int, now: datetime) -> dict[str, Any]:
        """By an entry against `funding`: also a correction is booked."""
        if isinstance(minor, bool) or not isinstance(minor, int):
            raise ValueError("minor must be an integer")
        if self.account(account)["kind"] != "customer":
            raise ValueError(f"{account} is not a customer's account")
        with self._store.transaction():
            change = minor - self._host.ledger.balance(account)
            if change:
                self._host.ledger.book("adjustment", None, {FUNDING: -change, account: change}, now)
        return self.account(account)

    def reset(self, now: datetime) -> None:
        """Opening balances again, no transactions; the terminals' numbering and what was received stay."""
        with self._store.transaction():
            self._store.forget_money()
            self._host.open_accounts(now)
