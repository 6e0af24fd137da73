"""What the customer sees, as a pure function of the state: text keys and values, resolved in the agent's language files.

The page gets a whole view each time; it has no text and no logic of its own.
"""

from __future__ import annotations

from terminal.core import cash, face_views
from terminal.core.customer import offered_amounts
from terminal.core.face_service import face_services_offered
from terminal.core.model import Device, Phase, State
from terminal.core.service import reasons_out_of_service
from terminal.core.steps import online
from terminal.core.values import replace
from terminal.core.view import CANCEL, OK, Line, Option, View, hint_of, language_options, make_view


def view_of(state: State) -> View:
    """The view of this state."""
    make = VIEWS.get(state.phase, _out_of_service)
    return make(state)


def _out_of_service(state: State) -> View:
    starting = state.phase in (Phase.UNKNOWN, Phase.RECOVERING) or (
        state.phase is Phase.OUT_OF_SERVICE and any(device.status == "starting" for device in state.devices.values())
    )
    reasons = reasons_out_of_service(state)
    lines = [Line("note", f"reason.{reason}") for reason in reasons[:1]]
    if state.latch is not None and state.latch.reason == "outcomeUnknown":
        lines.append(Line("reference", "failure.reference", {"reference": state.latch.transaction_id}))
    title = "starting.title" if starting and state.latch is None else "outOfService.title"
    return make_view(
        state,
        "outOfService",
        title=title,
        hint="starting.hint" if title == "starting.title" else "outOfService.hint",
        lines=() if title == "starting.title" else tuple(lines),
        options=language_options(state),
        picture="wait" if title == "starting.title" else "closed",
        tone="attention",
    )


def _idle(state: State) -> View:
    notes = () if online(state, Device.PRINTER) else (Line("note", "idle.noReceipt"),)
    return make_view(state, "idle", hint="idle.hint", lines=notes, options=language_options(state), picture="insertCard")


def _reading(state: State) -> View:
    return make_view(state, "readingCard", hint=hint_of(state, "readingCard"), picture="wait", progress=True)


def _application(state: State) -> View:
    options = tuple(
        Option(f"application:{candidate.aid}", str(number), "option.application", values={"label": candidate.label})
        for number, candidate in enumerate(state.candidates, 1)
    )
    return make_view(
        state,
        "chooseApplication",
        hint="chooseApplication.hint",
        options=(*options, *language_options(state), CANCEL),
        picture="cards",
        seconds=state.config.timeouts.input_s,
    )


def _pin(state: State) -> View:
    """Only once the pad listens: a digit typed before would be lost."""
    if Device.PIN_PAD.value in state.pending and state.mask == 0:
        return _reading(replace(state, hint=""))
    bad = state.hint in ("incorrectPin", "lastPinTry", "pinTooShort")
    return make_view(
        state,
        "enterPin",
        hint=hint_of(state, "enterPin"),
        mask=state.mask,
        options=(*language_options(state), CANCEL),
        picture="pin",
        tone="attention" if bad else "normal",
        seconds=state.config.timeouts.input_s,
    )


def _amount(state: State) -> View:
    offered = offered_amounts(state)
    options = tuple(Option(f"amount:{minor}", str(n), "option.amount", values={"minor": minor}) for n, minor in enumerate(offered, 1))
    other = Option("other", str(len(offered) + 1), "option.other")
    services = (Option("faceServices", "f", "option.faceServices", "service"),) if face_services_offered(state) else ()
    return make_view(
        state,
        "chooseAmount",
        hint=hint_of(state, "chooseAmount"),
        options=(*options, other, *services, *language_options(state), CANCEL),
        picture="money",
        tone="attention" if state.hint else "normal",
        seconds=state.config.timeouts.input_s,
    )


def _other(state: State) -> View:
    options = (
        Option("enter", "Enter", "option.enter", "primary"),
        Option("clear", "c", "option.clear"),
        Option("back", "b", "option.back", "back"),
        *language_options(state),
        CANCEL,
    )
    smallest = min((unit.denomination_minor for unit in state.units if unit.usable and unit.count), default=0)
    return make_view(
        state,
        "otherAmount",
        hint=hint_of(state, "otherAmount"),
        values={"limit_minor": state.config.limit_minor, "step_minor": smallest},
        entry=state.entry,
        keypad=True,
        options=options,
        tone="attention" if state.hint else "normal",
        seconds=state.config.timeouts.input_s,
    )


def _still_there(state: State) -> View:
    options = (Option("yes", "1", "option.yes", "primary"), Option("no", "2", "option.no", "cancel"))
    return make_view(
        state,
        "stillThere",
        hint="stillThere.hint",
        options=(*options, *language_options(state)),
        picture="time",
        tone="attention",
        seconds=state.config.timeouts.still_there_s,
    )


