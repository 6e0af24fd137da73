"""Face services behind card and PIN: consent, enrolment, what is enrolled, removal. No money is touched.

The bank verifies card and PIN once (`open`); what follows names the same transaction and is good for a few minutes only. Consent is on
disk and on its way to the bank before the camera opens; a withdrawn consent likewise before the bank is asked to delete, so that it is
carried out even when the answer, or the connection, is lost.
"""

from __future__ import annotations

from typing import Any

from terminal.core.authorising import KNOWN_DECLINES, PIN_ATTEMPTS, card_of, fail, pin_again
from terminal.core.commands import (
    Command,
    EnrolFace,
    Entry,
    GenerateFirstCryptogram,
    GenerateSecondCryptogram,
    ManageFace,
    Outgoing,
    PrintReceipt,
    Record,
)
from terminal.core.events import (
    CardRemoved,
    CommandFailed,
    FaceEnrolled,
    FaceManaged,
    FirstCryptogramMade,
    Pressed,
    ReceiptPrinted,
    RequestFailed,
    SecondCryptogramMade,
    TimerExpired,
)
from terminal.core.facing import audited, face_usable, give_card_back
from terminal.core.model import Device, FaceService, FaceSight, Phase, State, Transaction
from terminal.core.service import rest
from terminal.core.steps import BANK, Step, ask, awaiting, goto, limit_s, online, record, stay, stop_face, transaction_of, with_transaction
from terminal.core.values import replace

CONSENT_VERSION = "1"
"""Of the texts `[consent]`: a test refuses other words under the same version."""
NOT_ENROLLED = {
    "noFace": "enrolNotSeen",
    "poorQuality": "enrolNotSeen",
    "severalFaces": "enrolAlone",
    "notLive": "enrolNotSeen",
    "askAgain": "enrolNotSeen",
    "stopped": "enrolStopped",
}


def face_services_offered(state: State) -> bool:
    """Also without a camera that works: a consent can always be withdrawn."""
    return state.config.face_from_minor is not None


def can_enrol(state: State) -> bool:
    """In elderly mode an enrolled face is not offered to be taken anew: there are two things to choose from, not three."""
    enrolled = bool(service_of(state).enrolled_since)
    return face_usable(state) and not (enrolled and state.config.mode == "elderly")


def service_of(state: State) -> FaceService:
    if state.service is None:
        raise AssertionError(f"{state.phase.value} without a face service")
    return state.service


def with_service(state: State, **changes: Any) -> State:
    return replace(state, service=replace(service_of(state), **changes))


# --- opening: card and PIN, at the bank


def begin_service(state: State) -> Step:
    """A transaction of its own number; the PIN that was entered is spent on it."""
    number = state.last_transaction + 1
    identity = f"{state.config.terminal_id}-{number:08d}"
    started = record("faceServiceStarted", identity, number=number)
    transaction = Transaction(identity, pin_block=transaction_of(state).pin_block)
    return open_at_bank(replace(state, last_transaction=number, transaction=transaction, service=FaceService(), hint=""), started)


def open_at_bank(state: State, *commands: Command) -> Step:
    """The card says yes first, as for money; the amount is nought."""
    state, first = ask(
        state, GenerateFirstCryptogram, state.config.timeouts.card_s, amount_minor=0, transaction_number=state.last_transaction
    )
    return goto(state, Phase.OPENING_FACE_SERVICE, *commands, first, hint="", mask=0)


def on_first_cryptogram(state: State, event: FirstCryptogramMade) -> Step:
    if event.kind != "ARQC":
        return fail(state, "cardDeclined")
    transaction, card = transaction_of(state), card_of(state)
    attempt = transaction.attempt + 1
    asked = record("faceServiceRequested", transaction.transaction_id, service="open", attempt=attempt, maskedPan=card.masked_pan)
    state, request = manage(state, "open", attempt=attempt, pin_block=transaction.pin_block, field55=event.field55)
    state = with_transaction(state, attempt=attempt, field55=event.field55, pin_block=None)
    return goto(state, Phase.OPENING_FACE_SERVICE, asked, request, seconds=request.timeout_s + 2)


