"""The state of a terminal as values. Everything is frozen; `dataclasses.replace` makes the next one.

Enum values are the words of XFS4IoT and ISO 20022 (see docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Literal

from drivers.secret import Secret
from terminal.core.cash import Accounts, DispenserResult, Units


@unique
class Phase(StrEnum):
    """Where the session is. The first is the truth at power-up."""

    UNKNOWN = "unknown"
    RECOVERING = "recovering"
    OUT_OF_SERVICE = "outOfService"
    IDLE = "idle"
    READING_CARD = "readingCard"
    CHOOSING_APPLICATION = "choosingApplication"
    ENTERING_PIN = "enteringPin"
    CHOOSING_AMOUNT = "choosingAmount"
    ENTERING_AMOUNT = "enteringAmount"
    STILL_THERE = "stillThere"
    FETCHING_TEMPLATE = "fetchingTemplate"
    VERIFYING_FACE = "verifyingFace"
    EXPLAINING_FACE = "explainingFace"
    PREPARING = "preparing"
    AUTHORISING = "authorising"
    CONFIRMING_CARD = "confirmingCard"
    RETURNING_CARD = "returningCard"
    DISPENSING = "dispensing"
    RESOLVING = "resolving"
    PRESENTING = "presenting"
    PRINTING = "printing"
    FAILED = "failed"
    EJECTING = "ejecting"
    THANKING = "thanking"
    OPENING_FACE_SERVICE = "openingFaceService"
    CHOOSING_FACE_SERVICE = "choosingFaceService"
    CONSENTING = "consenting"
    ENROLLING_FACE = "enrollingFace"
    STORING_FACE = "storingFace"
    CONFIRMING_REVOCATION = "confirmingRevocation"
    REVOKING_FACE = "revokingFace"
    FACE_SERVICE_DONE = "faceServiceDone"
    PRINTING_CONFIRMATION = "printingConfirmation"


@unique
class Device(StrEnum):
    """The workers. One process each."""

    CARD_READER = "cardReader"
    PIN_PAD = "pinPad"
    DISPENSER = "cashDispenser"
    PRINTER = "printer"
    FACE = "faceVerifier"


@unique
class DeviceStatus(StrEnum):
    """XFS4IoT Common.StatusProperties device, the part used here."""

    STARTING = "starting"
    ONLINE = "online"
    OFFLINE = "offline"
    HARDWARE_ERROR = "hardwareError"
    NO_DEVICE = "noDevice"


@dataclass(frozen=True, slots=True)
class DeviceState:
    """`detail` is a code for people who monitor (``paperLow``, ``jamExit``), never free text from a customer's data."""

    status: DeviceStatus = DeviceStatus.STARTING
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. Customer's ones grow with the mode (see kiosk design); the others guard devices and the host."""

    input_s: float = 30.0
    still_there_s: float = 20.0
    take_card_s: float = 30.0
    take_cash_s: float = 20.0
    message_s: float = 12.0
    card_s: float = 10.0
    pin_pad_s: float = 5.0
    face_s: float = 20.0
    enrol_s: float = 45.0
    consent_s: float = 120.0
    authorise_s: float = 30.0
    dispense_s: float = 105.0
    resolve_s: float = 120.0
    print_s: float = 30.0


