"""What poor pictures cost at the shipped threshold, and what the quality gates do about it.

Reference: the clean picture. Probe: another picture of the person, spoilt; of everybody with two pictures or more. All genuine pairs, both
ways, and each probe with all strangers' clean pictures.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from face.data import Data, picture
from face.pipelines import Embedded, Shipped, central, matrix
from face.rates import interval
from terminal.face.quality import QualityLimits, gate, measure
from terminal.face.values import Detection

Change = Callable[[Any, Detection, int], Any]
LIMITS = QualityLimits(min_eye_distance_px=24.0)
"""As shipped, but for the distance: the eyes of LFW's people are 43 pixels apart (median), a kiosk asks for 40."""
SEED = 9


def changes() -> dict[str, Change]:
    import cv2

    def blur(sigma: float) -> Change:
        return lambda frame, face, index: cv2.GaussianBlur(frame, (0, 0), sigma)

    def motion(length: int) -> Change:
        def smear(frame: Any, face: Detection, index: int) -> Any:
            angle = float(numpy.random.default_rng((SEED, index)).uniform(0, 180))
            line: Any = numpy.zeros((length, length), numpy.float32)
            line[length // 2] = 1
            line = cv2.warpAffine(line, cv2.getRotationMatrix2D((length // 2, length // 2), angle, 1), (length, length))
            return cv2.filter2D(frame, -1, line / line.sum())

        return smear

    def small(eyes_px: float) -> Change:
        def shrink(frame: Any, face: Detection, index: int) -> Any:
            scale = eyes_px / face.eye_distance_px
            return cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)

        return shrink

    def gamma(power: float) -> Change:
        table = (255 * (numpy.arange(256) / 255) ** power).round().astype(numpy.uint8)
        return lambda frame, face, index: cv2.LUT(frame, table)

    def jpeg(quality: int) -> Change:
        return lambda frame, face, index: cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)

    return {
        "clean": lambda frame, face, index: frame,
        "blur, sigma 2": blur(2),
        "blur, sigma 4": blur(4),
        "motion, 9 px": motion(9),
        "motion, 15 px": motion(15),
        "dark, gamma 3": gamma(3),
        "bright, gamma 0.4": gamma(0.4),
        "eyes 24 px apart": small(24),
        "eyes 16 px apart": small(16),
        "eyes 12 px apart": small(12),
        "mouth covered": lambda frame, face, index: _covered(frame, face),
        "JPEG, quality 10": jpeg(10),
    }


def _covered(frame: Any, face: Detection) -> Any:
    """A cloth of one colour from the middle of the nose down over the chin, ear to ear."""
    import cv2

    marks = face.landmarks
    eyes = numpy.array([marks.eye_left, marks.eye_right])
    across = eyes[1] - eyes[0]
    down = numpy.array([-across[1], across[0]])
    nose = numpy.array(marks.nose)
    corners = numpy.array([nose - 0.85 * across, nose + 0.85 * across, nose + 0.7 * across + 1.4 * down, nose - 0.7 * across + 1.4 * down])
    return cv2.fillConvexPoly(frame.copy(), corners.round().astype(numpy.int32), (200, 180, 160))


@dataclass(frozen=True, slots=True)
class Probe:
    """Picture `index` of the data, and the face in it before it is spoilt."""

    index: int
    frame: Any
    face: Detection


def table(pipeline: Shipped, clean: Embedded, data: Data, say: Callable[[str], object]) -> list[dict[str, Any]]:
    """One row for each kind of picture."""
    probes = list(_probes(pipeline, data))
    rows = []
    for name, change in changes().items():
        say(f"{pipeline.name}: {name}")
        vectors, hints = zip(*(_look(pipeline, probe, change) for probe in probes), strict=True)
        rows.append({"picture": name, **_row(clean, Embedded(pipeline, numpy.array(vectors)), data, probes, hints)})
    return rows


def _probes(pipeline: Shipped, data: Data) -> Iterator[Probe]:
    for index, (path, person) in enumerate(zip(data.paths, data.people, strict=True)):
        if data.people.count(person) > 1:
            frame = picture(path)
            face = central(pipeline.backend.detector.detect(frame), frame)
            if face is not None:
                yield Probe(index, frame, face)


def _look(pipeline: Shipped, probe: Probe, change: Change) -> tuple[Any, str]:
    frame = change(probe.frame, probe.face, probe.index)
    face = central(pipeline.backend.detector.detect(frame), frame)
    if face is None:
        return numpy.full(128, math.nan), "noFace"
    return numpy.asarray(pipeline.backend.embedder.embed(frame, face), float), gate(measure(frame, face), LIMITS)


def _row(clean: Embedded, spoilt: Embedded, data: Data, probes: list[Probe], hints: Sequence[str]) -> dict[str, Any]:
    people = numpy.array(data.people)
    which = numpy.array([probe.index for probe in probes])
    every = matrix(clean, spoilt)
    same = people[:, None] == people[which][None]
    genuine = same & (numpy.arange(len(people))[:, None] != which[None])
    good = numpy.array([not hint for hint in hints])[None] & numpy.ones_like(same)
    accepted = every >= spoilt.pipeline.accept
    counted = Counter(hint for hint in hints if hint)
    return {
        "probes": len(probes),
        "missed": spoilt.missed,
        "frr": _rate(~accepted, genuine),
        "far": _rate(accepted, ~same),
        "asked_again": sum(counted.values()) / len(hints),
        "hints": dict(counted.most_common()),
        "frr_gated": _rate(~accepted, genuine & good),
        "far_gated": _rate(accepted, ~same & good),
    }


def _rate(what: Any, among: Any) -> dict[str, Any]:
    count, of = int((what & among).sum()), int(among.sum())
    return {"rate": count / of if of else None, "count": [count, of], "interval_95": interval(count, of) if of else None}


def far_rose(rows: list[dict[str, Any]]) -> list[str]:
    """The pictures with which more strangers are accepted than with clean ones, beyond chance (the 95 % interval lies above)."""
    clean = rows[0]["far"]["rate"]
    rates = [(row["picture"], row[which]["interval_95"]) for row in rows for which in ("far", "far_gated")]
    return [name for name, range_95 in rates if range_95 is not None and range_95[0] > clean]
