"""From a score to a decision: accept, ask again, refuse. One comparison gives one band; what follows from it is the session's.

SFace, mean of three enrolment frames against one, over all 29.6 million impostor pairs of LFW: cosine .433 is one false accept in 10,000
at .27 % false rejects, .45 one in 20,000 at .27 %, .488 one in 100,000 at .81 %. The .363 that OpenCV documents is one in 1,000: below
`floor` nothing may be configured. dlib: distance .445 (one in 10,000, 9.3 % false rejects) lets as many strangers pass as a cosine of
.949 with templates of three, and .47 as many as .946 (807 images of LFW, 417,616 comparisons).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from drivers.errors import ConfigurationFault

Band = Literal["accept", "askAgain", "refuse"]


@dataclass(frozen=True, slots=True)
class Bands:
    """Cosines. accept <= score: accepted; ask_again <= score < accept: another try; else refused. ConfigurationFault when not in order."""

    accept: float
    ask_again: float
    floor: float = 0.0

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.accept, self.ask_again, self.floor))) or not 0 < self.accept < 1:
            raise ConfigurationFault("face thresholds must be cosines between 0 and 1")
        if self.accept < self.floor:
            raise ConfigurationFault(f"the face threshold 'accept' is {self.accept:g}: with this model it must be at least {self.floor:g}")
        if not 0 < self.ask_again <= self.accept:
            raise ConfigurationFault(f"the face threshold 'ask_again' is {self.ask_again:g}: it must be above 0 and not above 'accept'")

    def decide(self, score: float) -> Band:
        """What is no number is refused."""
        if score >= self.accept:
            return "accept"
        return "askAgain" if score >= self.ask_again else "refuse"


SFACE_BANDS = Bands(accept=0.45, ask_again=0.40, floor=0.433)
SFACE_HIGH_SECURITY = 0.49
DLIB_BANDS = Bands(accept=0.95, ask_again=0.946, floor=0.949)
BANDS = {"sface": SFACE_BANDS, "dlib": DLIB_BANDS}


def bands_of(backend: str, accept: float | None = None, ask_again: float | None = None) -> Bands:
    """A back-end's thresholds, as configured; None: its own. ConfigurationFault: no such back-end, or thresholds it must not have."""
    own = BANDS.get(backend)
    if own is None:
        raise ConfigurationFault(f"there is no face back-end {backend!r}: {' or '.join(BANDS)}")
    least = own.accept if accept is None else accept
    return replace(own, accept=least, ask_again=min(own.ask_again, least) if ask_again is None else ask_again)