def _wait(state: State) -> View:
    matched = state.transaction is not None and state.transaction.face == "accepted"
    return make_view(state, "wait", hint="wait.faceMatched" if matched else "wait.hint", picture="wait", progress=True)


def _take_card(state: State) -> View:
    return make_view(state, "takeCard", hint="takeCard.hint", picture="takeCard", tone="good", seconds=state.config.timeouts.take_card_s)


def _ejecting(state: State) -> View:
    hint = f"hint.{state.hint}" if state.hint in EJECTING_HINTS else "ejecting.hint"
    tone = "attention" if state.hint in ("takeCardNow", "timedOut", "faceConfirmationFailed") else "normal"
    return make_view(state, "takeCard", title="ejecting.title", hint=hint, picture="takeCard", tone=tone, options=language_options(state))


EJECTING_HINTS = ("takeCardNow", "timedOut", "faceServiceOver", "faceConfirmationPrinted", "faceConfirmationFailed")


def _dispensing(state: State) -> View:
    checking = state.phase is Phase.RESOLVING
    return make_view(state, "dispensing", hint="dispensing.checking" if checking else "dispensing.hint", picture="wait", progress=True)


def _take_cash(state: State) -> View:
    transaction = state.transaction
    requested = transaction.amount_minor if transaction else 0
    presented = cash.value_minor(state.units, transaction.presented) if transaction and transaction.presented else 0
    lines = [Line("amount", "takeCash.amount", {"minor": presented})]
    if presented != requested:
        lines.append(Line("money", "takeCash.partial", {"requested_minor": requested, "presented_minor": presented}))
    options: tuple[Option, ...] = (Option("finish", "2", "option.finish"),)
    if online(state, Device.PRINTER):
        options = (Option("receipt", "1", "option.receipt", "primary"), *options)
    return make_view(
        state,
        "takeCash",
        hint="takeCash.hint" if online(state, Device.PRINTER) else "takeCash.noPrinter",
        lines=tuple(lines),
        options=(*options, *language_options(state)),
        picture="takeCash",
        tone="good" if presented == requested else "attention",
        seconds=state.config.timeouts.take_cash_s,
    )


def _printing(state: State) -> View:
    return make_view(state, "printing", hint="printing.hint", picture="wait", progress=True)


def _thanks(state: State) -> View:
    if state.hint == "takeReceipt":
        return make_view(state, "takeReceipt", hint="takeReceipt.hint", picture="takeReceipt", tone="good", options=(OK,))
    tone = "attention" if state.hint == "noReceipt" else "good"
    return make_view(state, "thanks", hint=hint_of(state, "thanks"), picture="done", tone=tone, options=(OK,))


def _failure(state: State) -> View:
    """The card, the money, what happens now, a reference number: on every failure."""
    failure = state.failure
    if failure is None:
        return _out_of_service(state)
    lines = [Line("card", f"card.{failure.card}"), Line("money", f"money.{failure.money}"), Line("next", f"next.{failure.reason}")]
    if state.transaction is not None and state.transaction.transaction_id:
        lines.append(Line("reference", "failure.reference", {"reference": state.transaction.transaction_id}))
    return make_view(
        state,
        "failure",
        title=f"failure.{failure.reason}",
        lines=tuple(lines),
        options=(OK, *language_options(state)),
        picture="warning",
        tone="bad",
        seconds=state.config.timeouts.message_s,
    )


VIEWS = {
    Phase.IDLE: _idle,
    Phase.READING_CARD: _reading,
    Phase.CHOOSING_APPLICATION: _application,
    Phase.ENTERING_PIN: _pin,
    Phase.CHOOSING_AMOUNT: _amount,
    Phase.ENTERING_AMOUNT: _other,
    Phase.STILL_THERE: _still_there,
    Phase.EXPLAINING_FACE: face_views.notice,
    Phase.FETCHING_TEMPLATE: face_views.preparing,
    Phase.VERIFYING_FACE: face_views.looking,
    Phase.PREPARING: _wait,
    Phase.AUTHORISING: _wait,
    Phase.CONFIRMING_CARD: _wait,
    Phase.RETURNING_CARD: _take_card,
    Phase.DISPENSING: _dispensing,
    Phase.RESOLVING: _dispensing,
    Phase.PRESENTING: _take_cash,
    Phase.PRINTING: _printing,
    Phase.THANKING: _thanks,
    Phase.FAILED: _failure,
    Phase.EJECTING: _ejecting,
    Phase.OPENING_FACE_SERVICE: _wait,
    Phase.CHOOSING_FACE_SERVICE: face_views.services,
    Phase.CONSENTING: face_views.consent,
    Phase.ENROLLING_FACE: face_views.looking,
    Phase.STORING_FACE: _wait,
    Phase.CONFIRMING_REVOCATION: face_views.removal,
    Phase.REVOKING_FACE: _wait,
    Phase.FACE_SERVICE_DONE: face_views.done,
    Phase.PRINTING_CONFIRMATION: _printing,
}
