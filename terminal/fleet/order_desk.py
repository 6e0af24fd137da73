"""The centre's orders, done: at once, when the terminal is between customers, or by a worker that answers later.

Everything happens in `tick`, in the agent's thread and never inside a step of the core; what `heard` and `saw` bring is only put
down. Nothing is taken, begun or reported while a dispense is open or the disk does not write.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from terminal.adapters import link_events as link
from terminal.adapters.store_file import StoreFailed
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device, DeviceStatus, Phase, State
from terminal.fleet.order_book import SUCCEEDED, OpenOrder, OrderBook, Outcome, failed
from terminal.fleet.orders import Keys, Order, Refusal, read_order
from terminal.fleet.post import Post

MOST_ARRIVED, MOST_OPEN = 64, 16
RESTART_EXIT = 75
"""The agent's exit code when it was ordered to restart (sysexits.h EX_TEMPFAIL): whoever runs it starts it again."""
CHECK_S, RESTARTED_S, PICTURE_S = 10.0, 90.0, 30.0
CHECKS: Mapping[Device, Callable[[int, float], c.DeviceCommand]] = {
    Device.CARD_READER: c.CheckCardReader,
    Device.PIN_PAD: c.CheckPinPad,
    Device.DISPENSER: c.CheckDispenser,
    Device.PRINTER: c.CheckPrinter,
    Device.FACE: c.CheckFaceVerifier,
}
BETWEEN_CUSTOMERS = ("restartWorker", "restartAgent", "selfTest")


@dataclass(frozen=True, slots=True)
class Means:
    """What orders are done with. `picture(device, done)` calls `done` in the agent's thread; None: no camera looks at that device."""

    keys: Keys
    status: Callable[[], Mapping[str, Any]]
    counters: Callable[[], Mapping[str, Any]]
    journal: Callable[[int, int], Mapping[str, Any]]
    restart_worker: Callable[[Device], None]
    picture: Callable[[Device, Callable[[Outcome], None]], bool]
    refused: Callable[[str, str], None]


