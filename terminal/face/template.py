"""The enrolled template on the way between bank and terminal (docs/bank-messages.md): opened for one verification, sealed after enrolment.

From the bank, sealed for this process's one-time key: 32 bytes of seed and the template rotated with it (`rotation`), 128 float32
little-endian, 544 bytes; customer, template id, model and schema are bound to the box, so none of them can be exchanged on the way.
To the bank, sealed for its public key: the template as it is, 512 bytes; transaction, consent, model and schema are bound to the box.

Whatever was opened is overwritten after use, as far as Python lets anyone: the library that decrypts keeps no copy, but its immutable
result lives until the collector has it. The process can be ended at any time, and never writes its memory to disk (docs/face.md).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec

from terminal.face.rotation import SEED_BYTES, unrotate
from terminal.face.values import VALUES
from terminal.sealed_box import SealedBoxError, open_box, public_bytes, seal

if TYPE_CHECKING:
    from terminal.face.values import Embedding

SCHEMA = 2
VECTOR_BYTES = 4 * VALUES
PLAIN_BYTES = SEED_BYTES + VECTOR_BYTES
MAX_JSON_CHARACTERS = 16_384
MAX_NAME_CHARACTERS = 128
NORM_TOLERANCE = 1e-3
KID = "bank"


class TemplateRefused(ValueError):
    """The template cannot be used; the sentence says why and quotes nothing of it."""


class OneTimeKey:
    """A P-256 key for one template. The first use is the last, whatever comes of it: a recorded template opens nothing later."""

    def __init__(self) -> None:
        self._key: ec.EllipticCurvePrivateKey | None = None

    def make(self) -> bytes:
        """The public half of a new key (uncompressed point, 65 bytes); the one before is forgotten."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        return public_bytes(self._key)

    def take(self) -> ec.EllipticCurvePrivateKey:
        """TemplateRefused: there is none, or it was used."""
        key, self._key = self._key, None
        if key is None:
            raise TemplateRefused("no key was made for this template, or it was used already")
        return key


def open_template(message: str | Mapping[str, object], key: ec.EllipticCurvePrivateKey, model_sha256: str) -> Embedding:
    """The template, of length 1. TemplateRefused: malformed, another model or schema, for another key, changed on the way, no template."""
    fields = _fields(message)
    box = fields.get("box")
    if not isinstance(box, Mapping):
        raise TemplateRefused("the template has no box")
    if fields.get("schema") != SCHEMA or isinstance(fields.get("schema"), bool):
        raise TemplateRefused(f"the template's schema is not {SCHEMA}")
    if fields.get("model") != model_sha256:
        raise TemplateRefused("the template was made with another model")
    associated = _associated(fields.get("customer"), fields.get("templateId"), model_sha256)
    try:
        plain = open_box(key, box, associated)
    except SealedBoxError as error:
        raise TemplateRefused(str(error)) from None
    return _unpack(plain)


def seal_template(
    template: Embedding, recipient_key: bytes, *, transaction_id: str, consent_id: str, model_sha256: str, kid: str = KID
) -> str:
    """The JSON text for the bank. TemplateRefused: not of length 1, names with "|", or a key that is no point of P-256 (uncompressed)."""
    import numpy

    if template.shape != (VALUES,) or not _of_length_one(template):
        raise TemplateRefused("the new template is no embedding")
    associated = b"enrol|" + _associated(transaction_id, consent_id, model_sha256)
    plain = numpy.ascontiguousarray(template, dtype="<f4").tobytes()
    try:
        box = seal(recipient_key, plain, associated, kid)
    except SealedBoxError as error:
        raise TemplateRefused(str(error)) from None
    return json.dumps({"model": model_sha256, "schema": SCHEMA, "consentId": consent_id, "box": box}, separators=(",", ":"))


def wipe(*vectors: Embedding) -> None:
    """Overwrite in place."""
    for vector in vectors:
        vector.fill(0.0)


def _associated(*names: object) -> bytes:
    if not all(isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARACTERS and "|" not in name for name in names):
        raise TemplateRefused("the names of a template must be texts without '|', of at most 128 characters")
    try:
        return "|".join([*map(str, names), str(SCHEMA)]).encode()
    except UnicodeEncodeError:
        raise TemplateRefused("the names of a template must be proper Unicode") from None


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


def _unpack(plain: bytes) -> Embedding:
    import numpy

    if len(plain) != PLAIN_BYTES:
        raise TemplateRefused(f"the template has {len(plain)} bytes instead of {PLAIN_BYTES}")
    rotated = numpy.frombuffer(plain, "<f4", offset=SEED_BYTES).astype(numpy.float32)
    if not _of_length_one(rotated):
        wipe(rotated)
        raise TemplateRefused("the template is no embedding: its length is not 1")
    template = unrotate(plain[:SEED_BYTES], rotated)
    wipe(rotated)
    return template


def _of_length_one(vector: Embedding) -> bool:
    """In double precision; what is not finite has no length."""
    import numpy

    if not numpy.isfinite(vector).all():
        return False
    wide = vector.astype("float64")
    return abs(math.sqrt(float(wide @ wide)) - 1) <= NORM_TOLERANCE
