"""Embeddings compared: unit vectors, their cosine, and the mean of several that become one template."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from terminal.face.values import VALUES, ModelFault

if TYPE_CHECKING:
    from terminal.face.values import Embedding

SHORTEST = 1e-6
LEAST_FRAMES = 3
"""Of one enrolment: at one rate of false accepts the mean of three refuses a tenth of what a single picture does (docs/face.md)."""


class NotAlike(ValueError):
    """The frames of one enrolment do not show one and the same face; the sentence has no values."""


def unit(values: Any) -> Embedding:
    """Any sequence of 128 numbers, brought to length 1. ModelFault: another count, not finite, or without length."""
    import numpy

    vector = numpy.asarray(values, dtype=numpy.float64).reshape(-1)
    if vector.shape != (VALUES,) or not numpy.isfinite(vector).all():
        raise ModelFault(f"the network gave no vector of {VALUES} finite values")
    length = math.sqrt(float(vector @ vector))
    if not SHORTEST < length < math.inf:
        raise ModelFault("the network gave a vector without length")
    return (vector / length).astype(numpy.float32)


def cosine(one: Embedding, other: Embedding) -> float:
    """-1..1, larger is more alike. ModelFault when it is no number."""
    score = float(one @ other)
    if not math.isfinite(score):
        raise ModelFault("the comparison gave no number")
    return max(-1.0, min(1.0, score))


def mean_template(embeddings: Sequence[Embedding], agree_at: float) -> Embedding:
    """The template of at least three frames of one enrolment, each of which agrees (cosine >= `agree_at`) with each of the others.

    NotAlike: too few, or one of them shows somebody else (or is too poor). Nothing is left out to make the rest agree: who enrols is asked
    for new frames.
    """
    if len(embeddings) < LEAST_FRAMES:
        raise NotAlike(f"a template needs at least {LEAST_FRAMES} frames, these are {len(embeddings)}")
    for number, one in enumerate(embeddings):
        if any(cosine(one, other) < agree_at for other in embeddings[:number]):
            raise NotAlike(f"frame {number + 1} of the enrolment does not agree with those before")
    return unit(sum(embeddings[1:], start=embeddings[0].astype("float64")))
