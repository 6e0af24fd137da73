"""A camera: frames as a customer stands there, each with its moment, with bounded waiting; and what state the camera is in.

The source is a stable device path (``/dev/v4l/by-id/...``, V4L2), a number, a Motion JPEG stream of this machine
(``http://127.0.0.1:port/...``), or a recording (a video file, or an image sequence ``scene-%03d.jpg``), all opened by OpenCV. A stream from
another machine is refused: pictures that come over a network can be exchanged on the way. A recording is played at its own speed; frames
that nobody fetched in time are lost, as with a camera. The source is opened for one step and released after it, so what was pulled out is
simply opened again the next time.

OpenCV is imported when the first frame is asked for. Frames are never written anywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from enum import StrEnum, unique
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from drivers.errors import ConfigurationFault, LinkError
from drivers.transports.base import Clock, Deadline

if TYPE_CHECKING:
    import numpy

    Frame: TypeAlias = numpy.ndarray[Any, numpy.dtype[numpy.uint8]]
    """Height x width x 3, BGR, 8 bits."""

FRAME_LIMIT_MS = 2000  # for one frame, and for opening: the libraries' own 10 and 30 s are longer than a customer's whole step
STREAM = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?/")
DEFAULT_FPS, MAX_FPS = 10.0, 120.0
MAX_SIDE = 4096
MAX_LOST_FRAMES = 5
WARM_UP_FRAMES, WARM_UP_S = 2, 1.0
STEADY = 8.0
"""Exposure has settled when two neighbouring frames' mean brightness differs by less (of 255)."""
FLAT, DARK = 2.0, 35.0
CHECK_FRAMES = 6
THUMBNAIL = (64, 48)


@unique
class CameraState(StrEnum):
    """What a look through the camera says. That it is gone is a LinkError."""

    WELL = ""
    COVERED = "cameraCovered"
    FROZEN = "cameraFrozen"
    DARK = "cameraDark"


class Shot(NamedTuple):
    """`at`: monotonic seconds, when the frame was in our hands."""

    at: float
    frame: Frame


class CameraFormat(NamedTuple):
    """As read back after opening. `fps` is 0 when the source does not say."""

    width: int
    height: int
    fps: float


