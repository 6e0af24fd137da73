"""What stands around the core in its stateful test: a dispenser that knows the truth, the agent's part, and the wires between them.

What happens to them is `core_people` and `tests/property/test_core_machine.py`; what must hold is `core_truths`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from core_play import play
from core_ways import BLOCK, CARD, CREDIT, DEBIT, FACTORY, MEMORY_GONE, SECRETS, TEMPLATE, account, config, recovered_from
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from drivers.secret import Secret
from terminal.core import cash
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.cash import DispenserResult
from terminal.core.model import Device, FaceEvidence, Phase, PinBlock, State
from terminal.core.session import answer_to

SETTINGS = config(face_from_minor=20_000, counts=(40, 40, 40, 40))


class Killed(Exception):
    """The agent's process is gone in the middle of a step."""


class Unit:
    """The dispenser as it is: what it paid, what it remembers."""

    def __init__(self) -> None:
        self.paid: Counter[str] = Counter()
        self.presented = [0, 0, 0, 0]
        self.rejected = [0, 0, 0, 0]
        self.memory: DispenserResult = MEMORY_GONE
        self.dispenses: list[DispenserResult] = []
        """Their accounts: the last that was finished may come back with the power."""
        self.fault = ""
        self.not_initialised = False
        """An initialisation failed: the service says that the unit is there again at its next good look."""

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
        self.dispenses.append(self.memory)
        self.fault = "jam" if error not in (0, cash.PICK_UP_ERROR) else self.fault
        return self.memory


class Terminal(play):
    """The agent's part, with what it sends going to the world."""

    def __init__(self, world: Wires, journal: list[c.Entry], outgoing: list[c.Outgoing]) -> None:
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


class Wires(RuleBasedStateMachine):
    """Queues to the devices and the bank, and what gets through them."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = Unit()
        self.journal: list[c.Entry] = []
        self.outgoing: list[c.Outgoing] = []
        self.dispensed: Counter[str] = Counter()
        self.latched = False
        self.card_in = False
        self.dies_in = -1

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
            self.inbox.append(e.CommandFailed(command.command_id, command.device, "workerLost", e.NOT_SENT))

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
                self.feed(e.DispenserPrepared(n, self.unit.memory, FACTORY))
            case c.Dispense():
                self.feed(e.NotesDispensed(n, self.unit.pay(self.open_transaction(), command.quantities, 0, 0, 0)))
            case c.AskLastStatus():
                assert command.cassettes == FACTORY
                self.feed(e.LastStatusRead(n, self.unit.memory))
            case c.InitialiseDispenser():
                if self.unit.fault:  # a RESET, which empties LAST STATUS
                    self.unit.memory = MEMORY_GONE
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
    def all_online(self) -> None:
        for device in Device:
            self.a_worker_is_back(device)
        self.feed(e.LinkUp())
        for device in (Device.DISPENSER, Device.CARD_READER):
            self.answer_all(device)
