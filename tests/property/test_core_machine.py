"""The core against a world that does anything: customers, cards, devices that fail or fall silent, a bank, a disk that is full, kills.

The world knows the truth (which notes really left), the terminal only its journal. Whatever happens in whatever order: no transaction
is dispensed twice, what the bank is told is what was paid or DOBT with the latch, and after the last fault the terminal serves again.
"""

from __future__ import annotations

from core_truths import Truths
from core_ways import MEMORY_GONE
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from drivers.secret import Secret
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device, FaceEvidence, Phase

TROUBLE = [
    "killed",
    "workerDies",
    "silent",
    "diskFull",
    "killedWhenItAnswers",
    "refused",
    "powerCut",
    "answer",
    "outcomeUnknown",
    "workerLost",
]


class World(Truths):
    @initialize(
        to=st.sampled_from([Phase.IDLE, Phase.AUTHORISING, Phase.RETURNING_CARD, Phase.DISPENSING]),
        what=st.sampled_from(["", "", *TROUBLE]),
        executed=st.booleans(),
        error=st.sampled_from([0x01, 0x20, 0x07]),
        notes=st.integers(0, 1),
    )
    def power_on(self, to: Phase, what: str, executed: bool, error: int, notes: int) -> None:
        self.boot()
        self.all_online()
        self.a_customer_who_knows_what_to_do(to)
        if what and to is Phase.DISPENSING:
            self.trouble_while_cash_is_paid(what, executed, error, notes)

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def a_device_answers(self, data: st.DataObject) -> None:
        self.answer(data.draw(st.sampled_from(self.waiting())))

    @precondition(lambda self: self.waiting())
    @rule(data=st.data(), kind=st.sampled_from(["deviceFault", "linkError", "protocolError", "unexpected"]))
    def a_device_refuses(self, data: st.DataObject, kind: str) -> None:
        """Nothing was done."""
        device = data.draw(st.sampled_from(self.waiting()))
        command = self.queues[device].pop(0)
        self.unit.not_initialised = self.unit.not_initialised or isinstance(command, c.InitialiseDispenser)
        self.feed(e.CommandFailed(command.command_id, device, kind, "cannot"))

    @precondition(lambda self: any(isinstance(one, c.Dispense) for one in self.queues[Device.DISPENSER][:1]))
    @rule(
        notes=st.integers(0, 5),
        error=st.sampled_from([0x01, 0x01, 0x02, 0x20, 0x07, 0x05]),
        reject=st.integers(0, 1),
        told=st.sampled_from(["answer", "outcomeUnknown", "workerLost"]),
    )
    def a_dispense_goes_wrong(self, notes: int, error: int, reject: int, told: str) -> None:
        command = self.queues[Device.DISPENSER].pop(0)
        assert isinstance(command, c.Dispense)
        result = self.unit.pay(self.open_transaction(), command.quantities, notes, error, reject)
        if told == "answer":
            self.feed(e.NotesDispensed(command.command_id, result))
        elif told == "outcomeUnknown":
            self.feed(e.CommandFailed(command.command_id, Device.DISPENSER, told, told))
        else:
            self.queues[Device.DISPENSER].insert(0, command)
            self.worker_dies(Device.DISPENSER)

    @rule(executed=st.booleans(), device=st.sampled_from([*Device, Device.DISPENSER, Device.DISPENSER]))
    def a_worker_dies(self, executed: bool, device: Device) -> None:
        """With a dispense in its hands: done or not, nobody heard of it."""
        if executed and self.queues[device] and isinstance(self.queues[device][0], c.Dispense):
            self.unit.pay(self.open_transaction(), self.queues[device][0].quantities, 0, 0, 0)  # type: ignore[attr-defined]
        if self.alive[device]:
            self.worker_dies(device)

    @rule(notes=st.integers(0, 2), back=st.booleans())
    def the_dispenser_loses_power(self, notes: int, back: bool) -> None:
        """Perhaps in the middle of a dispense. Its memory is gone, or what it knew of the last dispense that ended comes `back`."""
        head = self.queues[Device.DISPENSER][:1]
        ended = list(self.unit.dispenses)
        if notes and head and isinstance(head[0], c.Dispense):
            self.unit.pay(self.open_transaction(), head[0].quantities, notes, 0x20, 0)
        self.unit.memory = ended[-1] if back and ended else MEMORY_GONE
        self.a_worker_dies(False, Device.DISPENSER)

    # --- the bank

    @rule(
        response=st.sampled_from(["DECL", "PINR", "TECH", "timeout"]), then=st.sampled_from(["pulled", "lost", "killed", "again", "wait"])
    )
    def trouble_while_the_bank_is_asked(self, response: str, then: str) -> None:
        self.a_customer_who_knows_what_to_do(Phase.AUTHORISING)
        if self.state.phase is not Phase.AUTHORISING:
            return
        self.bank_answers(response)
        if then == "pulled":
            self.take_card()
        elif then == "lost":
            self.a_worker_dies(False, Device.CARD_READER)
        elif then == "killed":
            self.killed(False, True)
        elif then == "again":
            self.a_customer_who_knows_what_to_do(Phase.DISPENSING)
        else:
            self.answer_all(Device.CARD_READER)

    @precondition(lambda self: self.state.phase in (Phase.VERIFYING_FACE, Phase.ENROLLING_FACE))
    @rule(decision=st.sampled_from(["rejected", "askAgain", "notLive", "noFace", "cameraFault", "templateRefused"]))
    def the_face_is_refused(self, decision: str) -> None:
        head = self.queues[Device.FACE][:1]
        if head and isinstance(head[0], c.VerifyFace | c.EnrolFace):
            n = self.queues[Device.FACE].pop(0).command_id
            if isinstance(head[0], c.VerifyFace):
                self.feed(e.FaceVerified(n, decision, FaceEvidence()))
            else:
                self.feed(e.FaceEnrolled(n, decision, Secret(""), FaceEvidence()))

    @rule(leaves=st.sampled_from(["agrees", "stops", "pulls", "removes", "waits"]))
    def face_services(self, leaves: str) -> None:
        """Into them, and on or out of them in one of the ways that there are."""
        self.a_customer_who_knows_what_to_do(Phase.CHOOSING_AMOUNT)
        if self.state.phase is not Phase.CHOOSING_AMOUNT:
            return
        self.press("faceServices")
        self.answer_all(Device.CARD_READER)
        self.bank_answers("APPR")
        self.answer_all(Device.CARD_READER)
        for option in {"removes": ("remove", "yes"), "waits": ()}.get(leaves, ("enrol", "agree")):
            self.press(option)
        if leaves == "stops":
            self.press("otherWay")
        elif leaves == "pulls":
            self.take_card()
        elif leaves == "waits":
            self.time_passes()
        else:
            self.answer_all(Device.FACE)

    @rule()
    def the_card_refuses(self) -> None:
        head = self.queues[Device.CARD_READER][:1]
        if head and isinstance(head[0], c.GenerateSecondCryptogram | c.GenerateFirstCryptogram):
            n = self.queues[Device.CARD_READER].pop(0).command_id
            kind = e.SecondCryptogramMade if isinstance(head[0], c.GenerateSecondCryptogram) else e.FirstCryptogramMade
            self.feed(kind(n, "AAC", "9F270100"))

    # --- the agent's own end

    @rule(executed=st.booleans(), online=st.sampled_from([True, True, False]))
    def killed(self, executed: bool, online: bool) -> None:
        self.restart(executed)
        if online:
            self.all_online()

    @rule(what=st.sampled_from(TROUBLE), executed=st.booleans(), error=st.sampled_from([0x01, 0x20, 0x07]), notes=st.integers(0, 1))
    def trouble_while_cash_is_paid(self, what: str, executed: bool, error: int, notes: int) -> None:
        """The few moments that matter most, sought out."""
        self.a_customer_who_knows_what_to_do(Phase.DISPENSING)
        head = self.queues[Device.DISPENSER][:1]
        if self.state.phase is not Phase.DISPENSING or not head or not isinstance(head[0], c.Dispense):
            return
        if what == "killed":
            self.killed(executed, True)
        elif what == "workerDies":
            self.a_worker_dies(executed, Device.DISPENSER)
        elif what == "silent":
            self.time_passes()
        elif what == "diskFull":
            self.the_disk_is_full(1)
            self.answer(Device.DISPENSER)
        elif what == "killedWhenItAnswers":
            self.killed_soon(notes)
            self.answer(Device.DISPENSER)
            self.all_online()
        elif what == "powerCut":
            self.the_dispenser_loses_power(notes, executed)
            self.all_online()
        elif what == "refused":
            self.queues[Device.DISPENSER].pop(0)
            self.feed(e.CommandFailed(head[0].command_id, Device.DISPENSER, "deviceFault" if executed else "linkError", "cannot"))
        else:
            self.a_dispense_goes_wrong(notes, error, 0, what)

    @rule(effects=st.integers(0, 3))
    def killed_soon(self, effects: int) -> None:
        """In the middle of a step to come, after so many effects."""
        self.dies_in = effects

    @rule(records=st.integers(1, 3))
    def the_disk_is_full(self, records: int) -> None:
        if self.terminal.disk_full_at is None:
            self.terminal.disk_full_at = self.terminal._records + records


TestWorld = World.TestCase
TestWorld.settings = settings(
    deadline=None, max_examples=150, stateful_step_count=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
