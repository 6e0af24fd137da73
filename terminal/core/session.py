"""The session as a table: (phase, event) -> handler and the phases it may lead to. `step` is the only way in.

How to read it. A customer walks down the phases; `EVERYWHERE` answers what can happen at any time (devices, link, journal). An event that
neither knows changes nothing and is reported as `Ignore`. An answer (`command_id`, `request_id`) counts only while it is awaited:
a late one, or one to an earlier question, is ignored the same way. The diagram in the README is generated from `TRANSITIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from terminal.core import authorising, customer, face_service, face_step, facing, paying, service
from terminal.core import events as e
from terminal.core.commands import Ignore
from terminal.core.model import Device, Phase, State
from terminal.core.steps import BANK, Step, awaiting, stay
from terminal.core.values import replace

Handler = Callable[[State, Any], Step]


@dataclass(frozen=True, slots=True)
class Row:
    """What answers an event in a phase, and where that may lead (its own phase included when it may stay)."""

    handler: Handler
    targets: tuple[Phase, ...]


P = Phase
RESTING = (P.IDLE, P.OUT_OF_SERVICE, P.EJECTING)
AFTER_DISPENSE = (P.PRESENTING, P.FAILED)
WITH_TIME_LIMIT = (
    *(P.CHOOSING_APPLICATION, P.ENTERING_PIN, P.CHOOSING_AMOUNT, P.ENTERING_AMOUNT),
    *(P.EXPLAINING_FACE, P.CHOOSING_FACE_SERVICE, P.CONSENTING, P.CONFIRMING_REVOCATION),
)
AMOUNT_CHOSEN = (P.EXPLAINING_FACE, P.PREPARING, P.FAILED)
FACE_REFUSED = (P.CHOOSING_AMOUNT, P.FAILED)

TRANSITIONS: Mapping[tuple[Phase, type[e.Event]], Row] = {
    (P.UNKNOWN, e.Started): Row(service.on_started, (P.OUT_OF_SERVICE, P.RECOVERING)),
    # recovery: LAST STATUS before anything else touches the dispenser
    (P.RECOVERING, e.LastStatusRead): Row(service.on_last_status, (P.OUT_OF_SERVICE, P.EJECTING)),
    (P.RECOVERING, e.CommandFailed): Row(service.on_last_status_failed, (P.RECOVERING,)),
    (P.RECOVERING, e.TimerExpired): Row(service.on_resolving_time_out, (P.OUT_OF_SERVICE, P.EJECTING)),
    (P.RECOVERING, e.CardInserted): Row(paying.on_card_waits, (P.RECOVERING,)),
    (P.OUT_OF_SERVICE, e.TimerExpired): Row(service.on_store_still_failed, (P.OUT_OF_SERVICE,)),
    # the card
    (P.IDLE, e.CardInserted): Row(customer.on_card_inserted, (P.READING_CARD,)),
    (P.READING_CARD, e.ApplicationsRead): Row(customer.on_applications, (P.READING_CARD, P.CHOOSING_APPLICATION, P.FAILED)),
    (P.READING_CARD, e.ApplicationSelected): Row(customer.on_application_selected, (P.ENTERING_PIN,)),
    (P.READING_CARD, e.CommandFailed): Row(customer.on_card_failed, (P.FAILED,)),
    (P.READING_CARD, e.CardRemoved): Row(facing.on_card_removed_early, (P.FAILED,)),
    (P.CHOOSING_APPLICATION, e.Pressed): Row(customer.on_application_choice, (P.READING_CARD, P.CHOOSING_APPLICATION, P.EJECTING)),
    (P.CHOOSING_APPLICATION, e.TimerExpired): Row(customer.on_input_time_out, (P.STILL_THERE,)),
    (P.CHOOSING_APPLICATION, e.CardRemoved): Row(facing.on_card_removed_early, (P.FAILED,)),
    # PIN and amount
    (P.ENTERING_PIN, e.KeyPressed): Row(customer.on_pin_key, (P.ENTERING_PIN, P.EJECTING)),
    (P.ENTERING_PIN, e.Pressed): Row(customer.cancel_or_stay, (P.ENTERING_PIN, P.EJECTING)),
    (P.ENTERING_PIN, e.PinBlockMade): Row(customer.on_pin_block, (P.CHOOSING_AMOUNT, P.PREPARING, P.OPENING_FACE_SERVICE, P.FAILED)),
    (P.ENTERING_PIN, e.CommandFailed): Row(customer.on_pin_failed, (P.ENTERING_PIN, P.FAILED)),
    (P.ENTERING_PIN, e.TimerExpired): Row(customer.on_input_time_out, (P.STILL_THERE,)),
    (P.ENTERING_PIN, e.CardRemoved): Row(facing.on_card_removed_early, (P.FAILED,)),
    (P.CHOOSING_AMOUNT, e.Pressed): Row(
        customer.on_amount_choice, (P.CHOOSING_AMOUNT, P.ENTERING_AMOUNT, *AMOUNT_CHOSEN, P.OPENING_FACE_SERVICE, P.EJECTING)
    ),
    (P.CHOOSING_AMOUNT, e.TimerExpired): Row(customer.on_input_time_out, (P.STILL_THERE,)),
    (P.CHOOSING_AMOUNT, e.CardRemoved): Row(facing.on_card_removed_early, (P.FAILED,)),
    (P.ENTERING_AMOUNT, e.KeyPressed): Row(customer.on_amount_key, (P.ENTERING_AMOUNT, P.CHOOSING_AMOUNT, *AMOUNT_CHOSEN, P.EJECTING)),
    (P.ENTERING_AMOUNT, e.Pressed): Row(customer.on_amount_press, (P.ENTERING_AMOUNT, P.CHOOSING_AMOUNT, *AMOUNT_CHOSEN, P.EJECTING)),
    (P.ENTERING_AMOUNT, e.TimerExpired): Row(customer.on_input_time_out, (P.STILL_THERE,)),
    (P.ENTERING_AMOUNT, e.CardRemoved): Row(facing.on_card_removed_early, (P.FAILED,)),
    (P.STILL_THERE, e.Pressed): Row(
        customer.on_still_there_press,
        (P.STILL_THERE, *WITH_TIME_LIMIT, P.EJECTING),
    ),
    (P.STILL_THERE, e.KeyPressed): Row(
        customer.on_still_there_key,
        (*WITH_TIME_LIMIT, *AMOUNT_CHOSEN, P.EJECTING),
    ),
    (P.STILL_THERE, e.TimerExpired): Row(customer.on_left, (P.EJECTING,)),
    (P.STILL_THERE, e.CardRemoved): Row(facing.on_card_removed_early, (P.FAILED,)),
    # face step-up: another way is open in each of its phases
    (P.EXPLAINING_FACE, e.Pressed): Row(face_step.on_explained, (P.EXPLAINING_FACE, P.FETCHING_TEMPLATE, *FACE_REFUSED, P.EJECTING)),
    (P.EXPLAINING_FACE, e.TimerExpired): Row(customer.on_input_time_out, (P.STILL_THERE,)),
    (P.EXPLAINING_FACE, e.CardRemoved): Row(facing.on_card_removed_early, (P.FAILED,)),
    (P.FETCHING_TEMPLATE, e.FaceKeyMade): Row(face_step.on_face_key, (P.FETCHING_TEMPLATE,)),
    (P.FETCHING_TEMPLATE, e.TemplateFetched): Row(face_step.on_template, (P.VERIFYING_FACE, *FACE_REFUSED)),
    (P.FETCHING_TEMPLATE, e.RequestFailed): Row(face_step.on_template_failed, FACE_REFUSED),
    (P.FETCHING_TEMPLATE, e.CommandFailed): Row(face_step.on_face_failed, FACE_REFUSED),
    (P.FETCHING_TEMPLATE, e.TimerExpired): Row(face_step.on_face_time_out, FACE_REFUSED),
    (P.FETCHING_TEMPLATE, e.Pressed): Row(face_step.on_face_press, (P.FETCHING_TEMPLATE, *FACE_REFUSED)),
    (P.FETCHING_TEMPLATE, e.CardRemoved): Row(facing.on_card_removed_early, (P.FAILED,)),
    (P.VERIFYING_FACE, e.FaceProgress): Row(face_step.on_face_progress, (P.VERIFYING_FACE,)),
    (P.VERIFYING_FACE, e.FaceVerified): Row(face_step.on_face_verified, (P.PREPARING, P.READING_CARD, P.EXPLAINING_FACE, *FACE_REFUSED)),
    (P.VERIFYING_FACE, e.CommandFailed): Row(face_step.on_face_failed, FACE_REFUSED),
    (P.VERIFYING_FACE, e.Pressed): Row(face_step.on_face_press, (P.VERIFYING_FACE, *FACE_REFUSED)),
    (P.VERIFYING_FACE, e.CardRemoved): Row(facing.on_card_removed_early, (P.FAILED,)),
    # everybody must say yes before the bank is asked
    (P.PREPARING, e.DispenserPrepared): Row(authorising.on_dispenser_prepared, (P.PREPARING, P.AUTHORISING)),
    (P.PREPARING, e.FirstCryptogramMade): Row(authorising.on_first_cryptogram, (P.PREPARING, P.AUTHORISING, P.FAILED)),
    (P.PREPARING, e.CommandFailed): Row(authorising.on_prepare_failed, (P.FAILED,)),
    (P.PREPARING, e.CardRemoved): Row(authorising.on_card_removed_while_asking, (P.FAILED,)),
    # the bank
    (P.AUTHORISING, e.AuthorisationAnswered): Row(authorising.on_authorisation, (P.CONFIRMING_CARD, P.FAILED)),
    (P.AUTHORISING, e.RequestFailed): Row(authorising.on_no_answer, (P.FAILED,)),
    (P.AUTHORISING, e.TimerExpired): Row(authorising.on_authorise_time_out, (P.FAILED,)),
    (P.AUTHORISING, e.CardRemoved): Row(authorising.on_card_removed_while_asking, (P.FAILED,)),
    # the card's last word: no cash without TC
    (P.CONFIRMING_CARD, e.SecondCryptogramMade): Row(
        authorising.on_second_cryptogram, (P.RETURNING_CARD, P.READING_CARD, P.EXPLAINING_FACE, P.FAILED)
    ),
    (P.CONFIRMING_CARD, e.CommandFailed): Row(authorising.on_second_failed, (P.READING_CARD, P.EXPLAINING_FACE, P.FAILED)),
    (P.CONFIRMING_CARD, e.CardRemoved): Row(authorising.on_card_removed_while_asking, (P.FAILED,)),
    # card before cash
    (P.RETURNING_CARD, e.CardRemoved): Row(paying.on_card_taken, (P.DISPENSING, P.FAILED)),
    (P.RETURNING_CARD, e.TimerExpired): Row(paying.on_card_not_taken, (P.FAILED,)),
    # the one command that moves money
    (P.DISPENSING, e.NotesDispensed): Row(paying.on_notes_dispensed, AFTER_DISPENSE),
    (P.DISPENSING, e.CommandFailed): Row(paying.on_dispense_failed, (P.RESOLVING, P.FAILED)),
    (P.DISPENSING, e.TimerExpired): Row(paying.on_dispense_time_out, (P.RESOLVING,)),
    (P.DISPENSING, e.CardInserted): Row(paying.on_card_waits, (P.DISPENSING,)),
    (P.RESOLVING, e.LastStatusRead): Row(service.on_last_status, AFTER_DISPENSE),
    (P.RESOLVING, e.CommandFailed): Row(service.on_last_status_failed, (P.RESOLVING,)),
    (P.RESOLVING, e.TimerExpired): Row(service.on_resolving_time_out, (P.FAILED,)),
    (P.RESOLVING, e.CardInserted): Row(paying.on_card_waits, (P.RESOLVING,)),
    # after the cash
    (P.PRESENTING, e.Pressed): Row(paying.on_presenting_press, (P.PRESENTING, P.PRINTING, P.THANKING)),
    (P.PRESENTING, e.TimerExpired): Row(paying.on_presenting_time_out, (P.THANKING,)),
    (P.PRESENTING, e.CardInserted): Row(paying.on_card_waits, (P.PRESENTING,)),
    (P.PRINTING, e.ReceiptPrinted): Row(paying.on_receipt_printed, (P.THANKING,)),
    (P.PRINTING, e.CommandFailed): Row(paying.on_print_failed, (P.THANKING,)),
    (P.PRINTING, e.TimerExpired): Row(paying.on_print_time_out, (P.THANKING,)),
    (P.PRINTING, e.CardInserted): Row(paying.on_card_waits, (P.PRINTING,)),
    (P.THANKING, e.Pressed): Row(paying.on_finished, (*RESTING, P.READING_CARD)),
    (P.THANKING, e.TimerExpired): Row(paying.on_finished, (*RESTING, P.READING_CARD)),
    (P.THANKING, e.CardInserted): Row(paying.on_card_waits, (P.THANKING,)),
    (P.FAILED, e.Pressed): Row(paying.on_finished, RESTING),
    (P.FAILED, e.TimerExpired): Row(paying.on_finished, RESTING),
    (P.FAILED, e.CardInserted): Row(paying.on_card_waits, (P.FAILED,)),
    (P.EJECTING, e.CardRemoved): Row(paying.on_ejected, (P.IDLE, P.OUT_OF_SERVICE)),
    (P.EJECTING, e.TimerExpired): Row(paying.on_not_taken_yet, (P.EJECTING, P.OUT_OF_SERVICE)),
    # face services
    (P.OPENING_FACE_SERVICE, e.FirstCryptogramMade): Row(face_service.on_first_cryptogram, (P.OPENING_FACE_SERVICE, P.FAILED)),
    (P.OPENING_FACE_SERVICE, e.FaceManaged): Row(face_service.on_opened, (P.OPENING_FACE_SERVICE, P.FAILED)),
    (P.OPENING_FACE_SERVICE, e.SecondCryptogramMade): Row(
        face_service.on_second_cryptogram, (P.CHOOSING_FACE_SERVICE, P.READING_CARD, P.FAILED)
    ),
    (P.OPENING_FACE_SERVICE, e.CommandFailed): Row(face_service.on_card_failed, (P.READING_CARD, P.FAILED)),
    (P.OPENING_FACE_SERVICE, e.RequestFailed): Row(face_service.on_no_answer, (P.FAILED,)),
    (P.OPENING_FACE_SERVICE, e.TimerExpired): Row(face_service.on_open_time_out, (P.FAILED,)),
    (P.OPENING_FACE_SERVICE, e.CardRemoved): Row(facing.on_card_removed_early, (P.FAILED,)),
    (P.CHOOSING_FACE_SERVICE, e.Pressed): Row(
        face_service.on_service_choice, (P.CHOOSING_FACE_SERVICE, P.CONSENTING, P.CONFIRMING_REVOCATION, P.EJECTING)
    ),
    (P.CHOOSING_FACE_SERVICE, e.TimerExpired): Row(customer.on_input_time_out, (P.STILL_THERE,)),
    (P.CHOOSING_FACE_SERVICE, e.CardRemoved): Row(facing.on_card_removed_early, (P.FAILED,)),
    (P.CONSENTING, e.Pressed): Row(face_service.on_consent_press, (P.CONSENTING, P.ENROLLING_FACE, P.CHOOSING_FACE_SERVICE, P.EJECTING)),
    (P.CONSENTING, e.TimerExpired): Row(customer.on_input_time_out, (P.STILL_THERE,)),
    (P.CONSENTING, e.CardRemoved): Row(facing.on_card_removed_early, (P.FAILED,)),
    (P.ENROLLING_FACE, e.FaceProgress): Row(face_step.on_face_progress, (P.ENROLLING_FACE,)),
    (P.ENROLLING_FACE, e.FaceEnrolled): Row(face_service.on_enrolled, (P.STORING_FACE, P.CHOOSING_FACE_SERVICE)),
    (P.ENROLLING_FACE, e.CommandFailed): Row(face_service.on_enrolment_failed, (P.CHOOSING_FACE_SERVICE,)),
    (P.ENROLLING_FACE, e.Pressed): Row(face_service.on_enrolling_press, (P.ENROLLING_FACE, P.CHOOSING_FACE_SERVICE)),
    (P.ENROLLING_FACE, e.CardRemoved): Row(facing.on_card_removed_early, (P.FAILED,)),
    (P.STORING_FACE, e.FaceManaged): Row(face_service.on_stored, (P.FACE_SERVICE_DONE,)),
    (P.STORING_FACE, e.RequestFailed): Row(face_service.on_not_known_stored, (P.FACE_SERVICE_DONE,)),
    (P.STORING_FACE, e.TimerExpired): Row(face_service.on_not_known_stored, (P.FACE_SERVICE_DONE,)),
    (P.STORING_FACE, e.CardRemoved): Row(facing.on_card_removed_early, (P.FAILED,)),
    (P.CONFIRMING_REVOCATION, e.Pressed): Row(
        face_service.on_removal_press, (P.CONFIRMING_REVOCATION, P.REVOKING_FACE, P.CHOOSING_FACE_SERVICE, P.EJECTING)
    ),
    (P.CONFIRMING_REVOCATION, e.TimerExpired): Row(customer.on_input_time_out, (P.STILL_THERE,)),
    (P.CONFIRMING_REVOCATION, e.CardRemoved): Row(facing.on_card_removed_early, (P.FAILED,)),
    (P.REVOKING_FACE, e.FaceManaged): Row(face_service.on_revoked, (P.FACE_SERVICE_DONE,)),
    (P.REVOKING_FACE, e.RequestFailed): Row(face_service.on_not_known_revoked, (P.FACE_SERVICE_DONE,)),
    (P.REVOKING_FACE, e.TimerExpired): Row(face_service.on_not_known_revoked, (P.FACE_SERVICE_DONE,)),
    (P.REVOKING_FACE, e.CardRemoved): Row(facing.on_card_removed_early, (P.FAILED,)),
    (P.FACE_SERVICE_DONE, e.Pressed): Row(face_service.on_done_press, (P.FACE_SERVICE_DONE, P.PRINTING_CONFIRMATION, P.EJECTING)),
    (P.FACE_SERVICE_DONE, e.TimerExpired): Row(face_service.on_done_time_out, (P.EJECTING,)),
    (P.FACE_SERVICE_DONE, e.CardRemoved): Row(face_service.on_card_taken, (P.IDLE, P.OUT_OF_SERVICE)),
    (P.PRINTING_CONFIRMATION, e.ReceiptPrinted): Row(face_service.on_confirmation_printed, (P.EJECTING,)),
    (P.PRINTING_CONFIRMATION, e.CommandFailed): Row(face_service.on_confirmation_failed, (P.EJECTING,)),
    (P.PRINTING_CONFIRMATION, e.TimerExpired): Row(face_service.on_confirmation_failed, (P.EJECTING,)),
    (P.PRINTING_CONFIRMATION, e.CardRemoved): Row(face_service.on_card_taken, (P.IDLE, P.OUT_OF_SERVICE)),
}


# A command that failed matters to a phase only when it is the phase's own: a pad that could not stop an entry ends no card session.
CONCERNS: Mapping[Phase, frozenset[Device]] = {
    P.READING_CARD: frozenset({Device.CARD_READER}),
    P.ENTERING_PIN: frozenset({Device.PIN_PAD}),
    P.FETCHING_TEMPLATE: frozenset({Device.FACE}),
    P.VERIFYING_FACE: frozenset({Device.FACE}),
    P.PREPARING: frozenset({Device.CARD_READER, Device.DISPENSER}),
    P.CONFIRMING_CARD: frozenset({Device.CARD_READER}),
    P.DISPENSING: frozenset({Device.DISPENSER}),
    P.RESOLVING: frozenset({Device.DISPENSER}),
    P.RECOVERING: frozenset({Device.DISPENSER}),
    P.PRINTING: frozenset({Device.PRINTER}),
    P.OPENING_FACE_SERVICE: frozenset({Device.CARD_READER}),
    P.ENROLLING_FACE: frozenset({Device.FACE}),
    P.PRINTING_CONFIRMATION: frozenset({Device.PRINTER}),
}


def nothing(state: State, event: e.Event) -> Step:
    """Known, and without consequence here."""
    return stay(state)


# The targets here are those besides staying where one is; the resting ones only from a resting phase.
EVERYWHERE: Mapping[type[e.Event], Row] = {
    e.DeviceOnline: Row(authorising.on_device_online, (P.FAILED, P.IDLE, P.OUT_OF_SERVICE)),
    e.DeviceLost: Row(authorising.on_device_lost, (P.FAILED, P.OUT_OF_SERVICE)),
    e.DeviceGaveUp: Row(service.on_device_gave_up, ()),
    e.DeviceNoted: Row(service.on_device_noted, ()),
    e.DispenserInitialised: Row(service.on_dispenser_initialised, (P.IDLE,)),
    e.LinkUp: Row(service.on_link_up, (P.IDLE,)),
    e.LinkDown: Row(service.on_link_down, (P.OUT_OF_SERVICE,)),
    e.ServiceOrdered: Row(service.on_service_ordered, (P.IDLE, P.OUT_OF_SERVICE)),
    e.LateResponseArrived: Row(service.on_late_response, ()),
    e.StoreFailed: Row(service.on_store_failed, (P.FAILED,)),
    e.StopRequested: Row(service.on_stop_requested, (P.OUT_OF_SERVICE,)),
    e.CardInserted: Row(service.on_card_seen, (P.EJECTING,)),
    e.CardRemoved: Row(service.on_card_gone, ()),
    e.CommandDone: Row(nothing, ()),
}

ANSWERS: Mapping[type[e.Event], Device] = {
    e.ApplicationsRead: Device.CARD_READER,
    e.ApplicationSelected: Device.CARD_READER,
    e.FirstCryptogramMade: Device.CARD_READER,
    e.SecondCryptogramMade: Device.CARD_READER,
    e.PinBlockMade: Device.PIN_PAD,
    e.FaceKeyMade: Device.FACE,
    e.FaceVerified: Device.FACE,
    e.FaceEnrolled: Device.FACE,
    e.DispenserPrepared: Device.DISPENSER,
    e.NotesDispensed: Device.DISPENSER,
    e.LastStatusRead: Device.DISPENSER,
    e.DispenserInitialised: Device.DISPENSER,
    e.ReceiptPrinted: Device.PRINTER,
}


def step(state: State, event: e.Event) -> Step:
    """One event. Total: every (state, event) has an answer, and it never raises for what comes from outside."""
    if isinstance(event, e.TimerExpired) and (event.serial != state.timer or not state.timer):
        return ignored(state, event)
    if isinstance(event, e.Pressed) and event.option.startswith("language:"):
        return choose_language(state, event)
    if isinstance(event, e.FaceProgress) and state.pending.get(Device.FACE.value) != event.command_id:
        return ignored(state, event)
    awaited = answer_to(event)
    if awaited is not None:
        whom, serial = awaited
        if state.pending.get(whom) != serial:
            return ignored(state, event)
        state = awaiting(state, whom, None)
    if isinstance(event, e.CommandFailed) and event.device not in CONCERNS.get(state.phase, ()):
        return ignored(state, event)
    row = TRANSITIONS.get((state.phase, type(event))) or EVERYWHERE.get(type(event))
    return ignored(state, event) if row is None else row.handler(state, event)


def answer_to(event: e.Event) -> tuple[str, int] | None:
    """Whose answer this is, and to which question; None for what happens by itself."""
    if isinstance(event, e.AuthorisationAnswered | e.TemplateFetched | e.FaceManaged | e.RequestFailed):
        return BANK, event.request_id
    if isinstance(event, e.CommandFailed | e.CommandDone):
        return event.device.value, event.command_id
    device = ANSWERS.get(type(event))
    return None if device is None else (device.value, event.command_id)  # type: ignore[attr-defined]


def ignored(state: State, event: e.Event) -> Step:
    return stay(state, Ignore(state.phase.value, type(event).__name__))


def choose_language(state: State, event: e.Pressed) -> Step:
    language = event.option.removeprefix("language:")
    if language not in state.config.languages:
        return ignored(state, event)
    return stay(replace(state, language=language, language_chosen=True))
