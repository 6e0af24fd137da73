"""The face step-up of a withdrawal: what will happen, the sealed template, the look, the decision, and the other way at any moment.

Deny only, and never the only factor: a face that matches opens amounts that card and PIN alone do not; nothing that goes wrong here closes
those that they do. A template and its key serve one look; a further one has its own.
"""

from __future__ import annotations

from terminal.core.authorising import card_of, close_declined, pin_again, prepare
from terminal.core.commands import Command, FetchTemplate, MakeFaceKey, VerifyFace
from terminal.core.events import (
    CommandFailed,
    FaceKeyMade,
    FaceProgress,
    FaceVerified,
    Pressed,
    RequestFailed,
    TemplateFetched,
    TimerExpired,
)
from terminal.core.facing import audited, explain, face_usable, give_card_back
from terminal.core.model import FaceSight, Phase, State
from terminal.core.steps import BANK, Step, ask, awaiting, goto, stay, stop_face, transaction_of, with_transaction
from terminal.core.values import replace

TRY_AGAIN = {
    "askAgain": "faceAgainUnsure",
    "notLive": "faceAgainTurn",
    "noFace": "faceAgainNotSeen",
    "poorQuality": "faceAgainNotSeen",
    "severalFaces": "faceAgainAlone",
}
"""Decisions after which the person may look once more, with the hint of that screen."""
REFUSED = {
    "rejected": "faceNotMatched",
    "askAgain": "faceNotMatched",
    "notLive": "faceNotMatched",
    "noFace": "faceNotSeen",
    "poorQuality": "faceNotSeen",
    "severalFaces": "faceNotSeen",
}
"""What the amount screen says in the end; for anything else: not available."""


def require_face(state: State, *commands: Command) -> Step:
    return explain(state, *commands) if face_usable(state) else refused(state, "faceUnavailable", *commands)


def refused(state: State, hint: str, *commands: Command) -> Step:
    """PIN and card alone still allow amounts below the step-up, and the counter is open. When the bank asked, its refusal stands."""
    by_bank = transaction_of(state).face_asked_by_bank
    state = with_transaction(state, face="refused")
    if by_bank:
        return close_declined(state, *commands)
    return goto(state, Phase.CHOOSING_AMOUNT, *commands, seconds=state.config.timeouts.input_s, hint=hint, entry="")


def other_way(state: State) -> Step:
    """At once, whatever is under way: what comes late is nobody's."""
    state = awaiting(state, BANK, None)
    if transaction_of(state).face_asked_by_bank:
        return refused(state, "faceOtherWay")
    state, stop = stop_face(state)
    state, commands = refused(state, "faceOtherWay")
    return state, (*commands, *stop)


def on_explained(state: State, event: Pressed) -> Step:
    if event.option == "goOn":
        return start_face(state)
    if event.option == "cancel":
        return give_card_back(state)
    return on_face_press(state, event)


def on_face_press(state: State, event: Pressed) -> Step:
    return other_way(state) if event.option == "otherWay" else stay(state)


def start_face(state: State) -> Step:
    if not face_usable(state):
        return refused(state, "faceUnavailable")
    state, make = ask(state, MakeFaceKey, state.config.timeouts.face_s)
    return goto(state, Phase.FETCHING_TEMPLATE, make, seconds=state.config.timeouts.face_s, hint="", sight=FaceSight())


def on_face_key(state: State, event: FaceKeyMade) -> Step:
    card, transaction = card_of(state), transaction_of(state)
    timeout_s = state.config.timeouts.authorise_s
    serial = state.serial + 1
    state = awaiting(replace(state, serial=serial), BANK, serial)
    fetch = FetchTemplate(serial, transaction.transaction_id, card.pan, card.track2, card.pan_sequence, event.public_key, timeout_s)
    return goto(state, Phase.FETCHING_TEMPLATE, fetch, seconds=timeout_s + 1)


def on_template(state: State, event: TemplateFetched) -> Step:
    if not event.template:
        return refused(state, "faceNotEnrolled")
    strict_from = state.config.face_high_security_from_minor
    strict = strict_from is not None and transaction_of(state).amount_minor >= strict_from
    state, verify = ask(state, VerifyFace, state.config.timeouts.face_s, template=event.template, high_security=strict)
    return goto(state, Phase.VERIFYING_FACE, verify)


def on_template_failed(state: State, event: RequestFailed) -> Step:
    return refused(state, "faceUnavailable")


def on_face_time_out(state: State, event: TimerExpired) -> Step:
    return refused(awaiting(state, BANK, None), "faceUnavailable")


def on_face_failed(state: State, event: CommandFailed) -> Step:
    return refused(state, "faceUnavailable")


def on_face_progress(state: State, event: FaceProgress) -> Step:
    return stay(replace(state, sight=FaceSight(event.stage, event.hint, event.done, event.of)))


def on_face_verified(state: State, event: FaceVerified) -> Step:
    tries = transaction_of(state).face_tries + 1
    state = with_transaction(state, face_tries=tries)
    transaction = transaction_of(state)
    noted = audited(transaction.transaction_id, "verification", event.decision, tries, event.evidence)
    if event.decision == "accepted":
        state = with_transaction(state, face="accepted", face_score=event.evidence.score)
        return pin_again(state, "faceThenPin", noted) if transaction.face_asked_by_bank else prepare(state, noted)
    if event.decision in TRY_AGAIN and tries < state.config.face_attempts:
        return explain(state, noted, hint=TRY_AGAIN[event.decision])
    return refused(state, REFUSED.get(event.decision, "faceUnavailable"), noted)
