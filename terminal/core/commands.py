"""What the core wants done, in the imperative. The agent does them in order and stops at the first that fails.

`Record` is on disk (fsync) before the next command of the same step leaves: journal, then act.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from drivers.secret import Secret
from terminal.core.model import Device, PinBlock


class Command:
    """Root of all commands."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A journal entry: `data` holds JSON values only, never a secret."""

    kind: str
    transaction_id: str | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for the bank that must arrive: written with the entries in one transaction. `klass`: txn, audit, alarm, telemetry."""

    klass: Literal["txn", "audit", "alarm", "telemetry"]
    type: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Record(Command):
    entries: tuple[Entry, ...]
    outgoing: tuple[Outgoing, ...] = ()


@dataclass(frozen=True, slots=True)
class StartTimer(Command):
    """There is one session timer; starting it anew makes the old one stale."""

    serial: int
    seconds: float


@dataclass(frozen=True, slots=True)
class EndAgent(Command):
    """Nobody is being served: the process may end. `failed`: it is to be started again, as its journal does not take entries any more."""

    failed: bool


@dataclass(frozen=True, slots=True)
class Ignore(Command):
    """An event that this phase does not expect: reported, nothing changed."""

    phase: str
    event: str


@dataclass(frozen=True, slots=True)
class DeviceCommand(Command):
    """For a worker. `deadline_s` from when the agent sends it; after that the worker is killed."""

    device: ClassVar[Device]
    moves_money: ClassVar[bool] = False
    has_answer: ClassVar[bool] = True

    command_id: int
    deadline_s: float


@dataclass(frozen=True, slots=True)
class ReadCard(DeviceCommand):
    """Power the card and build the candidate list. Answer: ApplicationsRead."""

    device = Device.CARD_READER


@dataclass(frozen=True, slots=True)
class SelectApplication(DeviceCommand):
    """Also after a cold reset, for a second attempt. Answer: ApplicationSelected."""

    device = Device.CARD_READER
    aid: str
    cold: bool = False


@dataclass(frozen=True, slots=True)
class GenerateFirstCryptogram(DeviceCommand):
    """First GENERATE AC. Answer: FirstCryptogramMade."""

    device = Device.CARD_READER
    amount_minor: int
    transaction_number: int


@dataclass(frozen=True, slots=True)
class GenerateSecondCryptogram(DeviceCommand):
    """EXTERNAL AUTHENTICATE, scripts, second GENERATE AC. `icc_data` hex, empty when the host was not reached."""

    device = Device.CARD_READER
    icc_data: str
    approved: bool
    online: bool = True


@dataclass(frozen=True, slots=True)
class ReleaseCard(DeviceCommand):
    """Power off, so that the customer can take it. Answer: CommandDone."""

    device = Device.CARD_READER


@dataclass(frozen=True, slots=True)
class StartPinEntry(DeviceCommand):
    device = Device.PIN_PAD
    minimum: int = 4
    maximum: int = 12


@dataclass(frozen=True, slots=True)
class StartAmountEntry(DeviceCommand):
    """Digits in clear: only for amounts."""

    device = Device.PIN_PAD


@dataclass(frozen=True, slots=True)
class StopEntry(DeviceCommand):
    device = Device.PIN_PAD


@dataclass(frozen=True, slots=True)
class MakePinBlock(DeviceCommand):
    """Never repeated: a new block needs a new entry. Answer: PinBlockMade."""

    device = Device.PIN_PAD
    pan: Secret[str]
    format: str


@dataclass(frozen=True, slots=True)
class PrepareDispense(DeviceCommand):
    """STATUS and LAST STATUS, moves nothing. Answer: DispenserPrepared."""

    device = Device.DISPENSER
    quantities: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Dispense(DeviceCommand):
    """The one command that moves money. Sent once, and only while `cassettes` (see DispenserPrepared) stand there.

    Answer: NotesDispensed. Refused or never sent, it did not run; anything else is resolved by LAST STATUS.
    """

    device = Device.DISPENSER
    moves_money = True
    quantities: tuple[int, ...]
    cassettes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AskLastStatus(DeviceCommand):
    """Waits until the unit answers again, then LAST STATUS. `cassettes`: the types that stood in it when the dispense was sent.

    Answer: LastStatusRead.
    """

    device = Device.DISPENSER
    cassettes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class InitialiseDispenser(DeviceCommand):
    """Only after LAST STATUS was read and journalled. Answer: DispenserInitialised."""

    device = Device.DISPENSER


@dataclass(frozen=True, slots=True)
class ReceiptText:
    """One line of a receipt, finished."""

    text: str
    align: Literal["left", "center", "right"] = "left"
    bold: bool = False
    size: Literal["normal", "doubleHeight", "doubleWidth", "double"] = "normal"


@dataclass(frozen=True, slots=True)
class PrintReceipt(DeviceCommand):
    """The core gives `fields` (amounts, reference ...); the agent's texts make the `lines` in `language` before it goes to the worker."""

    device = Device.PRINTER
    language: str
    fields: Mapping[str, Any]
    lines: tuple[ReceiptText, ...] = ()


