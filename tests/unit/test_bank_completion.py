"""Completion advices in every order, and what the inbox acknowledges, refuses and quarantines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from simulators.bank.__main__ import bank_keys
from simulators.bank.books import Books
from simulators.bank.cards import load_cast
from simulators.bank.host import BankHost
from simulators.bank.keys import BankKeys
from simulators.bank.ledger import Unbalanced
from simulators.bank.probe import Probe
from simulators.bank.store import Store, StoreError

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> BankKeys:
    return bank_keys(tmp_path_factory.mktemp("bank"))


class Branch:
    def __init__(self, keys: BankKeys) -> None:
        self.host = BankHost(Store(None), load_cast(None, keys), keys, NOW)
        self.probe = Probe.for_bank(keys.public_hex)
        self.books = Books(self.host)
        self.seq = 0

    def withdraw(self, minor: int, number: int = 1) -> dict[str, Any]:
        [(_, answer)] = self.host.handle("auth", self.probe.withdrawal("everyday", minor, number, NOW), NOW)
        data: dict[str, Any] = answer["data"]
        return data

    def advise(self, status: str, requested: int, number: int = 1, **more: Any) -> None:
        self.seq += 1
        self.host.handle("txn", self.probe.advice(number, status, self.seq, NOW, requested_minor=requested, **more), NOW)

    def status(self, number: int = 1) -> str:
        found: str = self.books.transaction(self.probe.transaction_id(number))["status"]
        return found

    def money(self, account: str = "everyday") -> tuple[int, int]:
        found = self.books.account(account)
        return found["balance_minor"], found["held_minor"]

    def discrepancies(self) -> list[str]:
        return sorted(found["kind"] for found in self.books.discrepancies())


@pytest.fixture
def branch(keys: BankKeys) -> Branch:
    return Branch(keys)


def acks(answers: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, int, int]]:
    return [(found["data"]["class"], found["data"]["epoch"], found["data"]["upto"]) for leaf, found in answers if leaf == "ack"]


def test_a_part_is_booked_and_the_rest_of_the_hold_released(branch: Branch) -> None:
    branch.withdraw(300_00)
    branch.advise("SCSS", 300_00, presented_minor=200_00, failureReason="MALF")
    assert branch.money() == (500_000 - 200_00, 0)
    assert branch.discrepancies() == []
    assert branch.books.transaction("T0001-00000001")["presented_minor"] == 200_00


def test_a_failure_releases_the_hold_and_closes_the_transaction(branch: Branch) -> None:
    branch.withdraw(300_00)
    branch.advise("FAIL", 300_00, failureReason="CUCL")
    assert (branch.status(), branch.money()) == ("released", (500_000, 0))
    [(_, answer)] = branch.host.handle("auth", branch.probe.withdrawal("everyday", 300_00, 1, NOW, attempt=2), NOW)
    assert answer["data"]["reason"] == "transactionClosed"
    assert branch.money() == (500_000, 0)


def test_an_advice_before_its_request_closes_the_transaction(branch: Branch) -> None:
    branch.advise("FAIL", 300_00, failureReason="TIMO")
    answer = branch.withdraw(300_00)
    assert (answer["response"], answer["reason"]) == ("DECL", "transactionClosed")
    assert branch.money() == (500_000, 0) and branch.discrepancies() == []


def test_cash_that_nobody_authorised_is_carried_by_suspense_and_named(branch: Branch) -> None:
    branch.advise("SCSS", 300_00)
    assert branch.money("suspense") == (-300_00, 0) and branch.money("cash:T0001") == (300_00, 0)
    assert branch.discrepancies() == ["presentedWithoutAuthorisation"]
    assert branch.withdraw(300_00)["reason"] == "transactionClosed"
    assert branch.money() == (500_000, 0)
    assert branch.discrepancies() == ["cardOfUnauthorisedCash", "presentedWithoutAuthorisation"]


def test_doubt_keeps_the_hold_until_it_is_reconciled(branch: Branch) -> None:
    branch.withdraw(300_00)
    branch.advise("DOBT", 300_00)
    assert (branch.status(), branch.money()) == ("inDoubt", (500_000, 300_00))
    branch.advise("SCSS", 300_00)
    assert (branch.status(), branch.discrepancies()) == ("inDoubt", ["unreconciledAdvice"])
    branch.advise("SCSS", 300_00, presented_minor=100_00, reconciles=True)
    assert (branch.status(), branch.money()) == ("settled", (500_000 - 100_00, 0))


def test_a_counted_sum_needs_no_list_of_notes(branch: Branch) -> None:
    branch.withdraw(300_00)
    branch.advise("DOBT", 300_00)
    branch.advise("SCSS", 300_00, presented_minor=100_00, reconciles=True, notes=None)
    assert (branch.status(), branch.money(), branch.discrepancies()) == ("settled", (500_000 - 100_00, 0), [])


def test_a_correction_that_overtakes_its_doubt_stands(branch: Branch) -> None:
    branch.withdraw(300_00)
    branch.advise("FAIL", 300_00, reconciles=True)
    branch.advise("DOBT", 300_00)
    assert (branch.status(), branch.money(), branch.discrepancies()) == ("released", (500_000, 0), [])


def test_more_than_requested_is_booked_as_presented_and_never_silently(branch: Branch) -> None:
    branch.withdraw(300_00)
    branch.advise("SCSS", 300_00, presented_minor=400_00)
    assert branch.money() == (500_000 - 400_00, 0)
    assert "presentedMoreThanRequested" in branch.discrepancies()


def test_an_account_may_be_overdrawn_by_notes_that_are_gone(branch: Branch) -> None:
    branch.withdraw(5_000_00)
    branch.advise("SCSS", 5_000_00, presented_minor=5_100_00)
    assert branch.money() == (-100_00, 0)
    assert "overdrawn" in branch.discrepancies()


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"notes": [{"unit": "1", "minor": 100_00, "presented": 2, "rejected": 0}]}, "notesDoNotAddUp"),
        ({"requestedAmount": {"minor": 200_00, "currency": "CNY"}}, "requestedAmountDiffers"),
        ({"presented": "PART"}, "presentedFlagDiffers"),
    ],
)
def test_what_does_not_fit_is_booked_and_told(branch: Branch, more: dict[str, Any], kind: str) -> None:
    branch.withdraw(300_00)
    branch.advise("SCSS", 300_00, **more)
    assert branch.money() == (500_000 - 300_00, 0) and branch.discrepancies() == [kind]


@pytest.mark.parametrize(("status", "presented"), [("FAIL", 100_00), ("SCSS", 0)])
def test_an_advice_that_contradicts_itself_is_a_doubt(branch: Branch, status: str, presented: int) -> None:
    branch.withdraw(300_00)
    branch.advise(status, 300_00, presented_minor=presented)
    assert (branch.status(), branch.money(), branch.discrepancies()) == ("inDoubt", (500_000, 300_00), ["contradictoryAdvice"])


def test_the_first_final_advice_stands(branch: Branch) -> None:
    branch.withdraw(300_00)
    branch.advise("SCSS", 300_00)
    branch.advise("SCSS", 300_00)
    assert branch.discrepancies() == [], "the same again, under another number, says nothing new"
    branch.advise("FAIL", 300_00)
    branch.advise("SCSS", 300_00, presented_minor=100_00)
    branch.advise("DOBT", 300_00)
    assert branch.money() == (500_000 - 300_00, 0)
    assert branch.discrepancies() == ["conflictingAdvice", "conflictingAdvice", "doubtAfterTheEnd"]


def test_the_cards_last_word_is_checked(branch: Branch) -> None:
    def finish(number: int, kind: int, flip: bool = False) -> None:
        message = branch.probe.withdrawal("everyday", 100_00, number, NOW)
        branch.host.handle("auth", message, NOW)
        final = bytearray(branch.probe.cryptogram("everyday", 100_00, kind=kind, request=bytes.fromhex(message["data"]["iccRelatedData"])))
        final[-4] ^= flip
        branch.advise("SCSS", 100_00, number, iccRelatedData=final.hex())

    finish(1, 0x40)
    assert branch.discrepancies() == []
    finish(2, 0x00)
    assert branch.discrepancies() == ["presentedAfterCardDeclined"]
    finish(3, 0x40, flip=True)
    assert branch.discrepancies() == ["invalidFinalCryptogram", "presentedAfterCardDeclined"]
    assert branch.money() == (500_000 - 300_00, 0), "the notes are gone whatever the card said"


def test_only_the_unbroken_run_is_acknowledged(branch: Branch) -> None:
    def send(seq: int, epoch: int = 1) -> list[tuple[str, int, int]]:
        return acks(branch.host.handle("txn", branch.probe.advice(seq, "FAIL", seq, NOW, requested_minor=100, epoch=epoch), NOW))

    assert send(2) == [] and send(3) == []
    assert send(1) == [("txn", 1, 3)]
    assert send(2) == [("txn", 1, 3)], "a repeated message means that the acknowledgement was lost"
    assert send(5) == [("txn", 1, 3)]
    assert send(1, epoch=2) == [("txn", 2, 1)]
    assert send(4) == [("txn", 1, 5)]


def test_classes_are_counted_apart_and_kept(branch: Branch) -> None:
    def send(leaf: str, seq: int, **data: Any) -> list[tuple[str, int, int]]:
        return acks(branch.host.handle(leaf, branch.probe.message("ATMDeviceReport", data, NOW, epoch=1, seq=seq, leaf=leaf), NOW))

    assert send("event", 1, what="door opened") == [("audit", 1, 1)]
    assert send("alarm", 1, what="tamper") == [("alarm", 1, 1)]
    assert send("telemetry", 7, temperature_c=31) == [], "telemetry goes on PUBACK"
    send("telemetry", 6, temperature_c=30)
    [found] = branch.books.terminals()
    assert found["telemetry"] == {"temperature_c": 31}
    assert [message["data"] for message in branch.books.messages("alarm", 10)] == [{"what": "tamper"}]


def test_a_number_used_twice_is_told_and_the_first_stands(branch: Branch) -> None:
    branch.withdraw(300_00)
    branch.advise("FAIL", 300_00)
    branch.seq -= 1
    branch.advise("SCSS", 300_00)
    assert branch.money() == (500_000, 0)
    assert branch.discrepancies() == ["adviceNotApplied"]


@pytest.mark.parametrize(
    "change",
    [
        {"transactionStatus": "MAYBE"},
        {"presentedAmount": {"minor": -1, "currency": "CNY"}},
        {"presentedAmount": {"minor": 100.5, "currency": "CNY"}},
        {"presentedAmount": {"minor": 100, "currency": "EUR"}},
        {"transactionId": "T0002-00000001"},
        {"notes": "many"},
        {"iccRelatedData": "XYZ"},
    ],
)
def test_an_advice_that_cannot_be_read_is_kept_and_does_not_block_the_next(branch: Branch, change: dict[str, Any]) -> None:
    branch.withdraw(300_00)
    branch.advise("SCSS", 300_00, **change)
    assert branch.discrepancies() == ["adviceNotApplied"] and branch.money() == (500_000, 300_00)
    assert branch.books.refusals()[0]["leaf"] == "txn"
    answers = branch.host.handle("txn", branch.probe.advice(1, "SCSS", 2, NOW, requested_minor=300_00), NOW)
    assert acks(answers) == [("txn", 1, 2)] and branch.money() == (500_000 - 300_00, 0)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"specversion":"1.0","id":"x","source":"bank/v1/B001/T0002","type":"t","time":"2026-11-22T08:00:00Z","data":{}}', "source"),
        (b'{"specversion":"1.0","id":"x","source":"bank/v1/B001/T0001","type":"t","time":"yesterday","data":{}}', "time"),
        (b'{"specversion":"1.0","id":"x","source":"bank/v1/B001/T0001","type":"t","time":"2026-11-22T08:00:00Z","data":{}}', "type"),
    ],
)
def test_rubbish_on_auth_is_recorded_and_answered(branch: Branch, payload: bytes, why: str) -> None:
    [(leaf, answer)] = branch.host.handle_payload("auth", "bank/v1/B001/T0001", payload, NOW)
    assert (leaf, answer["data"]["response"], answer["data"]["reason"]) == ("auth/resp", "TECH", "malformed")
    assert why in branch.books.refusals()[0]["reason"]


def test_rubbish_elsewhere_is_recorded_and_not_acknowledged(branch: Branch) -> None:
    assert branch.host.handle_payload("txn", "bank/v1/B001/T0001", b"{", NOW) == []
    assert branch.host.handle("txn", {**branch.probe.advice(1, "FAIL", 1, NOW, requested_minor=1), "seq": 0}, NOW) == []
    assert [found["reason"].split(":")[0] for found in branch.books.refusals()] == ["seq", "not JSON in UTF-8"]


def test_a_terminal_cannot_touch_another_terminals_transaction(branch: Branch, keys: BankKeys) -> None:
    branch.withdraw(300_00)
    thief = Probe.for_bank(keys.public_hex, "T0002")
    message = thief.advice(1, "FAIL", 1, NOW, requested_minor=300_00, transactionId="T0001-00000001")
    branch.host.handle("txn", message, NOW)
    assert (branch.status(), branch.money()) == ("authorised", (500_000, 300_00))


def test_states_and_wills_say_who_is_online(branch: Branch) -> None:
    for state in ("online", "offline"):
        branch.host.handle("state", branch.probe.message("ATMDeviceReport", {"state": state}, NOW), NOW)
        assert [(found["base"], found["state"]) for found in branch.books.terminals()] == [("bank/v1/B001/T0001", state)]


def test_an_operator_gives_up_a_gap_and_it_is_on_record(branch: Branch) -> None:
    branch.host.handle("txn", branch.probe.advice(9, "FAIL", 500, NOW, requested_minor=100), NOW)
    with branch.host.store.transaction():
        assert branch.host.inbox.skip("T0001", "txn", 1, 499, NOW) == 500
    assert branch.discrepancies() == ["sequenceSkipped"]


def test_reset_opens_the_accounts_again_and_keeps_the_numbering(branch: Branch) -> None:
    branch.withdraw(300_00)
    branch.advise("SCSS", 300_00)
    branch.books.reset(NOW)
    assert branch.money() == (500_000, 0) and branch.books.transactions(10) == []
    answers = branch.host.handle("txn", branch.probe.advice(2, "FAIL", 2, NOW, requested_minor=100), NOW)
    assert acks(answers) == [("txn", 1, 2)] and branch.host.ledger.check() == []


def test_the_ledger_books_nothing_that_is_out_of_balance(branch: Branch) -> None:
    with pytest.raises(Unbalanced), branch.host.store.transaction():
        branch.host.ledger.book("adjustment", None, {"everyday": 1}, NOW)
    assert branch.money() == (500_000, 0)
    branch.host.store.execute("UPDATE account SET balance_minor = 1 WHERE name = 'everyday'")
    assert branch.host.ledger.check() == ["account everyday shows 1, its postings say 500000"]


def test_a_store_of_another_version_is_refused_by_name(tmp_path: Any) -> None:
    store = Store(tmp_path / "bank.db")
    store.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreError, match=r"bank\.db.*schema 99"):
        Store(tmp_path / "bank.db")
