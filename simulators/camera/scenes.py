"""Recorded scenes for the simulated camera, and the enrolled templates of the two people in them.

A scene is a Motion JPEG file of 3 s, 640 x 480, 10 frames a second: somebody walks up before a lobby wall and stands there, moving a
little. `show` puts a scene before the camera: the camera's path is a symbolic link, exchanged in one step.

The customer's template comes from other photographs than his scene. Of the other person there is one photograph only: template and
scene share it, so his own match says nothing about accuracy (that two people are told apart does).
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulators.camera.encode import Desk, DlibDesk, SFaceDesk, read_photograph
from simulators.camera.faces import fetch_faces

WIDTH, HEIGHT, FPS, FRAMES = 640, 480, 10, 30
FAR_PX, NEAR_PX, WALK_FRAMES = 105, 185, 12
VERSION = 2
SEED = 20261122
TEMPLATES, TEMPLATES_DLIB = "templates.json", "templates-dlib.json"
ENROLMENT = {"customer": ("obama2.jpg", "obama3.jpg"), "other": ("biden.jpg",)}
Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Person:
    """Whose photograph, where the face's centre ends up, and how wide the face is then (both in pixels of the frame)."""

    photograph: str
    x: int = WIDTH // 2
    near_px: int = NEAR_PX


@dataclass(frozen=True, slots=True)
class Scene:
    people: tuple[Person, ...]
    light: float = 1.0


SCENES = {
    "customer": Scene((Person("obama.jpg"),)),
    "other": Scene((Person("biden.jpg"),)),
    "nobody": Scene(()),
    "dark": Scene((Person("obama.jpg"),), light=0.12),
    "two-people": Scene((Person("obama.jpg", 180, 130), Person("biden.jpg", 460, 130))),
}


def scene_path(cache: Path, name: str) -> Path:
    return cache / f"scene-{name}.avi"


def show(name: str, cache: Path, link: Path) -> None:
    """Put scene `name` before the camera whose source is `link`; `"unplugged"` takes the camera away. ValueError: no such scene."""
    if name == "unplugged":
        link.unlink(missing_ok=True)
        return
    if name not in SCENES:
        raise ValueError(f"there is no scene {name!r}: {', '.join([*SCENES, 'unplugged'])}")
    scene = scene_path(cache, name)
    if not scene.is_file():
        raise ValueError(f"scene {name!r} was not made yet: python -m simulators.camera --cache {cache}")
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f"{link.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(scene.resolve())
    fresh.replace(link)


def make_scenes(cache: Path, say: Say = lambda _: None) -> Path:
    """Make what is missing in `cache`; returns the path of templates.json. FacesUnavailable or EncodingFailed say what went wrong."""
    done, mark = cache / "done", f"scenes of version {VERSION}\n"
    files = [done, cache / TEMPLATES, cache / TEMPLATES_DLIB, *(scene_path(cache, name) for name in SCENES)]
    if all(file.is_file() for file in files) and done.read_text() == mark:
        say("scenes and templates are there")
        return cache / TEMPLATES
    cache.mkdir(parents=True, exist_ok=True)
    say("fetching the photographs")
    folder = fetch_faces(cache)
    desk = SFaceDesk()
    say("enrolling")
    _enrol(desk, folder, cache / TEMPLATES)
    _enrol(DlibDesk(), folder, cache / TEMPLATES_DLIB)
    for name, scene in SCENES.items():
        say(f"recording scene {name}")
        _record(scene, desk, folder, scene_path(cache, name))
    _put(done, mark.encode())
    return cache / TEMPLATES


def _put(path: Path, data: bytes) -> None:
    handle, fresh = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    os.replace(fresh, path)


# --- templates ------------------------------------------------------------------------------------------------------------------------


def _enrol(desk: Desk, folder: Path, path: Path) -> None:
    """Each photograph, mirrored and a little darker too: the mean, of length 1, as float32 little-endian."""
    templates = {}
    for customer, names in ENROLMENT.items():
        encodings = [desk.encode(picture) for name in names for picture in _variations(read_photograph(folder / name))]
        total = [sum(values) for values in zip(*encodings, strict=True)]
        length = sum(value * value for value in total) ** 0.5
        encoding = struct.pack(f"<{len(total)}f", *(value / length for value in total))
        templates[customer] = {"templateId": f"{customer}-1", "encoding": encoding.hex()}
    _put(path, json.dumps({"model": desk.model_sha256, "templates": templates}, indent=1).encode())


def _variations(rgb: Any) -> Iterator[Any]:
    import numpy

    yield rgb
    yield numpy.ascontiguousarray(rgb[:, ::-1])
    yield (rgb * 0.8).astype(numpy.uint8)


# --- scenes ---------------------------------------------------------------------------------------------------------------------------


def _record(scene: Scene, desk: Desk, folder: Path, path: Path) -> None:
    import cv2
    import numpy

    cutouts = [_Cutout(person, desk, folder) for person in scene.people]
    wall = _wall()
    random = numpy.random.default_rng(SEED)
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        fresh = Path(work) / path.name
        writer = cv2.VideoWriter(str(fresh), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
        for number in range(FRAMES):
            frame = wall.copy()
            for cutout in cutouts:
                frame = cutout.stand_before(frame, number)
            frame = frame * scene.light + random.normal(0, 2, frame.shape)  # a sensor's noise
            writer.write(frame.clip(0, 255).astype(numpy.uint8))
        writer.release()
        fresh.replace(path)


def _wall() -> Any:
    """A lobby: a lit wall, darker to the sides, a doorway. BGR floats."""
    import numpy

    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH].astype(numpy.float32)
    light = 190 - 0.12 * y - 0.0004 * (x - WIDTH / 2) ** 2
    wall = numpy.stack([light * 1.02, light, light * 0.94], axis=2)
    wall[120:, 540:600] *= 0.6
    wall[430:] *= 0.75
    return wall


class _Cutout:
    """A person cut from a photograph, with soft edges, to be placed with the face at a point and of a size."""

    def __init__(self, person: Person, desk: Desk, folder: Path) -> None:
        import numpy

        rgb = read_photograph(folder / person.photograph)
        left, top, width = desk.find(rgb)
        self._person = person
        self._centre = (left + width / 2, top + width / 2)
        self._face_px = width
        self._picture = rgb[:, :, ::-1].astype(numpy.float32)
        height, length = rgb.shape[:2]
        y, x = numpy.mgrid[0:height, 0:length].astype(numpy.float32)
        across = abs(x - self._centre[0]) / (1.25 * width)
        edge = numpy.minimum(numpy.minimum(x, length - 1 - x), y) / (0.15 * width)  # the photograph's own edges; the bottom stays
        self._opaque = numpy.minimum((1.25 - across) * 3, edge).clip(0, 1)[:, :, None]

    def stand_before(self, frame: Any, number: int) -> Any:
        import cv2
        import numpy

        walk = min(1.0, number / WALK_FRAMES)
        near = self._person.near_px
        size = FAR_PX * near / NEAR_PX * (1 - walk) + near * walk
        scale = size / self._face_px
        x = self._person.x + 4 * numpy.sin(number * 0.45)
        y = 215 + 2 * numpy.cos(number * 0.6)
        shift = (x - scale * self._centre[0], y - scale * self._centre[1])
        move = numpy.array([[scale, 0, shift[0]], [0, scale, shift[1]]], dtype=numpy.float32)
        picture = cv2.warpAffine(self._picture, move, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        opaque = cv2.warpAffine(self._opaque, move, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)[:, :, None]
        return frame * (1 - opaque) + picture * opaque