@dataclass(frozen=True, slots=True)
class MakeFaceKey(DeviceCommand):
    """Answer: FaceKeyMade: a public key whose private half never leaves the face worker."""

    device = Device.FACE


@dataclass(frozen=True, slots=True)
class VerifyFace(DeviceCommand):
    """Answer: any number of FaceProgress, then FaceVerified. `high_security`: the stricter acceptance of the configuration."""

    device = Device.FACE
    template: Secret[str]
    high_security: bool = False


@dataclass(frozen=True, slots=True)
class EnrolFace(DeviceCommand):
    """Answer: any number of FaceProgress, then FaceEnrolled. The agent adds the bank's public key (point in hex) and its name."""

    device = Device.FACE
    transaction_id: str
    consent_id: str
    recipient_key: str = ""
    key_id: str = ""


@dataclass(frozen=True, slots=True)
class StopFace(DeviceCommand):
    """The person wants none of it any more: a verification or enrolment that runs answers "stopped". None runs: nothing answers."""

    device = Device.FACE
    has_answer = False


# --- checks that the centre may order: they move nothing. Sent by the agent's attendant, numbered below 0. Answer: SelfCheckDone


@dataclass(frozen=True, slots=True)
class CheckCardReader(DeviceCommand):
    device = Device.CARD_READER


@dataclass(frozen=True, slots=True)
class CheckPinPad(DeviceCommand):
    device = Device.PIN_PAD


@dataclass(frozen=True, slots=True)
class CheckDispenser(DeviceCommand):
    """STATUS alone."""

    device = Device.DISPENSER


@dataclass(frozen=True, slots=True)
class CheckPrinter(DeviceCommand):
    """Its status; nothing is printed."""

    device = Device.PRINTER


@dataclass(frozen=True, slots=True)
class CheckFaceVerifier(DeviceCommand):
    """Are its models there and loaded? No picture is taken."""

    device = Device.FACE


# --- the bank: questions that a customer waits for. Never repeated by themselves.


@dataclass(frozen=True, slots=True)
class FetchTemplate(Command):
    request_id: int
    transaction_id: str
    pan: Secret[str]
    track2: Secret[str]
    pan_sequence: int
    recipient_key: str
    timeout_s: float


@dataclass(frozen=True, slots=True)
class ManageFace(Command):
    """ATMFaceManagementRequest. `service`: open (card and PIN, tells what is enrolled), enrol, revoke; the last two within an open one."""

    request_id: int
    transaction_id: str
    service: Literal["open", "enrol", "revoke"]
    attempt: int
    pan: Secret[str]
    track2: Secret[str]
    pan_sequence: int
    timeout_s: float
    pin_block: PinBlock | None = None
    field55: str = ""
    consent_id: str = ""
    consent_version: str = ""
    language: str = ""
    template: Secret[str] | None = None


@dataclass(frozen=True, slots=True)
class Authorise(Command):
    request_id: int
    transaction_id: str
    attempt: int
    amount_minor: int
    currency: str
    pan: Secret[str]
    track2: Secret[str]
    pan_sequence: int
    pin_block: PinBlock
    field55: str
    face: str
    face_score: float | None
    timeout_s: float
