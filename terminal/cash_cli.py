"""`branch-terminal cash show|reconcile|release|exchange`: the counters, and the ways in which a person sets them right.

Each of them is journalled with who did it. The agent must not be running: the store has one owner.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from terminal.adapters.journal import Entry
from terminal.adapters.outbox import Outgoing
from terminal.adapters.store import Store
from terminal.compose import open_store, recovered_from
from terminal.config import Config, ConfigError
from terminal.core.commands import Record
from terminal.core.model import State
from terminal.core.recovery import latch_to_json, units_to_json
from terminal.core.settling import exchange, reconcile, release

MOST_NOTES = 5000
Change = Callable[[State, Store], tuple[State, Record]]
Opened = Callable[[Config], Store]


def show(config: Config) -> int:
    """Units and latch as JSON."""
    return _with_state(config, None)


def settle_doubt(config: Config, transaction_id: str, presented_minor: int, by: str, opened: Opened = open_store) -> int:
    """The notes of a doubtful transaction were counted: the latch opens, the bank hears it (the advice waits in the outbox)."""

    def change(state: State, store: Store) -> tuple[State, Record]:
        if state.latch is None or state.latch.reason != "outcomeUnknown":
            raise ConfigError("no transaction is in doubt: there is nothing to reconcile")
        if state.latch.transaction_id != transaction_id:
            raise ConfigError(f"the transaction in doubt is {state.latch.transaction_id}, not {transaction_id}")
        requested_minor = _requested_minor(store, transaction_id)
        most = max(requested_minor, state.config.max_notes * max(unit.denomination_minor for unit in state.config.units))
        if not 0 <= presented_minor <= most or presented_minor % 100:  # more than was asked for may have left: that is one of the doubts
            raise ConfigError(f"--presented-minor must be whole currency units from 0 to {most}")
        return reconcile(state, requested_minor, presented_minor, by)

    return _with_state(config, change, opened)


def release_dispenser(config: Config, by: str, opened: Opened = open_store) -> int:
    """After a fault that left notes on the path: somebody has looked and cleared it."""
    return _with_state(config, lambda state, _: release(state, by), opened)


def exchange_unit(config: Config, unit: str, count: int, by: str, opened: Opened = open_store) -> int:
    """A cassette was replaced by one with that many counted notes."""
    if not 0 <= count <= MOST_NOTES:
        raise ConfigError(f"--count must be 0 to {MOST_NOTES}")
    return _with_state(config, lambda state, _: exchange(state, unit, count, by), opened)


def _with_state(config: Config, change: Change | None, opened: Opened = open_store) -> int:
    """What the journal says, changed and journalled; printed as it is afterwards."""
    if not config.terminal.store.exists():
        raise ConfigError(f"{config.terminal.store}: there is no journal yet")
    store = opened(config)
    try:
        known = recovered_from(store, config)
        if known.first_start:
            raise ConfigError("the terminal has not been in service yet: there are no counters")
        if known.open_dispense is not None or known.open_transaction is not None:
            raise ConfigError("a transaction is open: start the terminal, so that it asks the dispenser, before anything is set by hand")
        state = State(
            config.core(),
            units=known.units,
            latch=known.latch,
            last_transaction=known.last_transaction,
            accounts=known.accounts,
            closed_by_operator=known.closed_by_operator,
        )
        if change is not None:
            state, record = change(state, store)
            store.append(
                [Entry(one.kind, one.transaction_id, one.data) for one in record.entries],
                [Outgoing(one.klass, "txn", one.type, one.data) for one in record.outgoing],
            )
    finally:
        store.close()
    print(json.dumps({"units": units_to_json(state.units), "latch": latch_to_json(state.latch)}, indent=1))
    return 0


def _requested_minor(store: Store, transaction_id: str) -> int:
    doubtful = [
        entry for entry in store.entries(kinds=["transactionSettled"], transaction_id=transaction_id) if entry.data["status"] == "DOBT"
    ]
    if not doubtful:
        raise ConfigError(f"{transaction_id} is not in doubt")
    return int(doubtful[-1].data["requestedMinor"])
