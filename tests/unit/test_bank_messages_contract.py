"""Core requests as ATM messages, the bank's answers as events: what docs/bank-messages.md says, and nothing that does not fit."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import pytest
from core_ways import BLOCK, PAN, TRACK2
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.secret import Secret
from terminal.adapters.bank_messages import answer_of, request_of
from terminal.core.commands import Authorise, FetchTemplate, ManageFace
from terminal.core.events import AuthorisationAnswered, FaceManaged, RequestFailed, TemplateFetched
from terminal.core.model import PinBlock

ID = "T0001-00000017"


class Box:
    """A sealer that shows what it was given by its length only."""

    public_key, key_id = "04ab", "bank-2026"

    def seal(self, pan: Secret[str], track2: Secret[str], pan_sequence: int, transaction_id: str) -> Mapping[str, Any]:
        self.sealed = (pan.reveal(), track2.reveal(), pan_sequence, transaction_id)
        return {"alg": "test", "ciphertext": "00"}


def authorise(**changes: Any) -> Authorise:
    known: dict[str, Any] = {
        "request_id": 9,
        "transaction_id": ID,
        "attempt": 2,
        "amount_minor": 20_000,
        "currency": "CNY",
        "pan": Secret(PAN),
        "track2": Secret(TRACK2),
        "pan_sequence": 1,
        "pin_block": PinBlock("iso9564-4", Secret(BLOCK), "ffff9876543210e00001"),
        "field55": "9f2608aabb",
        "face": "notRequired",
        "face_score": None,
        "timeout_s": 30.0,
    }
    return Authorise(**{**known, **changes})


OPEN = ManageFace(
    12, ID, "open", 2, Secret(PAN), Secret(TRACK2), 1, 30.0, PinBlock("iso9564-4", Secret(BLOCK), "ffff9876543210e00001"), "9f2608aabb"
)
ENROL = ManageFace(
    *(13, ID, "enrol", 1, Secret(PAN), Secret(TRACK2), 1, 30.0),
    consent_id=f"{ID}-C7",
    consent_version="1",
    language="zh",
    template=Secret(json.dumps({"model": "ab", "schema": 2, "consentId": f"{ID}-C7", "box": {"ciphertext": "00"}})),
)
MANAGED = "ATMFaceManagementResponse"
OPENED: dict[str, Any] = {
    "transactionId": ID,
    "service": "open",
    "attempt": 2,
    "response": "APPR",
    "actions": [],
    "iccRelatedData": "8a023030",
    "enrolledSince": "2026-11-22",
}
FETCH = FetchTemplate(11, ID, Secret(PAN), Secret(TRACK2), 1, "04ab", 30.0)
APPROVED: dict[str, Any] = {
    "inResponseTo": "uuid",
    "transactionId": ID,
    "attempt": 2,
    "response": "APPR",
    "authorisationCode": "A1B2C3",
    "iccRelatedData": "8a023030",
    "balance": {"minor": 470_000, "currency": "CNY"},
}
DECLINED: dict[str, Any] = {
    "transactionId": ID,
    "attempt": 2,
    "response": "DECL",
    "reason": "incorrectPin",
    "actions": ["PINR"],
    "iccRelatedData": "8a023535",
}
WITHDRAWAL, INQUIRY = "ATMWithdrawalResponse", "ATMInquiryResponse"


def test_a_withdrawal_request() -> None:
    box = Box()
    assert request_of(authorise(), box) == (
        "ATMWithdrawalRequest",
        {
            "transactionId": ID,
            "attempt": 2,
            "amount": {"minor": 20_000, "currency": "CNY"},
            "protectedCardData": {"alg": "test", "ciphertext": "00"},
            "pinBlock": {"format": "iso9564-4", "block": BLOCK, "ksn": "ffff9876543210e00001"},
            "iccRelatedData": "9f2608aabb",
            "face": {"decision": "notRequired"},
        },
    )
    assert box.sealed == (PAN, TRACK2, 1, ID)


def test_the_score_travels_only_with_a_face_that_was_accepted() -> None:
    assert request_of(authorise(face="accepted", face_score=0.83), Box())[1]["face"] == {"decision": "accepted", "score": 0.83}
    assert "score" not in request_of(authorise(face="notRequired", face_score=0.2), Box())[1]["face"]


def test_an_inquiry_for_a_template() -> None:
    kind, data = request_of(FETCH, Box())
    assert kind == "ATMInquiryRequest"
    assert data == {
        "transactionId": ID,
        "inquiry": "faceTemplate",
        "protectedCardData": {"alg": "test", "ciphertext": "00"},
        "recipientKey": "04ab",
    }


@pytest.mark.parametrize("command", [authorise(), FETCH, OPEN, ENROL])
def test_card_data_leaves_only_in_the_box(command: Authorise | FetchTemplate | ManageFace) -> None:
    said = json.dumps(request_of(command, Box()))
    assert PAN not in said and TRACK2 not in said


def test_an_approval() -> None:
    assert answer_of(authorise(), WITHDRAWAL, APPROVED) == AuthorisationAnswered(9, "APPR", "", (), "A1B2C3", "8a023030", 470_000)


def test_a_decline_with_another_try() -> None:
    assert answer_of(authorise(), WITHDRAWAL, DECLINED) == AuthorisationAnswered(9, "DECL", "incorrectPin", ("PINR",), "", "8a023535", None)


def test_a_host_that_cannot_tell() -> None:
    tech = {"transactionId": ID, "attempt": 2, "response": "TECH", "reason": "systemError"}
    assert answer_of(authorise(), WITHDRAWAL, tech) == AuthorisationAnswered(9, "TECH", "systemError", (), "", "", None)


MISSING = object()


@pytest.mark.parametrize(
    "change",
    [
        {"transactionId": "T0001-00000018"},
        {"transactionId": MISSING},
        {"attempt": 1},
        {"attempt": "2"},
        {"attempt": MISSING},
        {"response": "YES"},
        {"response": MISSING},
        {"response": ["APPR"]},
        {"authorisationCode": ""},
        {"authorisationCode": MISSING},
        {"authorisationCode": 123},
        {"iccRelatedData": "8A0"},
        {"iccRelatedData": "hello"},
        {"iccRelatedData": 8},
        {"reason": {"text": "no"}},
        {"reason": "card 6228480000000015 blocked"},
        {"reason": "6228480000000015"},
        {"reason": "\ud800"},
        {"actions": [7]},
        {"actions": 7},
        {"balance": {"minor": "470000", "currency": "CNY"}},
        {"balance": {"minor": 4_700.5, "currency": "CNY"}},
        {"balance": {"minor": 470_000, "currency": "USD"}},
        {"balance": {"minor": 470_000}},
        {"balance": 470_000},
    ],
)
def test_an_approval_that_does_not_fit_is_no_approval(change: dict[str, Any]) -> None:
    data = {name: value for name, value in {**APPROVED, **change}.items() if value is not MISSING}
    assert answer_of(authorise(), WITHDRAWAL, data) == RequestFailed(9, "malformed")


def test_an_answer_of_another_kind() -> None:
    assert answer_of(authorise(), INQUIRY, APPROVED) == RequestFailed(9, "malformed")
    assert answer_of(FETCH, WITHDRAWAL, APPROVED) == RequestFailed(11, "malformed")


def test_a_template_stays_closed() -> None:
    sealed = {"templateId": "t1", "model": "ab", "customer": "c1", "schema": 2, "box": {"ciphertext": "DEADBEEF"}}
    event = answer_of(FETCH, INQUIRY, {"transactionId": ID, "response": "APPR", "template": sealed})
    assert isinstance(event, TemplateFetched) and json.loads(event.template.reveal()) == sealed
    assert "DEADBEEF" not in repr(event)


def test_nobody_enrolled() -> None:
    event = answer_of(FETCH, INQUIRY, {"transactionId": ID, "response": "DECL", "reason": "noTemplate"})
    assert event == TemplateFetched(11, Secret(""), "noTemplate")


@pytest.mark.parametrize("data", [{}, {"transactionId": ID}, {"transactionId": ID, "response": "APPR"}])
def test_an_inquiry_answered_by_half(data: dict[str, Any]) -> None:
    assert answer_of(FETCH, INQUIRY, data) == RequestFailed(11, "malformed")


# --- face services


def test_a_face_service_is_opened_with_card_and_pin() -> None:
    assert request_of(OPEN, Box()) == (
        "ATMFaceManagementRequest",
        {
            "transactionId": ID,
            "service": "open",
            "attempt": 2,
            "protectedCardData": {"alg": "test", "ciphertext": "00"},
            "pinBlock": {"format": "iso9564-4", "block": BLOCK, "ksn": "ffff9876543210e00001"},
            "iccRelatedData": "9f2608aabb",
        },
    )


def test_an_enrolment_names_its_consent_and_carries_a_closed_template() -> None:
    _, data = request_of(ENROL, Box())
    assert data["consent"] == {"consentId": f"{ID}-C7", "version": "1", "language": "zh"}
    assert data["template"]["box"] == {"ciphertext": "00"} and "pinBlock" not in data
    assert "ciphertext" not in repr(ENROL)


def test_what_the_bank_says_of_a_face_service() -> None:
    assert answer_of(OPEN, MANAGED, OPENED) == FaceManaged(12, "APPR", "", (), "8a023030", "2026-11-22", "")
    revoke = dataclasses.replace(OPEN, service="revoke", attempt=1)
    said = {"transactionId": ID, "service": "revoke", "attempt": 1, "response": "APPR", "proof": "D-17"}
    assert answer_of(revoke, MANAGED, said) == FaceManaged(12, "APPR", "", (), "", "", "D-17")


@pytest.mark.parametrize(
    "change",
    [
        {"service": "enrol"},
        {"attempt": 1},
        {"transactionId": "T0001-00000018"},
        {"response": "PERHAPS"},
        {"enrolledSince": "yesterday"},
        {"enrolledSince": 2026},
        {"proof": "6228480000000015"},
        {"proof": ["D-1"]},
        {"reason": "<b>"},
        {"iccRelatedData": "xyz"},
        {"actions": 3},
    ],
)
def test_an_answer_about_faces_that_does_not_fit(change: dict[str, Any]) -> None:
    assert answer_of(OPEN, MANAGED, {**OPENED, **change}) == RequestFailed(12, "malformed")
    assert answer_of(OPEN, INQUIRY, OPENED) == RequestFailed(12, "malformed")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(base=st.sampled_from([APPROVED, DECLINED]), name=st.sampled_from(sorted({*APPROVED, *DECLINED})), value=JSON)
def test_whatever_a_field_holds_the_answer_is_an_event(base: dict[str, Any], name: str, value: Any) -> None:
    event = answer_of(authorise(), WITHDRAWAL, {**base, name: value})
    assert isinstance(event, AuthorisationAnswered | RequestFailed)
    if isinstance(event, AuthorisationAnswered):
        assert (
            isinstance(event.authorisation_code, str)
            and isinstance(event.reason, str)
            and all(isinstance(one, str) for one in event.actions)
        )
        assert event.balance_minor is None or isinstance(event.balance_minor, int)
        assert event.response != "APPR" or event.authorisation_code
