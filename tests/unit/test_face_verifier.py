"""The verifier's decisions with a camera and a pipeline made of numbers: which frame is compared, and when nothing is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from random import randrange
from typing import Any

import numpy
import pytest
from face_sealing import sealed_template

from drivers.devices.camera import CameraState, Shot
from drivers.errors import ConfigurationFault, LinkError
from drivers.transports.base import Deadline
from drivers.transports.memory import VirtualClock
from simulators.camera.scenes import show
from terminal.face.backend import Backend
from terminal.face.bands import SFACE_BANDS
from terminal.face.values import Detection, Landmarks, ModelFault, Point
from terminal.face.verifier import FaceConfig, FaceResult, FaceVerifier, Progress

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
            frame[0::3, 3] = number  # where the watch for repeated frames looks
            yield Shot(self.clock.now(), frame)

    def check(self, deadline: Deadline) -> CameraState:
        return CameraState.WELL


class ScriptedPipeline:
    """Detector and embedder: `script[number]` are the faces of that frame (the last entry stays); embeddings have cosine `score`."""

    model_sha256 = MODEL

    def __init__(self, *script: list[Detection], score: float = 0.7) -> None:
        self.script, self.score = script, score
        self.embedded: list[tuple[int, Detection]] = []
        self.told: list[Any] = []

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
    strict = config.pop("high_security", False)
    settings = FaceConfig("none", **{"turns": 0, "fps": 10, **config})
    verifier = FaceVerifier(settings, clock, randrange, camera=NumberedFrames(clock, **(camera or {})), backend=backend)
    template = sealed_template(ENROLLED, verifier.public_key(), MODEL)
    *told, result = verifier.verify(template, Deadline.after(clock, seconds), high_security=strict)
    assert isinstance(result, FaceResult) and all(isinstance(one, Progress) for one in told)
    pipeline.told = told
    return result


@pytest.mark.parametrize(
    ("score", "decision"),
    [(1.0, "accepted"), (0.451, "accepted"), (0.449, "askAgain"), (0.401, "askAgain"), (0.399, "rejected"), (-0.2, "rejected")],
)
def test_the_bands(score: float, decision: str) -> None:
    result = verify(ScriptedPipeline([GOOD], score=score))
    assert (result.decision, result.evidence.frames) == (decision, 3)
    assert result.evidence.score == pytest.approx(score, abs=0.001)
    assert (result.evidence.accept_at, result.evidence.ask_again_at, result.evidence.liveness) == (0.45, 0.40, "notAsked")


@pytest.mark.parametrize("accept", [0.363, 0.43, 0.0, -1.0, 1.0, math.nan])
def test_a_loose_threshold_is_refused(accept: float) -> None:
    with pytest.raises(ConfigurationFault, match="face threshold"):
        FaceConfig("none", accept=accept)


def test_an_embedding_that_is_no_number_is_never_accepted() -> None:
    assert verify(ScriptedPipeline([GOOD], score=math.nan)).decision == "modelFault"


def test_the_evidence_is_of_the_best_frame() -> None:
    small, near, nearer = face(eyes=60), face(eyes=70), face(eyes=90)
    result = verify(ScriptedPipeline([], [small], [nearer], [near], [near]))
    assert (result.evidence.frames, result.evidence.eye_distance_px) == (4, 90)


def test_high_security_only_raises_the_threshold() -> None:
    assert verify(ScriptedPipeline([GOOD], score=0.47), high_accept=0.49).decision == "accepted"
    assert verify(ScriptedPipeline([GOOD], score=0.47), high_accept=0.49, high_security=True).decision == "askAgain"
    assert verify(ScriptedPipeline([GOOD], score=0.44), high_accept=0.2, high_security=True).decision == "askAgain"


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
    assert (result.decision, result.evidence.score) == ("poorQuality", None)
    assert pipeline.told[-1].hint == hint


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


def test_nobody_until_the_deadline() -> None:
    result = verify(ScriptedPipeline([]), seconds=3)
    assert (result.decision, result.evidence.frames) == ("noFace", 25)
    assert verify(ScriptedPipeline([GOOD]), seconds=0.5).decision == "noFace"


def test_no_camera_and_no_key() -> None:
    gone = verify(ScriptedPipeline([GOOD]), camera={"fails": True})
    assert gone.decision == "cameraFault" and isinstance(gone.gone, LinkError)
    clock = VirtualClock()
    pipeline = ScriptedPipeline([GOOD])
    backend = Backend("sface", pipeline, pipeline, SFACE_BANDS)
    verifier = FaceVerifier(FaceConfig("none"), clock, randrange, camera=NumberedFrames(clock), backend=backend)
    assert list(verifier.verify({}, Deadline.after(clock, 5))) == [FaceResult("templateRefused")]


def test_a_scene_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no scene 'carnival'"):
        show("carnival", tmp_path, tmp_path / "camera.avi")
    with pytest.raises(ValueError, match="was not made yet"):
        show("customer", tmp_path, tmp_path / "camera.avi")
    assert list(tmp_path.iterdir()) == []
