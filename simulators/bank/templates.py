"""The enrolled faces: a file of templates by customer, as the simulated enrolment (simulators/camera) writes it. Of one model, any."""

from __future__ import annotations

import json
import math
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

TEMPLATE_BYTES = 512  # 128 values, float32 little-endian


class TemplatesError(ValueError):
    """The file cannot be used; the text names the customer and the field."""


@dataclass(frozen=True, slots=True)
class Template:
    customer: str
    template_id: str
    model: str
    encoding: bytes = field(repr=False)


def load_templates(path: Path | None) -> dict[str, Template]:
    """``{"model": sha256 hex, "templates": {customer: {"templateId": text, "encoding": hex}}}``; without a file nobody is enrolled."""
    if path is None:
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        model = content["model"]
        if not re.fullmatch(r"[0-9a-f]{64}", model):
            raise TemplatesError("model must be a sha256 in lower-case hex")
        found = {
            customer: Template(customer, str(raw["templateId"]), model, bytes.fromhex(raw["encoding"]))
            for customer, raw in content["templates"].items()
        }
    except KeyError as error:
        raise TemplatesError(f"{path}: lacks {error}") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise TemplatesError(f"{path}: {error if isinstance(error, (OSError, TemplatesError)) else type(error).__name__}") from error
    for customer, template in found.items():
        if len(template.encoding) != TEMPLATE_BYTES:
            raise TemplatesError(f"{path}: the encoding of {customer} must have {TEMPLATE_BYTES} bytes")
        if not abs(math.hypot(*struct.unpack("<128f", template.encoding)) - 1) < 1e-3:
            raise TemplatesError(f"{path}: the encoding of {customer} must be of length 1")
    return found
