"""The bank's side of face services: who may enrol, what is stored, one effect for a message, another key, deletion with proof."""

from __future__ import annotations

import json
import math
import random
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.bank.__main__ import TEMPLATE_KEYS_FILE, bank_keys
from simulators.bank.cards import load_cast
from simulators.bank.host import BankHost
from simulators.bank.keys import BankKeys, KeyFileError
from simulators.bank.probe import Probe
from simulators.bank.retention import EVERY_S, Retention
from simulators.bank.rotation import rotate, rotate_back, unpack
from simulators.bank.store import Store
from simulators.bank.template_keys import TemplateKeys
from simulators.bank.templates import Template
from simulators.crypto.sealed_box import public_bytes
from terminal.sealed_box import SealedBoxError, open_box

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
MODEL = "cd" * 32
CARD, OTHER_CARD = "static", "everyday"


def vector(seed: int) -> list[float]:
    chance = random.Random(seed)
    values = [chance.gauss(0, 1) for _ in range(128)]
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values]


def packed(seed: int) -> bytes:
    return struct.pack("<128f", *vector(seed))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> BankKeys:
    return bank_keys(tmp_path_factory.mktemp("bank"))


class Branch:
    def __init__(self, keys: BankKeys, folder: Path | None = None, templates: dict[str, Template] | None = None) -> None:
        self.keys, self.folder = keys, folder
        self.randbytes = random.Random(1).randbytes
        path = folder / "bank.sqlite" if folder else None
        template_keys = TemplateKeys(folder / TEMPLATE_KEYS_FILE, keys, self.randbytes) if folder else None
        self.host = BankHost(
            Store(path), load_cast(None, keys), keys, NOW, templates=templates, random_bytes=self.randbytes, template_keys=template_keys
        )
        self.probe = Probe.for_bank(keys.public_hex)
        self.seq = 0

    def ask(self, message: Any, now: datetime = NOW) -> dict[str, Any]:
        [(leaf, answer)] = self.host.handle("auth", message, now)
        assert leaf == "auth/resp" and answer["type"] in ("ATMFaceManagementResponse", "ATMInquiryResponse")
        data: dict[str, Any] = answer["data"]
        return data

    def opens(self, number: int = 1, card: str = CARD, now: datetime = NOW, **more: Any) -> dict[str, Any]:
        return self.ask(self.probe.face_service(card, number, now, "open", **more), now)

    def enrols(self, number: int = 1, card: str = CARD, seed: int = 1, now: datetime = NOW) -> dict[str, Any]:
        return self.ask(self.probe.enrolment(card, number, now, packed(seed)), now)

    def revokes(self, number: int, card: str = CARD, now: datetime = NOW) -> dict[str, Any]:
        return self.ask(self.probe.face_service(card, number, now, "revoke"), now)

    def advises(self, number: int, what: str, now: datetime = NOW, **more: Any) -> int:
        self.seq += 1
        [(leaf, answer)] = self.host.handle("txn", self.probe.consent(number, what, self.seq, now, **more), now)
        assert leaf == "ack"
        upto: int = answer["data"]["upto"]
        return upto

    def delivered(self, card: str = CARD, now: datetime = NOW) -> list[float] | None:
        """What a face worker would get: the vector, out of its rotation."""
        worker = ec.generate_private_key(ec.SECP256R1())
        answer = self.ask(self.probe.face_template(card, 90, now, public_bytes(worker.public_key()).hex()), now)
        if "template" not in answer:
            return None
        sent = answer["template"]
        associated = f"{sent['customer']}|{sent['templateId']}|{sent['model']}|{sent['schema']}"
        plain = open_box(worker, sent["box"], associated.encode())
        with pytest.raises(SealedBoxError):
            open_box(worker, sent["box"], associated.replace(sent["customer"], "somebody").encode())
        return rotate_back(plain[:32], unpack(plain[32:]))


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


# --- another key


def test_under_a_new_key_nobody_has_to_come_and_the_old_key_is_gone(keys: BankKeys, tmp_path: Path) -> None:
    branch = Branch(keys, tmp_path)
    branch.opens()
    branch.enrols()
    before = branch.host.store.rows("SELECT * FROM face_template")[0]
    old_seed = branch.host.faces._keys.seed(1, CARD)
    assert branch.host.faces.rotate() == {"generation": 2, "templates": 1}
    after = branch.host.store.rows("SELECT * FROM face_template")[0]
    assert branch.delivered() == pytest.approx(vector(1), abs=1e-5)
    assert after["generation"] == 2 and after["ciphertext"] != before["ciphertext"]
    assert list(json.loads((tmp_path / TEMPLATE_KEYS_FILE).read_text())) == ["2"]
    with pytest.raises(ValueError, match="generation 1 is gone"):
        branch.host.faces._keys.open(1, before["iv"], before["ciphertext"], f"{CARD}|{before['template_id']}|{MODEL}|2")
    one, other = rotate(old_seed, vector(1)), rotate(branch.host.faces._keys.seed(2, CARD), vector(1))
    assert abs(sum(a * b for a, b in zip(one, other, strict=True))) < 0.4, "the two are not alike"
    branch.host.store.close()
    again = Branch(keys, tmp_path)
    assert again.delivered() == pytest.approx(vector(1), abs=1e-5)


