"""The session's table against every state that can be reached: no event raises, no row lies about where it leads, no phase is a dead end.

The states are explored breadth first from a terminal that starts, one event at a time, told apart by what decides anything.
"""

from __future__ import annotations

import functools
import inspect
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path

import pytest
from core_play import (
    BLOCK,
    CARD,
    CREDIT,
    DEBIT,
    FACTORY,
    GOOD,
    MEMORY_GONE,
    ONE_BEFORE,
    SECRETS,
    TEMPLATE,
    account,
    at,
    config,
    recovered_from,
    waits,
)

from drivers.secret import Secret
from terminal.core import commands as c
from terminal.core import diagram
from terminal.core import events as e
from terminal.core.cash import DispenserResult
from terminal.core.model import Device, FaceEvidence, Phase, PinBlock, State
from terminal.core.recovery import Recovered
from terminal.core.session import CONCERNS, EVERYWHERE, TRANSITIONS, answer_to, step
from terminal.core.views import view_of

EVENTS = [kind for _, kind in inspect.getmembers(e, inspect.isclass) if issubclass(kind, e.Event) and kind is not e.Event]
SETTINGS = config(face_from_minor=2_000, counts=(3, 3, 0, 3), presets_minor=(1_000, 5_000), limit_minor=20_000, face_attempts=2)
AWAY_AT_ONCE = 1
STATES_AT_MOST = 20_000

UNCERTAIN = account(1, 0, 0, 0, error=0x07)
JAM = account(0, 0, 0, 0, error=0x20)
EMPTY = account(1, 0, 0, 0, error=0x01)


