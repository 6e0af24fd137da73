"""What the face step-up, the face services and the rest of the session have in common: the screen before the camera, and leaving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from terminal.core.commands import Command, Entry, Outgoing, Record, ReleaseCard
from terminal.core.events import CardRemoved
from terminal.core.model import Device, DeviceStatus, FaceEvidence, FaceSight, Failure, Phase, State
from terminal.core.steps import Step, ask, goto, stop_entry
from terminal.core.values import replace

NAMES = {"accept_at": "acceptAt", "ask_again_at": "askAgainAt", "eye_distance_px": "eyeDistance_px"}
"""Of `FaceEvidence`, as the contract writes them."""


def face_usable(state: State) -> bool:
    """A verifier that is still loading its models is waited for."""
    known = state.devices.get(Device.FACE)
    return state.config.face_from_minor is not None and known is not None and known.status in (DeviceStatus.STARTING, DeviceStatus.ONLINE)


def explain(state: State, *commands: Command, hint: str = "") -> Step:
    """Before the camera opens: what it will do, and that there is another way."""
    seconds = state.config.timeouts.input_s
    return goto(state, Phase.EXPLAINING_FACE, *commands, seconds=seconds, hint=hint, entry="", sight=FaceSight())


def audited(transaction_id: str, purpose: str, decision: str, attempt: int, evidence: FaceEvidence) -> Record:
    """The audit event of one look at a face: journal and bank. Figures and codes; no image, no template."""
    figures = {NAMES.get(name, name): value for name, value in asdict(evidence).items()}
    data: Mapping[str, Any] = {"purpose": purpose, "decision": decision, "attempt": attempt, "evidence": figures}
    kind = "faceVerified" if purpose == "verification" else "faceEnrolled"
    advice = Outgoing("audit", "ATMFaceVerificationAdvice", {"transactionId": transaction_id, **data})
    return Record((Entry(kind, transaction_id, data),), (advice,))


def on_card_removed_early(state: State, event: CardRemoved) -> Step:
    """Before the bank was asked for money: nothing happened, and it is said."""
    state, commands = stop_entry(state)
    failure = Failure("cardRemoved", "taken", "notDebited")
    state = replace(state, card_present=False, transaction=None, failure=failure)
    return goto(state, Phase.FAILED, *commands, seconds=state.config.timeouts.message_s)


def give_card_back(state: State, hint: str = "", *commands: Command) -> Step:
    """The customer or the clock ended the session before the bank was asked for money."""
    state, stop = stop_entry(state)
    state = replace(state, transaction=None, hint=hint)
    state, release = ask(state, ReleaseCard, state.config.timeouts.card_s)
    return goto(state, Phase.EJECTING, *commands, *stop, release, seconds=state.config.timeouts.take_card_s)
