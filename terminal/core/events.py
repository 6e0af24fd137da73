"""What happened, in the past tense. Everything that reaches the core comes through one inbox as one of these.

Answers carry the `command_id` (or `request_id`) of what they answer: the core drops an answer that it does not wait for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drivers.secret import Secret
from terminal.core.cash import DispenserResult
from terminal.core.model import Candidate, CardInfo, Device, FaceEvidence, PinBlock
from terminal.core.recovery import Recovered


class Event:
    """Root of all events."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Started(Event):
    """The agent is up and has read its journal."""

    recovered: Recovered


@dataclass(frozen=True, slots=True)
class TimerExpired(Event):
    serial: int


@dataclass(frozen=True, slots=True)
class StoreFailed(Event):
    """The journal did not take an entry: nothing that should have followed it was done."""


@dataclass(frozen=True, slots=True)
class ServiceOrdered(Event):
    """The operations centre wants the terminal in or out of service. `order_id` is for the journal."""

    in_service: bool
    order_id: str


@dataclass(frozen=True, slots=True)
class StopRequested(Event):
    """The agent is to end: the customer who is there is served to the end, nobody after."""


@dataclass(frozen=True, slots=True)
class Pressed(Event):
    """The customer chose an option of the view on the screen now (stale presses are dropped before)."""

    option: str


# --- devices


@dataclass(frozen=True, slots=True)
class DeviceOnline(Event):
    """A worker has opened its device and talked with it."""

    device: Device


@dataclass(frozen=True, slots=True)
class DeviceLost(Event):
    """A worker died, hung past its deadline, or lost its device. `reason` is a code."""

    device: Device
    reason: str


@dataclass(frozen=True, slots=True)
class DeviceGaveUp(Event):
    """Restarts are used up: the device stays out of service until the agent is restarted."""

    device: Device


@dataclass(frozen=True, slots=True)
class DeviceNoted(Event):
    """A status worth knowing that changes no flow (paperLow, nearEnd)."""

    device: Device
    detail: str


NOT_SENT = "notSent"


@dataclass(frozen=True, slots=True)
class CommandFailed(Event):
    """The device answered "no", or nothing. `kind`: deviceFault, linkError, protocolError, outcomeUnknown, workerLost,
    configuration, unexpected.

    Of a dispense: deviceFault, linkError, protocolError and the name NOT_SENT (of workerLost: there was no worker that could have read the
    command) say that it did not run; after any other kind it may have.
    """

    command_id: int
    device: Device
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class CardInserted(Event):
    pass


@dataclass(frozen=True, slots=True)
class CardRemoved(Event):
    pass


@dataclass(frozen=True, slots=True)
class ApplicationsRead(Event):
    command_id: int
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class ApplicationSelected(Event):
    command_id: int
    card: CardInfo


@dataclass(frozen=True, slots=True)
class FirstCryptogramMade(Event):
    """`kind`: ARQC, AAC or TC; `field55` BER-TLV hex."""

    command_id: int
    kind: str
    field55: str


@dataclass(frozen=True, slots=True)
class SecondCryptogramMade(Event):
    command_id: int
    kind: str
    data: str


@dataclass(frozen=True, slots=True)
class CommandDone(Event):
    """A command without an answer of its own ended well."""

    command_id: int
    device: Device


@dataclass(frozen=True, slots=True)
class KeyPressed(Event):
    """`key`: "digit" in PIN entry; "0".."9" in amount entry; enter, cancel, clear, backspace."""

    key: str


@dataclass(frozen=True, slots=True)
class PinBlockMade(Event):
    command_id: int
    pin_block: PinBlock


@dataclass(frozen=True, slots=True)
class FaceKeyMade(Event):
    command_id: int
    public_key: str


@dataclass(frozen=True, slots=True)
class FaceProgress(Event):
    """What the person is asked for now; answers nothing. `stage`: look, turnLeft, turnRight, lookStraight, compare (their own left and
    right). `hint`: terminal.face.values.Hint. `done` of `of`: accepted frames or steps of the challenge.
    """

    command_id: int
    stage: str
    hint: str
    done: int
    of: int


@dataclass(frozen=True, slots=True)
class FaceVerified(Event):
    """`decision`: terminal.face.values.Decision, or stopped."""

    command_id: int
    decision: str
    evidence: FaceEvidence


@dataclass(frozen=True, slots=True)
class FaceEnrolled(Event):
    """`template`: sealed for the bank, as JSON text (docs/bank-messages.md); empty unless `decision` is accepted."""

    command_id: int
    decision: str
    template: Secret[str]
    evidence: FaceEvidence


@dataclass(frozen=True, slots=True)
class DispenserPrepared(Event):
    """The unit can pay. `baseline` is its LAST STATUS just before the dispense, `cassettes` the types that stand in it, top first."""

    command_id: int
    baseline: DispenserResult
    cassettes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NotesDispensed(Event):
    command_id: int
    result: DispenserResult


@dataclass(frozen=True, slots=True)
class LastStatusRead(Event):
    command_id: int
    result: DispenserResult


@dataclass(frozen=True, slots=True)
class DispenserInitialised(Event):
    """`fault` is empty when the unit can pay."""

    command_id: int
    fault: str


@dataclass(frozen=True, slots=True)
class ReceiptPrinted(Event):
    command_id: int


@dataclass(frozen=True, slots=True)
class SelfCheckDone(Event):
    """`findings`: names and plain values, nothing of a customer."""

    command_id: int
    device: Device
    findings: Mapping[str, str | int | bool]


# --- the bank


@dataclass(frozen=True, slots=True)
class LinkUp(Event):
    pass


@dataclass(frozen=True, slots=True)
class LinkDown(Event):
    reason: str


@dataclass(frozen=True, slots=True)
class AuthorisationAnswered(Event):
    """ATMWithdrawalResponse. `response`: APPR, DECL, TECH."""

    request_id: int
    response: str
    reason: str
    actions: tuple[str, ...]
    authorisation_code: str
    icc_data: str
    balance_minor: int | None


@dataclass(frozen=True, slots=True)
class TemplateFetched(Event):
    """ATMInquiryResponse. `template` is the sealed template as JSON text; only the face worker can open it. Empty: none enrolled."""

    request_id: int
    template: Secret[str]
    reason: str


@dataclass(frozen=True, slots=True)
class FaceManaged(Event):
    """ATMFaceManagementResponse. `enrolled_since`: ISO date; empty: nothing is enrolled. `proof`: the bank's number of a deletion."""

    request_id: int
    response: str
    reason: str
    actions: tuple[str, ...]
    icc_data: str
    enrolled_since: str = ""
    proof: str = ""


@dataclass(frozen=True, slots=True)
class RequestFailed(Event):
    """No answer: `reason` timeout, offline, malformed (what came was none), unsendable (what should have gone was no message)."""

    request_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class LateResponseArrived(Event):
    """An answer after its deadline: for the journal only."""

    type: str
    transaction_id: str
    response: str
