"""The keyed rotation of face templates (docs/bank-messages.md, Template): the bank's reading of it.

R x = H D3 H D2 H D1 x, where H is the Walsh-Hadamard matrix of order 128 divided by the root of 128 (natural order) and the D are diagonals
of signs from SHAKE-256. Orthogonal: lengths and angles stay, so that a comparison of two vectors under one seed is as of the two before.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

VALUES = 128
SEED_BYTES = 32
PURPOSE = b"smart-branch/template-rotation/v1"


def rotate(seed: bytes, vector: Sequence[float]) -> list[float]:
    """R(seed) applied to 128 values."""
    values = list(vector)
    for signs in _diagonals(seed):
        values = _hadamard([value * sign for value, sign in zip(values, signs, strict=True)])
    return values


def rotate_back(seed: bytes, vector: Sequence[float]) -> list[float]:
    """The inverse, which is the transpose."""
    values = list(vector)
    for signs in reversed(_diagonals(seed)):
        values = [value * sign for value, sign in zip(_hadamard(values), signs, strict=True)]
    return values


def pack(vector: Sequence[float]) -> bytes:
    """512 bytes: 128 float32, little-endian."""
    return struct.pack(f"<{VALUES}f", *vector)


def unpack(data: bytes) -> list[float]:
    return list(struct.unpack(f"<{VALUES}f", data))


def _diagonals(seed: bytes) -> tuple[list[float], ...]:
    """D1, D2, D3: bit i of a group is in byte i // 8, most significant first; 1 means -1."""
    if len(seed) != SEED_BYTES:
        raise ValueError(f"a seed has {SEED_BYTES} bytes")
    stream = hashlib.shake_256(PURPOSE + seed).digest(3 * VALUES // 8)
    signs = [-1.0 if stream[bit // 8] >> (7 - bit % 8) & 1 else 1.0 for bit in range(3 * VALUES)]
    return tuple(signs[group * VALUES : (group + 1) * VALUES] for group in range(3))


def _hadamard(vector: list[float]) -> list[float]:
    values, step = vector[:], 1
    while step < VALUES:
        for start in range(0, VALUES, 2 * step):
            for place in range(start, start + step):
                one, other = values[place], values[place + step]
                values[place], values[place + step] = one + other, one - other
        step *= 2
    scale = VALUES**-0.5
    return [value * scale for value in values]
