"""The agent: one inbox, one thread, the pure core in the middle.

Events come in (workers, page, bank link, timer), `step` says what to do, the commands are done in order. A `Record` that the journal does
not take stops the step: the state stays as it was, nothing after it leaves, and the core hears StoreFailed.
"""

from __future__ import annotations

import contextlib
import math
import queue
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from terminal.adapters import link_events as link
from terminal.adapters.bank_messages import BankRequest, answer_of, code_of, request_of
from terminal.adapters.journal import Entry
from terminal.adapters.outbox import Outgoing
from terminal.adapters.store import Kept
from terminal.adapters.store_file import StoreFailed
from terminal.adapters.texts import receipt_lines, view_message
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Phase, State
from terminal.core.session import step
from terminal.core.steps import BANK
from terminal.core.view import View
from terminal.core.views import view_of
from terminal.ports import AttendantPort, Inbox, Item, PagePort, Ports, WorkerPort

TOPICS = {"txn": "txn", "audit": "event", "alarm": "alarm", "telemetry": "telemetry"}
LONGEST_WAIT_S = 1.0
FACTS = (e.CardInserted, e.CardRemoved, e.DeviceOnline, e.DeviceLost, e.LinkUp, e.LinkDown, e.StopRequested)
STOP_WITHIN_S = 240.0
"""A customer who does not come to an end is left behind after that, unless a dispense is open: its outcome is waited for."""
FAILED = 1


class Alone:
    """Nobody attends."""

    def sent(self, command: c.Command) -> None:
        """Nobody counts it."""

    def saw(self, event: e.Event, before: State) -> None:
        """Nobody looks."""

    def heard(self, event: link.LinkEvent) -> None:
        _complain(f"bank link: {event}")

    def tick(self) -> None:
        """Nothing is due."""

    def next_deadline(self) -> float | None:
        return None


