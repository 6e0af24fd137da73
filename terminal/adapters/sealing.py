"""Rows of the store that only a holder of its data keys can read (docs/decisions/0025-rows-sealed-under-a-digest.md).

AES-256-GCM (NIST SP 800-38D) with a random 96-bit IV. The associated data is the row's identity: the store (its genesis hash), the
table, the row's number there and the generation of the key. A sealed row that was copied to another place or from another store, cut
or changed does not open. One key must not seal more than 2**32 rows (SP 800-38D, 8.3): a new generation is due long before.

Journal, column `data` (TEXT): ``sealed/1 {digest} {generation} {base64 of iv, ciphertext, tag}``. The plaintext is canonical JSON
``{"data":...,"salt":...}``; `digest` is its SHA-256. The hash chain is made over the digest: the salt keeps it from being guessed at,
and the same content sealed anew under another key leaves the chain as it is.

Outbox, column `payload` (BLOB): ``sealed/1 {generation} `` and iv, ciphertext, tag. A payload that is not sealed begins with ``{``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from drivers.secret import Secret

KEY_BYTES = 32
IV_BYTES = 12
TAG_BYTES = 16
SALT_BYTES = 16
LAST_GENERATION = 999_999
_JOURNAL = re.compile(r"sealed/1 ([0-9a-f]{64}) ([1-9][0-9]{0,5}) ([A-Za-z0-9+/]+={0,2})")
_OUTBOX = re.compile(rb"sealed/1 ([1-9][0-9]{0,5}) ", re.ASCII)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

OPEN_KINDS = frozenset(
    {
        *("agentStarted", "serviceChanged", "serviceLeft", "serviceEntered", "epochBegun"),
        *("deviceLost", "deviceFault", "deviceGaveUp", "alarmRaised", "alarmReturned"),
    }
)
"""Journal entries that say what the machine did, in codes: readable without a key, unless they name a transaction. No other leaves with
`journalRange` either."""


class SealError(ValueError):
    """A sealed row cannot be read; the sentence says why and quotes nothing of it."""


class KeyMissing(SealError):
    """The key of that generation is not there."""


@dataclass(frozen=True, slots=True)
class DataKeys:
    """Keys by generation, from 1 on; `current` seals, all of them open. 32 bytes each."""

    current: int
    keys: Mapping[int, Secret[bytes]]

    def __post_init__(self) -> None:
        if self.current not in self.keys or not all(1 <= generation <= LAST_GENERATION for generation in self.keys):
            raise ValueError("the current generation must be one of the keys, and generations count from 1")
        if any(len(key.reveal()) != KEY_BYTES for key in self.keys.values()):
            raise ValueError(f"a data key has {KEY_BYTES} bytes")


class RowSealer:
    """For one store. Used from several threads: it keeps nothing between calls."""

    def __init__(self, keys: DataKeys, store_id: str) -> None:
        self.generation = keys.current
        self._store_id = store_id
        self._ciphers = {generation: AESGCM(key.reveal()) for generation, key in keys.keys.items()}

    def seal_entry(self, seq: int, data: Any) -> str:
        """The text for the column `data` of journal entry `seq`. `data` is plain JSON."""
        inner = _ENCODER.encode({"data": data, "salt": os.urandom(SALT_BYTES).hex()}).encode()
        return self._entry_text(seq, inner)

    def reseal_entry(self, seq: int, text: str) -> str:
        """The same content and digest under the current key. SealError when it does not open."""
        return self._entry_text(seq, self._inner(seq, text))

    def open_entry(self, seq: int, text: str) -> dict[str, Any]:
        """SealError when it does not open, or is not what the digest says."""
        data = json.loads(self._inner(seq, text))["data"]
        if not isinstance(data, dict):
            raise SealError("its content is not an object")
        return data

    def seal_payload(self, klass: str, epoch: int, seq: int, topic: str, payload: bytes) -> bytes:
        """The bytes for the column `payload` of that outbox row."""
        header = b"sealed/1 %d " % self.generation
        return header + self._close(self._about("outbox", klass, epoch, seq, topic), payload)

    def open_payload(self, klass: str, epoch: int, seq: int, topic: str, payload: bytes) -> bytes:
        """SealError when it does not open."""
        found = _OUTBOX.match(payload)
        if found is None:
            raise SealError("it is neither a message nor a sealed one")
        return self._open(int(found[1]), ("outbox", klass, epoch, seq, topic), payload[found.end() :])

    def _entry_text(self, seq: int, inner: bytes) -> str:
        box = base64.b64encode(self._close(self._about("journal", seq), inner)).decode()
        return f"sealed/1 {hashlib.sha256(inner).hexdigest()} {self.generation} {box}"

    def _inner(self, seq: int, text: str) -> bytes:
        found = _JOURNAL.fullmatch(text)
        if found is None:
            raise SealError("it is not a sealed entry")
        try:
            box = base64.b64decode(found[3], validate=True)
        except binascii.Error:
            raise SealError("its base64 is broken") from None
        inner = self._open(int(found[2]), ("journal", seq), box)
        if not hmac.compare_digest(hashlib.sha256(inner).hexdigest(), found[1]):
            raise SealError("its content is not what its digest says")
        return inner

    def _about(self, *identity: str | int, generation: int | None = None) -> bytes:
        return _ENCODER.encode(["smart-branch/row/v1", self._store_id, generation or self.generation, *identity]).encode()

    def _close(self, about: bytes, content: bytes) -> bytes:
        iv = os.urandom(IV_BYTES)
        return iv + self._ciphers[self.generation].encrypt(iv, content, about)

    def _open(self, generation: int, identity: tuple[str | int, ...], box: bytes) -> bytes:
        cipher = self._ciphers.get(generation)
        if cipher is None:
            raise KeyMissing(f"it is sealed with data key generation {generation}, which the keystore does not hold")
        if len(box) < IV_BYTES + TAG_BYTES:
            raise SealError("it is cut short")
        try:
            return cipher.decrypt(box[:IV_BYTES], box[IV_BYTES:], self._about(*identity, generation=generation))
        except InvalidTag:
            raise SealError("it does not open: it was changed, cut, or belongs to another row or another store") from None


def is_sealed_payload(payload: bytes) -> bool:
    return not payload.startswith(b"{")


def is_sealed_entry(text: str) -> bool:
    return text.startswith("sealed/")


def chained_as(text: str) -> str:
    """What the hash chain takes for a sealed entry's data: a string, which no plain entry's data can be. SealError when malformed."""
    found = _JOURNAL.fullmatch(text)
    if found is None:
        raise SealError("it is not a sealed entry")
    return f"sealed/1 {found[1]}"


def generation_of(text: str) -> int:
    """The key generation of a sealed entry; 0 when it is not one."""
    found = _JOURNAL.fullmatch(text)
    return 0 if found is None else int(found[2])


def must_be_sealed(kind: str, transaction_id: str | None) -> bool:
    """A kind that nobody thought of is sealed."""
    return transaction_id is not None or kind not in OPEN_KINDS
