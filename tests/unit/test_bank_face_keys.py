"""What the bank's face templates are kept under: keys that are changed, cut off, deleted or damaged, and the rotation of the vector."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
from face_branch import CARD, MODEL, OTHER_CARD, Branch, packed, vector
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.bank.__main__ import TEMPLATE_KEYS_FILE, bank_keys
from simulators.bank.keys import BankKeys, KeyFileError
from simulators.bank.rotation import rotate, rotate_back
from simulators.bank.template_keys import TemplateKeys
from simulators.bank.templates import Template


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> BankKeys:
    return bank_keys(tmp_path_factory.mktemp("bank"))


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