class Agent:
    """`take` handles one event to its end; `run` feeds it from the inbox until `stop`."""

    def __init__(self, state: State, badge: str = "", inbox: Inbox | None = None) -> None:
        self.state = state
        self.inbox: Inbox = queue.SimpleQueue() if inbox is None else inbox
        self._badge = badge
        self.ports: Ports
        """Plugged in before the first event."""
        self._children: tuple[WorkerPort | PagePort | AttendantPort, ...] = ()
        self._timer: tuple[int, float] | None = None
        self._requests: dict[str, BankRequest] = {}
        self._shown: tuple[View, int] | None = None
        self._seq = self._pressable_from = 0
        self._running = True
        self._attendant: AttendantPort = Alone()
        self._stop_at: float | None = None
        self.exit_code = 0
        """0: ended as asked. 1: to be started again."""

    def plug(self, ports: Ports) -> None:
        self.ports = ports
        self._children = (*ports.workers.values(), ports.page)

    def attend(self, attendant: AttendantPort) -> None:
        """After `plug`, before the first event."""
        self._attendant = attendant
        self._children = (*self._children, attendant)

    def stop(self, at_once: bool = False) -> None:
        """Serve who is there, then end; `at_once`: end between two events. For signal handlers and other threads."""
        self.inbox.put(self._end if at_once else self._stop)

    def _stop(self) -> None:
        if self._stop_at is None:
            self._stop_at = self.ports.clock.now() + STOP_WITHIN_S
        self.take(e.StopRequested())

    def _end(self) -> None:
        self._running = False

    def run(self, pulse: Callable[[], None] = lambda: None) -> None:
        """`pulse` is called at least every second while the loop goes round: for a watchdog."""
        while self._running:
            self.run_once(LONGEST_WAIT_S)
            pulse()

    def run_once(self, longest_s: float) -> None:
        """Wait for one event (at most `longest_s`), handle it, then whatever time has brought."""
        clock = self.ports.clock
        now = clock.now()
        first = math.inf
        if self._timer is not None:
            first = self._timer[1]
        if self._stop_at is not None:
            first = min(first, self._stop_at)
        for child in self._children:
            at = child.next_deadline()
            if at is not None and at < first:
                first = at
        if first == math.inf:
            first = now + longest_s
        wait = max(0.0, min(longest_s, first - now))
        try:
            item = self.inbox.get(timeout=wait) if wait else self.inbox.get(block=False)
        except queue.Empty:
            pass
        else:
            self._do(item)
        if clock.now() >= first:
            self.elapse()

    def elapse(self) -> None:
        """The session timer, the workers' deadlines and restarts."""
        if self._timer is not None and self.ports.clock.now() >= self._timer[1]:
            serial, self._timer = self._timer[0], None
            self.take(e.TimerExpired(serial))
        for child in self._children:
            child.tick()
        if self._stop_at is not None and self.ports.clock.now() >= self._stop_at and self.state.open_dispense is None:
            self._end()

    def _do(self, item: Item) -> None:
        if isinstance(item, e.Event):
            self.take(item)
        else:
            item()

    def take(self, event: e.Event) -> None:
        """One event: step, do the commands, show the view."""
        trace = self.ports.trace
        trace.note("event", type(event).__name__, self.state.phase.value)
        state, commands = step(self.state, event)
        phase = state.phase.value
        try:
            for command in commands:
                self._perform(command)
                trace.note("command", _name(command), phase)
        except StoreFailed as error:
            if self._store_failed(error) and isinstance(event, FACTS):
                self.take(event)  # it has happened all the same; only what should have followed was not done
            return
        before, self.state = self.state, state
        self._show()
        self._attendant.saw(event, before)

    def record(self, entries: Sequence[Entry], outgoing: Sequence[Outgoing] = (), kept: Sequence[Kept] = ()) -> bool:
        """For what is not the core's. False when the disk refused: nothing was stored, and the core has heard of it."""
        try:
            self.ports.journal.append(entries, outgoing, kept)
        except StoreFailed as error:
            self._store_failed(error)
            return False
        if outgoing:
            self.ports.link.notify()
        return True

    def _store_failed(self, error: StoreFailed) -> bool:
        """False when it was known."""
        _complain(f"journal: {error}")
        self.ports.trace.note("fault", "storeFailed", self.state.phase.value)
        if self.state.store_failed:
            return False
        self.take(e.StoreFailed())
        return True

    def _perform(self, command: c.Command) -> None:
        match command:
            case c.Record(entries=entries, outgoing=outgoing):
                self.ports.journal.append(
                    [Entry(one.kind, one.transaction_id, one.data) for one in entries],
                    [Outgoing(one.klass, TOPICS[one.klass], one.type, one.data) for one in outgoing],
                )
                if outgoing:
                    self.ports.link.notify()
            case c.EndAgent(failed=failed):
                self.exit_code = FAILED if failed else self.exit_code
                self._end()
            case c.StartTimer(serial=serial, seconds=seconds):
                self._timer = (serial, self.ports.clock.now() + seconds)
            case c.Authorise() | c.FetchTemplate():
                self._attendant.sent(command)
                self._ask_bank(command)
            case c.ManageFace():
                try:
                    self._ask_bank(command)
                except ValueError:  # a worker's template that is no JSON of a message: nothing was sent
                    self.inbox.put(e.RequestFailed(command.request_id, "unsendable"))
            case c.PrintReceipt():
                lines = receipt_lines(command, self.state.config.terminal_id, self.state.config.currency, self.ports.wall_clock())
                self._attendant.sent(command)
                self.ports.workers[command.device].send(replace(command, lines=lines))
            case c.EnrolFace():
                sealer = self.ports.sealer
                self.ports.workers[command.device].send(replace(command, recipient_key=sealer.public_key, key_id=sealer.key_id))
            case c.DeviceCommand():
                self._attendant.sent(command)
                self.ports.workers[command.device].send(command)

    def _ask_bank(self, command: BankRequest) -> None:
        """ValueError when it cannot be made into a message."""
        type_, data = request_of(command, self.ports.sealer)
        self._requests[self.ports.link.request(type_, data, command.timeout_s)] = command

    def _show(self) -> None:
        view = view_of(self.state)
        if (view, self.state.timer) != self._shown:
            before, self._shown = self._shown, (view, self.state.timer)
            self._seq += 1
            if before is None or before[1] != self.state.timer or not view.presses_pass(before[0]):
                self._pressable_from = self._seq
            self.ports.trace.note("view", view.screen, self.state.phase.value)
            self.ports.page.show(view_message(view, self._seq, self.state.config.currency, self._badge))

    # --- what comes from outside, made into core events

    def pressed(self, seq: int, option: str) -> None:
        """From the page; a press made on an older view is dropped, unless only the guidance before the camera has changed since."""
        if self._pressable_from <= seq <= self._seq:
            self.take(e.Pressed(option))

    def from_link(self, event: link.LinkEvent) -> None:
        """From the bank link's threads: only enqueued there."""
        self.inbox.put(lambda: self._take_link(event))

    def _take_link(self, event: link.LinkEvent) -> None:
        match event:
            case link.LinkUp():
                self.take(e.LinkUp())
            case link.LinkDown(reason=reason, final=final):
                self.take(e.LinkDown(reason))
                if final:  # its thread has ended for good: only a new process brings it back
                    self.exit_code = FAILED
                    self._stop()
            case link.ResponseArrived(request_id=request_id, type=type_, data=data):
                command = self._requests.pop(request_id, None)
                if command is not None and self.state.pending.get(BANK) == command.request_id:
                    self.take(answer_of(command, type_, data))
                elif command is not None:  # the customer has left meanwhile: for the journal
                    self.take(_late(type_, data))
            case link.RequestFailed(request_id=request_id, reason=reason):
                command = self._requests.pop(request_id, None)
                if command is not None:
                    self.take(e.RequestFailed(command.request_id, reason))
            case link.LateResponse(type=type_, data=data):
                self.take(_late(type_, data))
            case _:
                self._attendant.heard(event)

    def leave(self, exit_code: int) -> None:
        """End the loop after this event; whoever started the process starts it again, or not, by its code."""
        self.exit_code = exit_code
        self._end()

    @property
    def resting(self) -> bool:
        """Between customers."""
        return self.state.phase in (Phase.IDLE, Phase.OUT_OF_SERVICE)


def _complain(sentence: str) -> None:
    """Whoever listened may be gone (a closed pipe): no reason to leave a customer alone."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{sentence}\n")


def _late(type_: str, data: Mapping[str, Any]) -> e.LateResponseArrived:
    return e.LateResponseArrived(code_of(type_), code_of(data.get("transactionId")), code_of(data.get("response")))


def _name(command: c.Command) -> str:
    """A record is named by what it records."""
    return "Record:" + ",".join(entry.kind for entry in command.entries) if isinstance(command, c.Record) else type(command).__name__
