"""The core against a world that does anything: customers, cards, devices that fail or fall silent, a bank, a disk that is full, kills.

The world knows the truth (which notes really left), the terminal only its journal. Whatever happens in whatever order: no transaction
is dispensed twice, what the bank is told is what was paid or DOBT with the latch, and after the last fault the terminal serves again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from core_play import BLOCK, CARD, CREDIT, DEBIT, MEMORY_GONE, SECRETS, TEMPLATE, account, config, play, recovered_from
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from drivers.secret import Secret
from terminal.core import cash
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.cash import Accuracy, DispenserResult
from terminal.core.model import Device, FaceEvidence, Phase, PinBlock, State
from terminal.core.session import answer_to
from terminal.core.views import view_of

SETTINGS = config(face_from_minor=20_000, counts=(40, 40, 40, 40))
NOTES_IN_ALL = 40
PRESSES = [
    "cancel",
    "yes",
    "no",
    "other",
    "back",
    "enter",
    "finish",
    "receipt",
    "amount:10000",
    "amount:20000",
    "amount:50000",
    "language:en",
    "goOn",
    "otherWay",
    "faceServices",
    "enrol",
    "remove",
    "agree",
]
TROUBLE = ["killed", "workerDies", "silent", "diskFull", "killedWhenItAnswers", "refused", "answer", "outcomeUnknown", "workerLost"]
ASKED, DECLINED = "authorisationRequested", "authorisationDeclined"


class Killed(Exception):
    """The agent's process is gone in the middle of a step."""


class Unit:
    """The dispenser as it is: what it paid, what it remembers."""

    def __init__(self) -> None:
        self.paid: Counter[str] = Counter()
        self.presented = [0, 0, 0, 0]
        self.rejected = [0, 0, 0, 0]
        self.memory: DispenserResult = MEMORY_GONE
        self.fault = ""
        self.not_initialised = False
        """An initialisation failed: the service says that the unit is there again at its next good look."""

    def prepare(self, quantities: tuple[int, ...]) -> DispenserResult:
        """As the service does: the account of nothing, when the last one could be taken for this dispense's."""
        if cash.possible(self.memory, quantities):
            self.memory = account(0, 0, 0, 0, command="testDispense")
        return self.memory

    def pay(self, transaction_id: str, quantities: tuple[int, ...], notes: int, error: int, reject: int) -> DispenserResult:
        """At most `notes` of what was asked leave when there is an error; the account tells the truth unless the error says it may not."""
        left = sum(quantities) if error == 0 else min(notes, sum(quantities) - 1)
        out = [0, 0, 0, 0]
        for place, asked in enumerate(quantities):
            out[place] = min(asked, left)
            left -= out[place]
        bin_ = [reject if asked else 0 for asked in quantities]
        for place in range(4):
            self.presented[place] += out[place]
            self.rejected[place] += bin_[place]
        self.paid[transaction_id] += cash.value_minor(SETTINGS.units, out)
        told = [n + 1 if error in cash.UNCERTAIN_ERRORS and quantities[i] else n for i, n in enumerate(out)]
        self.memory = account(*told, rejected=bin_, error=error)
        self.fault = "jam" if error not in (0, cash.PICK_UP_ERROR) else self.fault
        return self.memory


class Terminal(play):
    """The agent's part, with what it sends going to the world."""

    def __init__(self, world: World, journal: list[c.Entry], outgoing: list[c.Outgoing]) -> None:
        super().__init__(State(SETTINGS), journal)
        self.world = world
        self.outgoing = outgoing
        self.just_recorded: list[str] = []

    def take(self, event: e.Event) -> None:
        self.just_recorded = []
        super().take(event)

    def perform(self, command: c.Command) -> bool:
        if self.world.dies_in == 0:
            raise Killed
        self.world.dies_in -= 1
        if not super().perform(command):
            return False
        if isinstance(command, c.Record):
            self.just_recorded += [entry.kind for entry in command.entries]
            said = repr(command)
            assert not any(secret in said for secret in SECRETS)
        elif isinstance(command, c.DeviceCommand):
            if isinstance(command, c.Dispense):
                self.world.dispense_left(command)
            if isinstance(command, c.EnrolFace):
                assert self.just_recorded == ["faceConsent"], "the camera opened before the consent was on disk"
            self.world.send(command)
        elif isinstance(command, c.Authorise | c.FetchTemplate | c.ManageFace):
            if isinstance(command, c.ManageFace) and command.service == "revoke":
                assert self.just_recorded == ["faceConsent"], "the bank was asked before the withdrawal was on disk"
            self.world.requests.append(command)
        elif isinstance(command, c.EndAgent):
            assert command.failed == self.state.store_failed
            settled = "transactionSettled" in self.just_recorded  # by this very step: the state is still the one before it
            assert self.state.open_dispense is None or settled or self.state.store_failed, "an agent that may write waits for its dispense"
            raise Killed
        return True


