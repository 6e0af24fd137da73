"""The passive network as a configured file: its two formats, its crop, and that every fault means "not live"."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy
import pytest
from tiny_onnx import channel_means

from drivers.errors import ConfigurationFault
from terminal.face.passive import Passive, PassiveConfig
from terminal.face.values import Detection, Landmarks, ModelFault, Point

FACE = Detection(270, 180, 100, 120, 0.9, Landmarks(*[Point(0.0, 0.0)] * 5))


def frame(blue: int, green: int, red: int) -> Any:
    return numpy.full((480, 640, 3), (blue, green, red), numpy.uint8)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def faceplugin(folder: Path, threshold: float = 0.9) -> Passive:
    """The first channel (blue, as frames are BGR) means alive."""
    data = channel_means(128)
    (folder / "live.onnx").write_bytes(data)
    return Passive(PassiveConfig(folder / "live.onnx", sha256(data), "faceplugin", threshold))


def pair(folder: Path, **wrong: Any) -> Passive:
    data = channel_means(80)
    for name in ("v2.onnx", "v1se.onnx"):
        (folder / name).write_bytes(data)
    files = [{"name": name, "sha256": sha256(data), "scale": scale} for name, scale in (("v2.onnx", 2.7), ("v1se.onnx", 4.0))]
    files[1].update(wrong)
    text = json.dumps({"files": files}).encode()
    (folder / "pair.json").write_bytes(text)
    return Passive(PassiveConfig(folder / "pair.json", sha256(text), "minifasnet", 0.7))


def test_each_format_reads_its_own_class_from_bgr(tmp_path: Path) -> None:
    single, both = faceplugin(tmp_path), pair(tmp_path)
    assert single.live(frame(200, 50, 50), FACE) and not single.live(frame(50, 200, 50), FACE) and not single.live(frame(50, 50, 200), FACE)
    assert both.live(frame(50, 200, 50), FACE) and not both.live(frame(200, 50, 50), FACE)
    assert single.score(frame(90, 90, 90), FACE) == pytest.approx(1 / 3)


def test_the_crop_is_around_the_face(tmp_path: Path) -> None:
    picture = frame(0, 0, 0)
    picture[180 - 102 : 300 + 102, 270 - 85 : 370 + 85] = (255, 0, 0)
    assert faceplugin(tmp_path).score(picture, FACE) > 0.99
    at_the_edge = Detection(0, 0, 100, 120, 0.9, FACE.landmarks)
    corner = frame(0, 0, 0)
    corner[:324, :270] = (255, 0, 0)
    assert faceplugin(tmp_path).score(corner, at_the_edge) > 0.99


def test_a_face_that_fills_the_frame_has_no_room(tmp_path: Path) -> None:
    passive = faceplugin(tmp_path)
    assert passive.room(frame(0, 0, 0), FACE)
    assert not passive.room(frame(0, 0, 0), Detection(150, 40, 330, 400, 0.9, FACE.landmarks))


def test_another_file_is_refused_by_name(tmp_path: Path) -> None:
    faceplugin(tmp_path)
    config = PassiveConfig(tmp_path / "live.onnx", "0" * 64, "faceplugin", 0.9)
    with pytest.raises(ConfigurationFault, match=r"live\.onnx: is not the configured file"):
        Passive(config)
    with pytest.raises(ConfigurationFault, match=r"none\.onnx: cannot be read"):
        Passive(PassiveConfig(tmp_path / "none.onnx", "0" * 64, "faceplugin", 0.9))
    junk = b"no network"
    (tmp_path / "junk.onnx").write_bytes(junk)
    with pytest.raises(ConfigurationFault, match="OpenCV cannot load it"):
        Passive(PassiveConfig(tmp_path / "junk.onnx", sha256(junk), "faceplugin", 0.9))


@pytest.mark.parametrize("wrong", [{"sha256": "0" * 64}, {"name": "../v2.onnx"}, {"scale": 40.0}, {"scale": "wide"}, {"name": "none.onnx"}])
def test_a_pair_with_a_wrong_half_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationFault, match="passive liveness"):
        pair(tmp_path, **wrong)


@pytest.mark.parametrize(("format", "threshold"), [("resnet", 0.9), ("faceplugin", 0.0), ("faceplugin", 1.0), ("minifasnet", float("nan"))])
def test_settings_that_cannot_be(format: str, threshold: float) -> None:
    with pytest.raises(ConfigurationFault, match="passive liveness"):
        PassiveConfig(Path("x"), "0" * 64, format, threshold)


def test_a_network_that_fails_says_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passive = faceplugin(tmp_path)
    for answer in ([[float("nan"), 0.0, 0.0]], [[1.0, 2.0]]):

        class Broken:
            def setInput(self, blob: Any) -> None:  # noqa: N802 - OpenCV's name
                """Takes anything."""

            def forward(self, answer: Any = answer) -> Any:
                return numpy.array(answer)

        monkeypatch.setattr(passive, "_networks", [(Broken(), 2.7)])
        with pytest.raises(ModelFault):
            passive.score(frame(200, 0, 0), FACE)
        assert not passive.live(frame(200, 0, 0), FACE)
