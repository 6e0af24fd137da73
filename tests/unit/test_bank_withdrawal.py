"""The bank host, told as stories: a terminal's requests and advices go in, answers and the books come out. In memory, one thread."""

from __future__ import annotations

import json
import random
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from simulators.bank.__main__ import bank_keys
from simulators.bank.books import Books
from simulators.bank.cards import load_cast
from simulators.bank.faults import Faults
from simulators.bank.host import BankHost
from simulators.bank.keys import BankKeys
from simulators.bank.ledger import SUSPENSE
from simulators.bank.probe import Probe
from simulators.bank.rotation import rotate_back, unpack
from simulators.bank.store import Store
from simulators.bank.templates import Template
from simulators.crypto.ber import objects
from simulators.crypto.sealed_box import public_bytes
from terminal import sealed_box as terminal_box

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
TEMPLATE = Template("customer", "tpl-1", "ab" * 32, struct.pack("<128f", *([128**-0.5] * 128)))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> BankKeys:
    return bank_keys(tmp_path_factory.mktemp("bank"))


class Branch:
    """A bank and a probe that talks to it without a wire."""

    def __init__(self, keys: BankKeys) -> None:
        self.host = BankHost(
            Store(None), load_cast(None, keys), keys, NOW, templates={"customer": TEMPLATE}, random_bytes=random.Random(1).randbytes
        )
        self.probe = Probe.for_bank(keys.public_hex)
        self.books = Books(self.host)
        self.seq = 0

    def ask(self, message: Any, now: datetime = NOW) -> dict[str, Any]:
        [(leaf, answer)] = self.host.handle("auth", message, now)
        assert leaf == "auth/resp"
        data: dict[str, Any] = answer["data"]
        return data

    def withdraw(self, card: str, minor: int, number: int = 1, **more: Any) -> dict[str, Any]:
        return self.ask(self.probe.withdrawal(card, minor, number, NOW, **more))

    def advise(self, number: int, status: str, requested: int, **more: Any) -> int:
        self.seq += 1
        [(leaf, answer)] = self.host.handle("txn", self.probe.advice(number, status, self.seq, NOW, requested_minor=requested, **more), NOW)
        assert leaf == "ack" and answer["data"]["class"] == "txn"
        upto: int = answer["data"]["upto"]
        return upto

    def money(self, account: str) -> tuple[int, int]:
        found = self.books.account(account)
        return found["balance_minor"], found["held_minor"]

    def discrepancies(self) -> list[str]:
        return [found["kind"] for found in self.books.discrepancies()]


@pytest.fixture
def branch(keys: BankKeys) -> Branch:
    return Branch(keys)


def test_an_approved_withdrawal_holds_then_books_what_was_presented(branch: Branch) -> None:
    answer = branch.withdraw("everyday", 100_00)
    assert answer["response"] == "APPR" and "reason" not in answer
    assert len(answer["authorisationCode"]) == 6
    assert answer["balance"] == {"minor": 500_000 - 100_00, "currency": "CNY"}
    assert branch.money("everyday") == (500_000, 100_00)
    assert branch.advise(1, "SCSS", 100_00) == 1
    assert branch.money("everyday") == (500_000 - 100_00, 0)
    assert branch.money("cash:T0001") == (100_00, 0)
    assert branch.discrepancies() == [] and branch.host.ledger.check() == []


@pytest.mark.parametrize("cvn", [0x01, 0x12])
def test_the_card_gets_an_answer_it_can_authenticate(branch: Branch, cvn: int) -> None:
    message = branch.probe.withdrawal("everyday", 100_00, 1, NOW)
    message["data"]["iccRelatedData"] = branch.probe.cryptogram("everyday", 100_00, cvn=cvn).hex()
    icc = objects(bytes.fromhex(branch.ask(message)["iccRelatedData"]))
    assert icc["8A"] == b"00"
    assert len(icc["91"]) == {0x01: 10, 0x12: 8}[cvn]


def test_a_repeated_request_gets_the_stored_answer_and_no_second_hold(branch: Branch) -> None:
    message = branch.probe.withdrawal("everyday", 100_00, 1, NOW)
    first = branch.ask(message)
    again = branch.ask({**message, "id": "another-id"})
    assert again.pop("inResponseTo") == "another-id" and first.pop("inResponseTo") == message["id"]
    assert again == first
    assert branch.money("everyday") == (500_000, 100_00)


def test_the_same_key_with_another_content_is_refused_and_reported(branch: Branch) -> None:
    branch.withdraw("everyday", 100_00)
    answer = branch.withdraw("everyday", 200_00)
    assert (answer["response"], answer["reason"]) == ("TECH", "malformed")
    assert branch.money("everyday") == (500_000, 100_00)
    assert "another content" in branch.books.refusals()[0]["reason"]


