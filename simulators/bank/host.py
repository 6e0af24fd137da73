"""The bank's host without its wire: a message in, the answers out, everything it caused on disk in between.

No clock, no socket, no randomness of its own: the same object serves MQTT (`simulators.bank.link`) and a bench in virtual time.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from simulators.bank.authorise import Authorisation, Planned
from simulators.bank.cards import Cast
from simulators.bank.completion import Completion
from simulators.bank.face_management import FaceManagement
from simulators.bank.faces import Faces
from simulators.bank.inbox import Inbox
from simulators.bank.inquiries import Inquiries
from simulators.bank.keys import BankKeys
from simulators.bank.ledger import FUNDING, SUSPENSE, Ledger
from simulators.bank.messages import ACKNOWLEDGED, BASE, CLASSES, Envelope, Fields, Malformed, Message, envelope, outgoing
from simulators.bank.store import Store
from simulators.bank.template_keys import TemplateKeys
from simulators.bank.templates import Template
from simulators.bank.verify import Verdict, Verifier
from simulators.crypto.sealed_box import RandomBytes

Answers = list[tuple[str, Message]]
RESPONSES = {
    "ATMWithdrawalRequest": "ATMWithdrawalResponse",
    "ATMInquiryRequest": "ATMInquiryResponse",
    "ATMFaceManagementRequest": "ATMFaceManagementResponse",
}
CONSENT = "ATMFaceConsentAdvice"
ADVICE = "ATMWithdrawalCompletionAdvice"


class BankHost:
    """`handle` is one message; its answers may be sent only after it returned, because only then the effect is on disk.

    `acknowledges`: the classes that this host acknowledges; beside a monitor, which takes audit and alarm, it is `txn` alone.
    """

    def __init__(
        self,
        store: Store,
        cast: Cast,
        keys: BankKeys,
        now: datetime,
        *,
        templates: Mapping[str, Template] | None = None,
        template_keys: TemplateKeys | None = None,
        random_bytes: RandomBytes = secrets.token_bytes,
        acknowledges: Collection[str] = ACKNOWLEDGED,
    ) -> None:
        self.acknowledges = frozenset(acknowledges)
        self.store = store
        self.cast = cast
        self.keys = keys
        self.planned = Planned()
        self.ledger = Ledger(store)
        self.inbox = Inbox(store)
        self._authorisation = Authorisation(store, cast, keys, self.planned)
        self._completion = Completion(store, cast, keys)
        self.faces = Faces(store, template_keys or TemplateKeys(None, keys, random_bytes), random_bytes)
        self.face_management = FaceManagement(store, keys, Verifier(store, cast, keys), self.faces)
        self._inquiries = Inquiries(store, cast, keys, self.faces)
        with store.transaction():
            self.open_accounts(now)
            self.faces.take_over(templates or {}, now)

    def open_accounts(self, now: datetime) -> None:
        """The cast's accounts with their opening balances; those that are open keep what they have. Inside a transaction."""
        self.ledger.open_account(SUSPENSE, "suspense")
        self.ledger.open_account(FUNDING, "funding")
        for name, minor in self.cast.accounts.items():
            if self.ledger.open_account(name, "customer") and minor:
                self.ledger.book("opening", None, {FUNDING: -minor, name: minor}, now)

    def handle_payload(self, topic_leaf: str, base: str, payload: bytes, now: datetime) -> Answers:
        """As `handle`, from the bytes of a message on ``{base}/{topic_leaf}``."""
        try:
            message = json.loads(payload)
        except (ValueError, RecursionError):
            with self.store.transaction():
                self.inbox.refuse(base, topic_leaf, "", "not JSON in UTF-8", payload, now)
            return self._technical(topic_leaf, base, {}, now)
        return self.handle(topic_leaf, message, now, base=base)

    def handle(self, topic_leaf: str, message: object, now: datetime, *, base: str | None = None) -> Answers:
        """Answers as (topic leaf, message). `base` is the topic's base, which the message's source must be; None believes the source."""
        where = base or (message.get("source") if isinstance(message, dict) else None)
        where = where if isinstance(where, str) and BASE.fullmatch(where) else "bank/v1/unknown/unknown"
        try:
            found = envelope(message, numbered=topic_leaf in CLASSES)
            if found.base != where:
                raise Malformed("source: is not the base of the topic it came on")
            with self.store.transaction():
                self.inbox.seen(found.base, now)
                return self._route(topic_leaf, found, now)
        except Malformed as error:
            return self._refuse(topic_leaf, where, message, str(error), now)

    def _route(self, leaf: str, found: Envelope, now: datetime) -> Answers:
        if leaf == "auth":
            return self._answer(found, now)
        if leaf == "state":
            self.inbox.seen(found.base, now, found.data.choice("state", "online", "offline"))
            return []
        if leaf == "reported":  # retained at the broker: the newest is all there is to know
            return []
        if leaf not in CLASSES:
            raise Malformed("the bank takes no messages on this topic")
        return self._take(CLASSES[leaf], leaf, found, now)

    def _answer(self, found: Envelope, now: datetime) -> Answers:
        if found.type == "ATMWithdrawalRequest":
            data = self._authorisation.respond(found, now)
        elif found.type == "ATMInquiryRequest":
            data = self._inquiries.respond(found, now)
        elif found.type == "ATMFaceManagementRequest":
            data = self.face_management.respond(found, now)
        else:
            raise Malformed(f"type: on auth one of {', '.join(RESPONSES)}")
        return [("auth/resp", outgoing(RESPONSES[found.type], found.base, found.id, data, now))]

    def _take(self, kind: str, leaf: str, found: Envelope, now: datetime) -> Answers:
        """One numbered message: applied once, then acknowledged together with all before it."""
        if kind == "telemetry":
            self.inbox.telemetry(found)
            return []
        news = self.inbox.receive(kind, found, now)
        if news == "reused":
            self._quarantine(leaf, found, "this epoch and seq came before with another content", now)
        elif news == "new" and kind == "txn":
            try:
                self._apply(found, now)
            except Malformed as error:
                self._quarantine(leaf, found, str(error), now)
        upto = self.inbox.acknowledge(found.terminal, kind, found.epoch)
        return [("ack", self.ack(found.base, kind, found.epoch, upto, now))] if upto and kind in self.acknowledges else []

    def _apply(self, found: Envelope, now: datetime) -> None:
        if found.type == ADVICE:
            self._completion.apply(found, self._authorisation.day(now), now)
        elif found.type == CONSENT:
            self.face_management.apply(found, now)
        else:
            raise Malformed(f"type: on txn {ADVICE} or {CONSENT}")

    @staticmethod
    def ack(base: str, kind: str, epoch: int, upto: int, now: datetime) -> Message:
        data = {"class": kind, "epoch": epoch, "upto": upto}
        return outgoing("ATMCompletionAcknowledgement", base, f"{kind}/{epoch}/{upto}", data, now)

    def _quarantine(self, leaf: str, found: Envelope, reason: str, now: datetime) -> None:
        """A numbered message that cannot be applied would block all behind it: it is kept for a person and acknowledged."""
        self.inbox.refuse(found.base, leaf, found.id, reason, json.dumps(found.data.values, ensure_ascii=False).encode(), now)
        named = found.data.values.get("transactionId")
        if leaf == "txn":
            self.inbox.discrepancy(named if isinstance(named, str) else "", "adviceNotApplied", f"{found.id}: {reason}", now)

    def _refuse(self, leaf: str, base: str, message: object, reason: str, now: datetime) -> Answers:
        fields = message if isinstance(message, dict) else {}
        identity = fields.get("id")
        with self.store.transaction():
            payload = json.dumps(message, ensure_ascii=True).encode()
            self.inbox.refuse(base, leaf, identity if isinstance(identity, str) else "", reason, payload, now)
        return self._technical(leaf, base, fields, now)

    def _technical(self, leaf: str, base: str, message: Mapping[str, Any], now: datetime, reason: str = "malformed") -> Answers:
        """A customer waits on `auth`: tell the terminal that nothing will come of it, with whatever of the request could be read."""
        if leaf != "auth":
            return []
        kind = message.get("type")
        data = message.get("data")
        fields = Fields(data if isinstance(data, dict) else {})
        answer: dict[str, Any] = {"inResponseTo": message.get("id") if isinstance(message.get("id"), str) else None}
        for name, wanted in (("transactionId", str), ("attempt", int), ("inquiry", str), ("service", str)):
            if isinstance(fields.values.get(name), wanted):
                answer[name] = fields.values[name]
        answer.update(Verdict(reason).fields(self.keys))
        name = RESPONSES.get(kind, "ATMWithdrawalResponse") if isinstance(kind, str) else "ATMWithdrawalResponse"
        return [("auth/resp", outgoing(name, base, f"{answer['inResponseTo']}|{reason}", answer, now))]

    def system_error(self, leaf: str, base: str, message: Mapping[str, Any], now: datetime) -> Answers:
        """The answer when the store failed: nothing was booked, nothing is acknowledged."""
        return self._technical(leaf, base, message, now, "systemError")
