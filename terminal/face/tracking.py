"""The same face all the time: neighbouring frames' boxes overlap, and neighbouring frames' embeddings are alike.

Without a picture: fed with moments, detections and embeddings. A face that is exchanged for another (or for a second photograph of the
same one) during a challenge jumps, is lost for a while, or is not alike; each of them ends the track.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from terminal.face.values import Detection

if TYPE_CHECKING:
    from terminal.face.values import Embedding

Break = Literal["", "faceLost", "faceJumped", "faceChanged"]


@dataclass(frozen=True, slots=True)
class TrackLimits:
    """`longest_gap_s` and `most_missed` frames without the face: both. `min_overlap`: intersection over union of neighbouring boxes.
    `min_alike`: cosine of neighbouring embeddings.

    .35 is far below what one turning head shows from frame to frame (above .8, measured on rendered turns) and is reached by one pair of
    strangers in several hundred (docs/face.md): whoever is exchanged must also match the template before and after.
    """

    longest_gap_s: float = 0.5
    most_missed: int = 3
    min_overlap: float = 0.3
    min_alike: float = 0.35


class Track:
    """`follow` one face a frame. A frame that does not fit is left out; when none has fitted for too long the track is broken, for good."""

    def __init__(self, limits: TrackLimits | None = None) -> None:
        self._limits = limits or TrackLimits()
        self._last: tuple[float, Detection] | None = None
        self._known: Embedding | None = None
        self._why: Break = "faceLost"
        self._missed = 0
        self.alike = 1.0
        """Cosine of the last frame with the one before; 1 where only boxes were compared."""
        self.broken: Break = ""

    def follow(self, at: float, face: Detection, embedding: Embedding | None) -> bool:
        """Does this frame's face belong to the track? `at`: monotonic seconds, growing. None: only the box is compared."""
        unlike = self._unlike(at, face, embedding)
        if unlike:
            self._why = unlike if unlike != "faceLost" else self._why
            self._passed(at)
        elif not self.broken:
            self._why, self._missed = "faceLost", 0
            self._last = at, face
            self._known = self._known if embedding is None else embedding
        return not unlike and not self.broken

    def missed(self, at: float) -> None:
        """A frame without the face."""
        self._passed(at)

    def _passed(self, at: float) -> None:
        self._missed += 1
        if self._last is not None and self._too_long(at - self._last[0]) and not self.broken:
            self.broken = self._why

    def _too_long(self, gap_s: float) -> bool:
        """On a machine that is busy a single frame may take half a second."""
        return gap_s > self._limits.longest_gap_s and self._missed >= self._limits.most_missed

    def _unlike(self, at: float, face: Detection, embedding: Embedding | None) -> Break:
        if self._last is None:
            return ""
        before, box = self._last
        self.alike = 1.0 if embedding is None or self._known is None else float(self._known @ embedding)
        if self._too_long(at - before):
            return "faceLost"
        if not overlap(box, face) >= self._limits.min_overlap:
            return "faceJumped"
        return "" if self.alike >= self._limits.min_alike else "faceChanged"


def overlap(one: Detection, other: Detection) -> float:
    """Intersection over union, 0..1."""
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    common = max(0.0, width) * max(0.0, height)
    both = one.area + other.area - common
    return common / both if both > 0 else 0.0
