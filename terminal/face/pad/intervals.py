"""Exact confidence intervals of a share (Clopper and Pearson, 1934): the limits at which the binomial tails are 2.5 % each."""

from __future__ import annotations

import math
from collections.abc import Callable

STEPS = 60


def clopper_pearson(hits: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Lower and upper limit of the true share, 0..1. ValueError: not 0 <= hits <= count, or count 0."""
    if not 0 <= hits <= count or count == 0:
        raise ValueError(f"{hits} of {count} is no share")
    tail = (1 - confidence) / 2
    lower = 0.0 if hits == 0 else _bisect(lambda share: 1 - below(hits - 1, count, share) >= tail)
    upper = 1.0 if hits == count else _bisect(lambda share: below(hits, count, share) < tail)
    return lower, upper


def below(hits: int, count: int, share: float) -> float:
    """P(X <= hits) for a binomial X."""
    if share <= 0:
        return 1.0
    if share >= 1:
        return 1.0 if hits >= count else 0.0
    log_yes, log_no = math.log(share), math.log1p(-share)
    everything = math.lgamma(count + 1)
    terms = (
        math.exp(everything - math.lgamma(k + 1) - math.lgamma(count - k + 1) + k * log_yes + (count - k) * log_no) for k in range(hits + 1)
    )
    return min(1.0, math.fsum(terms))


def _bisect(above: Callable[[float], bool]) -> float:
    """The share from which on it is true."""
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if above(middle) else (middle, high)
    return (low + high) / 2
