"""The verifier's decisions with a camera and an encoder made of numbers: which frame is compared, and when nothing is."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from drivers.errors import ConfigurationFault, LinkError
from drivers.transports.base import Deadline
from drivers.transports.memory import VirtualClock
from simulators.camera.scenes import show
from terminal.face.encoder import Face
from terminal.face.verifier import FaceConfig, FaceResult, FaceVerifier
from terminal.sealed_box import seal

MODEL = "ab" * 32
ENROLLED = [1.4 / math.sqrt(128)] * 128
GOOD = Face(230, 120, 180, 180, 80.0, 300.0, 120.0)


def face(**changes: Any) -> Face:
    values = {name: getattr(GOOD, name) for name in GOOD.__slots__}
    return Face(**{**values, **changes})


class NumberedFrames:
    """A camera that shows the number of the frame; each takes a tenth of a second."""

    def __init__(self, clock: VirtualClock, count: int = 1000, fails: bool = False) -> None:
        self.clock, self.count, self.fails = clock, count, fails

    def frames(self, deadline: Deadline) -> Iterator[Any]:
        if self.fails:
            raise LinkError("camera: gone")
        for number in range(self.count):
            if deadline.expired:
                return
            self.clock.sleep(0.1)
            yield numpy.full((480, 640, 3), number, dtype=numpy.uint8)


class ScriptedEncoder:
    """`script[number]` are the faces of that frame (the last entry stays); encodings lie `distance` from the enrolled one."""

    model_sha256 = MODEL

    def __init__(self, *script: list[Face], distance: float = 0.3) -> None:
        self.script, self.distance = script, distance
        self.encoded: list[tuple[int, Face]] = []

    def faces(self, frame: Any) -> list[Face]:
        return self.script[min(int(frame[0, 0, 0]), len(self.script) - 1)]

    def encode(self, frame: Any, face: Face) -> list[float]:
        self.encoded.append((int(frame[0, 0, 0]), face))
        return [ENROLLED[0] + self.distance, *ENROLLED[1:]]


def verify(encoder: ScriptedEncoder, seconds: float = 5, fails: bool = False, **config: Any) -> FaceResult:
    clock = VirtualClock()
    verifier = FaceVerifier(FaceConfig("none", **config), clock, NumberedFrames(clock, fails=fails), encoder)
    box = seal(verifier.public_key(), struct.pack("<128f", *ENROLLED), f"c|t|{MODEL}|1".encode(), "k")
    template = {"templateId": "t", "model": MODEL, "customer": "c", "schema": 1, "box": box}
    return verifier.verify(template, Deadline.after(clock, seconds))


@pytest.mark.parametrize(("distance", "decision"), [(0.0, "accepted"), (0.444, "accepted"), (0.446, "rejected"), (0.6, "rejected")])
def test_the_threshold(distance: float, decision: str) -> None:
    result = verify(ScriptedEncoder([GOOD], distance=distance))
    assert (result.decision, result.frames) == (decision, 4)
    assert result.score == pytest.approx(1 - distance, abs=0.001)


@pytest.mark.parametrize("threshold", [0.6, 0.51, 0.0, math.nan])
def test_a_loose_threshold_is_refused(threshold: float) -> None:
    with pytest.raises(ConfigurationFault, match="one stranger in 178"):
        FaceConfig("none", threshold=threshold)


def test_a_distance_that_is_no_number_is_never_accepted() -> None:
    assert verify(ScriptedEncoder([GOOD], distance=math.nan)).decision == "poorQuality"


def test_only_the_best_of_the_good_frames_is_compared() -> None:
    blurred, sharp, near = face(sharpness=70.0), face(sharpness=400.0), face(sharpness=300.0, eye_distance_px=90.0)
    encoder = ScriptedEncoder([], [blurred], [sharp], [near], [blurred])
    assert verify(encoder).frames == 5
    assert encoder.encoded == [(2, sharp)]


@pytest.mark.parametrize(
    ("poor", "hint"),
    [
        ({"eye_distance_px": 39.0}, "comeCloser"),
        ({"sharpness": 59.0}, "holdStill"),
        ({"brightness": 20.0}, "moreLight"),
        ({"brightness": 230.0}, "lessLight"),
        ({"left": 0}, "stepToTheMiddle"),
    ],
)
def test_poor_pictures_are_not_compared_but_said(poor: dict[str, Any], hint: str) -> None:
    encoder = ScriptedEncoder([face(**poor)])
    result = verify(encoder)
    assert (result.decision, result.hint, result.score) == ("poorQuality", hint, None)
    assert encoder.encoded == []


def test_two_faces_of_similar_size_are_refused_and_a_small_one_behind_is_not() -> None:
    beside = face(left=430, width=130, height=130)
    behind = face(left=430, width=100, height=100)
    assert verify(ScriptedEncoder([GOOD, beside])).decision == "severalFaces"
    assert verify(ScriptedEncoder([behind, GOOD])).decision == "accepted"
    passing = ScriptedEncoder([GOOD, beside], [GOOD])
    assert verify(passing).decision == "accepted"
    assert passing.encoded[0][0] > 0


def test_nobody_until_the_deadline_and_a_limit_of_frames() -> None:
    assert verify(ScriptedEncoder([]), seconds=3) == FaceResult("noFace", frames=20)
    assert verify(ScriptedEncoder([]), seconds=60, max_frames=30) == FaceResult("noFace", frames=30)
    assert verify(ScriptedEncoder([GOOD]), seconds=0.5) == FaceResult("noFace")


def test_no_camera_and_no_key() -> None:
    assert verify(ScriptedEncoder([GOOD]), fails=True) == FaceResult("cameraFault")
    clock = VirtualClock()
    verifier = FaceVerifier(FaceConfig("none"), clock, NumberedFrames(clock), ScriptedEncoder([GOOD]))
    assert verifier.verify({}, Deadline.after(clock, 5)) == FaceResult("templateRefused")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "[" * 10_000, "{}" + " " * 20_000, '{"box": {}, "schema": true}'])
def test_a_template_that_is_no_object_is_refused(text: str) -> None:
    clock = VirtualClock()
    verifier = FaceVerifier(FaceConfig("none"), clock, NumberedFrames(clock), ScriptedEncoder([GOOD]))
    verifier.public_key()
    assert verifier.verify(text, Deadline.after(clock, 5)) == FaceResult("templateRefused")


def test_a_scene_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no scene 'carnival'"):
        show("carnival", tmp_path, tmp_path / "camera.avi")
    with pytest.raises(ValueError, match="was not made yet"):
        show("customer", tmp_path, tmp_path / "camera.avi")
    assert list(tmp_path.iterdir()) == []