def manage(state: State, service: Any, **fields: Any) -> tuple[State, ManageFace]:
    """Number the question to the bank; its answer is awaited."""
    card, serial = card_of(state), state.serial + 1
    identity, timeout_s = transaction_of(state).transaction_id, state.config.timeouts.authorise_s
    known = {"attempt": 1, **fields}
    request = ManageFace(
        serial, identity, service, pan=card.pan, track2=card.track2, pan_sequence=card.pan_sequence, timeout_s=timeout_s, **known
    )
    return awaiting(replace(state, serial=serial), BANK, serial), request


def on_opened(state: State, event: FaceManaged) -> Step:
    if event.response not in ("APPR", "DECL"):
        return fail(state, "hostError")
    approved = event.response == "APPR"
    answered = record(
        "faceServiceAnswered", transaction_of(state).transaction_id, service="open", response=event.response, reason=event.reason
    )
    state = with_transaction(state, approved=approved, actions=event.actions, decline_reason=event.reason)
    state = with_service(state, enrolled_since=event.enrolled_since)
    state, second = ask(state, GenerateSecondCryptogram, state.config.timeouts.card_s, icc_data=event.icc_data, approved=approved)
    return goto(state, Phase.OPENING_FACE_SERVICE, answered, second)


def on_second_cryptogram(state: State, event: SecondCryptogramMade) -> Step:
    """The card has seen that it was its own bank that answered."""
    if not transaction_of(state).approved:
        return not_opened(state)
    return choose_service(state) if event.kind == "TC" else fail(state, "cardDeclined")


def on_card_failed(state: State, event: CommandFailed) -> Step:
    declined = bool(transaction_of(state).decline_reason)
    return not_opened(state) if declined else fail(state, "cardUnreadable")


def not_opened(state: State) -> Step:
    transaction = transaction_of(state)
    again = transaction.decline_reason == "incorrectPin" and {"PINR", "PINL"} & set(transaction.actions)
    if again and transaction.attempt < PIN_ATTEMPTS:
        state = with_transaction(state, decline_reason="", actions=())
        return pin_again(state, "lastPinTry" if "PINL" in transaction.actions else "incorrectPin")
    return fail(state, transaction.decline_reason if transaction.decline_reason in KNOWN_DECLINES else "declined")


def on_no_answer(state: State, event: RequestFailed) -> Step:
    return fail(state, "hostUnreachable" if event.reason == "offline" else "hostSilent")


def on_open_time_out(state: State, event: TimerExpired) -> Step:
    return fail(state, "hostSilent")


# --- what would you like


def choose_service(state: State, *commands: Command, hint: str = "") -> Step:
    return goto(state, Phase.CHOOSING_FACE_SERVICE, *commands, seconds=state.config.timeouts.input_s, hint=hint, sight=FaceSight())


def on_service_choice(state: State, event: Pressed) -> Step:
    if event.option == "enrol" and can_enrol(state):
        return goto(state, Phase.CONSENTING, seconds=limit_s(state, Phase.CONSENTING), hint="")
    if event.option == "remove" and service_of(state).enrolled_since:
        return goto(state, Phase.CONFIRMING_REVOCATION, seconds=state.config.timeouts.input_s, hint="")
    return give_card_back(state, "faceServiceOver") if event.option in ("done", "cancel") else stay(state)


# --- consent, then the camera


def on_consent_press(state: State, event: Pressed) -> Step:
    if event.option == "back":
        return choose_service(state)
    if event.option == "cancel":
        return give_card_back(state, "faceServiceOver")
    if event.option != "agree":
        return stay(state)
    if not face_usable(state):
        return choose_service(state, hint="enrolUnavailable")
    identity = transaction_of(state).transaction_id
    consent_id = f"{identity}-C{state.serial}"
    given = consent(state, consent_id, "given", version=CONSENT_VERSION, language=state.language)
    state = with_service(state, consent_id=consent_id)
    seconds = state.config.timeouts.enrol_s
    state, enrol = ask(state, EnrolFace, seconds, transaction_id=identity, consent_id=consent_id)
    return goto(state, Phase.ENROLLING_FACE, given, enrol, sight=FaceSight())


def consent(state: State, consent_id: str, what: str, **data: Any) -> Record:
    """To the journal and, with the outbox's certainty, to the bank: that it was given or withdrawn, by which card, to which words."""
    identity = transaction_of(state).transaction_id
    said = {"consentId": consent_id, "consent": what, **data}
    terms = {"controller": state.config.face_controller, "retentionMonths": state.config.face_retention_months} if what == "given" else {}
    entry = Entry("faceConsent", identity, {**said, **terms, "maskedPan": card_of(state).masked_pan})
    return Record((entry,), (Outgoing("txn", "ATMFaceConsentAdvice", {"transactionId": identity, **said, **terms}),))


