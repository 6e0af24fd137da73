"""A double-entry ledger with holds, in integer minor units of one currency.

A posting above zero credits an account, below zero debits it; the postings of an entry sum to zero, so all accounts together do too.
Customers' accounts are what the bank owes them. ``cash:{terminal}`` is the clearing account of the notes in one terminal: it is
credited by what the terminal presented. ``suspense`` carries cash that nobody was authorised to get. ``funding`` is the other side of
opening balances. The balance kept with an account is written with its postings; `check` recomputes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from simulators.bank.messages import utc_text
from simulators.bank.store import Store

SUSPENSE = "suspense"
FUNDING = "funding"


class Unbalanced(Exception):
    """An entry whose postings do not sum to zero: a bug of the bank, refused before it is booked."""


def cash_account(terminal: str) -> str:
    return f"cash:{terminal}"


class Ledger:
    """Every verb runs inside the caller's transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def open_account(self, name: str, kind: str) -> bool:
        """False when it was open already."""
        return self._store.execute("INSERT INTO account (name, kind) VALUES (?, ?) ON CONFLICT DO NOTHING", name, kind).rowcount == 1

    def book(self, kind: str, transaction_id: str | None, postings: Mapping[str, int], now: datetime) -> None:
        """One entry. `settlement` is possible once for a transaction (a unique index stands behind this)."""
        if sum(postings.values()) != 0 or not postings:
            raise Unbalanced(f"{kind} of {transaction_id}: {dict(postings)}")
        cursor = self._store.execute(
            "INSERT INTO entry (transaction_id, kind, booked_at) VALUES (?, ?, ?)", transaction_id, kind, utc_text(now)
        )
        for account, minor in postings.items():
            self._store.execute("INSERT INTO posting (entry, account, amount_minor) VALUES (?, ?, ?)", cursor.lastrowid, account, minor)
            self._store.execute("UPDATE account SET balance_minor = balance_minor + ? WHERE name = ?", minor, account)

    def balance(self, account: str) -> int:
        return self._store.number("SELECT balance_minor FROM account WHERE name = ?", account)

    def held(self, account: str) -> int:
        return self._store.number("SELECT sum(amount_minor) FROM hold WHERE account = ?", account)

    def available(self, account: str) -> int:
        return self.balance(account) - self.held(account)

    def hold(self, transaction_id: str, account: str, minor: int, now: datetime) -> None:
        self._store.execute("INSERT INTO hold VALUES (?, ?, ?, ?)", transaction_id, account, minor, utc_text(now))

    def release(self, transaction_id: str) -> None:
        """Nothing happens when nothing is held."""
        self._store.execute("DELETE FROM hold WHERE transaction_id = ?", transaction_id)

    def check(self) -> list[str]:
        """What is wrong with the books, in sentences; empty when they are balanced."""
        wrong = [
            f"entry {row['entry']} is out by {row['total']}"
            for row in self._store.rows("SELECT entry, sum(amount_minor) AS total FROM posting GROUP BY entry HAVING total <> 0")
        ]
        wrong += [
            f"account {row['name']} shows {row['balance_minor']}, its postings say {row['total']}"
            for row in self._store.rows(
                "SELECT name, balance_minor, (SELECT coalesce(sum(amount_minor), 0) FROM posting WHERE account = name) AS total"
                " FROM account WHERE balance_minor <> total"
            )
        ]
        return wrong
