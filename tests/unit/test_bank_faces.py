"""The bank's side of face services: who may enrol, what is stored, one effect for a message, deletion with proof."""

from __future__ import annotations

import json
import struct
from datetime import datetime, timedelta
from typing import Any

import pytest
from face_branch import CARD, MODEL, NOW, OTHER_CARD, Branch, packed, vector

from simulators.bank.__main__ import bank_keys
from simulators.bank.keys import BankKeys
from simulators.bank.retention import EVERY_S, Retention
from simulators.bank.rotation import rotate


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> BankKeys:
    return bank_keys(tmp_path_factory.mktemp("bank"))


@pytest.fixture
def branch(keys: BankKeys) -> Branch:
    return Branch(keys)


def test_enrolled_and_delivered(branch: Branch) -> None:
    opened = branch.opens()
    assert opened["response"] == "APPR" and "enrolledSince" not in opened and opened["iccRelatedData"].startswith("8a02")
    stored = branch.enrols()
    assert (stored["response"], stored["enrolledSince"]) == ("APPR", "2026-11-22")
    assert branch.delivered() == pytest.approx(vector(1), abs=1e-6)
    assert branch.opens(2)["enrolledSince"] == "2026-11-22"
    [row] = branch.host.faces.all()
    assert (row["customer"], row["model"], row["generation"], row["consentId"]) == (CARD, MODEL, 1, "T0001-00000001-C1")


def test_nothing_at_rest_is_a_template_in_clear(branch: Branch) -> None:
    branch.opens()
    message = branch.probe.enrolment(CARD, 1, NOW, packed(1))
    branch.ask(message)
    dump = "\n".join(branch.host.store.connection.iterdump()).lower()
    row = branch.host.store.one("SELECT * FROM face_template")
    assert row is not None
    seed = branch.host.faces._keys.seed(1, CARD)
    for secret in (packed(1), struct.pack("<128f", *rotate(seed, vector(1))), seed):
        assert secret.hex() not in dump
    assert message["data"]["template"]["box"]["ciphertext"] not in dump


def test_a_message_that_comes_twice_has_one_effect(branch: Branch) -> None:
    branch.opens()
    message = branch.probe.enrolment(CARD, 1, NOW, packed(1))
    first = branch.ask(message)
    again = branch.ask({**message, "id": "another"}, NOW + timedelta(minutes=30))
    assert {**first, "inResponseTo": ""} == {**again, "inResponseTo": ""}
    assert branch.host.faces.proofs() == [], "an enrolment that replaced itself would have left a proof"
    other = branch.probe.enrolment(CARD, 1, NOW, packed(2))
    assert branch.ask(other)["reason"] == "malformed"
    wrong = branch.probe.face_service(CARD, 5, NOW, "open", pin="000000")
    for _ in range(3):
        assert branch.ask(wrong)["actions"] == ["PINR"], "one message costs one PIN try"


@pytest.mark.parametrize("service", ["enrol", "revoke"])
def test_only_the_card_that_proved_itself_a_moment_ago(branch: Branch, service: str) -> None:
    def reason(number: int, card: str = CARD, now: datetime = NOW) -> Any:
        done = branch.enrols(number, card, now=now) if service == "enrol" else branch.revokes(number, card, now)
        return done["response"], done.get("reason", "")

    assert reason(1) == ("DECL", "noFaceSession")
    branch.opens(2)
    assert reason(2, OTHER_CARD) == ("DECL", "noFaceSession")
    branch.opens(3)
    assert reason(3, now=NOW + timedelta(minutes=11)) == ("DECL", "faceSessionOver")
    branch.opens(4, pin="000000")
    assert reason(4) == ("DECL", "noFaceSession")
    branch.opens(5)
    branch.probe.terminal = "T0002"
    assert reason(5) == ("DECL", "noFaceSession")
    assert branch.host.faces.all() == []


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["template"]["box"].update(ciphertext="00" + data["template"]["box"]["ciphertext"][2:]),
        lambda data: data["template"].update(model="ee" * 32),
    ],
)
def test_a_box_that_was_changed_is_refused_and_nothing_is_stored(branch: Branch, change: Any) -> None:
    branch.opens()
    message = branch.probe.enrolment(CARD, 1, NOW, packed(1))
    change(message["data"])
    assert branch.ask(message)["reason"] == "templateRefused"
    assert branch.host.faces.all() == []


@pytest.mark.parametrize(
    "plain",
    [
        packed(1)[:-4],
        packed(1) + b"\0" * 4,
        struct.pack("<128f", *([float("nan")] * 128)),
        struct.pack("<128f", *([1.0] * 128)),
        b"\0" * 512,
    ],
)
def test_what_is_no_template_is_refused(branch: Branch, plain: bytes) -> None:
    branch.opens()
    assert branch.ask(branch.probe.enrolment(CARD, 1, NOW, plain))["reason"] == "templateRefused"


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("consent"),
        lambda data: data["consent"].update(consentId="another"),
        lambda data: data["template"].update(schema=1),
        lambda data: data["template"].update(model="x"),
        lambda data: data.update(service="copy"),
    ],
)
def test_what_is_not_of_the_contract_is_malformed(branch: Branch, change: Any) -> None:
    branch.opens()
    message = branch.probe.enrolment(CARD, 1, NOW, packed(1))
    change(message["data"])
    answer = branch.ask(message)
    assert (answer["response"], answer["reason"]) == ("TECH", "malformed")