SAMPLES: dict[type[e.Event], Callable[[int], list[e.Event]]] = {
    e.Started: lambda n: [e.Started(Recovered())],
    e.TimerExpired: lambda n: [e.TimerExpired(n)],
    e.StoreFailed: lambda n: [e.StoreFailed()],
    e.ServiceOrdered: lambda n: [e.ServiceOrdered(False, "c1"), e.ServiceOrdered(True, "c2")],
    e.StopRequested: lambda n: [e.StopRequested()],
    e.Pressed: lambda n: [
        e.Pressed(option)
        for option in (
            *("cancel", "yes", "no", "other", "back", "enter", "clear", "key:1", "key:5", "key:0", "finish", "receipt"),
            *("faceServices", "goOn", "otherWay", "enrol", "remove", "agree", "done"),
            *("amount:1000", "amount:5000", f"application:{DEBIT.aid}", "language:en", "rubbish"),
        )
    ],
    e.DeviceOnline: lambda n: [e.DeviceOnline(device) for device in Device],
    e.DeviceLost: lambda n: [e.DeviceLost(device, "workerLost") for device in Device],
    e.DeviceGaveUp: lambda n: [e.DeviceGaveUp(Device.PRINTER)],
    e.DeviceNoted: lambda n: [e.DeviceNoted(Device.PRINTER, "paperLow")],
    e.CommandFailed: lambda n: [
        e.CommandFailed(n, device, kind, name)
        for device in Device
        for kind, name in (("deviceFault", "minimumLength"), ("workerLost", "workerLost"))
    ],
    e.CardInserted: lambda n: [e.CardInserted()],
    e.CardRemoved: lambda n: [e.CardRemoved()],
    e.ApplicationsRead: lambda n: [e.ApplicationsRead(n, found) for found in ((), (DEBIT,), (DEBIT, CREDIT))],
    e.ApplicationSelected: lambda n: [e.ApplicationSelected(n, CARD)],
    e.FirstCryptogramMade: lambda n: [e.FirstCryptogramMade(n, kind, "9F2608AA") for kind in ("ARQC", "AAC")],
    e.SecondCryptogramMade: lambda n: [e.SecondCryptogramMade(n, kind, "9F2701") for kind in ("TC", "AAC")],
    e.CommandDone: lambda n: [e.CommandDone(n, device) for device in Device],
    e.KeyPressed: lambda n: [e.KeyPressed(key) for key in ("digit", "1", "enter", "cancel", "clear", "help")],
    e.PinBlockMade: lambda n: [e.PinBlockMade(n, PinBlock("iso9564-4", Secret(BLOCK), "KSN"))],
    e.FaceKeyMade: lambda n: [e.FaceKeyMade(n, "04AB")],
    e.FaceVerified: lambda n: [e.FaceVerified(n, decision, FaceEvidence(score=0.5)) for decision in ("accepted", "rejected", "askAgain")],
    e.FaceProgress: lambda n: [e.FaceProgress(n, "turnLeft", "", 1, 3)],
    e.FaceEnrolled: lambda n: [
        e.FaceEnrolled(n, decision, Secret(TEMPLATE if decision == "accepted" else ""), FaceEvidence())
        for decision in ("accepted", "noFace")
    ],
    e.DispenserPrepared: lambda n: [e.DispenserPrepared(n, ONE_BEFORE, FACTORY)],
    e.NotesDispensed: lambda n: [e.NotesDispensed(n, result) for result in (account(1, 0, 0, 0), GOOD, EMPTY, JAM, UNCERTAIN, MEMORY_GONE)],
    e.LastStatusRead: lambda n: [e.LastStatusRead(n, result) for result in (account(1, 0, 0, 0), GOOD, ONE_BEFORE, MEMORY_GONE, JAM)],
    e.DispenserInitialised: lambda n: [e.DispenserInitialised(n, fault) for fault in ("", "jamExit")],
    e.ReceiptPrinted: lambda n: [e.ReceiptPrinted(n)],
    e.SelfCheckDone: lambda n: [e.SelfCheckDone(n, Device.PRINTER, {"paper": "full"})],
    e.LinkUp: lambda n: [e.LinkUp()],
    e.LinkDown: lambda n: [e.LinkDown("gone")],
    e.AuthorisationAnswered: lambda n: [
        e.AuthorisationAnswered(n, response, reason, actions, "A1", "", None)
        for response, reason, actions in (
            ("APPR", "", ()),
            ("DECL", "incorrectPin", ("PINR",)),
            ("DECL", "limitExceeded", ()),
            ("DECL", "authenticationRequired", ("CHDA",)),
            ("TECH", "", ()),
        )
    ],
    e.TemplateFetched: lambda n: [e.TemplateFetched(n, Secret(TEMPLATE), ""), e.TemplateFetched(n, Secret(""), "noTemplate")],
    e.FaceManaged: lambda n: [
        e.FaceManaged(n, "APPR", "", (), "8A023030", "2026-11-22"),
        e.FaceManaged(n, "APPR", "", (), "8A023030"),
        e.FaceManaged(n, "DECL", "incorrectPin", ("PINR",), "8A023535"),
        e.FaceManaged(n, "DECL", "cardBlocked", (), "8A023632"),
        e.FaceManaged(n, "TECH", "", (), ""),
    ],
    e.RequestFailed: lambda n: [e.RequestFailed(n, "timeout"), e.RequestFailed(n, "offline")],
    e.LateResponseArrived: lambda n: [e.LateResponseArrived("ATMWithdrawalResponse", "T0001-00000001", "APPR")],
}


def samples(kind: type[e.Event], number: int) -> list[e.Event]:
    """Events of a class as they may come; `number` is the question that an answer belongs to."""
    return SAMPLES[kind](number)


def test_every_event_class_has_samples() -> None:
    for kind in EVENTS:
        assert all(type(one) is kind for one in samples(kind, 1))


