"""Frames that repeat, stand still or come at impossible moments; a track that breaks."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from terminal.face.liveness import FrameWatch
from terminal.face.tracking import Track, overlap
from terminal.face.values import Detection, Landmarks, Point

RANDOM = numpy.random.default_rng(1)
POINTS = Landmarks(*[Point(0.0, 0.0)] * 5)


def picture(size: tuple[int, int] = (120, 160)) -> Any:
    return RANDOM.integers(0, 255, (*size, 3), dtype=numpy.uint8)


def watch(moments: list[float], frames: list[Any], fps: float = 15) -> FrameWatch:
    watching = FrameWatch(fps)
    for at, frame in zip(moments, frames, strict=True):
        watching.see(at, frame)
    return watching


def steps(count: int, gap: float = 1 / 15) -> list[float]:
    return [number * gap for number in range(count)]


def test_a_camera_of_its_own_rate_is_well() -> None:
    assert watch(steps(60), [picture() for _ in range(60)]).oddity == ""


def test_a_frame_handed_out_twice_is_left_out_and_a_frozen_camera_is_not_forgiven() -> None:
    same = picture()
    twice = watch(steps(4), [picture(), same, same, picture()])
    assert (twice.oddity, twice.repeats) == ("", 1)
    assert watch(steps(12), [picture(), *[same] * 11]).oddity == ""
    assert watch(steps(13), [picture(), *[same] * 12]).oddity == "frozenFrames"


def test_a_frame_that_comes_back_is_a_recording() -> None:
    old = picture()
    assert watch(steps(4), [old, picture(), picture(), old]).oddity == "repeatedFrames"


@pytest.mark.parametrize(
    "moments",
    [[0.0, 0.1, 0.1], [0.0, 0.1, 0.05], [0.0, 0.1, 1.7], [number / 60 for number in range(60)], [0.0, 0.1, float("nan")]],
    ids=["no time between", "backwards", "a pause", "too many", "no number"],
)
def test_impossible_moments(moments: list[float]) -> None:
    assert watch(moments, [picture() for _ in moments]).oddity == "frameTiming"


def test_another_size_is_another_camera_and_the_first_oddity_stays() -> None:
    watching = watch([0.0, 0.1], [picture(), picture((240, 320))])
    assert watching.oddity == "cameraChanged"
    assert not watching.see(5.0, picture())
    assert watching.oddity == "cameraChanged"


def box(x: float = 60, side: float = 40) -> Detection:
    return Detection(x, 40, side, side, 0.9, POINTS)


def room(seed: int) -> Any:
    """Large patches of grey: what is beside a face."""
    patches = numpy.random.default_rng(seed).integers(40, 220, (6, 8), dtype=numpy.uint8)
    return numpy.repeat(numpy.kron(patches, numpy.ones((20, 20), numpy.uint8))[:, :, None], 3, axis=2)


def test_the_room_behind_the_face_may_get_darker_but_not_another_one() -> None:
    watching = FrameWatch(15)
    assert watching.surroundings(room(1), box()) == ""
    assert watching.surroundings((room(1) * 0.6).astype(numpy.uint8), box(64)) == ""
    assert watching.surroundings(room(2), box()) == "cameraChanged"


def test_a_plain_wall_says_nothing() -> None:
    watching = FrameWatch(15)
    for level in (90, 160, 30):
        assert watching.surroundings(numpy.full((120, 160, 3), level, numpy.uint8), box()) == ""


# --- the track


def embedding(angle: float) -> Any:
    return numpy.array([numpy.cos(angle), numpy.sin(angle), *[0.0] * 126], dtype=numpy.float32)


def test_one_face_that_moves_and_turns_is_one_track() -> None:
    track = Track()
    assert all(track.follow(number / 15, box(60 + 3 * number), embedding(number * 0.1)) for number in range(40))
    assert track.broken == ""


@pytest.mark.parametrize(
    ("face", "known", "why"),
    [(box(300), embedding(0), "faceJumped"), (box(), embedding(1.5), "faceChanged"), (None, None, "faceLost")],
)
def test_what_does_not_fit_is_left_out_for_a_moment_and_then_breaks_the_track(face: Detection | None, known: Any, why: str) -> None:
    track = Track()
    assert track.follow(0.0, box(), embedding(0))
    for number in range(1, 8):
        if face is None:
            track.missed(number / 15)
        else:
            assert not track.follow(number / 15, face, known)
    assert track.broken == ""
    assert track.follow(0.48, box(), embedding(0.1))
    for number in range(1, 9):
        if face is None:
            track.missed(0.48 + number / 15)
        else:
            track.follow(0.48 + number / 15, face, known)
    assert track.broken == why
    assert not track.follow(1.1, box(), embedding(0.1))


def test_overlap_is_of_boxes() -> None:
    assert overlap(box(), box()) == 1.0
    assert overlap(box(0, 40), box(20, 40)) == pytest.approx(1 / 3)
    assert overlap(box(0), box(100)) == 0.0
    assert overlap(Detection(0, 0, 0, 0, 1, POINTS), Detection(0, 0, 0, 0, 1, POINTS)) == 0.0
