"""The envelope of every message between terminal and bank: CloudEvents 1.0 attributes in JSON (docs/bank-messages.md).

Two extension attributes are ours, on what comes out of the outbox: `journalseq` and `journalhash`, the journal's head at the
moment the message was stored. A consumer that does not know them ignores them (CloudEvents 1.0, 3.2).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

MAX_MESSAGE_BYTES = 65_536
SCHEMA_VERSION = 1
"""Of all messages that this terminal sends. A change that an older reader cannot take raises it."""


class BadEnvelope(ValueError):
    """What came is no envelope of ours; the sentence says why and quotes at most a type name."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The attributes that a reader acts on."""

    id: str
    source: str
    type: str
    data: dict[str, Any]
    time: str = ""


def base_topic(branch_id: str, terminal_id: str) -> str:
    """``bank/v1/{branch}/{terminal}``: the root of a terminal's topics and the `source` of its messages."""
    return f"bank/v1/{branch_id}/{terminal_id}"


def encode_envelope(
    *, id_: str, source: str, type_: str, time: str, data: Mapping[str, Any], extensions: Mapping[str, Any] | None = None
) -> bytes:
    """UTF-8 JSON. ValueError when `data` holds what JSON cannot carry (a Secret, bytes, NaN) or the message is over 64 KiB."""
    fields = {
        "specversion": "1.0",
        "id": id_,
        "source": source,
        "type": type_,
        "time": time,
        "datacontenttype": "application/json",
        "dataschema": f"smart-branch:{type_}:{SCHEMA_VERSION}",
        **(extensions or {}),
        "data": data,
    }
    try:
        payload = _ENCODER.encode(fields).encode()
    except TypeError:
        raise ValueError(f"{type_}: its data holds something that JSON cannot carry") from None
    if len(payload) > MAX_MESSAGE_BYTES:
        raise ValueError(f"{type_}: {len(payload)} bytes are more than a message may have ({MAX_MESSAGE_BYTES})")
    return payload


def decode_envelope(payload: bytes) -> Envelope:
    """BadEnvelope for anything that is not an envelope with an object as `data`."""
    if len(payload) > MAX_MESSAGE_BYTES:
        raise BadEnvelope(f"{len(payload)} bytes are more than a message may have ({MAX_MESSAGE_BYTES})")
    try:
        fields = _DECODER.decode(payload.decode())
    except (ValueError, RecursionError):
        raise BadEnvelope("it is not JSON in UTF-8") from None
    if not isinstance(fields, dict):
        raise BadEnvelope("it is not a JSON object")
    if fields.get("specversion") != "1.0":
        raise BadEnvelope('its specversion is not "1.0"')
    for name in ("id", "source", "type"):
        if not isinstance(fields.get(name), str) or not fields[name]:
            raise BadEnvelope(f"its {name} is missing or not a string")
    if not isinstance(fields.get("data"), dict):
        raise BadEnvelope("its data is missing or not an object")
    if fields.get("dataschema") not in (None, f"smart-branch:{fields['type']}:{SCHEMA_VERSION}"):
        raise BadEnvelope("its dataschema is not the version that this terminal reads")
    time = fields.get("time")
    return Envelope(fields["id"], fields["source"], fields["type"], fields["data"], time if isinstance(time, str) else "")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
