"""The customer and the bank around the core: they do what they want, in any order."""

from __future__ import annotations

from collections.abc import Callable

from core_ways import DEBIT, TEMPLATE
from core_world import Wires
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from drivers.secret import Secret
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device, Phase
from terminal.core.views import view_of

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


class People(Wires):
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
        moves: dict[Phase, Callable[[], None]] = {
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
