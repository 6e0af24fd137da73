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
    """`min_overlap`: intersection over union of neighbouring boxes. `min_alike`: cosine of neighbouring embeddings.

    .35 is far below what one turning head shows from frame to frame (above .8, measured on rendered turns) and is reached by one pair of
    strangers in several hundred (docs/face.md): whoever is exchanged must also match the template before and after.
    """

    longest_gap_s: float = 0.4
    min_overlap: float = 0.3
    min_alike: float = 0.35


class Track:
    """`follow` one face a frame. What it returns first that is not empty stays: a broken track does not mend."""

    def __init__(self, limits: TrackLimits | None = None) -> None:
        self._limits = limits or TrackLimits()
        self._at: float | None = None
        self._face: Detection | None = None
        self._embedding: Embedding | None = None
        self.broken: Break = ""

    def follow(self, at: float, face: Detection, embedding: Embedding) -> Break:
        """`at`: monotonic seconds of the frame, growing."""
        if self._at is not None and self._face is not None and self._embedding is not None and not self.broken:
            self.broken = self._compare(at - self._at, self._face, face, float(self._embedding @ embedding))
        self._at, self._face, self._embedding = at, face, embedding
        return self.broken

    def missed(self, at: float) -> Break:
        """A frame without the face."""
        if self._at is not None and at - self._at > self._limits.longest_gap_s and not self.broken:
            self.broken = "faceLost"
        return self.broken

    def _compare(self, gap_s: float, before: Detection, now: Detection, alike: float) -> Break:
        if not gap_s <= self._limits.longest_gap_s:
            return "faceLost"
        if not overlap(before, now) >= self._limits.min_overlap:
            return "faceJumped"
        return "" if alike >= self._limits.min_alike else "faceChanged"


def overlap(one: Detection, other: Detection) -> float:
    """Intersection over union, 0..1."""
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    common = max(0.0, width) * max(0.0, height)
    both = one.area + other.area - common
    return common / both if both > 0 else 0.0
