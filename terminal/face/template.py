"""The enrolled template as the bank sends it (docs/bank-messages.md, ATMInquiryResponse `template`), opened and checked.

512 bytes: the mean of the enrolment encodings, 128 float32 little-endian. It is opened with this process's own key; customer, template
id, model and schema are bound to the box as associated data, so none of them can be exchanged on the way.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric import ec

from terminal.sealed_box import SealedBoxError, open_box

SCHEMA = 1
VALUES = 128
MAX_JSON_CHARACTERS = 16_384
LONGEST_MEAN, SHORTEST_MEAN = 2.0, 0.5
"""An encoding of this network has a length near 1.4; the mean of several is a little shorter. Far from it: not an encoding."""


class TemplateRefused(ValueError):
    """The template cannot be used; the sentence says why and quotes nothing of it."""


def open_template(message: str | Mapping[str, object], key: ec.EllipticCurvePrivateKey, model_sha256: str) -> list[float]:
    """The 128 values. TemplateRefused: malformed, another model or schema, made for another key, changed on the way, not an encoding."""
    fields = _fields(message)
    box = fields.get("box")
    if not isinstance(box, Mapping):
        raise TemplateRefused("the template has no box")
    if fields.get("schema") != SCHEMA or isinstance(fields.get("schema"), bool):
        raise TemplateRefused(f"the template's schema is not {SCHEMA}")
    if fields.get("model") != model_sha256:
        raise TemplateRefused("the template was made with another model")
    names = [fields.get(name) for name in ("customer", "templateId", "model")]
    if not all(isinstance(name, str) and name and "|" not in name for name in names):
        raise TemplateRefused("the template's customer and templateId must be texts without '|'")
    try:
        plain = open_box(key, box, f"{'|'.join(map(str, names))}|{SCHEMA}".encode())
    except SealedBoxError as error:
        raise TemplateRefused(str(error)) from None
    return _values(plain)


def _fields(message: str | Mapping[str, object]) -> Mapping[str, object]:
    if isinstance(message, Mapping):
        return message
    try:
        fields = json.loads(message) if len(message) <= MAX_JSON_CHARACTERS else None
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise TemplateRefused("the template is not a JSON object of a sane size")
    return fields


def _values(plain: bytes) -> list[float]:
    if len(plain) != 4 * VALUES:
        raise TemplateRefused(f"the template has {len(plain)} bytes instead of {4 * VALUES}")
    values = list(struct.unpack(f"<{VALUES}f", plain))
    length = math.sqrt(sum(value * value for value in values)) if all(map(math.isfinite, values)) else 0.0
    if not SHORTEST_MEAN <= length <= LONGEST_MEAN:
        raise TemplateRefused("the template is no encoding of a face")
    return values