def test_a_wrong_pin_may_be_retried_until_the_tries_are_used_up(branch: Branch) -> None:
    first = branch.withdraw("everyday", 100_00, pin="000000")
    assert (first["reason"], first["actions"]) == ("incorrectPin", ["PINR"])
    assert objects(bytes.fromhex(first["iccRelatedData"]))["8A"] == b"55"
    second = branch.withdraw("everyday", 100_00, attempt=2, pin="111111")
    assert (second["reason"], second["actions"]) == ("incorrectPin", ["PINL"])
    third = branch.withdraw("everyday", 100_00, attempt=3, pin="222222")
    assert (third["reason"], third["actions"]) == ("pinTriesExceeded", [])
    assert branch.withdraw("everyday", 100_00, number=2)["reason"] == "pinTriesExceeded"
    assert branch.money("everyday") == (500_000, 0)


def test_the_right_pin_gives_the_tries_back(branch: Branch) -> None:
    assert branch.withdraw("everyday", 100_00, pin="000000")["reason"] == "incorrectPin"
    assert branch.withdraw("everyday", 100_00, attempt=2)["response"] == "APPR"
    assert branch.withdraw("everyday", 100_00, number=2, pin="000000")["actions"] == ["PINR"]


def test_a_repeated_wrong_pin_message_costs_one_try(branch: Branch) -> None:
    message = branch.probe.withdrawal("everyday", 100_00, 1, NOW, pin="000000")
    for _ in range(5):
        assert branch.ask(message)["actions"] == ["PINR"]


def test_an_attempt_that_was_overtaken_is_closed(branch: Branch) -> None:
    late = branch.probe.withdrawal("everyday", 100_00, 1, NOW)
    assert branch.withdraw("everyday", 100_00, attempt=2, pin="000000")["reason"] == "incorrectPin"
    assert branch.ask(late)["reason"] == "transactionClosed"
    assert branch.withdraw("everyday", 100_00, attempt=3)["response"] == "APPR"
    assert branch.withdraw("everyday", 100_00, attempt=4)["reason"] == "transactionClosed", "one approval, one hold"
    assert branch.money("everyday") == (500_000, 100_00)


def test_a_pin_block_of_another_key_is_no_wrong_pin(branch: Branch) -> None:
    message = branch.probe.withdrawal("everyday", 100_00, 1, NOW)
    message["data"]["pinBlock"]["block"] = "00" * 16
    answer = branch.ask(message)
    assert (answer["response"], answer["reason"]) == ("TECH", "systemError")
    assert branch.withdraw("everyday", 100_00, number=2, pin="000000")["actions"] == ["PINR"]


@pytest.mark.parametrize(
    ("card", "minor", "reason", "code"),
    [
        ("little-money", 100_00, "insufficientFunds", b"51"),
        ("everyday", 6_000_00, "limitExceeded", b"61"),
        ("expired", 100_00, "cardExpired", b"54"),
        ("pin-limit", 100_00, "pinTriesExceeded", b"75"),
        ("host-blocked", 100_00, "cardBlocked", b"62"),
    ],
)
def test_declines_carry_their_reason_and_an_answer_for_the_card(branch: Branch, card: str, minor: int, reason: str, code: bytes) -> None:
    answer = branch.withdraw(card, minor)
    assert (answer["response"], answer["reason"]) == ("DECL", reason)
    icc = objects(bytes.fromhex(answer["iccRelatedData"]))
    assert icc["8A"] == code and "91" in icc
    assert branch.money(card)[1] == 0


def test_a_card_expires_after_the_last_day_of_its_month_at_the_bank(branch: Branch) -> None:
    for number, (day, reason) in enumerate([("2030-12-31T15:59:59+00:00", None), ("2030-12-31T16:00:00+00:00", "cardExpired")], 1):
        moment = datetime.fromisoformat(day)
        assert branch.ask(branch.probe.withdrawal("everyday", 100_00, number, moment), moment).get("reason") == reason


def test_the_limit_of_a_day_counts_holds_and_cash_and_ends_with_the_day(branch: Branch) -> None:
    branch.books.set_balance("everyday", 50_000_00, NOW)
    for number in range(1, 5):
        assert branch.withdraw("everyday", 5_000_00, number)["response"] == "APPR"
    branch.advise(1, "FAIL", 5_000_00)
    assert branch.withdraw("everyday", 5_000_00, 5)["response"] == "APPR"
    branch.advise(2, "SCSS", 5_000_00)
    assert branch.withdraw("everyday", 1_00, 6)["reason"] == "limitExceeded"
    tomorrow = NOW + timedelta(days=1)
    assert branch.ask(branch.probe.withdrawal("everyday", 1_00, 7, tomorrow), tomorrow)["response"] == "APPR"