ANSWERED_BY: dict[type[c.Command], tuple[type[e.Event], ...]] = {
    c.ReadCard: (e.ApplicationsRead,),
    c.SelectApplication: (e.ApplicationSelected,),
    c.GenerateFirstCryptogram: (e.FirstCryptogramMade,),
    c.GenerateSecondCryptogram: (e.SecondCryptogramMade,),
    c.ReleaseCard: (e.CommandDone,),
    c.StartPinEntry: (e.CommandDone,),
    c.StartAmountEntry: (e.CommandDone,),
    c.StopEntry: (e.CommandDone,),
    c.MakePinBlock: (e.PinBlockMade,),
    c.PrepareDispense: (e.DispenserPrepared,),
    c.Dispense: (e.NotesDispensed,),
    c.AskLastStatus: (e.LastStatusRead,),
    c.InitialiseDispenser: (e.DispenserInitialised,),
    c.PrintReceipt: (e.ReceiptPrinted,),
    c.MakeFaceKey: (e.FaceKeyMade,),
    c.VerifyFace: (e.FaceVerified,),
    c.EnrolFace: (e.FaceEnrolled,),
    c.StopFace: (),
    c.ManageFace: (e.FaceManaged, e.RequestFailed),
    c.Authorise: (e.AuthorisationAnswered, e.RequestFailed),
    c.FetchTemplate: (e.TemplateFetched, e.RequestFailed),
}


NOT_THE_CORES = {c.CheckCardReader, c.CheckPinPad, c.CheckDispenser, c.CheckPrinter, c.CheckFaceVerifier}
"""The attendant's: the core neither asks them nor waits for their answer."""


def test_every_question_has_an_answer() -> None:
    asked = {
        kind for _, kind in inspect.getmembers(c, inspect.isclass) if issubclass(kind, c.DeviceCommand) and kind is not c.DeviceCommand
    }
    assert asked > NOT_THE_CORES
    assert asked - NOT_THE_CORES | {c.Authorise, c.FetchTemplate, c.ManageFace} == set(ANSWERED_BY)


def accounts(asked: tuple[int, ...]) -> list[DispenserResult]:
    """What a dispenser may say of a dispense: all of it, nothing and why, no proof, memory gone, the account of before."""
    nothing = [0] * len(asked)
    return [account(*asked), *(account(*nothing, error=error) for error in (0x01, 0x20, 0x07)), MEMORY_GONE, ONE_BEFORE]


TYPING = (Phase.ENTERING_PIN, Phase.ENTERING_AMOUNT, Phase.STILL_THERE)
ASKING = (Phase.FETCHING_TEMPLATE, Phase.AUTHORISING, Phase.OPENING_FACE_SERVICE, Phase.STORING_FACE, Phase.REVOKING_FACE)
CLOSING = (Phase.OUT_OF_SERVICE, Phase.EJECTING, Phase.FAILED, Phase.THANKING)
ENDING = (Phase.DISPENSING, Phase.RESOLVING, Phase.PRESENTING, Phase.PRINTING, Phase.THANKING, Phase.FAILED, Phase.EJECTING)


MATTERS = {
    Device.PRINTER: (Phase.IDLE, Phase.PRESENTING, Phase.PRINTING),
    Device.FACE: (
        *(Phase.CHOOSING_AMOUNT, Phase.FETCHING_TEMPLATE, Phase.VERIFYING_FACE, Phase.EXPLAINING_FACE),
        *(Phase.CHOOSING_FACE_SERVICE, Phase.CONSENTING, Phase.ENROLLING_FACE),
    ),
    Device.PIN_PAD: (Phase.IDLE, Phase.ENTERING_PIN, Phase.ENTERING_AMOUNT, Phase.STILL_THERE, Phase.CONFIRMING_CARD),
}
"""Where the loss of a device can change anything; of the others, everywhere."""