class World(RuleBasedStateMachine):
    @initialize(
        to=st.sampled_from([Phase.IDLE, Phase.AUTHORISING, Phase.RETURNING_CARD, Phase.DISPENSING]),
        what=st.sampled_from(["", "", *TROUBLE]),
        executed=st.booleans(),
        error=st.sampled_from([0x01, 0x20, 0x07]),
        notes=st.integers(0, 1),
    )
    def power_on(self, to: Phase, what: str, executed: bool, error: int, notes: int) -> None:
        self.unit = Unit()
        self.journal: list[c.Entry] = []
        self.outgoing: list[c.Outgoing] = []
        self.dispensed: Counter[str] = Counter()
        self.latched = False
        self.card_in = False
        self.dies_in = -1
        self.boot()
        self.all_online()
        self.a_customer_who_knows_what_to_do(to)
        if what and to is Phase.DISPENSING:
            self.trouble_while_cash_is_paid(what, executed, error, notes)

    def boot(self) -> None:
        """The agent starts: nothing is known but the journal, no worker is up yet."""
        self.alive = dict.fromkeys(Device, False)
        self.queues: dict[Device, list[c.DeviceCommand]] = {device: [] for device in Device}
        self.requests: list[c.Authorise | c.FetchTemplate | c.ManageFace] = []
        self.inbox: list[e.Event] = []
        self.said: list[e.Event] = []
        self.terminal = Terminal(self, self.journal, self.outgoing)
        self.feed(e.Started(recovered_from(self.journal)))

    @property
    def state(self) -> State:
        return self.terminal.state

    def feed(self, event: e.Event) -> None:
        self.inbox.append(event)
        if answer_to(event) is not None:
            self.said = [*self.said[-4:], event]
        while self.inbox:
            try:
                self.terminal.take(self.inbox.pop(0))
            except Killed:
                self.dies_in = -1
                self.restart()

    def restart(self, executed: bool = True) -> None:
        """`executed`: whether the worker still finished a dispense that was in its hands."""
        waiting = [one for one in self.queues[Device.DISPENSER] if isinstance(one, c.Dispense)]
        if executed and waiting:
            self.unit.pay(self.open_transaction(), waiting[0].quantities, 0, 0, 0)
        self.terminal.state = replace(self.state, phase=Phase.UNKNOWN)  # gone, whatever it was
        self.boot()

    # --- what the terminal sends

    def send(self, command: c.DeviceCommand) -> None:
        if isinstance(command, c.StopFace):
            looking = self.queues[Device.FACE][:1]
            if looking and isinstance(looking[0], c.VerifyFace | c.EnrolFace):
                del self.queues[Device.FACE][0]
                self.inbox.append(e.FaceVerified(looking[0].command_id, "stopped", FaceEvidence()))
        elif self.alive[command.device]:
            self.queues[command.device].append(command)
        else:
            self.inbox.append(e.CommandFailed(command.command_id, command.device, "workerLost", "workerLost"))

    def open_transaction(self) -> str:
        found = next(entry.transaction_id for entry in reversed(self.journal) if entry.kind == "dispenseIntended")
        assert found is not None
        return found

    def dispense_left(self, command: c.Dispense) -> None:
        transaction_id = self.open_transaction()
        self.dispensed[transaction_id] += 1
        assert self.dispensed[transaction_id] == 1, "a transaction was dispensed twice"
        assert self.terminal.just_recorded[-1] == "dispenseIntended", "the intent was not on disk in the same step"
        assert not self.card_in, "cash before card"
        confirmed = [entry for entry in self.journal if entry.kind == "cardConfirmed" and entry.transaction_id == transaction_id]
        assert [entry.data["kind"] for entry in confirmed] == ["TC"]
        assert not self.latched, "a latched terminal pays nobody"

    # --- the customer

    @rule()
    def insert(self) -> None:
        if not self.card_in:
            self.card_in = True
            if self.alive[Device.CARD_READER]:
                self.feed(e.CardInserted())

    @rule()
    def take_card(self) -> None:
        if self.card_in:
            self.card_in = False
            if self.alive[Device.CARD_READER]:
                self.feed(e.CardRemoved())

    @rule(option=st.sampled_from(PRESSES))
    def press(self, option: str) -> None:
        offered = [one.id for one in view_of(self.state).options]
        self.feed(e.Pressed(option if option in offered or not offered else offered[len(option) % len(offered)]))

    @rule(key=st.sampled_from(["digit", "1", "0", "enter", "cancel", "clear", "backspace"]))
    def key(self, key: str) -> None:
        self.feed(e.KeyPressed(key))

    @precondition(lambda self: self.state.phase is Phase.ENTERING_PIN)
    @rule()
    def type_pin(self) -> None:
        self.answer_all(Device.PIN_PAD)
        for key in ("digit", "digit", "digit", "digit", "enter"):
            self.feed(e.KeyPressed(key))
        self.answer_all(Device.PIN_PAD)

    @rule()
    def time_passes(self) -> None:
        if self.state.timer:
            self.feed(e.TimerExpired(self.state.timer))

    @rule(
        to=st.sampled_from(
            [Phase.DISPENSING, Phase.CHOOSING_AMOUNT, Phase.AUTHORISING, Phase.RETURNING_CARD, Phase.DISPENSING, Phase.PRESENTING]
        )
    )
    def a_customer_who_knows_what_to_do(self, to: Phase) -> None:
        """Straight to a phase where it matters, unless something is in the way. A customer before is seen off."""
        moves = {
            Phase.IDLE: self.insert,
            Phase.CHOOSING_APPLICATION: lambda: self.press(f"application:{DEBIT.aid}"),
            Phase.ENTERING_PIN: self.type_pin,
            Phase.CHOOSING_AMOUNT: lambda: self.press("amount:20000"),
            Phase.EXPLAINING_FACE: lambda: self.press("goOn"),
            Phase.CHOOSING_FACE_SERVICE: lambda: self.press("done"),
            Phase.CONSENTING: lambda: self.press("back"),
            Phase.CONFIRMING_REVOCATION: lambda: self.press("no"),
            Phase.FACE_SERVICE_DONE: lambda: self.press("finish"),
            Phase.RETURNING_CARD: self.take_card,
            Phase.EJECTING: self.take_card,
            **dict.fromkeys((Phase.PRESENTING, Phase.THANKING, Phase.FAILED, Phase.STILL_THERE), self.time_passes),
            Phase.OUT_OF_SERVICE: self.all_online,
        }
        if self.state.store_failed or self.state.stopping:
            self.restart()
        for _ in range(16):
            if self.state.phase is to:
                return
            if self.state.phase in moves:
                moves[self.state.phase]()
            for device in Device:
                if not (device is Device.DISPENSER and to is Phase.DISPENSING):
                    self.answer_all(device)
            self.bank_answers("APPR")

    @rule()
    def the_agent_is_told_to_stop(self) -> None:
        """Whoever is there is served; then it ends, and is started again."""
        self.feed(e.StopRequested())

    # --- devices

    def answer_all(self, device: Device) -> None:
        while self.queues[device] and self.alive[device]:
            self.answer(device)

    def answer(self, device: Device) -> None:
        """The head of the queue, as it should be."""
        command = self.queues[device].pop(0)
        n = command.command_id
        match command:
            case c.ReadCard():
                self.feed(e.ApplicationsRead(n, (DEBIT, CREDIT) if len(self.journal) % 2 else (DEBIT,)))
            case c.SelectApplication():
                self.feed(e.ApplicationSelected(n, CARD))
            case c.GenerateFirstCryptogram():
                self.feed(e.FirstCryptogramMade(n, "ARQC", "9F2608AA"))
            case c.GenerateSecondCryptogram():
                self.feed(e.SecondCryptogramMade(n, "TC" if command.approved else "AAC", "9F2701"))
            case c.MakePinBlock():
                self.feed(e.PinBlockMade(n, PinBlock("iso9564-4", Secret(BLOCK), "KSN")))
            case c.PrepareDispense():
                self.feed(e.DispenserPrepared(n, self.unit.prepare(command.quantities)))
            case c.Dispense():
                self.feed(e.NotesDispensed(n, self.unit.pay(self.open_transaction(), command.quantities, 0, 0, 0)))
            case c.AskLastStatus():
                self.feed(e.LastStatusRead(n, self.unit.memory))
            case c.InitialiseDispenser():
                self.feed(e.DispenserInitialised(n, self.unit.fault))
            case c.PrintReceipt():
                self.feed(e.ReceiptPrinted(n))
            case c.MakeFaceKey():
                self.feed(e.FaceKeyMade(n, "04AB"))
            case c.VerifyFace():
                self.feed(e.FaceProgress(n, "turnLeft", "", 1, 3))
                self.feed(e.FaceVerified(n, "accepted", FaceEvidence(score=0.9)))
            case c.EnrolFace():
                self.feed(e.FaceProgress(n, "look", "comeCloser", 1, 3))
                self.feed(e.FaceEnrolled(n, "accepted", Secret(TEMPLATE), FaceEvidence(frames=3)))
            case _:
                self.feed(e.CommandDone(n, device))

    def waiting(self) -> list[Device]:
        return [device for device in Device if self.queues[device]]

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

    def worker_dies(self, device: Device) -> None:
        self.alive[device] = False
        lost, self.queues[device] = self.queues[device], []
        self.inbox += [e.CommandFailed(command.command_id, device, "workerLost", "workerLost") for command in lost]
        self.feed(e.DeviceLost(device, "workerLost"))

    @rule(device=st.sampled_from(Device))
    def a_worker_is_back(self, device: Device) -> None:
        if not self.alive[device]:
            self.alive[device] = True
            if device is Device.CARD_READER:
                self.inbox.append(e.DeviceOnline(device))
                self.feed(e.CardInserted() if self.card_in else e.CardRemoved())
            else:
                self.feed(e.DeviceOnline(device))

    @rule(fault=st.sampled_from(["", "jam"]))
    def the_dispensers_fault_changes(self, fault: str) -> None:
        if fault != self.unit.fault or self.unit.not_initialised:
            self.unit.fault = fault
            self.unit.not_initialised = False
            if self.alive[Device.DISPENSER]:
                self.feed(e.DeviceOnline(Device.DISPENSER))

    @rule()
    def the_dispenser_loses_power(self) -> None:
        """And its memory of the last command with it."""
        self.unit.memory = MEMORY_GONE
        self.a_worker_dies(False, Device.DISPENSER)

    # --- the bank

    @rule(up=st.booleans())
    def the_link(self, up: bool) -> None:
        self.feed(e.LinkUp() if up else e.LinkDown("gone"))

    @rule(response=st.sampled_from(["APPR", "APPR", "DECL", "PINR", "PINL", "CHDA", "TECH", "timeout", "offline"]))
    def bank_answers(self, response: str) -> None:
        if not self.requests:
            return
        request = self.requests.pop(0)
        n = request.request_id
        if response in ("timeout", "offline"):
            self.feed(e.RequestFailed(n, response))
        elif isinstance(request, c.FetchTemplate):
            self.feed(e.TemplateFetched(n, Secret(TEMPLATE if response == "APPR" else ""), ""))
        elif isinstance(request, c.ManageFace):
            actions = (response,) if response in ("PINR", "PINL") else ()
            answer, reason = ("DECL", "incorrectPin") if actions else (response if response in ("APPR", "TECH") else "DECL", "")
            since = "2026-11-22" if request.attempt == 1 and n % 2 else ""
            self.feed(e.FaceManaged(n, answer, reason, actions, "8A023030", since, ""))
        elif response == "CHDA":
            self.feed(e.AuthorisationAnswered(n, "DECL", "authenticationRequired", (response,), "", "", None))
        elif response in ("PINR", "PINL"):
            self.feed(e.AuthorisationAnswered(n, "DECL", "incorrectPin", (response,), "", "", None))
        else:
            self.feed(e.AuthorisationAnswered(n, response, "" if response == "APPR" else "limitExceeded", (), "A1", "8A023030", None))

    @precondition(lambda self: self.said and not self.state.store_failed)  # what the journal refused was not answered yet
    @rule(data=st.data())
    def an_answer_comes_again(self, data: st.DataObject) -> None:
        """Late, or twice: it is the answer to nothing that is open."""
        again = data.draw(st.sampled_from(self.said))
        self.dies_in = -1
        before = self.state
        self.feed(again)
        assert self.state == before

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

    @rule()
    def all_online(self) -> None:
        for device in Device:
            self.a_worker_is_back(device)
        self.feed(e.LinkUp())
        for device in (Device.DISPENSER, Device.CARD_READER):
            self.answer_all(device)

    # --- what is true at every moment

    def advices(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for out in self.outgoing:
            if out.type == "ATMWithdrawalCompletionAdvice":
                found.setdefault(out.data["transactionId"], []).append(dict(out.data))
        return found

    @invariant()
    def the_bank_is_told_the_truth_once(self) -> None:
        if not hasattr(self, "terminal"):
            return
        for transaction_id, told in self.advices().items():
            assert len(told) == 1, f"{transaction_id} was told {len(told)} times"
            if told[0]["transactionStatus"] == "DOBT":
                assert self.state.latch is not None or self.state.store_failed or self.state.phase is Phase.UNKNOWN
                continue
            assert told[0]["presentedAmount"]["minor"] == self.unit.paid[transaction_id], transaction_id
            assert (told[0]["transactionStatus"] == "SCSS") == (self.unit.paid[transaction_id] > 0)

    @invariant()
    def a_latch_stays(self) -> None:
        if not hasattr(self, "terminal"):
            return
        self.latched = self.latched or any(entry.kind == "dispenseUnknown" for entry in self.journal)
        if self.latched and self.state.phase is not Phase.UNKNOWN and not self.state.store_failed:
            assert self.state.latch is not None

    @invariant()
    def counters_are_right_or_said_not_to_be(self) -> None:
        if not hasattr(self, "terminal") or self.state.open_dispense is not None or self.state.store_failed:
            return
        for place, unit in enumerate(self.state.units):
            if unit.accuracy is Accuracy.ACCURATE:
                assert (unit.presented, unit.rejected) == (self.unit.presented[place], self.unit.rejected[place])

    @invariant()
    def nothing_secret_is_shown(self) -> None:
        if hasattr(self, "terminal"):
            shown = repr(view_of(self.state)) + repr(self.state)
            assert not any(secret in shown for secret in SECRETS)

    def teardown(self) -> None:
        """Every fault is cleared, everybody answers, the customer takes the card and goes: the terminal serves again, or says why not."""
        if not hasattr(self, "terminal"):
            return
        self.dies_in = -1
        if self.state.store_failed or self.state.stopping or self.terminal.disk_full_at is not None or self.state.phase is Phase.UNKNOWN:
            self.restart()
        self.all_online()
        self.the_dispensers_fault_changes("")
        for _ in range(40):
            self.take_card()
            for device in Device:
                self.answer_all(device)
            self.bank_answers("timeout")
            if self.state.phase in (Phase.IDLE, Phase.OUT_OF_SERVICE):
                break
            self.time_passes()
        self.the_bank_is_told_the_truth_once()
        self.counters_are_right_or_said_not_to_be()
        payable = cash.payable(self.state.units, SETTINGS.presets_minor, SETTINGS.max_notes)
        expected = Phase.IDLE if self.state.latch is None and payable else Phase.OUT_OF_SERVICE
        assert self.state.phase is expected, f"{self.state.phase} with everything well"
        told = self.advices()
        last: dict[str, str] = {}
        for entry in self.journal:
            if entry.transaction_id and (entry.kind in (ASKED, DECLINED) or entry.kind == "dispenseIntended"):
                last[entry.transaction_id] = entry.kind
        for transaction_id, kind in last.items():
            assert (transaction_id in told) == (kind != DECLINED), f"{transaction_id}: {kind}"
        assert set(self.unit.paid) <= set(told), "cash that the bank never heard of"


TestWorld = World.TestCase
TestWorld.settings = settings(
    deadline=None, max_examples=150, stateful_step_count=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
