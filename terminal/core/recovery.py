"""From the journal's last entries back to what the terminal knows: units, latch, an open transaction.

Pure: the agent reads the entries since the last checkpoint (`checkpoint` or `transactionSettled`, itself included) and hands them in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from terminal.core.cash import Accounts, Accuracy, CashUnit, DispenserResult, UnitResult, Units
from terminal.core.model import Latch, OpenDispense
from terminal.core.values import as_dict

UNKNOWN_CASSETTES = (0, 0, 0, 0)
CHECKPOINTS = ("checkpoint", "transactionSettled")


class JournalLine(Protocol):
    """What recovery reads of a journal entry."""

    @property
    def kind(self) -> str: ...
    @property
    def transaction_id(self) -> str | None: ...
    @property
    def data(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction that the bank may know of, that moved no cash, and that was not settled."""

    transaction_id: str
    amount_minor: int
    card_data: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the journal says at start. `first_start` when there is no checkpoint yet."""

    first_start: bool = True
    units: Units = ()
    latch: Latch | None = None
    last_transaction: int = 0
    closed_by_operator: bool = False
    accounts: Accounts = None
    open_transaction: OpenTransaction | None = None
    open_dispense: OpenDispense | None = None


def recover(lines: Iterable[JournalLine]) -> Recovered:
    """Fold the entries since the last checkpoint."""
    first_start, last, closed = True, 0, False
    units: Units = ()
    latch: Latch | None = None
    accounts: Accounts = None
    open_transaction: OpenTransaction | None = None
    open_dispense: OpenDispense | None = None
    for line in lines:
        data, transaction_id = line.data, line.transaction_id or ""
        if line.kind in CHECKPOINTS:
            first_start, units, latch, last = False, units_from_json(data["units"]), latch_from_json(data["latch"]), data["lastTransaction"]
            open_transaction = open_dispense = None
            closed = data.get("closedByOperator", False)  # not in journals of earlier versions, nor the next one
            accounts = accounts_from_json(data.get("accounts"))
        elif line.kind in ("serviceLeft", "serviceEntered"):
            closed = line.kind == "serviceLeft"
        elif line.kind in ("transactionStarted", "faceServiceStarted"):
            last = max(last, data["number"])
        elif line.kind == "authorisationRequested":
            open_transaction = OpenTransaction(transaction_id, data["amountMinor"], "")
        elif line.kind == "cardConfirmed" and open_transaction is not None:
            open_transaction = OpenTransaction(transaction_id, open_transaction.amount_minor, data["cardData"])
        elif line.kind == "authorisationDeclined":
            open_transaction = None
        elif line.kind == "dispenseIntended":
            open_dispense = OpenDispense(
                transaction_id,
                data["amountMinor"],
                tuple(data["quantities"]),
                result_from_json(data["baseline"]),
                accounts_from_json(data.get("earlier")),
                tuple(data.get("cassettes", UNKNOWN_CASSETTES)),  # not in journals of earlier versions
                data["cardData"],
            )
            open_transaction = None
    return Recovered(first_start, units, latch, last, closed, accounts, open_transaction, open_dispense)


# --- values <-> JSON, with names as everywhere outside the code


def units_to_json(units: Units) -> list[dict[str, Any]]:
    return [as_dict(unit) for unit in units]


def units_from_json(data: Sequence[Mapping[str, Any]]) -> Units:
    return tuple(CashUnit(**{**unit, "accuracy": Accuracy(unit["accuracy"])}) for unit in data)


def latch_to_json(latch: Latch | None) -> dict[str, str] | None:
    return None if latch is None else {"reason": latch.reason, "transactionId": latch.transaction_id}


def latch_from_json(data: Mapping[str, str] | None) -> Latch | None:
    return None if data is None else Latch(data["reason"], data["transactionId"])


def result_to_json(result: DispenserResult) -> dict[str, Any]:
    return {
        "command": result.command,
        "error": result.error,
        "errorName": result.error_name,
        "missing": result.missing,
        "presented": [unit.presented for unit in result.units],
        "rejected": [unit.rejected for unit in result.units],
        "counted": list(result.counted),
    }


def result_from_json(data: Mapping[str, Any]) -> DispenserResult:
    units = tuple(UnitResult(p, r) for p, r in zip(data["presented"], data["rejected"], strict=True))
    return DispenserResult(data["command"], data["error"], data["errorName"], data["missing"], units, tuple(data.get("counted", ())))


def accounts_to_json(accounts: Accounts) -> list[dict[str, Any]] | None:
    return None if accounts is None else [result_to_json(one) for one in accounts]


def accounts_from_json(data: Sequence[Mapping[str, Any]] | None) -> Accounts:
    return None if data is None else tuple(result_from_json(one) for one in data)