# --- consent and removal


def test_removed_with_proof_and_the_old_template_is_delivered_no_more(branch: Branch) -> None:
    branch.opens()
    branch.enrols()
    branch.opens(2)
    answer = branch.revokes(2)
    assert (answer["response"], answer["proof"]) == ("APPR", "D-1")
    assert branch.delivered() is None and branch.host.faces.all() == []
    [proof] = branch.host.faces.proofs()
    assert (proof["customer"], proof["reason"], proof["request"]) == (CARD, "consentWithdrawn", "T0001-00000002")
    assert branch.host.faces.broken_link() == 0
    [consent] = branch.host.face_management.consents()
    assert consent["withdrawnAt"] and consent["version"] == "1"


def test_a_removal_is_carried_out_by_the_outbox_alone(branch: Branch) -> None:
    """The request was lost, the terminal's advice was not."""
    branch.opens()
    branch.advises(1, "given")
    branch.enrols()
    branch.opens(2)
    assert branch.advises(2, "withdrawn") == 2
    assert branch.delivered() is None and len(branch.host.faces.proofs()) == 1
    assert branch.revokes(2)["response"] == "APPR" and len(branch.host.faces.proofs()) == 1, "nothing is deleted twice"


def test_an_advice_that_was_long_under_way_does_not_undo_a_later_consent(branch: Branch) -> None:
    branch.opens(1)
    branch.enrols(1)
    branch.opens(2, now=NOW + timedelta(minutes=1))
    assert branch.revokes(2, now=NOW + timedelta(minutes=1))["proof"] == "D-1"
    later = NOW + timedelta(days=1)
    branch.opens(3, now=later)
    branch.enrols(3, seed=2, now=later)
    branch.advises(2, "withdrawn", later + timedelta(hours=1))
    assert branch.delivered(now=later) == pytest.approx(vector(2), abs=1e-6)
    assert [one["withdrawnAt"] != "" for one in branch.host.face_management.consents()] == [True, False]


def test_an_enrolment_that_was_overtaken_by_the_withdrawal_of_its_consent_is_refused(branch: Branch) -> None:
    branch.opens()
    branch.advises(1, "given")
    branch.advises(1, "withdrawn")
    assert branch.enrols()["reason"] == "consentWithdrawn"


def test_a_consent_of_nobody_is_kept_for_a_person(branch: Branch) -> None:
    assert branch.advises(7, "given") == 1, "acknowledged, or it would block those behind it"
    assert [row["reason"] for row in branch.host.store.rows("SELECT reason FROM refusal")] == [
        "data.transactionId: no card has proved itself under this number"
    ]


def test_an_enrolment_in_the_place_of_another_proves_the_end_of_the_first(branch: Branch) -> None:
    branch.opens()
    branch.enrols()
    branch.opens(2)
    branch.enrols(2, seed=2)
    assert branch.delivered() == pytest.approx(vector(2), abs=1e-6)
    assert [proof["reason"] for proof in branch.host.faces.proofs()] == ["replaced"]


def test_what_was_not_used_for_long_is_deleted(branch: Branch) -> None:
    for number, card in ((1, CARD), (2, "little-money")):
        branch.opens(number, card)
        branch.enrols(number, card)
    branch.delivered(CARD, NOW + timedelta(days=100))
    with branch.host.store.transaction():
        assert branch.host.faces.expire(12, NOW + timedelta(days=400)) == ["D-1"]
    assert [row["customer"] for row in branch.host.faces.all()] == [CARD]
    assert branch.host.faces.proofs()[0]["reason"] == "retentionOver"


def test_the_bank_looks_for_what_is_over_every_hour_by_itself(branch: Branch) -> None:
    branch.opens()
    branch.enrols()
    today = [NOW + timedelta(days=200)]
    retention = Retention(branch.host.store, branch.host.faces, 12, lambda: today[0])
    retention.tick(50.0)
    assert branch.host.faces.proofs() == [] and retention.next_wakeup() == 50.0 + EVERY_S
    today[0] += timedelta(days=300)
    retention.tick(51.0)
    assert branch.host.faces.proofs() == [], "not more often than every hour"
    retention.tick(50.0 + EVERY_S)
    assert [proof["reason"] for proof in branch.host.faces.proofs()] == ["retentionOver"] and branch.host.faces.all() == []


def test_a_chain_of_proofs_that_was_touched_is_found_out(branch: Branch) -> None:
    for number in range(1, 4):
        branch.opens(number)
        branch.enrols(number, seed=number)
    with branch.host.store.transaction():
        branch.host.faces.remove(CARD, "operator", "test", NOW)
    assert branch.host.faces.broken_link() == 0
    said = json.loads(branch.host.store.rows("SELECT said FROM face_proof WHERE number = 2")[0]["said"])
    branch.host.store.execute("UPDATE face_proof SET said = ? WHERE number = 2", json.dumps({**said, "customer": "nobody"}))
    assert branch.host.faces.broken_link() == 2
    branch.host.store.execute("DELETE FROM face_proof WHERE number = 2")
    assert branch.host.faces.broken_link() == 2
