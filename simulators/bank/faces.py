"""The life of face templates at the bank: stored rotated and sealed, delivered for one look, re-sealed under a new key, deleted with proof.

No photograph and no template in clear is ever stored. One template a customer. Every verb runs inside the caller's transaction, but
`rotate`, which has its own.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from simulators.bank.messages import utc_text
from simulators.bank.rotation import pack, rotate, rotate_back, unpack
from simulators.bank.store import Store
from simulators.bank.template_keys import TemplateKeys
from simulators.bank.templates import Template
from simulators.crypto.sealed_box import RandomBytes, seal

SCHEMA = 2
FIRST_LINK = "0" * 64
DAYS_OF_A_MONTH = 30.4375


class Faces:
    def __init__(self, store: Store, keys: TemplateKeys, random_bytes: RandomBytes) -> None:
        self._store = store
        self._keys = keys
        self._random_bytes = random_bytes

    # --- stored

    def standing(self, customer: str) -> dict[str, Any] | None:
        """What is enrolled for a customer: plain facts, nothing of the face."""
        rows = self._store.rows(f"SELECT {FACTS} FROM face_template WHERE customer = ?", customer)
        return rows[0] if rows else None

    def all(self) -> list[dict[str, Any]]:
        return self._store.rows(f"SELECT {FACTS} FROM face_template ORDER BY customer")

    def take_over(self, templates: Mapping[str, Template], now: datetime) -> None:
        """What the enrolment desk made: stored once; one that was deleted here does not come back."""
        for customer, template in templates.items():
            deleted = self._store.number("SELECT count(*) FROM face_proof WHERE template_id = ?", template.template_id)
            if self.standing(customer) is None and not deleted:
                self._put(customer, template.template_id, template.model, unpack(template.encoding), "", now)

    def enrol(self, customer: str, identity: str, model: str, vector: list[float], consent_id: str, now: datetime) -> str:
        """In the place of one that was there, whose end is proven first. ValueError: not a template."""
        length = math.sqrt(sum(value * value for value in vector)) if all(map(math.isfinite, vector)) else 0.0
        if not math.isclose(length, 1.0, abs_tol=0.01):
            raise ValueError("not a vector of length 1")
        self.remove(customer, "replaced", identity, now)
        template_id = f"{identity}-F"
        self._put(customer, template_id, model, vector, consent_id, now)
        return template_id

    def _put(self, customer: str, template_id: str, model: str, vector: list[float], consent_id: str, now: datetime) -> None:
        generation, at = self._keys.current, utc_text(now)
        plain = pack(rotate(self._keys.seed(generation, customer), vector))
        iv, ciphertext = self._keys.seal(generation, plain, _bound(customer, template_id, model))
        self._store.execute(
            "INSERT INTO face_template VALUES (?,?,?,?,?,?,?,?,?,?)",
            *(template_id, customer, model, SCHEMA, generation, iv, ciphertext, consent_id, at, at),
        )

    # --- delivered

    def deliver(self, customer: str, recipient: ec.EllipticCurvePublicKey, terminal: str, now: datetime) -> dict[str, Any] | None:
        """For the holder of `recipient` alone: seed and rotated vector. None when the customer has none."""
        row = self._row(customer)
        if row is None:
            return None
        seed = self._keys.seed(row["generation"], customer)
        associated = _bound(customer, row["template_id"], row["model"])
        plain = seed + self._keys.open(row["generation"], row["iv"], row["ciphertext"], associated)
        self._store.execute("UPDATE face_template SET used_at = ? WHERE customer = ?", utc_text(now), customer)
        box = seal(plain, recipient, associated.encode(), f"face-{terminal}", self._random_bytes)
        return {"templateId": row["template_id"], "model": row["model"], "customer": customer, "schema": SCHEMA, "box": box}

    def _row(self, customer: str) -> dict[str, Any] | None:
        rows = self._store.rows("SELECT * FROM face_template WHERE customer = ?", customer)
        return rows[0] if rows else None

    # --- another key

    def rotate(self) -> dict[str, Any]:
        """Every template under a new generation, all in one transaction; then the old key is destroyed. After a crash: once more."""
        generation = self._keys.begin_generation()
        with self._store.transaction():
            rows = self._store.rows("SELECT * FROM face_template")
            for row in rows:
                self._reseal(row, generation)
            self._store.scrub = True
        self._keys.forget_before(generation)
        return {"generation": generation, "templates": len(rows)}

    def _reseal(self, row: dict[str, Any], generation: int) -> None:
        """R_new R_old^T."""
        customer, old = row["customer"], row["generation"]
        associated = _bound(customer, row["template_id"], row["model"])
        turned = unpack(self._keys.open(old, row["iv"], row["ciphertext"], associated))
        plain = pack(rotate(self._keys.seed(generation, customer), rotate_back(self._keys.seed(old, customer), turned)))
        iv, ciphertext = self._keys.seal(generation, plain, associated)
        self._store.execute(
            "UPDATE face_template SET generation = ?, iv = ?, ciphertext = ? WHERE customer = ?", generation, iv, ciphertext, customer
        )

    # --- deleted

    def remove(self, customer: str, reason: str, request: str, now: datetime) -> str:
        """The number of the proof; "" when there was nothing. `request`: on whose request (a transaction, an operator)."""
        row = self._row(customer)
        if row is None:
            return ""
        self._store.execute("DELETE FROM face_template WHERE customer = ?", customer)
        self._store.scrub = True
        last = self._store.one("SELECT number, hash FROM face_proof ORDER BY number DESC LIMIT 1")
        number, previous = (int(last["number"]) + 1, str(last["hash"])) if last else (1, FIRST_LINK)
        said = {
            "number": number,
            "at": utc_text(now),
            "customer": customer,
            "templateId": row["template_id"],
            "reason": reason,
            "request": request,
            "sealedSha256": hashlib.sha256(row["ciphertext"]).hexdigest(),
        }
        self._store.execute("INSERT INTO face_proof VALUES (?,?,?,?)", number, row["template_id"], json.dumps(said), _link(previous, said))
        return f"D-{number}"

    def expire(self, months: int, now: datetime) -> list[str]:
        """Templates that were not used for so long: deleted, with proof."""
        before = utc_text(now - timedelta(days=months * DAYS_OF_A_MONTH))
        old = self._store.rows("SELECT customer FROM face_template WHERE used_at < ? ORDER BY customer", before)
        return [self.remove(row["customer"], "retentionOver", "retention", now) for row in old]

    def proofs(self) -> list[dict[str, Any]]:
        return [{**json.loads(row["said"]), "hash": row["hash"]} for row in self._store.rows("SELECT * FROM face_proof ORDER BY number")]

    def broken_link(self) -> int:
        """Number of the first proof that does not follow from those before it; 0 when the chain is whole."""
        previous = FIRST_LINK
        for expected, row in enumerate(self._store.rows("SELECT * FROM face_proof ORDER BY number"), 1):
            said = json.loads(row["said"])
            if said["number"] != expected or row["number"] != expected or row["hash"] != _link(previous, said):
                return expected
            previous = row["hash"]
        return 0


FACTS = (
    "template_id AS templateId, customer, model, schema, generation, consent_id AS consentId, enrolled_at AS enrolledAt, used_at AS usedAt"
)


def _bound(customer: str, template_id: str, model: str) -> str:
    return f"{customer}|{template_id}|{model}|{SCHEMA}"


def _link(previous: str, said: Mapping[str, Any]) -> str:
    return hashlib.sha256(f"{previous}{json.dumps(said, sort_keys=True, separators=(',', ':'))}".encode()).hexdigest()