class Node:
    """A reached state and what each open question was."""

    __slots__ = ("asked", "state")

    def __init__(self, state: State, asked: dict[str, tuple[int, type[c.Command]]]) -> None:
        self.state = state
        self.asked = {whom: one for whom, one in asked.items() if state.pending.get(whom) == one[0]}

    def key(self) -> object:
        """What may still decide a step; numbers are left out."""
        s, t = self.state, self.state.transaction
        typing = s.phase in TYPING
        away = frozenset(device for device, one in s.devices.items() if one.status != "online")
        mask = min(s.mask, 4) if not away and (t is None or t.attempt == 1) else s.mask // 4
        transaction = t and (bool(t.transaction_id), t.attempt, t.pin_block is None, not t.field55, t.face, t.baseline is None, t.approved)
        return (
            *(s.phase, s.resume if s.phase is Phase.STILL_THERE else None, s.card_present, s.dispenser_ready, s.store_failed, s.stopping),
            *(s.latch is None, s.open_dispense is None, mask if typing else 0, s.entry[:2] if typing else ""),
            frozenset((whom, kind) for whom, (_, kind) in self.asked.items() if self.listens(whom, kind)),
            away,
            s.link_up or s.phase not in CLOSING,
            None if s.phase in ENDING else transaction,
            None
            if s.phase in ENDING
            else t and (t.face_asked_by_bank, t.face_tries, t.decline_reason if s.service or s.phase is Phase.CONFIRMING_CARD else ""),
            s.service and bool(s.service.enrolled_since),
        )

    def listens(self, whom: str, kind: type[c.Command]) -> bool:
        """Whether an answer would still change anything."""
        concerned = {device.value for device in CONCERNS.get(self.state.phase, ())}
        return whom in concerned or kind is c.InitialiseDispenser or (whom == "bank" and self.state.phase in ASKING)

    def coming(self) -> Iterator[e.Event]:
        """What can come by itself or from people; answers only to what was asked."""
        s = self.state
        if s.phase is Phase.UNKNOWN:
            yield from (e.Started(known) for known in (Recovered(), killed_while_paying()))
            return
        if s.stopping and s.phase is Phase.OUT_OF_SERVICE:  # the agent has ended
            return
        for kind in (e.Pressed, e.KeyPressed, e.LinkUp, e.LinkDown, e.CardInserted, e.CardRemoved):
            yield from samples(kind, 0)
        if s.timer:
            yield e.TimerExpired(s.timer)
        if s.phase in (Phase.IDLE, Phase.OUT_OF_SERVICE, Phase.PRESENTING):
            yield e.ServiceOrdered(s.closed_by_operator, "c1")
        for whom, (number, asked) in self.asked.items():
            for answer in ANSWERED_BY[asked]:
                if s.open_dispense is not None and answer in (e.NotesDispensed, e.LastStatusRead):
                    yield from (answer(number, result) for result in accounts(s.open_dispense.quantities))
                else:
                    yield from (one for one in samples(answer, number) if (answer_to(one) or ("",))[0] == whom)
            yield from (one for one in samples(e.CommandFailed, number) if (answer_to(one) or ("",))[0] == whom)
        if s.phase in (Phase.VERIFYING_FACE, Phase.ENROLLING_FACE):
            yield e.FaceProgress(s.pending[Device.FACE.value], "turnLeft", "", 1, 3)
        away = [device for device, one in s.devices.items() if one.status != "online"]
        yield from (e.DeviceGaveUp(device) for device in away)
        yield from (e.DeviceOnline(device) for device in Device)
        if len(away) < AWAY_AT_ONCE:
            yield from (e.DeviceLost(device, "workerLost") for device in Device if s.phase in MATTERS.get(device, Phase))
        if not s.store_failed and s.phase in (Phase.ENTERING_PIN, Phase.AUTHORISING, Phase.DISPENSING, Phase.PRESENTING):
            yield e.StoreFailed()
        if s.phase in (Phase.IDLE, Phase.OUT_OF_SERVICE, Phase.AUTHORISING, Phase.EJECTING):
            yield e.StopRequested()