def test_a_forged_cryptogram_and_one_of_another_amount_are_refused(branch: Branch) -> None:
    message = branch.probe.withdrawal("everyday", 100_00, 1, NOW)
    forged = bytearray(bytes.fromhex(message["data"]["iccRelatedData"]))
    at = forged.index(bytes.fromhex("9F2608")) + 3
    forged[at] ^= 1
    message["data"]["iccRelatedData"] = forged.hex()
    answer = branch.ask(message)
    assert answer["reason"] == "invalidCryptogram"
    assert "91" not in objects(bytes.fromhex(answer["iccRelatedData"])), "nothing is authenticated to a forged card"
    message = branch.probe.withdrawal("everyday", 100_00, 2, NOW)
    message["data"]["amount"]["minor"] = 200_00
    assert branch.ask(message)["reason"] == "malformed"


def test_a_cryptogram_serves_one_transaction(branch: Branch) -> None:
    first = branch.probe.withdrawal("everyday", 100_00, 1, NOW, pin="000000")
    assert branch.ask(first)["reason"] == "incorrectPin"
    retry = branch.probe.withdrawal("everyday", 100_00, 1, NOW, attempt=2)
    retry["data"]["iccRelatedData"] = first["data"]["iccRelatedData"]
    assert branch.ask(retry)["response"] == "APPR", "a new PIN for the same transaction may come with the same cryptogram"
    replayed = branch.probe.withdrawal("everyday", 100_00, 2, NOW)
    replayed["data"]["iccRelatedData"] = first["data"]["iccRelatedData"]
    assert branch.ask(replayed)["reason"] == "invalidCryptogram"


def test_an_unknown_card_and_a_wrong_sequence_number(branch: Branch) -> None:
    branch.probe.cards["stranger"] = {**branch.probe.cards["everyday"], "applications": [{"pan": "6228480000999999"}]}
    assert branch.withdraw("stranger", 100_00)["reason"] == "unknownCard"
    branch.probe.cards["everyday"]["pan_sequence"] = 7
    assert branch.withdraw("everyday", 100_00, 2)["reason"] == "unknownCard"


def test_card_data_sealed_for_another_transaction_or_another_bank_is_malformed(branch: Branch) -> None:
    message = branch.probe.withdrawal("everyday", 100_00, 1, NOW)
    message["data"]["protectedCardData"] = branch.probe.card_data("everyday", branch.probe.transaction_id(2))
    assert branch.ask(message)["reason"] == "malformed"
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    message["data"]["protectedCardData"] = branch.probe.card_data("everyday", branch.probe.transaction_id(1), bank_key=other)
    assert branch.ask(message)["reason"] == "malformed"
    assert "does not open" in branch.books.refusals()[0]["reason"]


def test_both_applications_of_a_card_draw_on_one_account(branch: Branch) -> None:
    message = branch.probe.withdrawal("two-applications", 100_00, 1, NOW)
    identity = branch.probe.transaction_id(1)
    message["data"]["protectedCardData"] = branch.probe.card_data("two-applications", identity, application=1)
    message["data"]["pinBlock"] = branch.probe.pin_block("two-applications", application=1)
    message["data"]["iccRelatedData"] = branch.probe.cryptogram("two-applications", 100_00, application=1).hex()
    assert branch.ask(message)["response"] == "APPR"
    assert branch.money("two-applications") == (300_000, 100_00)
    assert branch.books.transaction(identity)["last_four"] == "0021"


def test_card_data_that_the_terminal_seals_opens_at_the_bank(branch: Branch, keys: BankKeys) -> None:
    """Two independent readings of the sealed box meet."""
    message = branch.probe.withdrawal("everyday", 100_00, 1, NOW)
    raw = branch.probe.cards["everyday"]
    pan = raw["applications"][0]["pan"]
    content = json.dumps({"pan": pan, "track2": f"{pan}D30122010000000000F", "panSequence": 1}).encode()
    identity = branch.probe.transaction_id(1)
    message["data"]["protectedCardData"] = terminal_box.seal(bytes.fromhex(keys.public_hex), content, identity.encode(), "bank-2026")
    assert branch.ask(message)["response"] == "APPR"