@dataclass(frozen=True, slots=True)
class CoreConfig:
    """What the core must know of its configuration. Amounts in minor units."""

    terminal_id: str
    currency: str
    presets_minor: tuple[int, ...]
    limit_minor: int
    units: Units
    max_notes: int = 40
    face_from_minor: int | None = None
    face_high_security_from_minor: int | None = None
    face_attempts: int = 3
    face_controller: str = ""
    face_retention_months: int = 12
    language: str = "zh"
    languages: tuple[str, ...] = ("zh", "en")
    mode: str = "standard"
    pin_format: str = "iso9564-4"
    timeouts: Timeouts = field(default_factory=Timeouts)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An application the card offers. `aid` hex."""

    aid: str
    label: str


@dataclass(frozen=True, slots=True)
class CardInfo:
    """The selected application. PAN and track 2 are secrets; `masked_pan` may be shown and journalled."""

    aid: str
    label: str
    masked_pan: str
    pan: Secret[str]
    track2: Secret[str]
    pan_sequence: int
    language: str = ""


@dataclass(frozen=True, slots=True)
class PinBlock:
    """An encrypted PIN block (ISO 9564) as hex, its key serial number as hex."""

    format: str
    block: Secret[str]
    ksn: str


@dataclass(frozen=True, slots=True)
class FaceEvidence:
    """What a verification or an enrolment was decided on: the audit event. Never an image, never a template.

    `model`: sha256 of the embedder's file, hex. `score`, `accept_at`, `ask_again_at`: the backend's own scale (docs/face.md). `band`: where
    the score fell. `liveness`: "passed", "notAsked" or a reason code; `challenge`: the turns asked for; `passive`: "passed", "failed",
    "notConfigured". `sharpness` and `brightness` without a unit, of the frame that was compared; `yaw` as `Detection.yaw5`.
    """

    backend: str = ""
    model: str = ""
    band: Literal["accept", "askAgain", "refuse", ""] = ""
    score: float | None = None
    accept_at: float | None = None
    ask_again_at: float | None = None
    liveness: str = ""
    challenge: str = ""
    passive: str = ""
    sharpness: float | None = None
    brightness: float | None = None
    eye_distance_px: float | None = None
    yaw: float | None = None
    frames: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Transaction:
    """One withdrawal. Fields fill up as it goes; what must survive a crash is in the journal, not only here."""

    transaction_id: str
    attempt: int = 0
    amount_minor: int = 0
    quantities: tuple[int, ...] = ()
    pin_block: PinBlock | None = None
    field55: str = ""
    face: str = "notRequired"
    face_score: float | None = None
    face_key: str = ""
    face_tries: int = 0
    face_asked_by_bank: bool = False
    baseline: DispenserResult | None = None
    cassettes: tuple[int, ...] = ()
    asked: bool = False
    approved: bool = False
    authorisation_code: str = ""
    actions: tuple[str, ...] = ()
    decline_reason: str = ""
    final_card_data: str = ""
    balance_minor: int | None = None
    presented: tuple[int, ...] = ()
    settled: bool = False

    @property
    def ready_to_ask(self) -> bool:
        """PIN block, card cryptogram and a dispenser that can pay: all before the bank is asked."""
        return self.pin_block is not None and bool(self.field55) and self.baseline is not None


@dataclass(frozen=True, slots=True)
class FaceSight:
    """What the person before the camera was told last (events.FaceProgress)."""

    stage: str = "look"
    hint: str = ""
    done: int = 0
    of: int = 0


@dataclass(frozen=True, slots=True)
class FaceService:
    """Enrolment and revocation behind card and PIN. `result`: "enrolled", "notStored", "unknown", "revoked" or "revocationSent"."""

    enrolled_since: str = ""
    consent_id: str = ""
    result: str = ""
    proof: str = ""


@dataclass(frozen=True, slots=True)
class Latch:
    """Why cash-out is locked until a person has looked: outcomeUnknown (reconcile) or dispenserFault (notes on the path)."""

    reason: str
    transaction_id: str


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failure screen must say: code of the cause, where the card is, what happened to the money."""

    reason: str
    card: str  # "take", "taken", "none"
    money: str  # "notDebited", "inDoubt"


@dataclass(frozen=True, slots=True)
class OpenDispense:
    """A dispense that was journalled as intended and whose result is not. `baseline` and `cassettes`: see DispenserPrepared.

    `earlier`: the accounts of dispenses before, which an old memory might bring back (`cash.remember`).
    """

    transaction_id: str
    amount_minor: int
    quantities: tuple[int, ...]
    baseline: DispenserResult
    earlier: Accounts
    cassettes: tuple[int, ...]
    final_card_data: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """The whole terminal. `serial` numbers commands, requests and timers, so that late answers are recognised.

    `reported`: the global status (INSV, OUTS) that the bank was told last. `closed_by_operator`: the centre took it out of service.
    `accounts`: `cash.remember`.
    """

    config: CoreConfig
    phase: Phase = Phase.UNKNOWN
    units: Units = ()
    language: str = "zh"
    language_chosen: bool = False
    serial: int = 0
    timer: int = 0
    resume: Phase = Phase.UNKNOWN
    pending: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    devices: Mapping[Device, DeviceState] = field(default_factory=lambda: MappingProxyType({}))
    link_up: bool = False
    store_failed: bool = False
    closed_by_operator: bool = False
    stopping: bool = False
    latch: Latch | None = None
    last_transaction: int = 0
    accounts: Accounts = None
    card_present: bool = False
    candidates: tuple[Candidate, ...] = ()
    card: CardInfo | None = None
    transaction: Transaction | None = None
    open_dispense: OpenDispense | None = None
    entry: str = ""
    mask: int = 0
    hint: str = ""
    failure: Failure | None = None
    dispenser_ready: bool = False
    reported: str = ""
    receipt_printed: bool = False
    sight: FaceSight = FaceSight()
    service: FaceService | None = None
