"""Rotated templates: what they cost in accuracy, and whether two keys' rotations of one face can be told to belong together."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy

from face.accuracy import Accuracy
from face.data import Data
from face.rates import Scores
from terminal.face.rotation import rotate, unrotate


def seed(generation: str, person: str) -> bytes:
    """A bank's key of one generation, for one customer."""
    return hashlib.sha256(f"{generation}|{person}".encode()).digest()


def measure(found: Accuracy, data: Data) -> dict[str, Any]:
    """`opened`: scores after turning and turning back, against those without. `linked`: one face under two generations' keys."""
    seen = numpy.flatnonzero(~numpy.isnan(found.embedded.vectors[:, 0]))
    vectors = found.embedded.vectors[seen].astype(numpy.float32)
    people = [data.people[index] for index in seen]
    old = numpy.array([rotate(seed("old", person), row) for person, row in zip(people, vectors, strict=True)])
    new = numpy.array([rotate(seed("new", person), row) for person, row in zip(people, vectors, strict=True)])
    back = numpy.array([unrotate(seed("old", person), row) for person, row in zip(people, old, strict=True)])
    differs = float(numpy.abs(back @ vectors.T - vectors @ vectors.T).max())
    across = old.astype(float) @ new.astype(float).T
    mine = numpy.eye(len(people), dtype=bool)
    linked = Scores.of(across[mine], across[~mine])
    return {
        "greatest_change_of_a_score": differs,
        "same_picture_two_keys": {"n": int(mine.sum()), "mean": float(across[mine].mean()), "deviation": float(across[mine].std())},
        "others_two_keys": {"n": int((~mine).sum()), "mean": float(across[~mine].mean()), "deviation": float(across[~mine].std())},
        "area_under_roc": area(linked),
        "eer": linked.eer(),
    }


def area(scores: Scores) -> float:
    """The chance that a mated score is above a non-mated one: .5 when nothing links them."""
    below = numpy.searchsorted(scores.impostor, scores.genuine, "left") + numpy.searchsorted(scores.impostor, scores.genuine, "right")
    return float(below.mean() / 2 / len(scores.impostor))