def test_a_change_of_the_key_that_was_cut_off_is_finished_by_the_next(
    keys: BankKeys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    branch = Branch(keys, tmp_path)
    branch.opens()
    branch.enrols()

    class PowerCut(Exception):
        pass

    def cut(self: TemplateKeys, generation: int) -> None:
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(TemplateKeys, "forget_before", cut)
        with pytest.raises(PowerCut):
            branch.host.faces.rotate()
    branch.host.store.close()
    again = Branch(keys, tmp_path)
    assert again.delivered() == pytest.approx(vector(1), abs=1e-5)
    assert again.host.faces.rotate()["generation"] == 3
    assert list(json.loads((tmp_path / TEMPLATE_KEYS_FILE).read_text())) == ["3"]


def test_what_was_deleted_leaves_the_file(keys: BankKeys, tmp_path: Path) -> None:
    branch = Branch(keys, tmp_path)
    branch.opens()
    branch.enrols()
    sealed = branch.host.store.rows("SELECT ciphertext FROM face_template")[0]["ciphertext"]
    branch.opens(2)
    branch.revokes(2)
    for file in tmp_path.glob("bank.sqlite*"):
        assert sealed[:64] not in file.read_bytes(), file.name


def test_a_template_under_another_name_does_not_open(keys: BankKeys, tmp_path: Path) -> None:
    branch = Branch(keys, tmp_path)
    for number, card in ((1, CARD), (2, "little-money")):
        branch.opens(number, card)
        branch.enrols(number, card, seed=number)
    branch.host.store.execute("UPDATE face_template SET customer = 'nobody' WHERE customer = ?", CARD)
    branch.host.store.execute("UPDATE face_template SET customer = ? WHERE customer = 'little-money'", CARD)
    with pytest.raises(ValueError, match="does not open"):
        branch.delivered()


def test_template_keys_that_are_damaged(keys: BankKeys, tmp_path: Path) -> None:
    path = tmp_path / TEMPLATE_KEYS_FILE
    for text in ("{}", "[1]", '{"1": "ab"}', "not json"):
        path.write_text(text)
        with pytest.raises(KeyFileError):
            TemplateKeys(path, keys, random.Random(1).randbytes)


def test_the_desks_enrolments_are_taken_over_once_and_a_deleted_one_stays_deleted(keys: BankKeys, tmp_path: Path) -> None:
    desk = {"customer": Template("customer", "desk-1", MODEL, packed(5))}
    branch = Branch(keys, tmp_path, desk)
    assert branch.delivered(OTHER_CARD) == pytest.approx(vector(5), abs=1e-6)
    branch.opens(1, OTHER_CARD)
    branch.revokes(1, OTHER_CARD)
    branch.host.store.close()
    again = Branch(keys, tmp_path, desk)
    assert again.delivered(OTHER_CARD) is None


# --- the rotation


@settings(deadline=None, max_examples=25)
@given(st.binary(min_size=32, max_size=32), st.integers(0, 1000), st.integers(0, 1000))
def test_a_rotation_keeps_angles_and_can_be_undone(seed: bytes, one: int, other: int) -> None:
    a, b = vector(one), vector(other)
    turned = [rotate(seed, a), rotate(seed, b)]
    assert rotate_back(seed, turned[0]) == pytest.approx(a, abs=1e-9)
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    assert sum(x * y for x, y in zip(*turned, strict=True)) == pytest.approx(dot, abs=1e-9)


def test_the_rotation_against_its_definition() -> None:
    """Written again, as matrices: H D3 H D2 H D1 with the signs read from the document."""
    import hashlib

    seed, size = bytes(range(32)), 128
    stream = hashlib.shake_256(b"smart-branch/template-rotation/v1" + seed).digest(48)
    bits = [int(bit) for byte in stream for bit in f"{byte:08b}"]
    hadamard = [[(-1) ** bin(row & column).count("1") / math.sqrt(size) for column in range(size)] for row in range(size)]
    values = vector(3)
    for group in range(3):
        values = [value * (-1) ** bits[group * size + place] for place, value in enumerate(values)]
        values = [sum(cell * value for cell, value in zip(row, values, strict=True)) for row in hadamard]
    assert rotate(seed, vector(3)) == pytest.approx(values, abs=1e-9)
