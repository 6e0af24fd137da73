"""ATMFaceManagementRequest -> ATMFaceManagementResponse, and what terminals tell of consent (ATMFaceConsentAdvice).

`open` verifies card and PIN and begins a session under the request's transactionId; `enrol` and `revoke` name the same one, from the same
terminal with the same card, within ten minutes.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from simulators.bank.cards import Card
from simulators.bank.faces import SCHEMA, Faces
from simulators.bank.inbox import Inbox
from simulators.bank.keys import BankKeys
from simulators.bank.messages import Envelope, Fields, Malformed, pin_block, transaction_id, utc_text
from simulators.bank.rotation import VALUES, unpack
from simulators.bank.store import Store
from simulators.bank.verify import Verdict, Verifier
from simulators.crypto.sealed_box import SealedBoxError, open_box

SESSION = timedelta(minutes=10)
CONSENT_ID = r"[A-Za-z0-9_-]{1,48}"
SHA256 = r"[0-9a-f]{64}"


class FaceManagement:
    """Runs inside the caller's transaction."""

    def __init__(self, store: Store, keys: BankKeys, verifier: Verifier, faces: Faces) -> None:
        self._store = store
        self._keys = keys
        self._verifier = verifier
        self._faces = faces
        self._inbox = Inbox(store)

    def respond(self, found: Envelope, now: datetime) -> dict[str, Any]:
        """A repeated request gets the stored answer: one enrolment, one deletion, one PIN try."""
        fields = found.data
        identity = transaction_id(fields, found.terminal)
        service = fields.choice("service", "open", "enrol", "revoke")
        attempt = fields.whole("attempt", 1, 99)
        key = (f"face:{service}", identity, attempt)
        answer = self._inbox.answered(*key, fields.values)
        if answer is None:
            card = self._verifier.card(self._verifier.open_card(fields.object("protectedCardData").values, identity))
            decide = {"open": self._open, "enrol": self._enrol, "revoke": self._revoke}[service]
            verdict, said = decide(found, identity, card, now)
            answer = {"transactionId": identity, "service": service, "attempt": attempt, **verdict.fields(self._keys), **said}
            self._inbox.keep_answer(*key, fields.values, answer)
        return {"inResponseTo": found.id, **answer}

    def _open(self, found: Envelope, identity: str, card: Card | None, now: datetime) -> tuple[Verdict, dict[str, Any]]:
        block, field55 = pin_block(found.data), found.data.hex("iccRelatedData", 1, 1024)
        if card is None:
            return Verdict("unknownCard"), {}
        verdict = self._verifier.card_and_pin(card, block, field55, identity, now)
        if verdict.reason:
            return verdict, {}
        self._store.execute(
            "INSERT INTO face_session VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET opened_at = excluded.opened_at",
            *(identity, found.terminal, card.customer, card.token, utc_text(now)),
        )
        standing = self._faces.standing(card.customer)
        return verdict, {"enrolledSince": standing["enrolledAt"][:10]} if standing else {}

    def _session(self, found: Envelope, identity: str, card: Card | None, now: datetime) -> str:
        """Why nothing may be done; "" when this is the card that proved itself a moment ago."""
        row = self._store.one("SELECT * FROM face_session WHERE transaction_id = ?", identity)
        if row is None or card is None or row["terminal"] != found.terminal or row["card"] != card.token:
            return "noFaceSession"
        return "" if datetime.fromisoformat(row["opened_at"]) + SESSION >= now else "faceSessionOver"

    def _enrol(self, found: Envelope, identity: str, card: Card | None, now: datetime) -> tuple[Verdict, dict[str, Any]]:
        refusal = self._session(found, identity, card, now)
        consent, template = found.data.object("consent"), found.data.object("template")
        consent_id = consent.text("consentId", CONSENT_ID)
        if template.whole("schema") != SCHEMA or template.text("consentId", CONSENT_ID) != consent_id:
            raise Malformed(f"data.template: schema {SCHEMA} and the consentId of data.consent are needed")
        model = template.text("model", SHA256)
        if refusal or card is None:
            return Verdict(refusal), {}
        if not self.consent_given(card.customer, identity, consent, now):
            return Verdict("consentWithdrawn"), {}
        try:
            box = template.object("box").values
            plain = open_box(box, self._keys.private, f"enrol|{identity}|{consent_id}|{model}|{SCHEMA}".encode())
            if len(plain) != 4 * VALUES:
                raise ValueError("not so many bytes as a template has")
            template_id = self._faces.enrol(card.customer, identity, model, unpack(plain), consent_id, now)
        except (SealedBoxError, ValueError):
            return Verdict("templateRefused"), {}
        return Verdict(""), {"templateId": template_id, "enrolledSince": utc_text(now)[:10]}

    def _revoke(self, found: Envelope, identity: str, card: Card | None, now: datetime) -> tuple[Verdict, dict[str, Any]]:
        refusal = self._session(found, identity, card, now)
        if refusal or card is None:
            return Verdict(refusal), {}
        proof = self._withdraw(card.customer, identity, now)
        return Verdict(""), {"proof": proof} if proof else {}

    # --- consent

    def consent_given(self, customer: str, identity: str, consent: Fields, now: datetime) -> bool:
        """Recorded once, by whichever message comes first; False when it has been withdrawn since."""
        consent_id = consent.text("consentId", CONSENT_ID)
        version, language = consent.text("version", r"[A-Za-z0-9.-]{1,32}"), consent.text("language", r"[a-z]{2}")
        self._store.execute(
            "INSERT INTO face_consent VALUES (?,?,?,?,?,?,'') ON CONFLICT DO NOTHING",
            *(consent_id, customer, identity, version, language, utc_text(now)),
        )
        row = self._store.one("SELECT customer, withdrawn_at FROM face_consent WHERE consent_id = ?", consent_id)
        return row is not None and row["customer"] == customer and not row["withdrawn_at"]

    def apply(self, found: Envelope, now: datetime) -> None:
        """An ATMFaceConsentAdvice. Malformed when it cannot be applied: it is kept for a person."""
        identity = transaction_id(found.data, found.terminal)
        what = found.data.choice("consent", "given", "withdrawn")
        row = self._store.one("SELECT customer FROM face_session WHERE transaction_id = ? AND terminal = ?", identity, found.terminal)
        if row is None:
            raise Malformed("data.transactionId: no card has proved itself under this number")
        if what == "given":
            self.consent_given(row["customer"], identity, found.data, now)
        else:
            self._withdraw(row["customer"], identity, now)

    def _withdraw(self, customer: str, identity: str, now: datetime) -> str:
        """What was given before this session. An advice that was long under way does not undo what the customer agreed to since."""
        opened_at = self._store.one("SELECT opened_at FROM face_session WHERE transaction_id = ?", identity)
        until = str(opened_at["opened_at"]) if opened_at else ""
        self._store.execute(
            "UPDATE face_consent SET withdrawn_at = ? WHERE customer = ? AND given_at <= ? AND withdrawn_at = ''",
            *(utc_text(now), customer, until),
        )
        standing = self._faces.standing(customer)
        if standing is None or standing["enrolledAt"] > until:
            return ""
        return self._faces.remove(customer, "consentWithdrawn", identity, now)

    def consents(self) -> list[dict[str, Any]]:
        return self._store.rows(
            "SELECT consent_id AS consentId, customer, version, language, given_at AS givenAt, withdrawn_at AS withdrawnAt"
            " FROM face_consent ORDER BY given_at, consent_id"
        )
