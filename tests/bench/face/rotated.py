"""Rotated templates: what they cost in accuracy, and whether two keys' rotations of one face can be told to belong together."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import numpy

from face.accuracy import Accuracy
from face.data import Data
from face.rates import Scores
from terminal.face.rotation import rotate, unrotate

GENERATIONS = 10


def seed(generation: str, person: str) -> bytes:
    """A bank's key of one generation, for one customer."""
    return hashlib.sha256(f"{generation}|{person}".encode()).digest()


def measure(found: Accuracy, data: Data) -> tuple[dict[str, Any], Scores]:
    """The figures, and the scores between templates under two generations' keys: of one and the same picture, and of two.

    `greatest_change_of_a_score`: what turning and turning back does to the score of any two pictures.
    """
    seen = numpy.flatnonzero(~numpy.isnan(found.embedded.vectors[:, 0]))
    vectors = found.embedded.vectors[seen].astype(numpy.float32)
    people = [data.people[index] for index in seen]
    generations = [_turned(f"generation {number}", people, vectors) for number in range(GENERATIONS + 1)]
    first = zip(people, generations[0], strict=True)
    back = numpy.array([unrotate(seed("generation 0", person), row) for person, row in first])
    differs = float(numpy.abs(back @ vectors.T - vectors @ vectors.T).max())
    mine = numpy.eye(len(people), dtype=bool)
    across = [old.astype(float) @ new.astype(float).T for old, new in itertools.pairwise(generations)]
    linked = Scores.of(numpy.concatenate([one[mine] for one in across]), numpy.concatenate([one[~mine] for one in across]))
    figures = {
        "greatest_change_of_a_score": differs,
        "same_picture_two_keys": _spread(linked.genuine),
        "others_two_keys": _spread(linked.impostor),
        "area_under_roc": area(linked),
        "eer": linked.eer(),
    }
    return figures, linked


def _turned(generation: str, people: list[str], vectors: Any) -> Any:
    return numpy.array([rotate(seed(generation, person), row) for person, row in zip(people, vectors, strict=True)])


def _spread(scores: Any) -> dict[str, Any]:
    return {"n": len(scores), "mean": float(scores.mean()), "deviation": float(scores.std())}


def area(scores: Scores) -> float:
    """The chance that a mated score is above a non-mated one: .5 when nothing links them."""
    below = numpy.searchsorted(scores.impostor, scores.genuine, "left") + numpy.searchsorted(scores.impostor, scores.genuine, "right")
    return float(below.mean() / 2 / len(scores.impostor))
