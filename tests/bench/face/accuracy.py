"""One pipeline's accuracy over a data set: one picture against one, and the mean of three against one.

`eer` and `tar_at_far_*` are over all pairs of pictures, `eer_listed` and `accuracy` over the pairs file alone: of LFW's first fold that is
300 genuine pairs, on which an EER moves in steps of a third of a per cent.
"""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass
from typing import Any

import numpy

from face.data import Data
from face.pipelines import Embedded, matrix
from face.rates import Scores, accuracy, interval

ENROLMENTS = 20
"""At most so many choices of three pictures of one person."""
SEED = 4


@dataclass(frozen=True, slots=True)
class Accuracy:
    """`listed`: of the pairs file. `single`: of all pairs of pictures. `mean3`: templates of three against every other picture."""

    embedded: Embedded
    listed: Scores
    single: Scores
    mean3: Scores | None
    figures: dict[str, Any]


def measure(embedded: Embedded, data: Data) -> Accuracy:
    every = matrix(embedded)
    scores = numpy.array([every[pair.one, pair.other] for pair in data.pairs])
    kinds = numpy.array([pair.genuine for pair in data.pairs])
    listed = Scores.of(scores[kinds], scores[~kinds])
    people = numpy.array(data.people)
    upper = numpy.triu_indices(len(people), 1)
    same = people[upper[0]] == people[upper[1]]
    single = Scores.of(every[upper][same], every[upper][~same])
    mean3 = _means(embedded, people)
    accept = embedded.pipeline.accept
    figures = {
        "eer": single.eer(),
        "eer_listed": listed.eer(),
        "accuracy": accuracy(data.pairs, scores, data.folds),
        "tar_at_far_1e3": single.tar_at(1e-3),
        "tar_at_far_1e4": single.tar_at(1e-4),
        "frr_mean3_at_far_1e4": None if mean3 is None or (at := mean3.threshold_at(1e-4)) is None else mean3.frr(at),
        "fte": embedded.missed / len(people),
        "fte_count": embedded.missed,
        "accept": accept,
        "at_accept": {"single": at_threshold(single, accept), "mean3": at_threshold(mean3, accept) if mean3 else None},
    }
    return Accuracy(embedded, listed, single, mean3, figures)


def at_threshold(scores: Scores, threshold: float) -> dict[str, Any]:
    """Both rates with their counts and exact 95 % intervals (as if the comparisons were independent, which they are not quite)."""
    rejects, accepts = scores.false_rejects(threshold), scores.false_accepts(threshold)
    return {
        "frr": scores.frr(threshold),
        "frr_count": [rejects, len(scores.genuine)],
        "frr_95": interval(rejects, len(scores.genuine)),
        "far": scores.far(threshold),
        "far_count": [accepts, len(scores.impostor)],
        "far_95": interval(accepts, len(scores.impostor)),
    }


def _means(embedded: Embedded, people: Any) -> Scores | None:
    """Everybody with four pictures is enrolled with three of them (up to 20 choices) and compared with the rest, and with all strangers.

    A picture without a face can enrol nobody, and is a refused genuine attempt.
    """
    draw = random.Random(SEED)
    genuine: list[float] = []
    impostor: list[Any] = []
    for person in sorted(set(people)):
        mine = numpy.flatnonzero(people == person)
        seen = [int(index) for index in mine if not math.isnan(embedded.vectors[index, 0])]
        if len(mine) < 4 or len(seen) < 3:
            continue
        choices = list(itertools.combinations(seen, 3))
        for choice in draw.sample(choices, min(ENROLMENTS, len(choices))):
            template = embedded.pipeline.mean(embedded.vectors[list(choice)])
            with numpy.errstate(invalid="ignore"):
                scores = embedded.pipeline.scores(embedded.vectors, template[None])[:, 0]
            scores = numpy.where(numpy.isnan(scores), -math.inf, scores)
            genuine.extend(scores[[index for index in mine if index not in choice]])
            impostor.append(scores[people != person])
    return Scores.of(genuine, numpy.concatenate(impostor)) if genuine else None


def proposed(found: Accuracy) -> list[dict[str, Any]]:
    """Thresholds for a bank's own data, templates of three: at each rate of false accepts, measured, and so that the interval holds it."""
    scores = found.mean3
    rows = []
    for far in (1e-3, 1e-4, 5e-5, 1e-5):
        threshold = scores.threshold_at(far) if scores else None
        sure = _sure_at(scores, far) if scores else None
        rows.append(
            {
                "far": far,
                "threshold": threshold,
                "frr": scores.frr(threshold) if scores and threshold is not None else None,
                "threshold_95": sure,
                "frr_at_95": scores.frr(sure) if scores and sure is not None else None,
            }
        )
    return rows


def _sure_at(scores: Scores, far: float) -> float | None:
    """The lowest threshold at which the upper end of the 95 % interval is not above `far`; None: not enough impostors to be so sure."""
    many = len(scores.impostor)
    best = -1
    low, high = 0, min(many - 1, math.floor(far * many))
    while low <= high:
        middle = (low + high) // 2
        if interval(middle, many)[1] <= far:
            best, low = middle, middle + 1
        else:
            high = middle - 1
    return None if best < 0 else float(numpy.nextafter(scores.impostor[-best - 1], math.inf))
