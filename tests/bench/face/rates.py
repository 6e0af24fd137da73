"""Error rates of a comparison: ISO/IEC 19795-1's, with exact intervals (Clopper and Pearson 1934) where counts are small.

Larger scores are more alike. A face that was not found is a genuine attempt refused, and an impostor never accepted: its score is -inf.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy

from face.data import Pair


@dataclass(frozen=True, slots=True)
class Scores:
    """Sorted."""

    genuine: Any
    impostor: Any

    @classmethod
    def of(cls, genuine: Any, impostor: Any) -> Scores:
        return cls(numpy.sort(numpy.asarray(genuine, float)), numpy.sort(numpy.asarray(impostor, float)))

    def false_accepts(self, threshold: float) -> int:
        """Impostors with threshold <= score."""
        return len(self.impostor) - int(numpy.searchsorted(self.impostor, threshold, "left"))

    def false_rejects(self, threshold: float) -> int:
        return int(numpy.searchsorted(self.genuine, threshold, "left"))

    def far(self, threshold: float) -> float:
        return self.false_accepts(threshold) / len(self.impostor)

    def frr(self, threshold: float) -> float:
        return self.false_rejects(threshold) / len(self.genuine)

    def threshold_at(self, far: float) -> float | None:
        """The lowest threshold at which at most that share of impostors is accepted. None: too few to say (less than one is expected)."""
        allowed = math.floor(far * len(self.impostor) + 1e-9)
        if allowed < 1:
            return None
        return float(numpy.nextafter(self.impostor[-allowed - 1], math.inf))

    def tar_at(self, far: float) -> float | None:
        threshold = self.threshold_at(far)
        return None if threshold is None else 1 - self.frr(threshold)

    def curve(self) -> tuple[Any, Any]:
        """FAR and FRR over all thresholds at which one of them changes (thinned where there are very many impostors)."""
        at = numpy.unique(numpy.concatenate((self.impostor[:: max(1, len(self.impostor) // 20_000)], self.impostor[-500:], self.genuine)))
        at = numpy.append(at[numpy.isfinite(at)], numpy.nextafter(at[-1], math.inf))
        far = 1 - numpy.searchsorted(self.impostor, at, "left") / len(self.impostor)
        return far, numpy.searchsorted(self.genuine, at, "left") / len(self.genuine)

    def eer(self) -> float:
        """Where both rates meet, on a straight line between the two steps next to it."""
        far, frr = self.curve()
        after = int((far <= frr).argmax())
        if after == 0:
            return float(frr[0])
        before = far[after - 1] - frr[after - 1]
        way = before / (before + frr[after] - far[after])
        return float(far[after - 1] + way * (far[after] - far[after - 1]))


def accuracy(pairs: tuple[Pair, ...], scores: Any, folds: int) -> float:
    """LFW's protocol: on each fold the threshold that was best on the others. Without folds in the file: ten, taken in turns."""
    kinds = numpy.array([pair.genuine for pair in pairs])
    count = folds if folds > 1 else 10
    number = numpy.arange(len(pairs)) * count // len(pairs) if folds > 1 else _in_turns(kinds, count)
    right = 0
    for fold in range(count):
        learn, test = number != fold, number == fold
        threshold = _best(scores[learn], kinds[learn])
        right += int(((scores[test] >= threshold) == kinds[test]).sum())
    return right / len(pairs)


def _in_turns(kinds: Any, count: int) -> Any:
    number = numpy.zeros(len(kinds), int)
    for kind in (True, False):
        number[kinds == kind] = numpy.arange((kinds == kind).sum()) % count
    return number


def _best(scores: Any, kinds: Any) -> float:
    """The middle of the widest-right thresholds: as many right as possible."""
    at = numpy.unique(scores[numpy.isfinite(scores)])
    between = (at[1:] + at[:-1]) / 2
    genuine, impostor = numpy.sort(scores[kinds]), numpy.sort(scores[~kinds])
    right = len(genuine) - numpy.searchsorted(genuine, between) + numpy.searchsorted(impostor, between)
    best = numpy.flatnonzero(right == right.max())
    return float(between[best[len(best) // 2]])


def interval(count: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's exact interval of a share."""
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else _beta_quantile(tail, count, of - count + 1)
    high = 1.0 if count == of else _beta_quantile(1 - tail, count + 1, of - count)
    return low, high


def _beta_quantile(share: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        if _beta(middle, a, b) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by Lentz's continued fraction."""
    if not 0 < x < 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    fraction, c, d = 1.0, 1.0, 0.0
    for step in range(1000):
        half = step // 2
        if step == 0:
            term = 1.0
        elif step % 2:
            term = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            term = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        d = 1 / _away_from_zero(1 + term * d)
        c = _away_from_zero(1 + term / c)
        fraction *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return front * (fraction - 1)


def _away_from_zero(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300
