"""Core requests -> ATM messages, responses -> core events (docs/bank-messages.md). ISO 20022 names; JSON-able values only."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

from drivers.secret import Secret
from terminal.core.commands import Authorise, FetchTemplate, ManageFace
from terminal.core.events import AuthorisationAnswered, Event, FaceManaged, RequestFailed, TemplateFetched


class Sealer(Protocol):
    """Closes card data for the bank alone. `public_key` (point, hex) and `key_id` are the bank's, for others who seal for it."""

    @property
    def public_key(self) -> str: ...
    @property
    def key_id(self) -> str: ...
    def seal(self, pan: Secret[str], track2: Secret[str], pan_sequence: int, transaction_id: str) -> Mapping[str, Any]: ...


# What the bank says is journalled and shown by its code: nothing else gets in, be it a card number or half a character.
CODE = re.compile(r"[A-Za-z0-9_-]{0,48}", re.ASCII)
_DIGITS = re.compile("[0-9]{13}")  # as long as a card number
WITHDRAWAL = "ATMWithdrawalRequest"
INQUIRY = "ATMInquiryRequest"
FACE_MANAGEMENT = "ATMFaceManagementRequest"
_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
BankRequest = Authorise | FetchTemplate | ManageFace


def request_of(command: BankRequest, sealer: Sealer) -> tuple[str, dict[str, Any]]:
    """Type and data of the message. This is the one place where PAN and track 2 leave their `Secret`: into the sealed box."""
    card = dict(sealer.seal(command.pan, command.track2, command.pan_sequence, command.transaction_id))
    if isinstance(command, FetchTemplate):
        return INQUIRY, {
            "transactionId": command.transaction_id,
            "inquiry": "faceTemplate",
            "protectedCardData": card,
            "recipientKey": command.recipient_key,
        }
    if isinstance(command, ManageFace):
        return FACE_MANAGEMENT, _management(command, card)
    face: dict[str, Any] = {"decision": command.face}
    if command.face == "accepted":
        face["score"] = command.face_score
    pin = command.pin_block
    return WITHDRAWAL, {
        "transactionId": command.transaction_id,
        "attempt": command.attempt,
        "amount": {"minor": command.amount_minor, "currency": command.currency},
        "protectedCardData": card,
        "pinBlock": {"format": pin.format, "block": pin.block.reveal(), "ksn": pin.ksn},
        "iccRelatedData": command.field55,
        "face": face,
    }


def answer_of(command: BankRequest, type_: str, data: Mapping[str, Any]) -> Event:
    """The core's event for a response; RequestFailed("malformed") when it does not answer this request or lacks what it must have."""
    try:
        if data["transactionId"] != command.transaction_id:
            raise ValueError("another transaction")
        if isinstance(command, FetchTemplate):
            return _template(command, type_, data)
        if isinstance(command, ManageFace):
            return _managed(command, type_, data)
        return _authorisation(command, type_, data)
    except (KeyError, TypeError, ValueError):
        return RequestFailed(command.request_id, "malformed")


def code_of(value: object) -> str:
    """`value` when it is a code of the contract, else "unreadable"."""
    return value if isinstance(value, str) and CODE.fullmatch(value) and not _DIGITS.search(value) else "unreadable"


def _template(command: FetchTemplate, type_: str, data: Mapping[str, Any]) -> Event:
    _check(type_ == "ATMInquiryResponse")
    if data["response"] != "APPR":
        return TemplateFetched(command.request_id, Secret(""), code_of(data.get("reason")))
    return TemplateFetched(command.request_id, Secret(json.dumps(data["template"])), "")


def _management(command: ManageFace, card: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "transactionId": command.transaction_id,
        "service": command.service,
        "attempt": command.attempt,
        "protectedCardData": card,
    }
    if command.pin_block is not None:
        pin = command.pin_block
        data["pinBlock"] = {"format": pin.format, "block": pin.block.reveal(), "ksn": pin.ksn}
        data["iccRelatedData"] = command.field55
    if command.template is not None:
        data["consent"] = {"consentId": command.consent_id, "version": command.consent_version, "language": command.language}
        data["template"] = json.loads(command.template.reveal())
    return data


def _managed(command: ManageFace, type_: str, data: Mapping[str, Any]) -> Event:
    _check(type_ == "ATMFaceManagementResponse" and data["service"] == command.service and data["attempt"] == command.attempt)
    _check(data["response"] in ("APPR", "DECL", "TECH"))
    actions = tuple(data.get("actions") or ())
    reason, icc_data = data.get("reason") or "", data.get("iccRelatedData") or ""
    _check(all(code_of(text) == text for text in (*actions, reason)) and isinstance(icc_data, str))
    bytes.fromhex(icc_data)
    since, proof = data.get("enrolledSince") or "", data.get("proof") or ""
    _check(since == "" or bool(_DATE.fullmatch(since)))
    _check(code_of(proof) == proof)
    return FaceManaged(command.request_id, data["response"], reason, actions, icc_data, since, proof)


def _authorisation(command: Authorise, type_: str, data: Mapping[str, Any]) -> Event:
    _check(type_ == "ATMWithdrawalResponse" and data["attempt"] == command.attempt and data["response"] in ("APPR", "DECL", "TECH"))
    actions = tuple(data.get("actions") or ())
    reason, code, icc_data = data.get("reason") or "", data.get("authorisationCode") or "", data.get("iccRelatedData") or ""
    _check(all(code_of(text) == text for text in (*actions, reason, code)) and isinstance(icc_data, str))
    bytes.fromhex(icc_data)
    if data["response"] == "APPR":
        _check(bool(code))
    balance_minor = None
    if (balance := data.get("balance")) is not None:
        balance_minor = balance["minor"]
        _check(isinstance(balance_minor, int) and balance["currency"] == command.currency)
    return AuthorisationAnswered(command.request_id, data["response"], reason, actions, code, icc_data, balance_minor)


def _check(fits: bool) -> None:
    if not fits:
        raise ValueError("the response does not fit the request")
