"""The card's first cryptogram, the bank's decision, the card's second. No cash moves here.

Everything that can say "no" is asked before the bank: the dispenser's state and the card's own risk management. From the moment the
request may have left, every way out that is not cash ends in a completion advice FAIL, so that the bank lets go of its hold.
"""

from __future__ import annotations

from terminal.core import cash, service
from terminal.core.commands import (
    Authorise,
    Command,
    GenerateFirstCryptogram,
    GenerateSecondCryptogram,
    InitialiseDispenser,
    PrepareDispense,
    ReleaseCard,
    SelectApplication,
)
from terminal.core.events import (
    AuthorisationAnswered,
    CardRemoved,
    CommandFailed,
    DeviceLost,
    DeviceOnline,
    DispenserPrepared,
    FirstCryptogramMade,
    RequestFailed,
    SecondCryptogramMade,
)
from terminal.core.facing import explain, face_usable
from terminal.core.model import CardInfo, Device, Failure, Phase, State
from terminal.core.service import INITIALISE_S
from terminal.core.settling import settle_without_cash
from terminal.core.steps import BANK, Step, ask, awaiting, goto, online, record, stop_entry, transaction_of, with_transaction
from terminal.core.values import replace

PIN_ATTEMPTS = 3
FACE_WANTED = "CHDA"  # ISO 20022 ActionType: additional authentication of cardholder required
WITH_PIN_ENTRY = (Phase.ENTERING_PIN, Phase.ENTERING_AMOUNT)
WITH_CARD_SESSION = (
    Phase.READING_CARD,
    Phase.CHOOSING_APPLICATION,
    Phase.ENTERING_PIN,
    Phase.CHOOSING_AMOUNT,
    Phase.ENTERING_AMOUNT,
    Phase.STILL_THERE,
    Phase.FETCHING_TEMPLATE,
    Phase.VERIFYING_FACE,
    Phase.PREPARING,
    Phase.AUTHORISING,
    Phase.CONFIRMING_CARD,
    Phase.EXPLAINING_FACE,
    Phase.OPENING_FACE_SERVICE,
    Phase.CHOOSING_FACE_SERVICE,
    Phase.CONSENTING,
    Phase.ENROLLING_FACE,
    Phase.STORING_FACE,
    Phase.CONFIRMING_REVOCATION,
    Phase.REVOKING_FACE,
)


def card_of(state: State) -> CardInfo:
    if state.card is None:
        raise AssertionError(f"{state.phase.value} without a card")
    return state.card


def fail(state: State, reason: str, iso_reason: str = "MALF", *commands: Command) -> Step:
    """End without cash. When the bank may know of the transaction it is told; the card is given back; the screen says all of it."""
    transaction = state.transaction
    if transaction is not None and transaction.asked and not transaction.settled:
        state, settled = settle_without_cash(
            state, transaction.transaction_id, transaction.amount_minor, iso_reason, transaction.final_card_data
        )
        commands = (*commands, settled)
        state = with_transaction(state, settled=True)
    if transaction is not None:
        state = with_transaction(state, pin_block=None)
    state, stop = stop_entry(state)
    commands = (*commands, *stop)
    if state.card_present and online(state, Device.CARD_READER):
        state, release = ask(state, ReleaseCard, state.config.timeouts.card_s)
        commands = (*commands, release)
    state = awaiting(state, BANK, None)
    failure = Failure(reason, "take" if state.card_present else "taken", "notDebited")
    return goto(state, Phase.FAILED, *commands, seconds=state.config.timeouts.message_s, failure=failure)


def on_device_lost(state: State, event: DeviceLost) -> Step:
    """A worker takes the card's session or the entered PIN with it: the customer is told at once, not after a time limit.

    While the card is being returned a blind reader ends it too: nobody could tell a taken card from one that is still in the slot.
    """
    phase = state.resume if state.phase is Phase.STILL_THERE else state.phase
    state, commands = service.on_device_lost(state, event)
    if event.device is Device.PIN_PAD and phase in WITH_PIN_ENTRY:
        return fail(state, "pinPadFault", "MALF", *commands)
    if event.device is Device.CARD_READER and (state.phase in WITH_CARD_SESSION or state.phase is Phase.RETURNING_CARD):
        return fail(state, "cardUnreadable", "CDER", *commands)
    if event.device is Device.DISPENSER and state.phase is Phase.PREPARING:
        return fail(state, "dispenserFault", "MALF", *commands)
    return state, commands


