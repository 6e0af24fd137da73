"""The bank's side of a face template, written once more from docs/bank-messages.md: matrices instead of the fast transform."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Any

import numpy
from cryptography.hazmat.primitives.asymmetric import ec

from simulators.crypto.sealed_box import seal

SEED = bytes(range(32))


def rotation_matrix(seed: bytes) -> Any:
    hadamard = numpy.ones((1, 1))
    while len(hadamard) < 128:
        hadamard = numpy.block([[hadamard, hadamard], [hadamard, -hadamard]])
    hadamard = hadamard / 128**0.5
    stream = hashlib.shake_256(b"smart-branch/template-rotation/v1" + seed).digest(48)
    signs = [-1.0 if stream[bit // 8] & (0x80 >> bit % 8) else 1.0 for bit in range(384)]
    turn = numpy.eye(128)
    for group in range(3):
        turn = hadamard @ numpy.diag(signs[128 * group : 128 * (group + 1)]) @ turn
    return turn


def plaintext(values: Sequence[float], seed: bytes = SEED) -> bytes:
    return seed + struct.pack("<128f", *(rotation_matrix(seed) @ numpy.array(values, dtype=float)))


def sealed_template(
    values: Sequence[float],
    recipient_key: bytes,
    model: str,
    customer: str = "customer",
    template_id: str = "customer-1",
    /,
    **changes: Any,
) -> dict[str, Any]:
    """As ATMInquiryResponse carries it. `changes`: fields to be wrong, or `plain`, `associated` to be sealed instead of the right ones."""
    recipient = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), recipient_key)
    plain = changes.pop("plain") if "plain" in changes else plaintext(values)
    associated = changes.pop("associated", f"{customer}|{template_id}|{model}|2")
    box = seal(plain, recipient, associated.encode(), "face-T0001")
    return {"templateId": template_id, "model": model, "customer": customer, "schema": 2, "box": box, **changes}
