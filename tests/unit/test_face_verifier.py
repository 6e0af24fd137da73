"""The verifier's decisions with a camera and a pipeline made of numbers: which frame is compared, and when nothing is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from face_sealing import sealed_template

from drivers.errors import ConfigurationFault, LinkError
from drivers.transports.base import Deadline
from drivers.transports.memory import VirtualClock
from simulators.camera.scenes import show
from terminal.face.backend import Backend
from terminal.face.bands import SFACE_BANDS
from terminal.face.values import Detection, Landmarks, ModelFault, Point
from terminal.face.verifier import FaceConfig, FaceResult, FaceVerifier

MODEL = "ab" * 32
ENROLLED = [1.0, *[0.0] * 127]


def face(x: float = 320, y: float = 220, eyes: float = 80, turn: float = 0.0) -> Detection:
    """A face whose middle is at (x, y), with its eyes so far apart; `turn` is its yaw5."""
    half = eyes / 2
    points = [(-half, -0.5 * eyes), (half, -0.5 * eyes), (turn * half, 0.0), (-0.8 * half, 0.5 * eyes), (0.8 * half, 0.5 * eyes)]
    landmarks = Landmarks(*(Point(x + across, y + down) for across, down in points))
    return Detection(x - 1.1 * eyes, y - 1.4 * eyes, 2.2 * eyes, 2.8 * eyes, 0.9, landmarks)


GOOD = face()


class NumberedFrames:
    """A camera that shows stripes and the number of the frame in its first pixel; each takes a tenth of a second."""

    def __init__(self, clock: VirtualClock, count: int = 1000, fails: bool = False, light: int = 120, stripe: int = 8) -> None:
        self.clock, self.count, self.fails, self.light, self.stripe = clock, count, fails, light, stripe

    def frames(self, deadline: Deadline) -> Iterator[Any]:
        if self.fails:
            raise LinkError("camera: gone")
        y, x = numpy.mgrid[0:480, 0:640]
        board = ((x // self.stripe + y // self.stripe) % 2) * 0.5 + 0.75
        for number in range(self.count):
            if deadline.expired:
                return
            self.clock.sleep(0.1)
            frame = numpy.repeat((board * self.light).clip(0, 255).astype(numpy.uint8)[:, :, None], 3, axis=2)
            frame[0, 0] = number
            yield frame


class ScriptedPipeline:
    """Detector and embedder: `script[number]` are the faces of that frame (the last entry stays); embeddings have cosine `score`."""

    model_sha256 = MODEL

    def __init__(self, *script: list[Detection], score: float = 0.7) -> None:
        self.script, self.score = script, score
        self.embedded: list[tuple[int, Detection]] = []

    def detect(self, frame: Any) -> list[Detection]:
        return self.script[min(int(frame[0, 0, 0]), len(self.script) - 1)]

    def embed(self, frame: Any, face: Detection) -> Any:
        self.embedded.append((int(frame[0, 0, 0]), face))
        if not math.isfinite(self.score):
            raise ModelFault("no vector")
        return numpy.array([self.score, math.sqrt(1 - self.score**2), *[0.0] * 126], dtype=numpy.float32)


def verify(pipeline: ScriptedPipeline, seconds: float = 5, camera: dict[str, Any] | None = None, **config: Any) -> FaceResult:
    clock = VirtualClock()
    backend = Backend("sface", pipeline, pipeline, SFACE_BANDS)
    verifier = FaceVerifier(FaceConfig("none", **config), clock, NumberedFrames(clock, **(camera or {})), backend)
    template = sealed_template(ENROLLED, verifier.public_key(), MODEL)
    return verifier.verify(template, Deadline.after(clock, seconds))


@pytest.mark.parametrize(
    ("score", "decision"),
    [(1.0, "accepted"), (0.451, "accepted"), (0.449, "askAgain"), (0.401, "askAgain"), (0.399, "rejected"), (-0.2, "rejected")],
)
def test_the_bands(score: float, decision: str) -> None:
    result = verify(ScriptedPipeline([GOOD], score=score))
    assert (result.decision, result.frames) == (decision, 4)
    assert result.score == pytest.approx(score, abs=0.001)


@pytest.mark.parametrize("accept", [0.363, 0.43, 0.0, -1.0, 1.0, math.nan])
def test_a_loose_threshold_is_refused(accept: float) -> None:
    with pytest.raises(ConfigurationFault, match="face threshold"):
        FaceConfig("none", accept=accept)


def test_an_embedding_that_is_no_number_is_never_accepted() -> None:
    assert verify(ScriptedPipeline([GOOD], score=math.nan)) == FaceResult("modelFault")


def test_only_the_best_of_the_good_frames_is_compared() -> None:
    small, near, nearer = face(eyes=45), face(eyes=60), face(eyes=90)
    pipeline = ScriptedPipeline([], [small], [nearer], [near], [small])
    assert verify(pipeline).frames == 5
    assert len(pipeline.embedded) == 1 and pipeline.embedded[0][1] is not small


@pytest.mark.parametrize(
    ("poor", "camera", "hint"),
    [
        (face(eyes=39), {}, "comeCloser"),
        (face(eyes=150), {}, "goBack"),
        (face(x=100), {}, "stepToTheMiddle"),
        (face(y=100), {}, "stepToTheMiddle"),
        (face(turn=0.5), {}, "lookStraight"),
        (face(turn=-0.5), {}, "lookStraight"),
        (GOOD, {"light": 30}, "moreLight"),
        (GOOD, {"light": 300}, "lessLight"),
        (GOOD, {"stripe": 1000}, "holdStill"),
    ],
)
def test_poor_pictures_are_not_compared_but_said(poor: Detection, camera: dict[str, Any], hint: str) -> None:
    pipeline = ScriptedPipeline([poor])
    result = verify(pipeline, camera=camera)
    assert (result.decision, result.hint, result.score) == ("poorQuality", hint, None)
    assert pipeline.embedded == []


def test_points_that_are_no_face_are_passed_over() -> None:
    nothing = Detection(300, 200, 80, 80, 0.9, Landmarks(*[Point(320.0, 240.0)] * 5))
    assert verify(ScriptedPipeline([nothing])).decision == "noFace"


def test_two_faces_of_similar_size_are_refused_and_a_small_one_behind_is_not() -> None:
    beside, behind = face(x=500, eyes=70), face(x=500, eyes=50)
    assert verify(ScriptedPipeline([GOOD, beside])).decision == "severalFaces"
    assert verify(ScriptedPipeline([behind, GOOD])).decision == "accepted"
    passing = ScriptedPipeline([GOOD, beside], [GOOD])
    assert verify(passing).decision == "accepted"
    assert passing.embedded[0][0] > 0


def test_nobody_until_the_deadline_and_a_limit_of_frames() -> None:
    assert verify(ScriptedPipeline([]), seconds=3) == FaceResult("noFace", frames=20)
    assert verify(ScriptedPipeline([]), seconds=60, max_frames=30) == FaceResult("noFace", frames=30)
    assert verify(ScriptedPipeline([GOOD]), seconds=0.5) == FaceResult("noFace")


def test_no_camera_and_no_key() -> None:
    assert verify(ScriptedPipeline([GOOD]), camera={"fails": True}) == FaceResult("cameraFault")
    clock = VirtualClock()
    pipeline = ScriptedPipeline([GOOD])
    verifier = FaceVerifier(FaceConfig("none"), clock, NumberedFrames(clock), Backend("sface", pipeline, pipeline, SFACE_BANDS))
    assert verifier.verify({}, Deadline.after(clock, 5)) == FaceResult("templateRefused")


def test_a_scene_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no scene 'carnival'"):
        show("carnival", tmp_path, tmp_path / "camera.avi")
    with pytest.raises(ValueError, match="was not made yet"):
        show("customer", tmp_path, tmp_path / "camera.avi")
    assert list(tmp_path.iterdir()) == []
