"""A terminal's store in a folder, at noon, empty or with a few entries and messages in it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drivers.secret import Secret
from terminal.adapters.journal import Entry
from terminal.adapters.outbox import Outgoing
from terminal.adapters.store import Store

NOON = datetime(2026, 11, 22, 12, 0, 0, 123_000, tzinfo=UTC)
HEAD_KEY = Secret(bytes(range(32)))


def open_store(folder: Path, **options: Any) -> Store:
    return Store.open(folder / "t.sqlite", "T0001", "B001", **{"wall_clock": lambda: NOON, **options})


def filled(folder: Path, number: int = 6, **options: Any) -> Path:
    store = open_store(folder, **options)
    for index in range(number):
        advice = Outgoing("txn", "txn", "ATMWithdrawalCompletionAdvice", {"transactionId": f"T0001-{index:08d}"})
        store.append([Entry("dispensed", f"T0001-{index:08d}", {"minor": 100 * index})], [advice])
    store.close()
    return folder / "t.sqlite"