def test_a_face_template_comes_sealed_for_the_face_worker(branch: Branch) -> None:
    worker = ec.generate_private_key(ec.SECP256R1())
    answer = branch.ask(branch.probe.face_template("everyday", 1, NOW, public_bytes(worker.public_key()).hex()))
    assert answer["response"] == "APPR"
    found = answer["template"]
    assert (found["templateId"], found["model"], found["customer"], found["schema"]) == ("tpl-1", "ab" * 32, "customer", 2)
    opened = terminal_box.open_box(worker, found["box"], f"customer|tpl-1|{'ab' * 32}|2".encode())
    assert len(opened) == 544 and opened[32:] != TEMPLATE.encoding
    assert rotate_back(opened[:32], unpack(opened[32:])) == pytest.approx([128**-0.5] * 128, abs=1e-6)
    for number, (card, reason) in enumerate([("other-face", "noTemplate"), ("static", "noTemplate"), ("host-blocked", "cardBlocked")], 2):
        again = branch.ask(branch.probe.face_template(card, number, NOW, public_bytes(worker.public_key()).hex()))
        assert (again["response"], again["reason"], "template" in again) == ("DECL", reason, False)
    broken = branch.ask(branch.probe.face_template("everyday", 9, NOW, "04" + "00" * 64))
    assert broken["reason"] == "malformed"


def test_a_balance_needs_card_and_pin(branch: Branch) -> None:
    branch.withdraw("everyday", 100_00)
    assert branch.ask(branch.probe.balance("everyday", 2, NOW))["balance"] == {"minor": 490_000, "currency": "CNY"}
    wrong = branch.probe.balance("everyday", 3, NOW, pin="000000")
    for _ in range(3):
        assert branch.ask(wrong)["actions"] == ["PINR"], "the same message costs one try"
    naked = branch.probe.balance("everyday", 4, NOW)
    del naked["data"]["pinBlock"]
    assert branch.ask(naked)["reason"] == "malformed"


def test_a_risky_account_needs_the_face_beside_card_and_pin(branch: Branch) -> None:
    Faults(branch.host.planned).set("risk", {"account": "everyday"})
    wrong = branch.ask(branch.probe.withdrawal("everyday", 100_00, 1, NOW, pin="000000"))
    assert wrong["reason"] == "incorrectPin", "the PIN first: nobody learns of the risk without it"
    asked = branch.ask(branch.probe.withdrawal("everyday", 100_00, 1, NOW, attempt=2))
    assert (asked["response"], asked["reason"], asked["actions"]) == ("DECL", "authenticationRequired", ["CHDA"])
    assert branch.money("everyday") == (500_000, 0)
    with_face = branch.probe.withdrawal("everyday", 100_00, 1, NOW, attempt=3)
    with_face["data"]["face"] = {"decision": "accepted", "score": 0.6}
    assert branch.ask(with_face)["response"] == "APPR"
    assert branch.books.transaction(branch.probe.transaction_id(1))["face"] == "accepted"
    Faults(branch.host.planned).set("risk", {"account": "everyday", "on": False})
    assert branch.withdraw("everyday", 100_00, 2)["response"] == "APPR"


def test_planned_declines_and_scripts_are_used_once(branch: Branch) -> None:
    faults = Faults(branch.host.planned)
    faults.set("decline_next", {"reason": "cardBlocked", "actions": ["CPTR"]})
    faults.set("script_next", {"tag": "71", "header": "841E0000"})
    answer = branch.withdraw("everyday", 100_00)
    assert (answer["reason"], answer["actions"]) == ("cardBlocked", ["CPTR"])
    assert "71" in objects(bytes.fromhex(answer["iccRelatedData"]))
    again = branch.withdraw("everyday", 100_00, 2)
    assert again["response"] == "APPR" and "71" not in objects(bytes.fromhex(again["iccRelatedData"]))
    with pytest.raises(ValueError, match="known are"):
        faults.set("nonsense", {})
    with pytest.raises(ValueError, match="no reason"):
        faults.set("decline_next", {"reason": "because"})


def test_what_the_bank_keeps_has_no_card_number_pin_or_box(branch: Branch) -> None:
    message = branch.probe.withdrawal("everyday", 100_00, 1, NOW)
    branch.ask(message)
    branch.advise(1, "SCSS", 100_00)
    clear = {"specversion": "1.0", "note": "6228480000000015"}
    branch.ask(clear)
    dump = "\n".join(branch.host.store.connection.iterdump())
    for secret in ("6228480000000015", "135790", message["data"]["protectedCardData"]["ciphertext"], message["data"]["pinBlock"]["block"]):
        assert secret not in dump
    assert SUSPENSE in dump
