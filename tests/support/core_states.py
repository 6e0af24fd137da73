"""Every state of the core that can be reached.

They are explored breadth first from a terminal that starts, one event at a time, told apart by what decides anything.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from core_samples import ANSWERED_BY, samples
from core_ways import MEMORY_GONE, ONE_BEFORE, account, at, config, recovered_from

from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.cash import DispenserResult
from terminal.core.model import Device, Phase, State
from terminal.core.recovery import Recovered
from terminal.core.session import CONCERNS, answer_to, step

SETTINGS = config(face_from_minor=2_000, counts=(3, 3, 0, 3), presets_minor=(1_000, 5_000), limit_minor=20_000, face_attempts=2)
AWAY_AT_ONCE = 1
STATES_AT_MOST = 20_000


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