class Camera:
    """`width`, `height`, `fps` are asked of a device and read back: another size is refused. A stream or a recording has its own.

    `loop`: a recording begins again at its end.
    """

    def __init__(
        self, source: str | int, clock: Clock, width: int = 640, height: int = 480, fps: float = 15.0, *, loop: bool = True
    ) -> None:
        self.source: str | int = int(source) if isinstance(source, str) and source.isdecimal() else source
        self._clock = clock
        self._wanted = CameraFormat(width, height, fps)
        self._loop = loop
        self.format: CameraFormat | None = None
        text = str(self.source)
        self._device = isinstance(self.source, int) or text.startswith("/dev/")
        self._stream = "://" in text
        if self._stream and not STREAM.match(text):
            raise ConfigurationFault(f"camera {text}: only a device, a recording, or an http stream of this machine (127.0.0.1)")

    def frames(self, deadline: Deadline) -> Iterator[Shot]:
        """Until the deadline (or the end of a recording that does not loop). LinkError names the source and what is wrong."""
        capture = self._open()
        try:
            yield from self._live(capture, deadline) if self._device or self._stream else self._recorded(capture, deadline)
        finally:
            capture.release()

    def check(self, deadline: Deadline) -> CameraState:
        """A short look, without searching for faces. LinkError: unplugged, or it gives nothing."""
        looked: list[Frame] = []
        for shot in self.frames(deadline):
            looked.append(shot.frame)
            if len(looked) >= CHECK_FRAMES:
                break
        if not looked:
            raise LinkError(f"camera {self.source}: gave no frame in time")
        return state_of(looked)

    # --- opening

    def _open(self) -> Any:
        """OpenCV only says "not opened"; the usual reasons are looked at first, to name them."""
        self._must_exist()
        os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] = str(FRAME_LIMIT_MS // 1000)
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # its warnings go to standard error and name files
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        import cv2

        try:
            if self._stream:
                limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, FRAME_LIMIT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, FRAME_LIMIT_MS]
                capture = cv2.VideoCapture(self.source, cv2.CAP_FFMPEG, [*limits, cv2.CAP_PROP_N_THREADS, 1])
            elif self._device:
                capture = cv2.VideoCapture(self.source, cv2.CAP_V4L2)
            else:
                capture = cv2.VideoCapture(self.source)
        except cv2.error as error:
            raise LinkError(f"camera {self.source}: cannot be opened ({error.err})") from None
        if not capture.isOpened():
            raise LinkError(f"camera {self.source}: cannot be opened")
        self._agree(capture)
        return capture

    def _must_exist(self) -> None:
        if isinstance(self.source, int) or self._stream or "%" in self.source:
            return
        if not (Path(self.source).exists() if self._device else Path(self.source).is_file()):
            raise LinkError(f"camera {self.source}: there is no such {'device' if self._device else 'recording'}")

    def _agree(self, capture: Any) -> None:
        """Ask a device for size and rate, read back what it does. ConfigurationFault when the size is another."""
        import cv2

        if self._device:
            for what, value in (("WIDTH", self._wanted.width), ("HEIGHT", self._wanted.height)):
                capture.set(getattr(cv2, f"CAP_PROP_FRAME_{what}"), value)
            capture.set(cv2.CAP_PROP_FPS, self._wanted.fps)
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        size = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        self.format = CameraFormat(*size, float(capture.get(cv2.CAP_PROP_FPS)))
        if self._device and size != self._wanted[:2]:
            capture.release()
            asked = f"{self._wanted.width} x {self._wanted.height}"
            raise ConfigurationFault(
                f"camera {self.source}: was asked for {asked} and gives {size[0]} x {size[1]}: configure what it can do"
            )

    # --- reading

    def _live(self, capture: Any, deadline: Deadline) -> Iterator[Shot]:
        """The first frames, until the exposure has settled, are not given away."""
        lost, warming = 0, _WarmUp(self._clock)
        while not deadline.expired:
            good, frame = capture.read()
            if good and _is_frame(frame):
                lost = 0
                if not warming.over(frame):
                    continue
                yield Shot(self._clock.now(), frame)
                continue
            lost += 1
            if lost >= MAX_LOST_FRAMES or self._stream:
                raise LinkError(f"camera {self.source}: gives no frames")

    def _recorded(self, capture: Any, deadline: Deadline) -> Iterator[Shot]:
        import cv2

        told = capture.get(cv2.CAP_PROP_FPS)
        fps = told if 0 < told <= MAX_FPS else DEFAULT_FPS
        while True:
            shown = 0
            for frame in self._once(capture, fps, deadline):
                shown += 1
                yield Shot(self._clock.now(), frame)
            if deadline.expired or (shown and not self._loop):
                return
            if not shown:
                raise LinkError(f"camera {self.source}: the recording has no readable frame")
            if not capture.set(cv2.CAP_PROP_POS_FRAMES, 0):
                raise LinkError(f"camera {self.source}: the recording cannot be started again")

    def _once(self, capture: Any, fps: float, deadline: Deadline) -> Iterator[Frame]:
        """One run of the recording; frame `index` is due `index / fps` after its start."""
        start, index = self._clock.now(), 0
        while not deadline.expired:
            due = start + index / fps
            if self._clock.now() < due:
                self._clock.sleep(min(due, deadline.at) - self._clock.now())
                if deadline.expired:
                    return
            while index < int((self._clock.now() - start) * fps + 1e-6):
                if not capture.grab():
                    return
                index += 1
            good, frame = capture.read()
            if not good or not _is_frame(frame):
                return
            index += 1
            yield frame


class _WarmUp:
    """A camera that has just been switched on gives dark or glaring frames until its exposure has settled: a second at most."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = clock.now() + WARM_UP_S
        self._seen = 0
        self._brightness = -255.0
        self._over = False

    def over(self, frame: Frame) -> bool:
        if not self._over:
            self._seen += 1
            brightness = float(frame[::8, ::8].mean())
            steady = abs(brightness - self._brightness) < STEADY
            self._brightness = brightness
            self._over = (self._seen > WARM_UP_FRAMES and steady) or self._clock.now() >= self._until
        return self._over


def state_of(frames: list[Frame]) -> CameraState:
    """Frozen: all equal to the last bit (a living sensor has noise). Covered: nothing but one tone. Dark: hardly any light."""
    import numpy

    tones = picture_state(frames[-1])
    if tones is CameraState.COVERED:
        return tones
    if len(frames) >= CHECK_FRAMES and all(numpy.array_equal(frames[0], other) for other in frames[1:]):
        return CameraState.FROZEN
    return tones


def picture_state(frame: Frame) -> CameraState:
    """Of one frame: COVERED, DARK or WELL."""
    import cv2

    small = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), THUMBNAIL, interpolation=cv2.INTER_AREA)
    if float(small.std()) < FLAT:
        return CameraState.COVERED
    return CameraState.DARK if float(small.mean()) < DARK else CameraState.WELL


def _is_frame(frame: Any) -> bool:
    """A colour picture of a sane size: what else a damaged file may decode to is no frame."""
    return frame is not None and frame.ndim == 3 and frame.shape[2] == 3 and 16 <= min(frame.shape[:2]) <= max(frame.shape[:2]) <= MAX_SIDE
