"""From the inserted card to the chosen amount: application, PIN, amount. Nothing here moves money or asks the bank."""

from __future__ import annotations

from terminal.core import cash
from terminal.core.authorising import fail, prepare
from terminal.core.commands import (
    Command,
    MakePinBlock,
    ReadCard,
    SelectApplication,
    StartAmountEntry,
    StartPinEntry,
)
from terminal.core.events import (
    ApplicationSelected,
    ApplicationsRead,
    CardInserted,
    CommandFailed,
    KeyPressed,
    PinBlockMade,
    Pressed,
    TimerExpired,
)
from terminal.core.face_service import begin_service, face_services_offered, open_at_bank
from terminal.core.face_step import require_face
from terminal.core.facing import give_card_back
from terminal.core.model import Device, Phase, State, Transaction
from terminal.core.steps import Step, ask, goto, limit_s, record, stay, stop_entry, with_transaction
from terminal.core.values import replace
from terminal.core.view import PIN_MAXIMUM

PIN_MINIMUM = 4
AMOUNT_DIGITS = 5


def begin(state: State) -> Step:
    """A card is in and all is well."""
    state, read = ask(replace(state, card_present=True), ReadCard, state.config.timeouts.card_s)
    return goto(state, Phase.READING_CARD, read)


def on_card_inserted(state: State, event: CardInserted) -> Step:
    return begin(state)


# --- the card


def on_applications(state: State, event: ApplicationsRead) -> Step:
    if not event.candidates:
        return fail(state, "cardNotSupported")
    state = replace(state, candidates=event.candidates)
    if len(event.candidates) == 1:
        return select(state, event.candidates[0].aid)
    return goto(state, Phase.CHOOSING_APPLICATION, seconds=state.config.timeouts.input_s)


def select(state: State, aid: str, *, cold: bool = False) -> Step:
    state, chosen = ask(state, SelectApplication, state.config.timeouts.card_s, aid=aid, cold=cold)
    return goto(state, Phase.READING_CARD, chosen)


def on_application_choice(state: State, event: Pressed) -> Step:
    aid = event.option.removeprefix("application:")
    if any(candidate.aid == aid for candidate in state.candidates):
        return select(state, aid)
    return cancel_or_stay(state, event)


def on_application_selected(state: State, event: ApplicationSelected) -> Step:
    language = event.card.language
    if language in state.config.languages and not state.language_chosen:
        state = replace(state, language=language)
    return enter_pin(replace(state, card=event.card))


def on_card_failed(state: State, event: CommandFailed) -> Step:
    reasons = {"noApplication": "cardNotSupported", "applicationBlocked": "applicationBlocked", "cardBlocked": "cardBlocked"}
    return fail(state, reasons.get(event.name, "cardUnreadable"))


# --- the PIN: only how many digits, never which


def enter_pin(state: State, hint: str | None = None) -> Step:
    state, start = ask(state, StartPinEntry, state.config.timeouts.pin_pad_s, minimum=PIN_MINIMUM, maximum=PIN_MAXIMUM)
    hint = state.hint if hint is None else hint
    return goto(state, Phase.ENTERING_PIN, start, seconds=state.config.timeouts.input_s, mask=0, hint=hint)


def on_pin_key(state: State, event: KeyPressed) -> Step:
    if event.key == "cancel":
        return give_card_back(state)
    if Device.PIN_PAD in state.pending:  # a key of an entry that is over (its block is being made) or that has not begun yet
        return stay(state)
    if event.key == "enter":
        if state.mask < PIN_MINIMUM:
            return enter_pin(state, "pinTooShort")
        if state.card is None:
            raise AssertionError("PIN entry without a card")
        timeouts = state.config.timeouts
        state, make = ask(state, MakePinBlock, timeouts.pin_pad_s, pan=state.card.pan, format=state.config.pin_format)
        return goto(state, Phase.ENTERING_PIN, make)
    mask = {"digit": min(state.mask + 1, PIN_MAXIMUM), "clear": 0, "backspace": max(state.mask - 1, 0)}.get(event.key, state.mask)
    return goto(state, Phase.ENTERING_PIN, seconds=state.config.timeouts.input_s, mask=mask)


def on_pin_block(state: State, event: PinBlockMade) -> Step:
    if state.service is not None:
        return open_at_bank(with_transaction(state, pin_block=event.pin_block, field55=""))
    if state.transaction is not None:  # a further attempt: the amount stands
        state = replace(state, transaction=replace(state.transaction, pin_block=event.pin_block), hint="", mask=0)
        return prepare(state)
    transaction = Transaction("", pin_block=event.pin_block)
    return choose_amount(replace(state, transaction=transaction, mask=0, hint=""))


def on_pin_failed(state: State, event: CommandFailed) -> Step:
    if event.name in ("minimumLength", "noPin"):
        return enter_pin(state, "pinTooShort")
    return fail(state, "pinPadFault")


# --- the amount


def choose_amount(state: State, hint: str = "") -> Step:
    return goto(state, Phase.CHOOSING_AMOUNT, seconds=state.config.timeouts.input_s, hint=hint, entry="")


