"""`branch-terminal cash`: a person who has counted tells the terminal, and what he says is checked, journalled and goes to the bank."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from core_ways import DENOMINATIONS, ID, TO_CASH, TO_DISPENSING, account, dispensed, idle, time_out

from terminal.adapters.journal import Entry
from terminal.adapters.store import Store
from terminal.cash_cli import exchange_unit, release_dispenser, settle_doubt, show
from terminal.config import (
    BankSection,
    CardSection,
    CashSection,
    Config,
    ConfigError,
    PinPadSection,
    PrinterSection,
    SerialSection,
    TerminalSection,
    UnitSection,
)

IN_DOUBT = [*TO_DISPENSING, dispensed(account(2, 0, 0, 0, error=0x07)), time_out]
JAMMED = [*TO_DISPENSING, dispensed(account(1, 0, 0, 0, error=0x03)), time_out]


def after(folder: Path, *story: object) -> Config:
    """A terminal whose journal is that of the story."""
    here = folder / "nowhere"
    units = tuple(UnitSection(str(number), minor, 100) for number, minor in enumerate(DENOMINATIONS, 1))
    config = Config(
        TerminalSection("T0001", "B001", folder / "terminal.sqlite"),
        BankSection("mqtt://127.0.0.1:1883", here),
        CashSection((10_000, 20_000), 300_000, units),
        SerialSection(here),
        CardSection(here),
        PinPadSection(here),
        PrinterSection(here),
    )
    played = idle()
    for event in story:
        played >> event
    store = Store.open(config.terminal.store, "T0001", "B001")
    store.append([Entry(one.kind, one.transaction_id, one.data) for one in played.journal])
    store.close()
    return config


def told(config: Config) -> list[dict[str, object]]:
    """What waits for the bank."""
    store = Store.open(config.terminal.store, "T0001", "B001")
    rows = store._database.execute("SELECT payload FROM outbox ORDER BY seq").fetchall()
    store.close()
    return [json.loads(row[0])["data"] for row in rows]


@pytest.mark.parametrize(
    ("minor", "status", "presented"), [(0, "FAIL", "NONE"), (10_000, "SCSS", "PART"), (20_000, "SCSS", "FULL"), (30_000, "SCSS", None)]
)
def test_a_doubt_ends_with_what_was_counted(tmp_path: Path, minor: int, status: str, presented: str | None) -> None:
    """More than was asked for may have left, too: that the counts could not be is one of the reasons for a doubt."""
    config = after(tmp_path, IN_DOUBT)
    assert settle_doubt(config, ID, minor, "two people") == 0
    [advice] = told(config)
    assert (advice["transactionStatus"], advice.get("presented"), advice["reconciles"]) == (status, presented, True)
    assert advice["presentedAmount"] == {"minor": minor, "currency": "CNY"} and "notes" not in advice
    with pytest.raises(ConfigError, match="nothing to reconcile"):
        settle_doubt(config, ID, minor, "two people")


@pytest.mark.parametrize(
    ("transaction", "minor", "said"),
    [(ID, -100, "from 0 to 400000"), (ID, 400_100, "from 0 to 400000"), (ID, 150, "whole currency units"), ("T0001-00000009", 0, ID)],
)
def test_a_count_that_cannot_be_is_refused(tmp_path: Path, transaction: str, minor: int, said: str) -> None:
    config = after(tmp_path, IN_DOUBT)
    with pytest.raises(ConfigError, match=said):
        settle_doubt(config, transaction, minor, "two people")
    assert told(config) == []


def test_a_cleared_path_opens_the_latch_of_a_fault_and_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doubtful = after(tmp_path / "doubt", IN_DOUBT)
    with pytest.raises(ValueError, match="nothing to release"):
        release_dispenser(doubtful, "somebody")
    jammed = after(tmp_path / "jam", JAMMED)
    assert release_dispenser(jammed, "somebody") == 0
    assert json.loads(capsys.readouterr().out)["latch"] is None


def test_an_exchanged_cassette_begins_anew_and_the_others_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = after(tmp_path, IN_DOUBT)
    assert exchange_unit(config, "1", 80, "somebody") == 0
    first, second = json.loads(capsys.readouterr().out)["units"][:2]
    assert (first["initial"], first["unknown"], first["accuracy"]) == (80, 0, "accurate")
    assert (second["initial"], second["accuracy"]) == (100, "inaccurate")
    with pytest.raises(ConfigError, match="0 to 5000"):
        exchange_unit(config, "1", 5001, "somebody")
    assert show(config) == 0 and json.loads(capsys.readouterr().out)["latch"]["transactionId"] == ID, "an exchange opens no latch"


def test_nothing_is_set_by_hand_while_a_transaction_is_open(tmp_path: Path) -> None:
    config = after(tmp_path, TO_DISPENSING)
    for change in (lambda: exchange_unit(config, "1", 80, "x"), lambda: settle_doubt(config, ID, 0, "x"), lambda: show(config)):
        with pytest.raises(ConfigError, match="a transaction is open"):
            change()


def test_nothing_is_in_doubt_after_a_whole_withdrawal(tmp_path: Path) -> None:
    config = after(tmp_path, TO_CASH)
    with pytest.raises(ConfigError, match="no transaction is in doubt"):
        settle_doubt(config, ID, 0, "somebody")
    elsewhere = dataclasses.replace(config, terminal=dataclasses.replace(config.terminal, store=tmp_path / "none"))
    with pytest.raises(ConfigError, match="there is no journal yet"):
        show(elsewhere)