@dataclass(slots=True)
class Exploration:
    """Every state that differs, where each (phase, event) really led, and the steps that sent a dispense."""

    nodes: list[Node]
    led: dict[tuple[Phase, type[e.Event]], set[Phase]] = field(default_factory=dict)
    dispensing: list[tuple[State, e.Event, tuple[c.Command, ...]]] = field(default_factory=list)
    records: list[tuple[State, e.Event, tuple[c.Command, ...]]] = field(default_factory=list)


@functools.cache
def killed_while_paying() -> Recovered:
    return recovered_from(at(Phase.DISPENSING).journal)


@functools.cache
def explored() -> Exploration:
    found = Exploration([Node(State(SETTINGS), {})])
    seen = {node.key() for node in found.nodes}
    queue = deque(found.nodes)
    while queue:
        node = queue.popleft()
        for event in node.coming():
            state, commands = step(node.state, event)
            found.led.setdefault((node.state.phase, type(event)), set()).add(state.phase)
            kinds = {type(command) for command in commands}
            if c.Dispense in kinds:
                found.dispensing.append((node.state, event, commands))
            if c.Record in kinds:
                found.records.append((node.state, event, commands))
            after = Node(state, {**node.asked, **asked_in(commands)})
            key = after.key()
            if key not in seen:
                assert len(seen) < STATES_AT_MOST, "the key tells apart what does not matter"
                seen.add(key)
                found.nodes.append(after)
                queue.append(after)
    return found


def asked_in(commands: tuple[c.Command, ...]) -> dict[str, tuple[int, type[c.Command]]]:
    asked: dict[str, tuple[int, type[c.Command]]] = {}
    for command in commands:
        if isinstance(command, c.DeviceCommand) and command.has_answer:
            asked[command.device.value] = (command.command_id, type(command))
        elif isinstance(command, c.Authorise | c.FetchTemplate | c.ManageFace):
            asked["bank"] = (command.request_id, type(command))
    return asked


def test_every_phase_is_reached() -> None:
    assert {node.state.phase for node in explored().nodes} == set(Phase)


def test_steps_lead_only_where_their_rows_say() -> None:
    for (phase, kind), reached in explored().led.items():
        row = TRANSITIONS.get((phase, kind)) or EVERYWHERE.get(kind)
        allowed = {phase, *(row.targets if row else ())}
        assert reached <= allowed, f"{phase.value} + {kind.__name__} led to {[one.value for one in reached - allowed]}"


def test_rows_promise_nothing_that_never_happens() -> None:
    """A target that is never reached is a line in the diagram that lies."""
    led = explored().led
    for (phase, kind), row in TRANSITIONS.items():
        never = set(row.targets) - led.get((phase, kind), set())
        assert not never, f"{phase.value} + {kind.__name__} never leads to {sorted(one.value for one in never)}"
    for kind, row in EVERYWHERE.items():
        reached = {
            to for (phase, event), targets in led.items() if event is kind and (phase, kind) not in TRANSITIONS for to in targets - {phase}
        }
        assert set(row.targets) <= reached, f"{kind.__name__} never leads to {sorted(one.value for one in set(row.targets) - reached)}"


def test_every_wait_ends() -> None:
    for node in explored().nodes:
        assert waits(node.state), f"{node.state.phase.value} with {list(node.asked)}: nothing will ever come"


def test_no_phase_is_a_dead_end() -> None:
    """With nobody there: time passes, devices fail to answer, the card is taken at last. Every state comes to rest."""
    for node in explored().nodes:
        if node.state.phase is Phase.UNKNOWN:
            continue
        for _ in range(20):
            if node.state.phase in (Phase.IDLE, Phase.OUT_OF_SERVICE):
                break
            event = nobody(node)
            state, commands = step(node.state, event)
            node = Node(state, {**node.asked, **asked_in(commands)})
        assert node.state.phase in (Phase.IDLE, Phase.OUT_OF_SERVICE), node.state.phase


