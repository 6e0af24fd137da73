"""Templates and their rotation: what the bank sends opens once and only here; what is wrong with one is said without quoting it."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from face_sealing import SEED, plaintext, rotation_matrix, sealed_template
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.crypto.sealed_box import open_box
from terminal.face.rotation import rotate, unrotate
from terminal.face.scores import NotAlike, cosine, mean_template, unit
from terminal.face.template import OneTimeKey, TemplateRefused, open_template, seal_template, wipe
from terminal.face.values import ModelFault
from terminal.sealed_box import public_bytes

MODEL, OTHER_MODEL = "ab" * 32, "cd" * 32
FACE = unit(numpy.random.default_rng(5).normal(size=128))
seeds = st.binary(min_size=32, max_size=32)


def opened(**changes: Any) -> Any:
    key = OneTimeKey()
    return open_template(sealed_template(FACE, key.make(), MODEL, **changes), key.take(), MODEL)


def test_a_template_opens_to_what_was_enrolled() -> None:
    assert opened() == pytest.approx(FACE, abs=1e-6)
    key = OneTimeKey()
    text = json.dumps(sealed_template(FACE, key.make(), MODEL))
    assert open_template(text, key.take(), MODEL) == pytest.approx(FACE, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": OTHER_MODEL}, "another model"),
        ({"schema": 1}, "schema is not 2"),
        ({"schema": True}, "schema is not 2"),
        ({"customer": "somebody"}, "does not open"),
        ({"templateId": "customer-2"}, "does not open"),
        ({"associated": f"customer|customer-1|{MODEL}|1"}, "does not open"),
        ({"associated": f"customer|customer-1|{OTHER_MODEL}|2"}, "does not open"),
        ({"customer": "a|b"}, "texts without"),
        ({"customer": 7}, "texts without"),
        ({"customer": "\ud800"}, "proper Unicode"),
        ({"templateId": "x" * 129}, "at most 128"),
        ({"plain": plaintext(FACE)[:-1]}, "543 bytes instead of 544"),
        ({"plain": plaintext(FACE) + b"\0"}, "545 bytes instead of 544"),
        ({"plain": plaintext(FACE)[32:]}, "512 bytes instead of 544"),
        ({"plain": b""}, "0 bytes instead of 544"),
        ({"plain": SEED + bytes(512)}, "length is not 1"),
        ({"plain": SEED + struct.pack("<128f", math.nan, *[0.0] * 127)}, "length is not 1"),
        ({"plain": SEED + struct.pack("<128f", math.inf, *[0.0] * 127)}, "length is not 1"),
        ({"plain": SEED + struct.pack("<128f", *[3e38] * 128)}, "length is not 1"),
        ({"plain": SEED + struct.pack("<128f", 1.01, *[0.0] * 127)}, "length is not 1"),
        ({"box": {"alg": "none"}}, "alg must be"),
        ({"box": None}, "no box"),
        ({"box": []}, "no box"),
    ],
)
def test_what_is_not_this_customers_template_is_refused_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(TemplateRefused, match=reason) as refused:
        opened(**changes)
    assert str(FACE[0]) not in str(refused.value)


def test_a_key_opens_one_template_and_then_none() -> None:
    key = OneTimeKey()
    with pytest.raises(TemplateRefused, match="no key was made"):
        key.take()
    template = sealed_template(FACE, key.make(), MODEL)
    open_template(template, key.take(), MODEL)
    with pytest.raises(TemplateRefused, match="used already"):
        key.take()
    key.make()
    with pytest.raises(TemplateRefused, match="does not open"):
        open_template(template, key.take(), MODEL)  # replayed


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_one_changed_bit_or_a_cut_box_never_opens(data: st.DataObject) -> None:
    key = OneTimeKey()
    template = sealed_template(FACE, key.make(), MODEL)
    box = dict(template["box"])
    name = data.draw(st.sampled_from(["epk", "iv", "ciphertext"]))
    value = bytearray.fromhex(box[name])
    if data.draw(st.booleans()):
        del value[data.draw(st.integers(0, len(value) - 1)) :]
    else:
        value[data.draw(st.integers(0, len(value) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    box[name] = value.hex()
    with pytest.raises(TemplateRefused):
        open_template({**template, "box": box}, key.take(), MODEL)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([MODEL, 2, "customer"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["box", "model", "schema", "customer", "templateId", "alg", "epk"]), inner, max_size=6)
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(anything.map(json.dumps) | st.text(max_size=50))
def test_no_text_whatever_opens(text: str) -> None:
    key = OneTimeKey()
    key.make()
    with pytest.raises(TemplateRefused):
        open_template(text, key.take(), MODEL)


def test_deep_and_long_texts_are_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    for text in ("[" * 10_000, "{}" + " " * 20_000, ""):
        with pytest.raises(TemplateRefused, match="sane size"):
            open_template(text, key, MODEL)


def test_an_enrolled_template_reaches_the_bank_alone() -> None:
    bank = ec.generate_private_key(ec.SECP256R1())
    text = seal_template(FACE, public_bytes(bank), transaction_id="T1", consent_id="C1", model_sha256=MODEL)
    message = json.loads(text)
    plain = open_box(message["box"], bank, f"enrol|T1|C1|{MODEL}|2".encode())
    assert struct.unpack("<128f", plain) == pytest.approx(FACE, abs=1e-7)
    assert {name: message[name] for name in ("model", "schema", "consentId")} == {"model": MODEL, "schema": 2, "consentId": "C1"}
    for wrong in (FACE * 2, FACE[:127], FACE * math.nan, numpy.zeros(128, numpy.float32)):
        with pytest.raises(TemplateRefused, match="no embedding"):
            seal_template(wrong, public_bytes(bank), transaction_id="T1", consent_id="C1", model_sha256=MODEL)
    with pytest.raises(TemplateRefused, match="P-256"):
        seal_template(FACE, b"\4" * 65, transaction_id="T1", consent_id="C1", model_sha256=MODEL)
    with pytest.raises(TemplateRefused, match="texts without"):
        seal_template(FACE, public_bytes(bank), transaction_id="T1|C1", consent_id="C1", model_sha256=MODEL)


def test_wiping_leaves_nothing() -> None:
    one, other = FACE.copy(), FACE.copy()
    wipe(one, other)
    assert not one.any() and not other.any()


# --- rotation -------------------------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_the_fast_rotation_is_the_matrix_of_the_specification(seed: bytes) -> None:
    matrix = rotation_matrix(seed)
    assert matrix @ matrix.T == pytest.approx(numpy.eye(128), abs=1e-12)
    assert rotate(seed, FACE) == pytest.approx(matrix @ FACE.astype(float), abs=1e-6)
    assert unrotate(seed, rotate(seed, FACE)) == pytest.approx(FACE, abs=1e-6)


def test_a_rotation_keeps_every_score_and_two_keys_share_nothing() -> None:
    random = numpy.random.default_rng(7)
    faces = [unit(random.normal(size=128)) for _ in range(20)]
    for one in faces:
        assert cosine(rotate(SEED, one), rotate(SEED, FACE)) == pytest.approx(cosine(one, FACE), abs=1e-6)
    across = [cosine(rotate(random.bytes(32), FACE), rotate(random.bytes(32), FACE)) for _ in range(400)]
    # two unrelated unit vectors of 128 dimensions: mean 0, standard deviation 1 / sqrt(128) = .088
    assert abs(float(numpy.mean(across))) < 0.02 and 0.075 < float(numpy.std(across)) < 0.102


@pytest.mark.parametrize("seed", [b"", b"x" * 31, b"x" * 33])
def test_a_seed_has_its_length(seed: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        rotate(seed, FACE)


# --- embeddings -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [[], [1.0] * 127, [1.0] * 129, [math.nan] * 128, [math.inf] + [0.0] * 127, [0.0] * 128, [1e-9] * 128])
def test_what_is_no_vector_of_a_face_is_a_model_fault(values: list[float]) -> None:
    with pytest.raises(ModelFault):
        unit(values)


def test_a_comparison_that_is_no_number_is_a_model_fault() -> None:
    with pytest.raises(ModelFault, match="no number"):
        cosine(FACE * math.nan, FACE)


def test_the_mean_of_frames_that_agree() -> None:
    random = numpy.random.default_rng(1)
    frames = [unit(FACE + random.normal(scale=0.03, size=128)) for _ in range(3)]
    mean = mean_template(frames, 0.45)
    assert float(mean @ mean) == pytest.approx(1, abs=1e-6)
    assert cosine(mean, FACE) > max(cosine(frame, FACE) for frame in frames)
    with pytest.raises(NotAlike, match="at least 3"):
        mean_template(frames[:2], 0.45)
    stranger = unit(random.normal(size=128))
    for at in range(4):
        with pytest.raises(NotAlike, match="does not agree"):
            mean_template([*frames[:at], stranger, *frames[at:]], 0.45)
    with pytest.raises(ModelFault):
        mean_template([*frames, FACE * math.nan], 0.45)
