"""Real recorded scenes, real models, the real verifier: the customer passes, the other does not, and everything odd is refused by name."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from secrets import randbelow
from typing import Any

import numpy
import pytest
from face_sealing import sealed_template

from drivers.devices.camera import Camera
from drivers.errors import ConfigurationFault, LinkError
from drivers.transports.base import Deadline, MonotonicClock
from simulators.camera.encode import Desk, DlibDesk, SFaceDesk, read_photograph
from simulators.camera.scenes import make_scenes, scene_path, show
from terminal.face.backend import Backend, load_backend
from terminal.face.models import DLIB_ENCODER, DLIB_LANDMARKS, SFACE, YUNET, find_model
from terminal.face.verifier import FaceConfig, FaceResult, FaceVerifier, Progress

pytestmark = pytest.mark.wire
CLOCK = MonotonicClock()


@pytest.fixture(scope="session")
def cache(pytestconfig: pytest.Config) -> Path:
    """Made once per checkout."""
    folder = pytestconfig.rootpath / ".cache" / "camera"
    make_scenes(folder)
    return folder


@pytest.fixture(scope="session")
def backend() -> Backend:
    return load_backend("sface")


class Kiosk:
    """A verifier before a camera whose scene can be changed, and the bank that seals templates for it."""

    def __init__(self, cache: Path, loaded: Backend | None, link: Path, templates: str = "templates.json", **config: Any) -> None:
        self.cache, self.link = cache, link
        self.enrolled = json.loads((cache / templates).read_text())
        self.verifier = FaceVerifier(FaceConfig(str(link), **{"turns": 0, **config}), CLOCK, randbelow, backend=loaded)
        self.hints: set[str] = set()

    def template(self, customer: str, /, **changes: Any) -> dict[str, Any]:
        person = self.enrolled["templates"][customer]
        values = struct.unpack("<128f", bytes.fromhex(person["encoding"]))
        return sealed_template(values, self.verifier.public_key(), self.enrolled["model"], customer, person["templateId"], **changes)

    def verify(self, scene: str, template: dict[str, Any] | str, seconds: float = 20) -> FaceResult:
        show(scene, self.cache, self.link)
        return self.look(template, seconds)

    def look(self, template: dict[str, Any] | str, seconds: float) -> FaceResult:
        *told, result = self.verifier.verify(template, Deadline.after(CLOCK, seconds))
        self.hints = {one.hint for one in told if isinstance(one, Progress)}
        assert isinstance(result, FaceResult)
        return result


@pytest.fixture
def kiosk(cache: Path, backend: Backend, tmp_path: Path) -> Iterator[Kiosk]:
    yield Kiosk(cache, backend, tmp_path / "camera.avi")


@pytest.mark.parametrize(("name", "templates"), [("sface", "templates.json"), ("dlib", "templates-dlib.json")])
def test_the_customer_is_accepted_and_the_other_is_not(cache: Path, tmp_path: Path, name: str, templates: str) -> None:
    loaded = load_backend(name)
    kiosk = Kiosk(cache, loaded, tmp_path / "camera.avi", templates, backend=name)
    accepted = kiosk.verify("customer", json.dumps(kiosk.template("customer")))
    assert accepted.decision == "accepted"
    assert accepted.evidence.score is not None and accepted.evidence.score >= loaded.bands.accept
    rejected = kiosk.verify("other", kiosk.template("customer"))
    assert rejected.decision == "rejected"
    assert rejected.evidence.score is not None and rejected.evidence.score < loaded.bands.ask_again
    assert kiosk.verify("customer", kiosk.template("other")).decision == "rejected"
    assert kiosk.verify("other", kiosk.template("other")).decision == "accepted"


def test_one_models_template_is_refused_by_the_other(cache: Path, backend: Backend, tmp_path: Path) -> None:
    kiosk = Kiosk(cache, backend, tmp_path / "camera.avi", "templates-dlib.json")
    assert kiosk.verify("customer", kiosk.template("customer")) == FaceResult("templateRefused")


@pytest.mark.parametrize(
    ("scene", "decision", "hint"),
    [("nobody", "noFace", ""), ("two-people", "severalFaces", ""), ("unplugged", "cameraFault", ""), ("dark", "poorQuality", "moreLight")],
)
def test_scenes_without_one_clear_face_are_refused_by_name(kiosk: Kiosk, scene: str, decision: str, hint: str) -> None:
    result = kiosk.verify(scene, kiosk.template("customer"), seconds=3)
    assert (result.decision, result.evidence.score) == (decision, None)
    assert not hint or hint in kiosk.hints


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "0" * 64},
        {"customer": "other"},
        {"templateId": "customer-2"},
        {"schema": 1},
        {"plain": b"\0" * 544},
        {"plain": b"\0" * 512},
        {"plain": b"\xff" * 544},
        {"associated": "customer"},
        {"box": {"alg": "none"}},
        {"box": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_template_that_is_not_the_banks_is_refused(kiosk: Kiosk, changes: dict[str, Any]) -> None:
    assert kiosk.verify("customer", kiosk.template("customer", **changes)) == FaceResult("templateRefused")


def test_a_recorded_template_opens_nothing_later(kiosk: Kiosk) -> None:
    template = kiosk.template("customer")
    assert kiosk.verify("customer", template).decision == "accepted"
    assert kiosk.verify("customer", template) == FaceResult("templateRefused")
    kiosk.verifier.public_key()
    assert kiosk.verify("customer", template) == FaceResult("templateRefused")


@pytest.mark.parametrize(("name", "files"), [("sface", (YUNET, SFACE)), ("dlib", (YUNET, DLIB_LANDMARKS, DLIB_ENCODER))])
def test_a_missing_cut_or_changed_model_file_is_named_and_never_accepts(cache: Path, tmp_path: Path, name: str, files: Any) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for at, wrong in enumerate(files):
        for file in files[:at]:
            shutil.copy(find_model(file), models)
        kiosk = Kiosk(cache, None, tmp_path / "camera.avi", backend=name, models=models)
        with pytest.raises(ConfigurationFault, match=f"{wrong.name}: cannot be read"):
            kiosk.verifier.load()
        right = find_model(wrong).read_bytes()
        for content in (b"", right[: len(right) // 2], right[:-1] + bytes([right[-1] ^ 1]), right + b"\0"):
            (models / wrong.name).write_bytes(content)
            with pytest.raises(ConfigurationFault, match=f"{wrong.name}: is not the file"):
                kiosk.verifier.load()
        assert kiosk.verify("customer", kiosk.template("customer")) == FaceResult("modelFault")
    shutil.copy(find_model(files[-1]), models)
    Kiosk(cache, None, tmp_path / "camera.avi", backend=name, models=models).verifier.load()


def test_a_damaged_recording_is_a_camera_fault(kiosk: Kiosk) -> None:
    for content in (b"", b"RIFF not a film", scene_path(kiosk.cache, "customer").read_bytes()[:3000]):
        kiosk.link.unlink(missing_ok=True)
        kiosk.link.write_bytes(content)
        template = kiosk.template("customer")
        result = kiosk.look(template, 3)
        assert result.decision in ("cameraFault", "noFace") and result.evidence.score is None


@pytest.mark.parametrize(("name", "desk", "least"), [("sface", SFaceDesk, 0.9), ("dlib", DlibDesk, 0.998)])
def test_the_two_writings_of_the_pipeline_agree(cache: Path, name: str, desk: type[Desk], least: float) -> None:
    """SFace's desk looks for the points at another scale; a stranger's photograph is below .4."""
    rgb = read_photograph(cache / "photographs" / "biden.jpg")
    bgr = rgb[:, :, ::-1].copy()
    loaded = load_backend(name)
    (face,) = loaded.detector.detect(bgr)
    terminal = loaded.embedder.embed(bgr, face)
    assert sum(float(a) * b for a, b in zip(terminal, desk().encode(rgb), strict=True)) > least


def test_many_faces_are_all_found(cache: Path, backend: Backend) -> None:
    bgr = read_photograph(cache / "photographs" / "biden.jpg")[:, :, ::-1].copy()
    (face,) = backend.detector.detect(bgr)
    x, y, side = round(face.centre.x), round(face.centre.y), round(face.height * 0.8)
    crowd = numpy.tile(bgr[y - side : y + side, x - side : x + side], (2, 3, 1))
    assert len(backend.detector.detect(crowd)) == 6


def test_the_camera_plays_a_recording_at_its_own_speed_and_loops(cache: Path) -> None:
    class Steps:
        """Time that passes only when the camera waits."""

        now_s = 0.0

        def now(self) -> float:
            return self.now_s

        def sleep(self, seconds: float) -> None:
            self.now_s += max(0.0, seconds)

    clock, path = Steps(), str(scene_path(cache, "nobody"))
    frames = [shot.frame for shot in Camera(path, clock).frames(Deadline.after(clock, 4.05))]
    assert len(frames) in (40, 41) and frames[0].shape == (480, 640, 3)
    assert (frames[0] == frames[30]).all() and not (frames[0] == frames[1]).all()
    clock = Steps()
    assert len(list(Camera(path, clock, loop=False).frames(Deadline.after(clock, 60)))) == 30
    clock = Steps()
    late = Camera(path, clock).frames(Deadline.after(clock, 2))
    next(late)
    clock.now_s = 1.0
    assert (next(late).frame == frames[10]).all()  # the nine that nobody fetched are gone


def test_a_camera_that_is_not_there_is_named() -> None:
    for source in ("/nowhere/camera.avi", "/nowhere/%03d.jpg", 99):
        with pytest.raises(LinkError, match=f"camera {source}"):
            next(iter(Camera(source, CLOCK).frames(Deadline.after(CLOCK, 1))))
