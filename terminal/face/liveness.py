"""Is this a camera that looks at something now? Frames that repeat, stand still, come at impossible moments, or from another camera.

A living sensor has noise: two of its frames are never equal to the last bit. A driver may hand out one frame twice, so a few equal
neighbours are only left out; a long run of them is a frozen camera, and a frame that returns later is a recording. Pure: fed with moments
and frames.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from terminal.face.values import Detection

if TYPE_CHECKING:
    from drivers.devices.camera import Frame

Oddity = Literal["", "frozenFrames", "repeatedFrames", "frameTiming", "cameraChanged"]
MOST_FRAMES = 2000
GRID = (32, 24)
FACE_MARGIN, BODY_MARGIN = 0.6, 1.4
"""In widths of the face, to each side of it: what is left out, down to the chin and below it."""


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """`frozen_s`: equal frames for that long. `longest_gap_s`: a camera that paused longer may be another one.

    `fastest_share`: within a second no more frames than this many times the camera's rate. `min_scene_alike`: correlation of what surrounds
    the face from frame to frame.
    """

    frozen_s: float = 0.7
    longest_gap_s: float = 1.5
    fastest_share: float = 2.5
    min_scene_alike: float = 0.8
    min_scene_contrast: float = 3.0


class FrameWatch:
    """`fps`: what the camera said (or was asked for). What it returns first that is not empty stays."""

    def __init__(self, fps: float, limits: FrameLimits | None = None) -> None:
        self._limits = limits or FrameLimits()
        self._most_a_second = max(10.0, fps) * self._limits.fastest_share
        self._shape: tuple[int, ...] | None = None
        self._seen: set[bytes] = set()
        self._last = b""
        self._last_at: float | None = None
        self._new_at = 0.0
        self._moments: list[float] = []
        self._scene: Any = None
        self.oddity: Oddity = ""
        self.repeats = 0

    def see(self, at: float, frame: Frame) -> bool:
        """True: a fresh frame, to be used. False: the same as the last one, or something is odd (see `oddity`)."""
        if self.oddity:
            return False
        digest = hashlib.blake2b(frame[::3, ::3].tobytes(), digest_size=16).digest()
        same = digest == self._last
        self.oddity = self._odd(at, frame.shape, digest, same)
        self._last, self._last_at = digest, at
        if same:
            self.repeats += 1
        else:
            self._new_at = at
            self._seen.add(digest)
        return not same and not self.oddity

    def _odd(self, at: float, shape: tuple[int, ...], digest: bytes, same: bool) -> Oddity:
        limits = self._limits
        if self._shape not in (None, shape):
            return "cameraChanged"
        self._shape = shape
        if self._last_at is not None and not 0 < at - self._last_at <= limits.longest_gap_s:
            return "frameTiming"
        self._moments = [moment for moment in self._moments if at - moment < 1.0]
        self._moments.append(at)
        if len(self._moments) > self._most_a_second:
            return "frameTiming"
        if same:
            return "frozenFrames" if at - self._new_at >= limits.frozen_s else ""
        return "repeatedFrames" if digest in self._seen or len(self._seen) >= MOST_FRAMES else ""

    def surroundings(self, frame: Frame, face: Detection, judge: bool = True) -> Oddity:
        """What is beside and above the face, compared with the frame before: lights may change, the room may not. Else only remembered."""
        import numpy

        scene = _surroundings(frame, face)
        if judge and self._scene is not None and not self.oddity:
            both = ~numpy.isnan(scene) & ~numpy.isnan(self._scene)
            one, other = scene[both], self._scene[both]
            contrast = self._limits.min_scene_contrast
            if one.size >= 20 and min(one.std(), other.std()) > contrast:
                alike = float(numpy.corrcoef(one, other)[0, 1])
                if not alike >= self._limits.min_scene_alike:
                    self.oddity = "cameraChanged"
        self._scene = scene
        return self.oddity


def _surroundings(frame: Frame, face: Detection) -> Any:
    """Grey levels, 32 x 24; NaN where the face, the hair and the body under it are."""
    import cv2
    import numpy

    small = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), GRID, interpolation=cv2.INTER_AREA).astype(numpy.float32)
    across, down = GRID[0] / frame.shape[1], GRID[1] / frame.shape[0]
    for top, margin in ((face.top - FACE_MARGIN * face.width, FACE_MARGIN), (face.top + face.height, BODY_MARGIN)):
        left, right = face.left - margin * face.width, face.left + (1 + margin) * face.width
        small[max(0, int(top * down)) :, max(0, int(left * across)) : max(0, int(right * across) + 1)] = numpy.nan
    return small