class OrderDesk:
    """terminal.fleet.attendant.Desk."""

    def __init__(self, post: Post, means: Means) -> None:
        self._post, self._means = post, means
        self._book = OrderBook(post)
        self._arrived: deque[dict[str, Any]] = deque()
        self._stirred = True
        self._numbers = 0
        self._recovered = False

    # --- what comes in

    def heard(self, event: link.LinkEvent) -> None:
        if not isinstance(event, link.OrderArrived):
            return
        if len(self._arrived) >= MOST_ARRIVED:
            self._means.refused("cmd", "tooMany")
            return
        self._arrived.append(event.data)
        self._stirred = True

    def saw(self, event: e.Event, before: State) -> None:
        self._stirred = self._stirred or bool(self._book.open)
        number = getattr(event, "command_id", 0)
        for opened in self._book.open.values():
            if number < 0 and opened.number == number:
                opened.answer = _answer_of(event)
            device = opened.order.parameters.get("device")
            if opened.order.command == "restartWorker" and opened.state == "executing" and isinstance(event, e.DeviceOnline):
                opened.answer = opened.answer or (SUCCEEDED if event.device.value == device else None)

    # --- time

    def next_deadline(self) -> float | None:
        if not self._post.may_write:
            return None
        now = self._post.now
        if self._arrived or self._stirred:
            return now
        if not self._book.open:
            return None
        left_s = [(one.order.expires - self._post.moment).total_seconds() for one in self._book.open.values() if one.state == "waiting"]
        limits = [one.until for one in self._book.open.values() if one.until is not None]
        return min([*(now + max(0.0, left) for left in left_s), *limits], default=None)

    def tick(self) -> None:
        if not self._post.may_write or self._post.state.phase is Phase.UNKNOWN:
            return
        self._stirred = False
        if not self._recovered:
            self._recovered = True
            self._recover()
        while self._arrived and self._post.may_write:
            self._take(self._arrived.popleft())
        for opened in list(self._book.open.values()):
            if self._post.may_write:
                self._go_on(opened)

    # --- one order

    def _take(self, data: Mapping[str, Any]) -> None:
        post = self._post
        found = read_order(data, self._means.keys, post.state.config.terminal_id, post.moment)
        if isinstance(found, Refusal):
            self._refuse(found)
            return
        first = self._book.first_result(found.command_id)
        fault = "replayed" if first is not None else self._fault_now(found)
        if fault:
            self._refuse(Refusal(fault, found.command_id, found.command), first)
        elif (read := self._read(found)) is not None:
            self._book.note(found, read)
        elif self._book.note(found, Outcome("received")):
            self._begin(self._book.open[found.command_id])

    def _read(self, order: Order) -> Outcome | None:
        """What only reads has no effect that its receipt would have to precede: one transaction, one message."""
        match order.command:
            case "status":
                return Outcome("succeeded", "SUCC", data=self._means.status())
            case "counters":
                return Outcome("succeeded", "SUCC", data=self._means.counters())
            case "journalRange":
                try:
                    return Outcome("succeeded", "SUCC", data=self._means.journal(order.parameters["from"], order.parameters["to"]))
                except (StoreFailed, ValueError):
                    return failed("HRDW", "journalUnreadable")
        return None

    def _refuse(self, refusal: Refusal, first: Mapping[str, Any] | None = None) -> None:
        self._means.refused("cmd", refusal.reason)
        self._book.refuse(refusal, first)

    def _fault_now(self, order: Order) -> str:
        """A worker that comes back initialises a dispenser with a fault, which moves what lies on its path."""
        state = self._post.state
        touches = order.command == "restartAgent" or order.parameters.get("device") == Device.DISPENSER.value
        if touches and order.command in ("restartAgent", "restartWorker"):
            known = state.devices.get(Device.DISPENSER)
            faulty = known is not None and known.status is DeviceStatus.ONLINE and not state.dispenser_ready
            if faulty and state.latch is None:
                return "movesNotes"
        return "tooMany" if len(self._book.open) >= MOST_OPEN and order.command != "cancel" else ""

    def _begin(self, opened: OpenOrder) -> None:
        order, state = opened.order, self._post.state
        match order.command:
            case "cancel":
                self._cancel(opened)
            case "enterService" | "leaveService":
                self._post.agent.take(e.ServiceOrdered(order.command == "enterService", order.command_id))
                self._go_on(opened)
            case "picture":
                self._picture(opened)
            case _ if not self._post.agent.resting or state.card_present:
                self._wait(opened)
            case _:
                self._do(opened)

    def _go_on(self, opened: OpenOrder) -> None:
        """What has begun and not ended: has it, is it time, is its time over?"""
        order, now = opened.order, self._post.now
        if opened.answer is not None:
            self._end(opened, opened.answer)
        elif opened.until is not None and now >= opened.until:
            self._end(opened, failed("TIMO", "noAnswer"))
        elif order.command in ("enterService", "leaveService"):
            self._service(opened)
        elif opened.state == "waiting" and self._post.moment >= order.expires:
            self._end(opened, Outcome("expired", "TIMO", "expired"))
        elif opened.state == "waiting" and self._post.agent.resting and not self._post.state.card_present:
            self._do(opened)

    def _service(self, opened: OpenOrder) -> None:
        state, entering = self._post.state, opened.order.command == "enterService"
        if state.closed_by_operator is entering:  # the disk refused, or another order has overtaken this one
            self._end(opened, failed("CNTE", "overtaken"))
        elif entering or state.phase is Phase.OUT_OF_SERVICE:
            report = self._means.status()
            self._end(opened, Outcome("succeeded", "SUCC", data={"service": report["service"], "reasons": report["reasons"]}))
        elif self._post.moment >= opened.order.expires:
            self._undo(opened)
            self._end(opened, Outcome("expired", "TIMO", "expired"))
        else:
            self._wait(opened)

    def _undo(self, opened: OpenOrder) -> None:
        if opened.order.command == "leaveService":
            self._post.agent.take(e.ServiceOrdered(True, opened.order.command_id))

    def _cancel(self, opened: OpenOrder) -> None:
        target = self._book.open.get(opened.order.parameters["commandId"])
        if target is None or target.state != "waiting":
            self._end(opened, failed("CNTE", "notWaiting"))
            return
        self._undo(target)
        self._end(target, Outcome("cancelled", "SUCC", "cancelled"))
        self._end(opened, SUCCEEDED)

    def _wait(self, opened: OpenOrder) -> None:
        if opened.state != "waiting":
            self._book.note(opened.order, Outcome("waiting"))

    def _end(self, opened: OpenOrder, outcome: Outcome) -> None:
        self._book.note(opened.order, outcome)

    # --- what takes time

    def _do(self, opened: OpenOrder) -> None:
        """Between customers. Noted first, then done."""
        order = opened.order
        device = Device(order.parameters["device"]) if "device" in order.parameters else None
        if device is not None and device not in self._post.agent.ports.workers:
            self._end(opened, failed("NSUP", "noDevice"))
        elif not self._book.note(order, Outcome("executing")):
            return
        elif order.command == "restartAgent":
            self._post.agent.leave(RESTART_EXIT)
        elif order.command == "restartWorker" and device is not None:
            opened.until = self._post.now + RESTARTED_S
            self._means.restart_worker(device)
        elif device is not None:
            opened.until = self._post.now + CHECK_S + 5.0
            self._numbers -= 1
            opened.number = self._numbers
            self._post.agent.ports.workers[device].send(CHECKS[device](opened.number, CHECK_S))

    def _picture(self, opened: OpenOrder) -> None:
        """Of a device, by a camera that looks at it; it disturbs no customer."""

        def done(outcome: Outcome) -> None:
            opened.answer, self._stirred = opened.answer or outcome, True

        if self._means.picture(Device(opened.order.parameters["device"]), done):
            if self._book.note(opened.order, Outcome("executing")):
                opened.until = self._post.now + PICTURE_S
        else:
            self._end(opened, failed("NSUP", "noCamera"))

    def _recover(self) -> None:
        """What an earlier life left open: its own restart has succeeded, a closing goes on, the rest is told as what it is."""
        for order, state in self._book.unfinished():
            opened = self._book.open[order.command_id] = OpenOrder(order, state)
            if order.command == "restartAgent" and state == "executing":
                self._end(opened, SUCCEEDED)
            elif order.command != "leaveService" or not self._post.state.closed_by_operator:
                self._end(opened, failed("UKRF", "interrupted"))


def _answer_of(event: e.Event) -> Outcome | None:
    if isinstance(event, e.SelfCheckDone):
        return Outcome("succeeded", "SUCC", data={"device": event.device.value, "findings": dict(event.findings)})
    if isinstance(event, e.CommandFailed):
        return failed("HRDW", event.name)
    return None
