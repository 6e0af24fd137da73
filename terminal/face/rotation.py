"""A keyed rotation of a template's 128 values: renewable, and two keys' rotations of one face have nothing to do with each other.

R x = H D3 H D2 H D1 x, where H is the Walsh-Hadamard matrix of order 128 divided by sqrt(128), rows in natural (Sylvester) order, and
D1, D2, D3 are diagonals of signs. Signs: SHAKE-256("smart-branch/template-rotation/v1" + seed), 48 bytes, three groups of 128 bits, bit i
in byte i // 8, most significant first; a 1 is a minus. R is orthogonal, so lengths and cosines stay what they are, and R's inverse is
D1 H D2 H D3 H. docs/bank-messages.md is the format's home.

The seed is as secret as the template: whoever has both has the face's values. It protects what is stored, not what is used.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

from terminal.face.values import VALUES

if TYPE_CHECKING:
    import numpy

    from terminal.face.values import Embedding

LABEL = b"smart-branch/template-rotation/v1"
SEED_BYTES = 32
ROUNDS = 3


def rotate(seed: bytes, values: Embedding) -> Embedding:
    """R(seed) applied to `values`. ValueError: a seed that is not 32 bytes."""
    vector = values.astype("float64")
    for signs in _signs(seed):
        vector = _hadamard(vector * signs)
    return vector.astype("float32")


def unrotate(seed: bytes, values: Embedding) -> Embedding:
    """The inverse of `rotate`."""
    vector = values.astype("float64")
    for signs in reversed(_signs(seed)):
        vector = _hadamard(vector) * signs
    return vector.astype("float32")


def _signs(seed: bytes) -> list[numpy.ndarray]:
    import numpy

    if len(seed) != SEED_BYTES:
        raise ValueError(f"a rotation's seed has {SEED_BYTES} bytes, not {len(seed)}")
    stream = hashlib.shake_256(LABEL + seed).digest(ROUNDS * VALUES // 8)
    bits = numpy.unpackbits(numpy.frombuffer(stream, numpy.uint8)).astype(numpy.float64)
    return list((1 - 2 * bits).reshape(ROUNDS, VALUES))


def _hadamard(vector: numpy.ndarray) -> numpy.ndarray:
    """The fast transform in seven steps of sums and differences, divided by sqrt(128): its own inverse."""
    import numpy

    half = 1
    while half < VALUES:
        pairs = vector.reshape(-1, 2, half)
        vector = numpy.stack((pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]), axis=1).reshape(-1)
        half *= 2
    return vector / math.sqrt(VALUES)
