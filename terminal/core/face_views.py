"""The screens around the camera: what it will do, the mirror with guidance, consent, what is enrolled, removal, the result."""

from __future__ import annotations

from typing import Literal

from terminal.core.face_service import can_enrol, service_of
from terminal.core.model import Device, Phase, State
from terminal.core.steps import limit_s, online
from terminal.core.view import CANCEL, Line, Mirror, Option, View, hint_of, language_options, make_view

BACK = Option("back", "b", "option.back", "back")
OTHER_WAY = Option("otherWay", "2", "option.otherWay")
STOP_ENROLLING = Option("otherWay", "2", "option.stopEnrolling")
STAGES = ("look", "turnLeft", "turnRight", "lookStraight", "compare")
HINTS = ("noFace", "onePerson", "comeCloser", "goBack", "holdStill", "moreLight", "lessLight", "stepToTheMiddle", "lookStraight")
ARROWS: dict[str, Literal["left", "right"]] = {"turnLeft": "left", "turnRight": "right"}
"""In a mirror the person's own left is on the left."""


def notice(state: State) -> View:
    asked = "bank" if state.transaction is not None and state.transaction.face_asked_by_bank else "amount"
    again = state.hint.startswith("faceAgain")
    return make_view(
        state,
        "faceNotice",
        title="faceNotice.again" if again else "faceNotice.title",
        hint=f"hint.{state.hint}" if again else f"faceNotice.{asked}",
        lines=() if again else tuple(Line(role, f"faceNotice.{role}") for role in ("camera", "machine", "kept")),
        options=(
            Option("goOn", "1", "option.tryAgain" if again else "option.goOn", "primary"),
            OTHER_WAY,
            *language_options(state),
            CANCEL,
        ),
        picture="face",
        tone="attention" if again else "normal",
        seconds=limit_s(state, state.phase),
    )


def preparing(state: State) -> View:
    return make_view(
        state,
        "face",
        title="face.preparing",
        hint="face.preparingHint",
        options=(OTHER_WAY, *language_options(state)),
        picture="face",
        progress=True,
    )


def looking(state: State) -> View:
    """A stage or hint of a verifier that knows more than this page does is shown as the plainest one."""
    sight = state.sight
    stage = sight.stage if sight.stage in STAGES else "look"
    of = min(max(sight.of, 0), 12)
    stop = STOP_ENROLLING if state.phase is Phase.ENROLLING_FACE else OTHER_WAY
    return make_view(
        state,
        "face",
        title=f"face.{stage}",
        hint=f"faceHint.{sight.hint}" if sight.hint in HINTS else f"face.{stage}Hint",
        options=(stop, *language_options(state)),
        tone="attention" if sight.hint in HINTS else "normal",
        mirror=Mirror(ARROWS.get(stage), min(max(sight.done, 0), of), of),
    )


def services(state: State) -> View:
    service = service_of(state)
    enrolled = bool(service.enrolled_since)
    options = [Option("enrol", "1", "option.enrolAgain" if enrolled else "option.enrol", "choice" if enrolled else "primary")]
    if not can_enrol(state):
        options.clear()
    if enrolled:
        options.append(Option("remove", "2", "option.remove"))
    standing = "faceServices.enrolled" if enrolled else "faceServices.none"
    return make_view(
        state,
        "faceServices",
        hint=hint_of(state, "faceServices"),
        lines=(Line("note", standing, {"since": service.enrolled_since}),),
        options=(*options, Option("done", "9", "option.done", "back"), *language_options(state)),
        picture="face",
        tone="attention" if state.hint else "normal",
        seconds=limit_s(state, state.phase),
    )


def consent(state: State) -> View:
    values = {"controller": state.config.face_controller, "months": state.config.face_retention_months}
    roles = ("who", "purpose", "kept", "retention", "withdraw", "otherWay")
    who = "who" if state.config.face_controller else "whoUnnamed"
    lines = tuple(Line(role, f"consent.{who if role == 'who' else role}", values) for role in roles)
    return make_view(
        state,
        "faceConsent",
        title="consent.title",
        hint="consent.hint",
        lines=lines,
        options=(Option("agree", "1", "option.agree", "primary"), Option("back", "2", "option.disagree"), *language_options(state)),
        seconds=limit_s(state, state.phase),
    )


def removal(state: State) -> View:
    return make_view(
        state,
        "faceRemoval",
        hint="faceRemoval.hint",
        lines=(Line("kept", "faceRemoval.kept"), Line("otherWay", "faceRemoval.otherWay")),
        options=(Option("yes", "1", "option.removeNow", "primary"), Option("no", "2", "option.keep"), *language_options(state)),
        picture="warning",
        tone="attention",
        seconds=limit_s(state, state.phase),
    )


def done(state: State) -> View:
    service = service_of(state)
    good = service.result in ("enrolled", "revoked", "revocationSent")
    identity = state.transaction.transaction_id if state.transaction else ""
    lines = [
        Line("next", f"faceDone.{service.result}Next"),
        Line("reference", "failure.reference", {"reference": service.proof or identity}),
    ]
    options: tuple[Option, ...] = (Option("finish", "2", "option.finishPlain"),)
    if online(state, Device.PRINTER):
        options = (Option("receipt", "1", "option.confirmation", "primary"), *options)
    return make_view(
        state,
        "faceDone",
        title=f"faceDone.{service.result}",
        lines=tuple(lines),
        options=(*options, *language_options(state)),
        picture="done" if good else "warning",
        tone="good" if good else "attention",
        seconds=limit_s(state, state.phase),
    )
