"""A camera, or a recorded scene in its place: frames as a customer stands there, with bounded waiting.

OpenCV's VideoCapture opens both: a number (``0``) is a device (V4L2 on Linux), anything else the path of a video file or an image
sequence pattern (``scene-%03d.jpg``). A recording is played at its own speed, frames that nobody fetched in time are lost, as with a
camera. Every call of `frames` opens the source anew, so what a path points to may change between two customers.

OpenCV is imported when the first frame is asked for. Frames are never written anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from drivers.errors import LinkError
from drivers.transports.base import Clock, Deadline

if TYPE_CHECKING:
    import numpy

    Frame: TypeAlias = numpy.ndarray[Any, numpy.dtype[numpy.uint8]]
    """Height x width x 3, BGR, 8 bits."""

V4L_SELECT_S = "2"  # OpenCV's own limit for one frame of a device; its default of 10 s is longer than a customer's whole step
DEFAULT_FPS, MAX_FPS = 10.0, 120.0
MAX_SIDE = 4096
MAX_LOST_FRAMES = 5


class Camera:
    """`width` and `height` are asked of a device; a recording has the size it has. `loop`: a recording begins again at its end."""

    def __init__(self, source: str | int, clock: Clock, width: int = 640, height: int = 480, *, loop: bool = True) -> None:
        self.source: str | int = int(source) if isinstance(source, str) and source.isdecimal() else source
        self._clock = clock
        self._size = (width, height)
        self._loop = loop

    def frames(self, deadline: Deadline) -> Iterator[Frame]:
        """Frames until the deadline (or the end of a recording that does not loop). LinkError names the source and what is wrong."""
        capture = self._open()
        try:
            yield from self._live(capture, deadline) if isinstance(self.source, int) else self._recorded(capture, deadline)
        finally:
            capture.release()

    def _open(self) -> Any:
        """OpenCV only says "not opened"; the usual reasons are looked at first, to name them."""
        if isinstance(self.source, str) and "%" not in self.source and not Path(self.source).is_file():
            raise LinkError(f"camera {self.source}: there is no such recording")
        os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", V4L_SELECT_S)
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # its warnings go to standard error and name files
        import cv2

        try:
            capture = cv2.VideoCapture(self.source)
        except cv2.error as error:
            raise LinkError(f"camera {self.source}: cannot be opened ({error.err})") from None
        if not capture.isOpened():
            raise LinkError(f"camera {self.source}: cannot be opened")
        if isinstance(self.source, int):
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return capture

    def _live(self, capture: Any, deadline: Deadline) -> Iterator[Frame]:
        lost = 0
        while not deadline.expired:
            good, frame = capture.read()
            if good and _is_frame(frame):
                lost = 0
                yield frame
                continue
            lost += 1
            if lost >= MAX_LOST_FRAMES:
                raise LinkError(f"camera {self.source}: gives no frames")

    def _recorded(self, capture: Any, deadline: Deadline) -> Iterator[Frame]:
        import cv2

        told = capture.get(cv2.CAP_PROP_FPS)
        fps = told if 0 < told <= MAX_FPS else DEFAULT_FPS
        while True:
            shown = 0
            for frame in self._once(capture, fps, deadline):
                shown += 1
                yield frame
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


def _is_frame(frame: Any) -> bool:
    """A colour picture of a sane size: what else a damaged file may decode to is no frame."""
    return frame is not None and frame.ndim == 3 and frame.shape[2] == 3 and 16 <= min(frame.shape[:2]) <= max(frame.shape[:2]) <= MAX_SIDE