def offered_amounts(state: State) -> tuple[int, ...]:
    """Presets that the cassettes can really pay and this customer may take."""
    return cash.payable(state.units, [a for a in state.config.presets_minor if a <= most_minor(state)], state.config.max_notes)


def most_minor(state: State) -> int:
    """After a face that did not match, only what PIN and card alone allow."""
    limit = state.config.limit_minor
    if state.config.face_from_minor is not None and state.transaction is not None and state.transaction.face == "refused":
        return min(limit, state.config.face_from_minor - 1)
    return limit


def on_amount_choice(state: State, event: Pressed) -> Step:
    if event.option == "other":
        state, start = ask(state, StartAmountEntry, state.config.timeouts.pin_pad_s)
        return goto(state, Phase.ENTERING_AMOUNT, start, seconds=state.config.timeouts.input_s, entry="", hint="")
    if event.option == "faceServices" and face_services_offered(state):
        return begin_service(state)
    for minor in offered_amounts(state):
        if event.option == f"amount:{minor}":
            return chosen(state, minor)
    return cancel_or_stay(state, event)


def on_amount_key(state: State, event: KeyPressed) -> Step:
    return amount_key(state, event.key)


def on_amount_press(state: State, event: Pressed) -> Step:
    if event.option.startswith("key:"):
        return amount_key(state, event.option.removeprefix("key:"))
    if event.option in ("enter", "clear"):
        return amount_key(state, event.option)
    return cancel_or_stay(state, event)


def amount_key(state: State, key: str) -> Step:
    """Whole currency units; one home for the pad's keys and the screen's."""
    if key == "cancel":
        return give_card_back(state)
    entry = state.entry
    if key.isdecimal() and len(key) == 1:
        entry = (entry + key).lstrip("0")[:AMOUNT_DIGITS]
    elif key == "backspace":
        entry = entry[:-1]
    elif key == "clear":
        entry = ""
    elif key == "enter":
        minor = int(entry or "0") * 100
        problem = refusal(state, minor)
        if not problem:
            state, commands = stop_entry(state)
            return chosen(state, minor, *commands)
        return goto(state, Phase.ENTERING_AMOUNT, seconds=state.config.timeouts.input_s, entry="", hint=problem)
    return goto(state, Phase.ENTERING_AMOUNT, seconds=state.config.timeouts.input_s, entry=entry, hint="")


def refusal(state: State, minor: int) -> str:
    """Why this amount cannot be had, as a text key; empty when it can."""
    if minor > most_minor(state):
        return "amountTooHigh" if most_minor(state) == state.config.limit_minor else "amountNeedsFace"
    return "" if cash.mix(state.units, minor, state.config.max_notes) is not None else "amountNotPayable"


def chosen(state: State, minor: int, *commands: Command) -> Step:
    """The transaction gets its number, on disk, before anything outside hears of it."""
    quantities = cash.mix(state.units, minor, state.config.max_notes)
    if quantities is None or state.transaction is None:
        raise AssertionError("an amount was accepted that cannot be paid")
    transaction = state.transaction
    if not transaction.transaction_id:
        number = state.last_transaction + 1
        transaction = replace(transaction, transaction_id=f"{state.config.terminal_id}-{number:08d}")
        state = replace(state, last_transaction=number)
        commands = (record("transactionStarted", transaction.transaction_id, number=number, amountMinor=minor), *commands)
    state = replace(state, transaction=replace(transaction, amount_minor=minor, quantities=quantities), hint="", entry="")
    needs_face = state.config.face_from_minor is not None and minor >= state.config.face_from_minor
    return require_face(state, *commands) if needs_face else prepare(state, *commands)


# --- time, and changing one's mind


def cancel_or_stay(state: State, event: Pressed) -> Step:
    if event.option == "cancel":
        return give_card_back(state)
    if event.option == "back" and state.phase is Phase.ENTERING_AMOUNT:
        state, stop = stop_entry(state)
        state, commands = choose_amount(state)
        return state, (*stop, *commands)
    return stay(state)


def on_input_time_out(state: State, event: TimerExpired) -> Step:
    """WCAG 2.2.1: ask before the session ends."""
    return goto(state, Phase.STILL_THERE, seconds=state.config.timeouts.still_there_s, resume=state.phase)


def on_still_there_press(state: State, event: Pressed) -> Step:
    if event.option == "yes":
        return goto(state, state.resume, seconds=limit_s(state, state.resume))
    return give_card_back(state) if event.option in ("no", "cancel") else stay(state)


def on_still_there_key(state: State, event: KeyPressed) -> Step:
    """A key on the pad also says "I am here", and counts where an entry is on."""
    if event.key == "cancel":
        return give_card_back(state)
    if state.resume is Phase.ENTERING_PIN:
        return on_pin_key(replace(state, phase=state.resume), event)
    if state.resume is Phase.ENTERING_AMOUNT:
        return amount_key(replace(state, phase=state.resume), event.key)
    return goto(state, state.resume, seconds=limit_s(state, state.resume))


def on_left(state: State, event: TimerExpired) -> Step:
    return give_card_back(state, hint="timedOut")