def on_device_online(state: State, event: DeviceOnline) -> Step:
    """A dispenser that was away, or whose fault changed, is initialised anew: what it said before is no baseline any more."""
    state, commands = service.on_device_online(state, event)
    if event.device is not Device.DISPENSER or state.transaction is None:
        return state, commands
    if state.phase is Phase.PREPARING:
        return fail(state, "dispenserFault", "MALF", *commands)
    return with_transaction(state, baseline=None), commands


# --- all that must say yes before the bank is asked


def prepare(state: State, *commands: Command) -> Step:
    transaction = transaction_of(state)
    timeouts = state.config.timeouts
    if not online(state, Device.DISPENSER) or not state.dispenser_ready:
        return fail(state, "dispenserFault", "MALF", *commands)
    state = with_transaction(state, field55="", baseline=None)
    state, dispenser = ask(state, PrepareDispense, timeouts.card_s, quantities=transaction.quantities)
    state, cryptogram = ask(
        state, GenerateFirstCryptogram, timeouts.card_s, amount_minor=transaction.amount_minor, transaction_number=state.last_transaction
    )
    return goto(state, Phase.PREPARING, *commands, dispenser, cryptogram)


def on_dispenser_prepared(state: State, event: DispenserPrepared) -> Step:
    state = replace(state, accounts=cash.remember(state.accounts, event.baseline))
    return authorise_when_ready(with_transaction(state, baseline=event.baseline, cassettes=event.cassettes))


def on_first_cryptogram(state: State, event: FirstCryptogramMade) -> Step:
    if event.kind != "ARQC":  # an online-only terminal never accepts an offline approval
        return fail(state, "cardDeclined", "CDER")
    return authorise_when_ready(with_transaction(state, field55=event.field55))


def on_prepare_failed(state: State, event: CommandFailed) -> Step:
    if event.device is Device.CARD_READER:
        return fail(state, "cardUnreadable", "CDER")
    if event.device is not Device.DISPENSER:
        return fail(state, "pinPadFault")
    state = replace(state, dispenser_ready=False)
    if event.kind == "workerLost" or not online(state, Device.DISPENSER):
        return fail(state, "dispenserFault")
    state, initialise = ask(state, InitialiseDispenser, INITIALISE_S)
    return fail(state, "dispenserFault", "MALF", initialise)


def authorise_when_ready(state: State) -> Step:
    transaction, card = transaction_of(state), card_of(state)
    if not transaction.ready_to_ask or transaction.pin_block is None:
        return state, ()
    attempt = transaction.attempt + 1
    serial = state.serial + 1
    timeout_s = state.config.timeouts.authorise_s
    requested = record(
        "authorisationRequested",
        transaction.transaction_id,
        number=state.last_transaction,
        attempt=attempt,
        amountMinor=transaction.amount_minor,
        quantities=list(transaction.quantities),
        maskedPan=card.masked_pan,
        aid=card.aid,
        face=transaction.face,
    )
    request = Authorise(
        request_id=serial,
        transaction_id=transaction.transaction_id,
        attempt=attempt,
        amount_minor=transaction.amount_minor,
        currency=state.config.currency,
        pan=card.pan,
        track2=card.track2,
        pan_sequence=card.pan_sequence,
        pin_block=transaction.pin_block,
        field55=transaction.field55,
        face="accepted" if transaction.face == "accepted" else "notRequired",
        face_score=transaction.face_score,
        timeout_s=timeout_s,
    )
    state = awaiting(replace(state, serial=serial), BANK, serial)
    state = with_transaction(state, attempt=attempt, asked=True, pin_block=None)
    return goto(state, Phase.AUTHORISING, requested, request, seconds=timeout_s + 2)


# --- the bank's decision


