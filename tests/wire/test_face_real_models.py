"""Real recorded scenes, real models, the real verifier: the customer passes, the other does not, and everything odd is refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from drivers.devices.camera import Camera
from drivers.errors import ConfigurationFault, LinkError
from drivers.transports.base import Deadline, MonotonicClock
from simulators.camera.encode import Desk, read_photograph
from simulators.camera.scenes import make_scenes, scene_path, show
from simulators.crypto.sealed_box import seal
from terminal.face.encoder import DlibEncoder, find_models
from terminal.face.verifier import FaceConfig, FaceResult, FaceVerifier

pytestmark = pytest.mark.wire
CLOCK = MonotonicClock()


@pytest.fixture(scope="session")
def cache(pytestconfig: pytest.Config) -> Path:
    """Made once per checkout."""
    folder = pytestconfig.rootpath / ".cache" / "camera"
    make_scenes(folder)
    return folder


@pytest.fixture(scope="session")
def encoder() -> DlibEncoder:
    return DlibEncoder(find_models())


class Kiosk:
    """A verifier before a camera whose scene can be changed, and the bank that seals templates for it."""

    def __init__(self, cache: Path, encoder: DlibEncoder | None, link: Path) -> None:
        self.cache, self.link = cache, link
        self.enrolled = json.loads((cache / "templates.json").read_text())
        self.verifier = FaceVerifier(FaceConfig(str(link)), CLOCK, encoder=encoder)

    def template(self, customer: str, /, **changes: Any) -> dict[str, Any]:
        model = self.enrolled["model"]
        person = self.enrolled["templates"][customer]
        associated = f"{customer}|{person['templateId']}|{model}|1"
        encoding = changes.pop("encoding", bytes.fromhex(person["encoding"]))
        recipient = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self.verifier.public_key())
        box = seal(encoding, recipient, changes.pop("associated", associated).encode(), "face-T0001")
        return {"templateId": person["templateId"], "model": model, "customer": customer, "schema": 1, "box": box, **changes}

    def verify(self, scene: str, template: dict[str, Any] | str, seconds: float = 20) -> FaceResult:
        show(scene, self.cache, self.link)
        return self.verifier.verify(template, Deadline.after(CLOCK, seconds))


@pytest.fixture
def kiosk(cache: Path, encoder: DlibEncoder, tmp_path: Path) -> Iterator[Kiosk]:
    yield Kiosk(cache, encoder, tmp_path / "camera.avi")


def test_the_customer_is_accepted_and_the_other_is_not(kiosk: Kiosk) -> None:
    accepted = kiosk.verify("customer", json.dumps(kiosk.template("customer")))
    assert accepted.decision == "accepted"
    assert accepted.score is not None and accepted.score >= 1 - 0.445
    rejected = kiosk.verify("other", kiosk.template("customer"))
    assert rejected.decision == "rejected"
    assert rejected.score is not None and rejected.score < 0.4
    assert kiosk.verify("customer", kiosk.template("other")).decision == "rejected"
    assert kiosk.verify("other", kiosk.template("other")).decision == "accepted"


@pytest.mark.parametrize(
    ("scene", "decision", "hint"),
    [("nobody", "noFace", ""), ("two-people", "severalFaces", ""), ("unplugged", "cameraFault", ""), ("dark", None, "moreLight")],
)
def test_scenes_without_one_clear_face_are_refused_by_name(kiosk: Kiosk, scene: str, decision: str | None, hint: str) -> None:
    result = kiosk.verify(scene, kiosk.template("customer"), seconds=3)
    assert result.score is None
    if decision is None:  # whether the detector still finds a face in the dark is its affair: it is refused either way
        assert (result.decision, result.hint) in (("noFace", ""), ("poorQuality", hint))
    else:
        assert (result.decision, result.hint) == (decision, hint)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "0" * 64},
        {"customer": "other"},
        {"templateId": "customer-2"},
        {"schema": 2},
        {"encoding": b"\0" * 512},
        {"encoding": b"\0" * 511},
        {"encoding": b"\xff" * 512},
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


def test_a_missing_or_changed_model_file_is_named_and_never_accepts(cache: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    kiosk = Kiosk(cache, None, tmp_path / "camera.avi")
    kiosk.verifier = FaceVerifier(FaceConfig(str(kiosk.link), models=models), CLOCK)
    with pytest.raises(ConfigurationFault, match="cannot be read"):
        kiosk.verifier.load()
    assert kiosk.verify("customer", kiosk.template("customer")) == FaceResult("modelFault")
    files = find_models()
    shutil.copy(files.landmarks, models)
    (models / files.encoder.name).write_bytes(files.encoder.read_bytes()[:-1] + b"?")
    with pytest.raises(ConfigurationFault, match="sha256 differs"):
        kiosk.verifier.load()


def test_a_damaged_recording_is_a_camera_fault(kiosk: Kiosk) -> None:
    for content in (b"", b"RIFF not a film", scene_path(kiosk.cache, "customer").read_bytes()[:3000]):
        kiosk.link.unlink(missing_ok=True)
        kiosk.link.write_bytes(content)
        template = kiosk.template("customer")
        result = kiosk.verifier.verify(template, Deadline.after(CLOCK, 3))
        assert result.decision in ("cameraFault", "noFace") and result.score is None


def test_the_two_writings_of_the_encoder_agree(cache: Path, encoder: DlibEncoder) -> None:
    rgb = read_photograph(cache / "photographs" / "biden.jpg")
    bgr = rgb[:, :, ::-1].copy()
    (face,) = encoder.faces(bgr)
    terminal = encoder.encode(bgr, face)
    bank = Desk().encode(rgb)
    assert sum((a - b) ** 2 for a, b in zip(terminal, bank, strict=True)) ** 0.5 < 0.01


def test_the_camera_plays_a_recording_at_its_own_speed_and_loops(cache: Path) -> None:
    class Steps:
        """Time that passes only when the camera waits."""

        now_s = 0.0

        def now(self) -> float:
            return self.now_s

        def sleep(self, seconds: float) -> None:
            self.now_s += max(0.0, seconds)

    clock, path = Steps(), str(scene_path(cache, "nobody"))
    frames = list(Camera(path, clock).frames(Deadline.after(clock, 4.05)))
    assert len(frames) in (40, 41) and frames[0].shape == (480, 640, 3)
    assert (frames[0] == frames[30]).all() and not (frames[0] == frames[1]).all()
    clock = Steps()
    assert len(list(Camera(path, clock, loop=False).frames(Deadline.after(clock, 60)))) == 30
    clock = Steps()
    late = Camera(path, clock).frames(Deadline.after(clock, 2))
    next(late)
    clock.now_s = 1.0
    assert (next(late) == frames[10]).all()  # the nine that nobody fetched are gone


def test_a_camera_that_is_not_there_is_named() -> None:
    for source in ("/nowhere/camera.avi", "/nowhere/%03d.jpg", 99):
        with pytest.raises(LinkError, match=f"camera {source}"):
            next(iter(Camera(source, CLOCK).frames(Deadline.after(CLOCK, 1))))
