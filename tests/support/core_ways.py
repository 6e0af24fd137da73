"""Where stories of the core begin: cards, counts and answers that come as a rule, and a way to every phase that a customer can go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from core_play import Make, play

from drivers.secret import Secret
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.cash import CashUnit, DispenserResult, UnitResult
from terminal.core.model import Candidate, CardInfo, CoreConfig, Device, FaceEvidence, Phase, PinBlock, State
from terminal.core.recovery import CHECKPOINTS, Recovered, recover
from terminal.core.session import answer_to

PAN = "6228480000000015"
TRACK2 = "6228480000000015D30122201234567890"
BLOCK = "A5C3F00DDEADBEEF0123456789ABCDEF"
TEMPLATE = "FACE-TEMPLATE-IN-A-SEALED-BOX"
SECRETS = (PAN, TRACK2, BLOCK, TEMPLATE)

CARD = CardInfo("A000000333010101", "UICC DEBIT", "622848******0015", Secret(PAN), Secret(TRACK2), 1, "zh")
DEBIT = Candidate("A000000333010101", "UICC DEBIT")
CREDIT = Candidate("A000000333010102", "UICC CREDIT")
ID = "T0001-00000001"
"""The first transaction of every story."""
DENOMINATIONS = (10_000, 5_000, 2_000, 1_000)


def config(**changes: Any) -> CoreConfig:
    counts = changes.pop("counts", (100, 100, 100, 100))
    units = tuple(CashUnit(str(n), minor, count) for n, (minor, count) in enumerate(zip(DENOMINATIONS, counts, strict=True), 1))
    settings: dict[str, Any] = {"presets_minor": (10_000, 20_000, 50_000), "limit_minor": 300_000, "units": units, **changes}
    return CoreConfig("T0001", "CNY", **settings)


def account(
    *presented: int, rejected: Sequence[int] = (0, 0, 0, 0), error: int = 0, command: str = "dispense", missing: int = 0
) -> DispenserResult:
    units = tuple(UnitResult(p, r) for p, r in zip(presented, rejected, strict=True))
    return DispenserResult(command, error, f"error{error:02X}" if error else "", missing, units)


FACTORY = (1, 2, 3, 4)
"""The types of the cassettes at their usual places."""
ONE_BEFORE = account(0, 0, 0, 5)
"""What LAST STATUS says when a story begins: the dispense of somebody who was there before."""
MEMORY_GONE = account(0, 0, 0, 0, command="none")


def answer(kind_of: type[Any], /, **known: Any) -> Make:
    """The answer to the question that is open now."""

    def make(state: State) -> e.Event:
        numbered = "request_id" if "request_id" in {field.name for field in fields(kind_of)} else "command_id"
        probe = kind_of(**{numbered: 0, **known})
        awaited = answer_to(probe)
        assert awaited is not None
        assert awaited[0] in state.pending, f"{kind_of.__name__}: {awaited[0]} was asked nothing (in {state.phase.value})"
        made: e.Event = kind_of(**{numbered: state.pending[awaited[0]], **known})
        return made

    return make


def failed(device: Device, name: str = "fault", kind: str = "deviceFault") -> Make:
    return answer(e.CommandFailed, device=device, kind=kind, name=name)


def lost(device: Device) -> Make:
    return failed(device, "workerLost", "workerLost")


def time_out(state: State) -> e.Event:
    assert state.timer, f"no timer runs in {state.phase.value}"
    return e.TimerExpired(state.timer)


def done(device: Device) -> Make:
    return answer(e.CommandDone, device=device)


def keys(*names: str) -> list[e.Event]:
    return [e.KeyPressed(name) for name in names]


applications = answer(e.ApplicationsRead, candidates=(DEBIT,))
selected = answer(e.ApplicationSelected, card=CARD)
pin_started = done(Device.PIN_PAD)
pin_block = answer(e.PinBlockMade, pin_block=PinBlock("iso9564-4", Secret(BLOCK), "KSN1"))
prepared = answer(e.DispenserPrepared, baseline=ONE_BEFORE, cassettes=FACTORY)
arqc = answer(e.FirstCryptogramMade, kind="ARQC", field55="9F2608AABB")
tc = answer(e.SecondCryptogramMade, kind="TC", data="9F2701 40".replace(" ", ""))
aac = answer(e.SecondCryptogramMade, kind="AAC", data="9F270100")
initialised = answer(e.DispenserInitialised, fault="")


def decided(response: str, reason: str = "", actions: tuple[str, ...] = (), balance_minor: int | None = None) -> Make:
    code = "A1B2C3" if response == "APPR" else ""
    return answer(
        e.AuthorisationAnswered,
        response=response,
        reason=reason,
        actions=actions,
        authorisation_code=code,
        icc_data="8A023030",
        balance_minor=balance_minor,
    )


approved = decided("APPR", balance_minor=470_000)


def dispensed(result: DispenserResult) -> Make:
    return answer(e.NotesDispensed, result=result)


def last_status(result: DispenserResult) -> Make:
    return answer(e.LastStatusRead, result=result)


# --- where stories begin


def recovered_from(journal: Sequence[c.Entry]) -> Recovered:
    """As the agent does it: the entries since the last checkpoint, itself included."""
    last = max((number for number, entry in enumerate(journal) if entry.kind in CHECKPOINTS), default=0)
    return recover(journal[last:])


def start(settings: CoreConfig | None = None, journal: list[c.Entry] | None = None) -> play:
    """Just started, nothing answers yet."""
    known = [] if journal is None else journal
    return play(State(settings or config()), known) >> e.Started(recovered_from(known))


def everything_online(settings: CoreConfig | None = None) -> list[e.Event | Make]:
    return [
        *(e.DeviceOnline(device) for device in Device if device is not Device.DISPENSER),
        e.CardRemoved(),
        e.LinkUp(),
        e.DeviceOnline(Device.DISPENSER),
        initialised,
    ]


def idle(settings: CoreConfig | None = None) -> play:
    story = start(settings) >> everything_online()
    assert story.state.phase is Phase.IDLE
    story.since = []
    return story


TO_PIN: list[e.Event | Make] = [e.CardInserted(), applications, selected, pin_started]
TYPE_PIN: list[e.Event | Make] = [*keys("digit", "digit", "digit", "digit", "digit", "digit", "enter"), pin_block]
TO_AMOUNT = [*TO_PIN, *TYPE_PIN]
TO_BANK = [*TO_AMOUNT, e.Pressed("amount:20000"), prepared, arqc]
TO_CARD_BACK = [*TO_BANK, approved, tc]
TO_DISPENSING = [*TO_CARD_BACK, e.CardRemoved()]
GOOD = account(2, 0, 0, 0)
TO_CASH = [*TO_DISPENSING, dispensed(GOOD)]
FACE_FROM = 20_000
TO_NOTICE = [*TO_AMOUNT, e.Pressed("amount:20000")]
TO_FACE = [*TO_NOTICE, e.Pressed("goOn")]
face_key = answer(e.FaceKeyMade, public_key="04AB")
template = answer(e.TemplateFetched, template=Secret(TEMPLATE), reason="")
TO_CAMERA = [*TO_FACE, face_key, template]


def verified(decision: str, score: float | None = None) -> Make:
    return answer(e.FaceVerified, decision=decision, evidence=FaceEvidence(score=score))


def enrolled(decision: str = "accepted") -> Make:
    sealed = Secret(TEMPLATE if decision == "accepted" else "")
    return answer(e.FaceEnrolled, decision=decision, template=sealed, evidence=FaceEvidence(frames=3))


def managed(response: str = "APPR", reason: str = "", actions: tuple[str, ...] = (), since: str = "", proof: str = "") -> Make:
    return answer(e.FaceManaged, response=response, reason=reason, actions=actions, icc_data="8A023030", enrolled_since=since, proof=proof)


TO_SERVICE = [*TO_AMOUNT, e.Pressed("faceServices")]
SERVICE_OPEN = [arqc, managed(), tc]
TO_SERVICES = [*TO_SERVICE, *SERVICE_OPEN]
TO_CONSENT = [*TO_SERVICES, e.Pressed("enrol")]
TO_ENROLLING = [*TO_CONSENT, e.Pressed("agree")]
TO_STORING = [*TO_ENROLLING, enrolled()]
TO_REMOVAL = [*TO_SERVICE, arqc, managed(since="2026-11-22"), tc, e.Pressed("remove")]
TO_REVOKING = [*TO_REMOVAL, e.Pressed("yes")]
TO_SERVICE_DONE = [*TO_STORING, managed()]

REACH: dict[Phase, list[e.Event | Make]] = {
    Phase.IDLE: [],
    Phase.READING_CARD: [e.CardInserted()],
    Phase.CHOOSING_APPLICATION: [e.CardInserted(), answer(e.ApplicationsRead, candidates=(DEBIT, CREDIT))],
    Phase.ENTERING_PIN: TO_PIN,
    Phase.CHOOSING_AMOUNT: TO_AMOUNT,
    Phase.ENTERING_AMOUNT: [*TO_AMOUNT, e.Pressed("other")],
    Phase.STILL_THERE: [*TO_AMOUNT, time_out],
    Phase.PREPARING: TO_BANK[:-2],
    Phase.AUTHORISING: TO_BANK,
    Phase.CONFIRMING_CARD: [*TO_BANK, approved],
    Phase.RETURNING_CARD: TO_CARD_BACK,
    Phase.DISPENSING: TO_DISPENSING,
    Phase.RESOLVING: [*TO_DISPENSING, lost(Device.DISPENSER)],
    Phase.PRESENTING: TO_CASH,
    Phase.PRINTING: [*TO_CASH, e.Pressed("receipt")],
    Phase.THANKING: [*TO_CASH, e.Pressed("finish")],
    Phase.FAILED: [*TO_BANK, answer(e.RequestFailed, reason="timeout")],
    Phase.EJECTING: [*TO_AMOUNT, e.Pressed("cancel")],
}
"""From IDLE to each phase of a session without a face step-up."""


REACH_WITH_FACE: dict[Phase, list[e.Event | Make]] = {
    Phase.EXPLAINING_FACE: TO_NOTICE,
    Phase.FETCHING_TEMPLATE: TO_FACE,
    Phase.VERIFYING_FACE: TO_CAMERA,
    Phase.OPENING_FACE_SERVICE: TO_SERVICE,
    Phase.CHOOSING_FACE_SERVICE: TO_SERVICES,
    Phase.CONSENTING: TO_CONSENT,
    Phase.ENROLLING_FACE: TO_ENROLLING,
    Phase.STORING_FACE: TO_STORING,
    Phase.CONFIRMING_REVOCATION: TO_REMOVAL,
    Phase.REVOKING_FACE: TO_REVOKING,
    Phase.FACE_SERVICE_DONE: TO_SERVICE_DONE,
    Phase.PRINTING_CONFIRMATION: [*TO_SERVICE_DONE, e.Pressed("receipt")],
}


def at(phase: Phase) -> play:
    """A terminal in this phase, by a way that a customer can go."""
    if phase is Phase.UNKNOWN:
        return play(State(config()))
    if phase is Phase.OUT_OF_SERVICE:
        return start()
    if phase is Phase.RECOVERING:
        return start(journal=(idle() >> TO_DISPENSING).journal)
    if phase in REACH_WITH_FACE:
        story = idle(config(face_from_minor=FACE_FROM)) >> REACH_WITH_FACE[phase]
    else:
        story = idle() >> REACH[phase]
    assert story.state.phase is phase, f"{story.state.phase} instead of {phase}"
    story.since = []
    return story