def on_authorisation(state: State, event: AuthorisationAnswered) -> Step:
    transaction = transaction_of(state)
    if event.response not in ("APPR", "DECL"):
        return fail(state, "hostError")
    approved = event.response == "APPR"
    kind = "authorisationApproved" if approved else "authorisationDeclined"
    answered = record(kind, transaction.transaction_id, attempt=transaction.attempt, reason=event.reason, code=event.authorisation_code)
    state = with_transaction(
        state,
        approved=approved,
        asked=approved,  # a declined attempt holds nothing at the bank
        authorisation_code=event.authorisation_code,
        actions=event.actions,
        decline_reason=event.reason,
        balance_minor=event.balance_minor,
    )
    state, second = ask(state, GenerateSecondCryptogram, state.config.timeouts.card_s, icc_data=event.icc_data, approved=approved)
    return goto(state, Phase.CONFIRMING_CARD, answered, second)


def on_no_answer(state: State, event: RequestFailed) -> Step:
    return fail(state, "hostUnreachable" if event.reason == "offline" else "hostSilent", "TIMO")


def on_authorise_time_out(state: State, event: object) -> Step:
    return fail(state, "hostSilent", "TIMO")


def on_card_removed_while_asking(state: State, event: CardRemoved) -> Step:
    return fail(replace(state, card_present=False), "cardRemoved", "CUCL")


# --- the card's last word


def on_second_cryptogram(state: State, event: SecondCryptogramMade) -> Step:
    transaction = transaction_of(state)
    state = with_transaction(state, final_card_data=event.data)
    if transaction.approved and event.kind == "TC":
        confirmed = record("cardConfirmed", transaction.transaction_id, kind=event.kind, cardData=event.data)
        state, release = ask(state, ReleaseCard, state.config.timeouts.card_s)
        return goto(state, Phase.RETURNING_CARD, confirmed, release, seconds=state.config.timeouts.take_card_s)
    if transaction.approved:
        return fail(state, "cardDeclined", "CDER")
    return declined(state)


def on_second_failed(state: State, event: CommandFailed) -> Step:
    if transaction_of(state).approved:
        return fail(state, "cardUnreadable", "CDER")
    return declined(state)


def declined(state: State) -> Step:
    """A wrong PIN may be tried again on the same card; a bank that wants the face too is asked again with it; anything else is the end."""
    transaction = transaction_of(state)
    if FACE_WANTED in transaction.actions and transaction.face == "notRequired" and state.card_present:
        state = with_transaction(state, field55="", baseline=None, final_card_data="", face_asked_by_bank=True)
        return explain(state) if face_usable(state) else close_declined(state)
    again = transaction.decline_reason == "incorrectPin" and {"PINR", "PINL"} & set(transaction.actions)
    if again and transaction.attempt < PIN_ATTEMPTS and state.card_present:
        state = with_transaction(state, field55="", baseline=None, final_card_data="")
        return pin_again(state, "lastPinTry" if "PINL" in transaction.actions else "incorrectPin")
    return close_declined(state)


def pin_again(state: State, hint: str, *commands: Command) -> Step:
    """The same application anew: another cryptogram, another PIN entry."""
    state, select = ask(state, SelectApplication, state.config.timeouts.card_s, aid=card_of(state).aid, cold=True)
    return goto(replace(state, hint=hint), Phase.READING_CARD, *commands, select)


def close_declined(state: State, *commands: Command) -> Step:
    """A declined attempt holds nothing at the bank: the journal has its end, the bank needs no advice."""
    transaction = transaction_of(state)
    state, settled = settle_without_cash(
        state, transaction.transaction_id, transaction.amount_minor, transaction.decline_reason or "CUDC", advise=False
    )
    state = with_transaction(state, settled=True)
    reason = transaction.decline_reason if transaction.decline_reason in KNOWN_DECLINES else "declined"
    return fail(state, reason, "CUDC", *commands, settled)


KNOWN_DECLINES = frozenset(
    {"insufficientFunds", "incorrectPin", "pinTriesExceeded", "limitExceeded", "cardBlocked", "cardExpired", "unknownCard"}
    | {"authenticationRequired"}
)