def nobody(node: Node) -> e.Event:
    state = node.state
    if state.phase is Phase.EJECTING:
        return e.CardRemoved()
    if state.timer and (state.phase, e.TimerExpired) in TRANSITIONS:
        return e.TimerExpired(state.timer)
    whom, (number, _) = next((whom, one) for whom, one in node.asked.items() if whom != "bank")
    return e.CommandFailed(number, Device(whom), "workerLost", "workerLost")


@pytest.mark.parametrize("kind", EVENTS)
def test_no_event_raises_in_any_state(kind: type[e.Event]) -> None:
    """With the number that is awaited, a stale one and none; also what no device would say now. Stale answers change nothing."""
    by_phase: dict[Phase, list[Node]] = {}
    for node in explored().nodes:
        by_phase.setdefault(node.state.phase, []).append(node)
    for nodes in by_phase.values():
        for node in nodes[:: max(1, len(nodes) // 12)]:
            state = node.state
            for number in {0, state.serial + 1, state.timer, *state.pending.values()}:
                for event in samples(kind, number):
                    after, commands = step(state, event)
                    awaited = answer_to(event)
                    if awaited is not None and state.pending.get(awaited[0]) != awaited[1]:
                        assert after == state and [type(one) for one in commands] == [c.Ignore]
                    view_of(after)


def test_an_event_that_nobody_expects_is_reported_and_changes_nothing() -> None:
    state = at(Phase.IDLE).state
    assert step(state, e.KeyPressed("1")) == (state, (c.Ignore("idle", "KeyPressed"),))


def test_no_step_sends_before_it_has_recorded() -> None:
    """All records of a step come before whatever the step sends: journal, then act."""
    assert explored().records
    for state, event, commands in explored().records:
        kinds = [isinstance(command, c.Record) for command in commands]
        assert kinds == sorted(kinds, reverse=True), f"{state.phase.value} + {type(event).__name__}: a record after a command"


def test_a_dispense_is_sent_from_one_place_under_all_its_conditions() -> None:
    assert explored().dispensing
    for state, event, commands in explored().dispensing:
        assert state.phase is Phase.RETURNING_CARD and isinstance(event, e.CardRemoved)
        assert isinstance(commands[0], c.Record) and commands[0].entries[0].kind == "dispenseIntended"
        assert state.transaction is not None and state.transaction.approved and state.dispenser_ready and state.latch is None


def test_nothing_that_leaves_holds_a_secret() -> None:
    said = [repr(view_of(node.state)) + repr(node.state) for node in explored().nodes]
    said += [repr(commands) for _, _, commands in explored().records]
    assert not any(secret in one for one in said for secret in SECRETS)


# --- the diagram


def test_the_document_shows_the_table() -> None:
    root = Path(__file__).parents[2]
    assert diagram.block() in (root / "docs/session.md").read_text(encoding="utf-8"), "run: python -m terminal.core.diagram"
    readme = root / "README.md"
    if readme.exists() and diagram.BEGIN in (text := readme.read_text(encoding="utf-8")):
        assert diagram.block(diagram.FACE_SERVICES) in text


def test_the_diagram_has_every_phase_and_every_event_of_the_table() -> None:
    text = diagram.mermaid()
    for phase in Phase:
        assert phase.value in text
    for (phase, event), row in TRANSITIONS.items():
        if set(row.targets) - {phase}:
            assert event.__name__ in text


def test_the_document_explains_every_phase() -> None:
    text = (Path(__file__).parents[2] / "docs/session.md").read_text(encoding="utf-8")
    for phase in Phase:
        assert f"| `{phase.value}` |" in text


def test_values_are_frozen() -> None:
    for module in (c, e):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if is_dataclass(kind) and kind.__module__ == module.__name__:
                assert kind.__dataclass_params__.frozen, kind  # type: ignore[attr-defined]
