"""What the customer sees, as a pure function of the state: text keys and values, resolved in the agent's language files.

The page gets a whole view each time; it has no text and no logic of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from terminal.core import cash
from terminal.core.customer import PIN_MAXIMUM, offered_amounts
from terminal.core.model import Device, Phase, State
from terminal.core.service import reasons_out_of_service
from terminal.core.steps import online
from terminal.core.values import replace


@dataclass(frozen=True, slots=True)
class Option:
    """`label` is a text key; `key` the key of a tactile keypad."""

    id: str
    key: str
    label: str
    role: str = "choice"
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    role: str
    text: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """`title`, `hint`: text keys with `values`. `seconds` is the time limit of this screen."""

    screen: str
    language: str
    title: str
    hint: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[Line, ...] = ()
    options: tuple[Option, ...] = ()
    mask: int | None = None
    mask_maximum: int = PIN_MAXIMUM
    entry: str | None = None
    keypad: bool = False
    picture: str = ""
    tone: str = "normal"
    seconds: float | None = None
    progress: bool = False
    mode: str = "standard"


CANCEL = Option("cancel", "Escape", "option.cancel", "cancel")


def view_of(state: State) -> View:
    """The view of this state."""
    make = VIEWS.get(state.phase, _out_of_service)
    return make(state)


def _view(state: State, screen: str, **more: Any) -> View:
    more.setdefault("title", f"{screen}.title")
    return View(screen=screen, language=state.language, mode=state.config.mode, **more)


def _languages(state: State) -> tuple[Option, ...]:
    others = [language for language in state.config.languages if language != state.language]
    return tuple(Option(f"language:{language}", "l", f"language.{language}", "language") for language in others)


def _hint(state: State, screen: str) -> str:
    return f"hint.{state.hint}" if state.hint else f"{screen}.hint"


def _out_of_service(state: State) -> View:
    starting = state.phase in (Phase.UNKNOWN, Phase.RECOVERING) or (
        state.phase is Phase.OUT_OF_SERVICE and any(device.status == "starting" for device in state.devices.values())
    )
    reasons = reasons_out_of_service(state)
    lines = [Line("note", f"reason.{reason}") for reason in reasons[:1]]
    if state.latch is not None and state.latch.reason == "outcomeUnknown":
        lines.append(Line("reference", "failure.reference", {"reference": state.latch.transaction_id}))
    title = "starting.title" if starting and state.latch is None else "outOfService.title"
    return _view(
        state,
        "outOfService",
        title=title,
        hint="starting.hint" if title == "starting.title" else "outOfService.hint",
        lines=() if title == "starting.title" else tuple(lines),
        options=_languages(state),
        picture="wait" if title == "starting.title" else "closed",
        tone="attention",
    )


def _idle(state: State) -> View:
    notes = () if online(state, Device.PRINTER) else (Line("note", "idle.noReceipt"),)
    return _view(state, "idle", hint="idle.hint", lines=notes, options=_languages(state), picture="insertCard")


def _reading(state: State) -> View:
    return _view(state, "readingCard", hint=_hint(state, "readingCard"), picture="wait", progress=True)


def _application(state: State) -> View:
    options = tuple(
        Option(f"application:{candidate.aid}", str(number), "option.application", values={"label": candidate.label})
        for number, candidate in enumerate(state.candidates, 1)
    )
    return _view(
        state,
        "chooseApplication",
        hint="chooseApplication.hint",
        options=(*options, *_languages(state), CANCEL),
        picture="cards",
        seconds=state.config.timeouts.input_s,
    )


def _pin(state: State) -> View:
    """Only once the pad listens: a digit typed before would be lost."""
    if Device.PIN_PAD.value in state.pending and state.mask == 0:
        return _reading(replace(state, hint=""))
    bad = state.hint in ("incorrectPin", "lastPinTry", "pinTooShort")
    return _view(
        state,
        "enterPin",
        hint=_hint(state, "enterPin"),
        mask=state.mask,
        options=(*_languages(state), CANCEL),
        picture="pin",
        tone="attention" if bad else "normal",
        seconds=state.config.timeouts.input_s,
    )


def _amount(state: State) -> View:
    offered = offered_amounts(state)
    options = tuple(Option(f"amount:{minor}", str(n), "option.amount", values={"minor": minor}) for n, minor in enumerate(offered, 1))
    other = Option("other", str(len(offered) + 1), "option.other")
    return _view(
        state,
        "chooseAmount",
        hint=_hint(state, "chooseAmount"),
        options=(*options, other, *_languages(state), CANCEL),
        picture="money",
        tone="attention" if state.hint else "normal",
        seconds=state.config.timeouts.input_s,
    )


def _other(state: State) -> View:
    options = (
        Option("enter", "Enter", "option.enter", "primary"),
        Option("clear", "c", "option.clear"),
        Option("back", "b", "option.back", "back"),
        *_languages(state),
        CANCEL,
    )
    smallest = min((unit.denomination_minor for unit in state.units if unit.usable and unit.count), default=0)
    return _view(
        state,
        "otherAmount",
        hint=_hint(state, "otherAmount"),
        values={"limit_minor": state.config.limit_minor, "step_minor": smallest},
        entry=state.entry,
        keypad=True,
        options=options,
        tone="attention" if state.hint else "normal",
        seconds=state.config.timeouts.input_s,
    )


def _still_there(state: State) -> View:
    options = (Option("yes", "1", "option.yes", "primary"), Option("no", "2", "option.no", "cancel"))
    return _view(
        state,
        "stillThere",
        hint="stillThere.hint",
        options=(*options, *_languages(state)),
        picture="time",
        tone="attention",
        seconds=state.config.timeouts.still_there_s,
    )


def _face(state: State) -> View:
    return _view(state, "face", hint="face.hint", picture="face", progress=True)


def _wait(state: State) -> View:
    return _view(state, "wait", hint="wait.hint", picture="wait", progress=True)


def _take_card(state: State) -> View:
    return _view(state, "takeCard", hint="takeCard.hint", picture="takeCard", tone="good", seconds=state.config.timeouts.take_card_s)


def _ejecting(state: State) -> View:
    hint = {"takeCardNow": "hint.takeCardNow", "timedOut": "hint.timedOut"}.get(state.hint, "ejecting.hint")
    tone = "attention" if state.hint else "normal"
    return _view(state, "takeCard", title="ejecting.title", hint=hint, picture="takeCard", tone=tone, options=_languages(state))


def _dispensing(state: State) -> View:
    checking = state.phase is Phase.RESOLVING
    return _view(state, "dispensing", hint="dispensing.checking" if checking else "dispensing.hint", picture="wait", progress=True)


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
    return _view(
        state,
        "takeCash",
        hint="takeCash.hint" if online(state, Device.PRINTER) else "takeCash.noPrinter",
        lines=tuple(lines),
        options=(*options, *_languages(state)),
        picture="takeCash",
        tone="good" if presented == requested else "attention",
        seconds=state.config.timeouts.take_cash_s,
    )


def _printing(state: State) -> View:
    return _view(state, "printing", hint="printing.hint", picture="wait", progress=True)


def _thanks(state: State) -> View:
    if state.hint == "takeReceipt":
        return _view(state, "takeReceipt", hint="takeReceipt.hint", picture="takeReceipt", tone="good", options=(OK,))
    tone = "attention" if state.hint == "noReceipt" else "good"
    return _view(state, "thanks", hint=_hint(state, "thanks"), picture="done", tone=tone, options=(OK,))


OK = Option("ok", "Enter", "option.ok", "primary")


def _failure(state: State) -> View:
    """The card, the money, what happens now, a reference number: on every failure."""
    failure = state.failure
    if failure is None:
        return _out_of_service(state)
    lines = [Line("card", f"card.{failure.card}"), Line("money", f"money.{failure.money}"), Line("next", f"next.{failure.reason}")]
    if state.transaction is not None and state.transaction.transaction_id:
        lines.append(Line("reference", "failure.reference", {"reference": state.transaction.transaction_id}))
    return _view(
        state,
        "failure",
        title=f"failure.{failure.reason}",
        lines=tuple(lines),
        options=(OK, *_languages(state)),
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
    Phase.FETCHING_TEMPLATE: _face,
    Phase.VERIFYING_FACE: _face,
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
}
