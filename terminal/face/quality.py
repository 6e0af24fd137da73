"""Is this picture of a face worth comparing, and if not: what could the person do?

Sharpness and brightness are measured on the aligned face (112 x 112, see `aligner`), so they do not depend on the distance from the
camera. Sharpness is the mean square of the second difference in the direction in which it is least, after a small blur against noise, per
variance of the face's grey levels. A face that moved is smeared in one direction only, which the usual variance of the Laplacian forgives
(at a limit that refuses 1 % of LFW it lets 8 % of faces pass that were smeared over 15 pixels, and calls 13 % of dark ones blurred; this
measure 1.4 % and 2 %). The limits come from what pictures cost in false rejects, measured (docs/face.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers.errors import ConfigurationFault
from terminal.face.aligner import align
from terminal.face.detector import check_frame
from terminal.face.values import Detection, Hint

if TYPE_CHECKING:
    import numpy

    from drivers.devices.camera import Frame

FACE_ROWS, FACE_COLUMNS = slice(20, 104), slice(16, 96)
"""The part of the chip that is face: brows to chin, without hair and wall."""
NOISE_SIGMA_PX = 1.0


@dataclass(frozen=True, slots=True)
class Quality:
    """`brightness` 0..255, `sharpness` in thousandths (LFW: median 6), `yaw5` as in `Detection`, the middle 0..1 from left and from top.

    `cut`: part of the face is outside the frame.
    """

    eye_distance_px: float
    sharpness: float
    brightness: float
    yaw5: float
    middle_x: float
    middle_y: float
    cut: bool
    share: float
    """The face's height as a share of the frame's."""


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """ConfigurationFault when a limit would let everything or nothing pass."""

    min_eye_distance_px: float = 40.0
    max_share: float = 0.8
    min_sharpness: float = 2.0
    min_brightness: float = 40.0
    max_brightness: float = 225.0
    max_yaw5: float = 0.4
    margin: float = 0.2
    """The middle of the face is at least this share of the width away from the left and the right edge."""

    def __post_init__(self) -> None:
        if not 24 <= self.min_eye_distance_px <= 200:
            raise ConfigurationFault("the least distance between the eyes must be 24 to 200 pixels: below, false rejects grow")
        if not 0 < self.min_sharpness < 100 or not 0 < self.max_yaw5 <= 1 or not 0 <= self.margin < 0.5 or not 0 < self.max_share <= 1:
            raise ConfigurationFault("a limit of the face's quality is out of range")
        if not 0 < self.min_brightness < self.max_brightness < 255:
            raise ConfigurationFault("the limits of the face's brightness must lie between 0 and 255, the lower one first")


def measure(frame: Frame, face: Detection) -> Quality:
    """FrameRefused: the frame is no picture, or the points of the face are none."""
    import cv2
    import numpy

    height, width = check_frame(frame)
    grey = cv2.cvtColor(align(frame, face), cv2.COLOR_BGR2GRAY)[FACE_ROWS, FACE_COLUMNS].astype(numpy.float32)
    right, bottom = face.left + face.width, face.top + face.height
    return Quality(
        eye_distance_px=face.eye_distance_px,
        sharpness=_sharpness(cv2.GaussianBlur(grey, (0, 0), NOISE_SIGMA_PX), float(grey.var())),
        brightness=float(grey.mean()),
        yaw5=face.yaw5,
        middle_x=face.centre.x / width,
        middle_y=face.centre.y / height,
        cut=face.left < 0 or face.top < 0 or right > width or bottom > height,
        share=face.height / height,
    )


def _sharpness(smooth: numpy.ndarray, variance: float) -> float:
    inner = 2 * smooth[1:-1, 1:-1]
    curves = (
        smooth[1:-1, 2:] - inner + smooth[1:-1, :-2],
        smooth[2:, 1:-1] - inner + smooth[:-2, 1:-1],
        (smooth[2:, 2:] - inner + smooth[:-2, :-2]) / 2**0.5,
        (smooth[2:, :-2] - inner + smooth[:-2, 2:]) / 2**0.5,
    )
    return 1000 * min(float((curve * curve).mean()) for curve in curves) / max(variance, 1.0)


def gate(quality: Quality, limits: QualityLimits) -> Hint:
    """What the person could do for a better picture, the most helpful first; empty: good enough. NaN never is."""
    if not limits.margin <= quality.middle_x <= 1 - limits.margin:
        return "stepToTheMiddle"
    if not quality.brightness >= limits.min_brightness:
        return "moreLight"
    if not quality.brightness <= limits.max_brightness:
        return "lessLight"
    if not quality.eye_distance_px >= limits.min_eye_distance_px:
        return "comeCloser"
    if not quality.share <= limits.max_share:
        return "goBack"
    if quality.cut:
        return "stepToTheMiddle"
    if not abs(quality.yaw5) <= limits.max_yaw5:
        return "lookStraight"
    return "" if quality.sharpness >= limits.min_sharpness else "holdStill"
