"""`branch-terminal cash show|reconcile`: the counters, and the one way in which a latched cash-out is opened again.

A person has counted the notes that the customer of a doubtful transaction got. The agent must not be running: the store has one owner.
"""

from __future__ import annotations

import json

from terminal.adapters.journal import Entry
from terminal.adapters.outbox import Outgoing
from terminal.adapters.store import Store
from terminal.compose import open_store, recovered_from
from terminal.config import Config, ConfigError
from terminal.core.model import State
from terminal.core.recovery import latch_to_json, units_to_json
from terminal.core.settling import reconcile


def show(config: Config) -> int:
    """Units and latch as JSON."""
    store = open_store(config)
    try:
        known = recovered_from(store, config)
    finally:
        store.close()
    print(json.dumps({"units": units_to_json(known.units), "latch": latch_to_json(known.latch)}, indent=1))
    return 0


def settle_doubt(config: Config, transaction_id: str, presented_minor: int, by: str) -> int:
    """Journal who counted what, open the latch, and tell the bank (the advice waits in the outbox for the next start)."""
    store = open_store(config)
    try:
        known = recovered_from(store, config)
        if known.latch is None:
            raise ConfigError("cash-out is not latched: there is nothing to reconcile")
        if known.latch.transaction_id != transaction_id:
            raise ConfigError(f"the transaction in doubt is {known.latch.transaction_id}, not {transaction_id}")
        requested_minor = _requested_minor(store, transaction_id)
        if not 0 <= presented_minor <= requested_minor or presented_minor % 100:
            raise ConfigError(f"--presented-minor must be whole currency units from 0 to {requested_minor}")
        state = State(config.core(), units=known.units, latch=known.latch, last_transaction=known.last_transaction)
        _, record = reconcile(state, requested_minor, presented_minor, by)
        store.append(
            [Entry(one.kind, one.transaction_id, one.data) for one in record.entries],
            [Outgoing(one.klass, "txn", one.type, one.data) for one in record.outgoing],
        )
    finally:
        store.close()
    print(f"{transaction_id}: reconciled, {presented_minor} minor units presented; cash-out is open again at the next start")
    return 0


def _requested_minor(store: Store, transaction_id: str) -> int:
    doubtful = [
        entry for entry in store.entries(kinds=["transactionSettled"], transaction_id=transaction_id) if entry.data["status"] == "DOBT"
    ]
    return int(doubtful[-1].data["requestedMinor"])
