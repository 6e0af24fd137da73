"""What the camera driver says of a picture, and which sources it does not take."""

from __future__ import annotations

from typing import Any

import cv2
import numpy
import pytest

from drivers.devices.camera import Camera, CameraState, picture_state, state_of
from drivers.errors import ConfigurationFault, LinkError
from drivers.transports.base import Deadline
from drivers.transports.memory import VirtualClock

RANDOM = numpy.random.default_rng(1)


def noisy(picture: Any, sigma: float = 2) -> Any:
    return (picture + RANDOM.normal(0, sigma, picture.shape)).clip(0, 255).astype(numpy.uint8)


def room(light: float = 1.0) -> Any:
    y, x = numpy.mgrid[0:480, 0:640].astype(numpy.float32)
    return numpy.repeat((light * (80 + 0.1 * y + 60 * ((x // 80) % 2)))[:, :, None], 3, axis=2)


def test_a_room_a_dark_room_and_a_covered_lens() -> None:
    assert picture_state(noisy(room())) is CameraState.WELL
    assert picture_state(noisy(room(0.15))) is CameraState.DARK
    for tone in (4.0, 90.0, 250.0):
        assert picture_state(noisy(numpy.full((480, 640, 3), tone))) is CameraState.COVERED


def test_frozen_is_equal_to_the_last_bit() -> None:
    same = noisy(room())
    assert state_of([same] * 6) is CameraState.FROZEN
    assert state_of([same] * 5 + [noisy(room())]) is CameraState.WELL
    assert state_of([noisy(room()) for _ in range(6)]) is CameraState.WELL
    assert state_of([numpy.zeros((480, 640, 3), numpy.uint8)] * 6) is CameraState.COVERED


@pytest.mark.parametrize(
    "source", ["http://10.0.0.7/scene.mjpg", "https://127.0.0.1/x", "rtsp://127.0.0.1/x", "http://127.0.0.1.example.com/"]
)
def test_pictures_of_another_machine_are_refused(source: str) -> None:
    with pytest.raises(ConfigurationFault, match="only a device, a recording, or an http stream of this machine"):
        Camera(source, VirtualClock())


class Capture:
    """In the place of OpenCV's: gives `frames`, remembers what was asked, has the size it has."""

    def __init__(self, frames: list[Any], size: tuple[int, int] = (640, 480)) -> None:
        self.left, self.size, self.asked, self.released = list(frames), size, dict[int, float](), False

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def set(self, what: int, value: float) -> bool:
        self.asked[what] = value
        return True

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FRAME_WIDTH: self.size[0], cv2.CAP_PROP_FRAME_HEIGHT: self.size[1]}.get(what, self.asked.get(what, 0.0))

    def read(self) -> tuple[bool, Any]:
        return (True, self.left.pop(0)) if self.left else (False, None)

    def release(self) -> None:
        self.released = True


def device(monkeypatch: pytest.MonkeyPatch, capture: Capture) -> Camera:
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: capture)
    return Camera(7, VirtualClock(), 640, 480, 15)


def test_a_device_is_asked_for_size_and_rate_and_warms_up(monkeypatch: pytest.MonkeyPatch) -> None:
    brightness = [20.0, 60.0, 100.0, 120.0, 122.0, 122.0, 122.0]
    capture = Capture([numpy.full((480, 640, 3), tone, numpy.uint8) for tone in brightness])
    camera = device(monkeypatch, capture)
    shots = []
    with pytest.raises(LinkError, match="camera 7: gives no frames"):
        for shot in camera.frames(Deadline.after(VirtualClock(), 5)):
            shots.append(shot)
    assert [int(shot.frame[0, 0, 0]) for shot in shots] == [122, 122, 122]
    assert capture.released
    assert camera.format is not None and camera.format == (640, 480, 15.0)
    assert capture.asked[cv2.CAP_PROP_FPS] == 15 and capture.asked[cv2.CAP_PROP_FRAME_WIDTH] == 640


def test_a_device_that_gives_another_size_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    capture = Capture([], (320, 240))
    with pytest.raises(ConfigurationFault, match="was asked for 640 x 480 and gives 320 x 240"):
        next(iter(device(monkeypatch, capture).frames(Deadline.after(VirtualClock(), 1))))
    assert capture.released


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(LinkError, match="there is no such device"):
        Camera("/dev/v4l/by-id/none", VirtualClock()).check(Deadline.after(VirtualClock(), 1))