def on_enrolling_press(state: State, event: Pressed) -> Step:
    if event.option != "otherWay":
        return stay(state)
    state, stop = stop_face(state)
    state, commands = choose_service(state, hint="enrolStopped")
    return state, (*commands, *stop)


def on_enrolled(state: State, event: FaceEnrolled) -> Step:
    transaction, service = transaction_of(state), service_of(state)
    noted = audited(transaction.transaction_id, "enrolment", event.decision, 1, event.evidence)
    if event.decision != "accepted" or not event.template:
        return choose_service(state, noted, hint=NOT_ENROLLED.get(event.decision, "enrolUnavailable"))
    state, request = manage(
        state,
        "enrol",
        consent_id=service.consent_id,
        consent_version=CONSENT_VERSION,
        language=state.language,
        template=event.template,
    )
    return goto(state, Phase.STORING_FACE, noted, request, seconds=request.timeout_s + 2)


def on_enrolment_failed(state: State, event: CommandFailed) -> Step:
    return choose_service(state, hint="enrolUnavailable")


def on_stored(state: State, event: FaceManaged) -> Step:
    return finish(state, "enrolled" if event.response == "APPR" else "notStored", event)


def on_not_known_stored(state: State, event: RequestFailed | TimerExpired) -> Step:
    """It was sent, or perhaps not: the next visit will show which. Surely not: without a connection, or when it was no message."""
    never_left = isinstance(event, RequestFailed) and event.reason in ("offline", "unsendable")
    return finish(awaiting(state, BANK, None), "notStored" if never_left else "unknown")


# --- removal


def on_removal_press(state: State, event: Pressed) -> Step:
    if event.option in ("back", "no"):
        return choose_service(state)
    if event.option == "cancel":
        return give_card_back(state, "faceServiceOver")
    if event.option != "yes":
        return stay(state)
    withdrawn = consent(state, "", "withdrawn")
    state, request = manage(state, "revoke")
    return goto(state, Phase.REVOKING_FACE, withdrawn, request, seconds=request.timeout_s + 2)


def on_revoked(state: State, event: FaceManaged) -> Step:
    return finish(state, "revoked" if event.response == "APPR" else "revocationSent", event)


def on_not_known_revoked(state: State, event: RequestFailed | TimerExpired) -> Step:
    """The withdrawal is in the outbox: it reaches the bank as surely as an advice about money."""
    return finish(awaiting(state, BANK, None), "revocationSent")


# --- the result


def finish(state: State, result: str, answer: FaceManaged | None = None) -> Step:
    said = {"response": answer.response, "reason": answer.reason, "proof": answer.proof} if answer else {"response": ""}
    ended = record("faceServiceEnded", transaction_of(state).transaction_id, result=result, **said)
    state = with_service(state, result=result, proof=answer.proof if answer else "")
    return goto(state, Phase.FACE_SERVICE_DONE, ended, seconds=state.config.timeouts.input_s)


def on_done_press(state: State, event: Pressed) -> Step:
    if event.option == "receipt" and online(state, Device.PRINTER):
        service, timeouts = service_of(state), state.config.timeouts
        fields = {
            "confirms": service.result,
            "transaction_id": transaction_of(state).transaction_id,
            "masked_pan": card_of(state).masked_pan,
            "consent_id": service.consent_id,
            "proof": service.proof,
        }
        state, printing = ask(state, PrintReceipt, timeouts.print_s, language=state.language, fields=fields)
        return goto(state, Phase.PRINTING_CONFIRMATION, printing, seconds=timeouts.print_s + 5)
    return give_card_back(state, "faceServiceOver") if event.option in ("finish", "receipt") else stay(state)


def on_done_time_out(state: State, event: TimerExpired) -> Step:
    return give_card_back(state, "faceServiceOver")


def on_confirmation_printed(state: State, event: ReceiptPrinted) -> Step:
    return give_card_back(state, "faceConfirmationPrinted")


def on_confirmation_failed(state: State, event: CommandFailed | TimerExpired) -> Step:
    return give_card_back(state, "faceConfirmationFailed")


def on_card_taken(state: State, event: CardRemoved) -> Step:
    """Everything is done: a card that is taken before it is asked for ends the session well."""
    return rest(replace(state, card_present=False))
