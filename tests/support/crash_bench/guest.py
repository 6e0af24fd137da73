"""A customer who does not follow a script but answers whatever screen is shown, whatever dies around him, and goes when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from websockets.exceptions import ConnectionClosed

from crash_bench.branch import Branch, Stuck
from crash_bench.plan import Visit
from simulators.stage.processes import StageError

LOOK_S = 0.1
AGAIN_S = 2.0  # a press that changed nothing was lost with the page that took it
FORGETS_S = 4.5  # longer than the terminal waits
IGNORED_S = 8.0  # a card that is in and that nobody takes notice of is pulled out again


class Guest:
    """`visit` returns when the customer has gone: his card is out and the screen is that of nobody's turn."""

    def __init__(self, branch: Branch, visit: Visit) -> None:
        self._branch = branch
        self._visit = visit
        self._acted: tuple[object, ...] = ()
        self._acted_at = 0.0
        self._inserted = False
        self._entries = 0
        self._waits_since = 0.0
        self._asked_at = 0.0
        self.saw: set[str] = set()

    def visit(self, until: float) -> None:
        while not self._over():
            self._branch.attend()
            view = self._branch.eyes.looks(LOOK_S)
            if time.monotonic() > until:
                raise Stuck(f"the customer still waits; the screen says {view.get('title') or 'nothing'}")
            if view.get("screen") in ("enterPin", "otherAmount"):
                view = self._newest(view)
            if view:
                self.saw.add(view["screen"])
                self._answer(view)

    def _newest(self, view: dict[str, Any]) -> dict[str, Any]:
        """A finger that answers an old view types into the middle of an entry."""
        seq = None
        while view and view["seq"] != seq:
            seq = view["seq"]
            view = self._branch.eyes.looks(0.01)
        return view

    def _answer(self, view: dict[str, Any]) -> None:
        """Once for every view; again when nothing came of it."""
        key = (view["screen"], view["seq"], view["mask"], len(view["options"]))
        if key == self._acted and time.monotonic() - self._acted_at < AGAIN_S:
            return
        act = ACTS.get(view["screen"])
        self._acted, self._acted_at = key, time.monotonic()
        if act is None:
            return
        try:
            act(self, view)
        except (StageError, ConnectionClosed, OSError):
            self._acted = ()  # the page went away under the finger

    def _over(self) -> bool:
        view = self._branch.eyes.view
        if not self._inserted or view.get("screen") not in ("idle", "outOfService"):
            self._waits_since = time.monotonic()
            return False
        state = self._branch.hand("card", "state")
        if state is None:
            return False
        if state["inserted"]:
            if time.monotonic() - self._waits_since > IGNORED_S:
                self._branch.tell("customer", "is not noticed and takes the card back")
                self.saw.add(f"ignored on {view['screen']}")
                self._branch.hand("card", "remove")
            return False
        return True

    # --- hands

    def _press(self, *options: str) -> None:
        """The first of them that is offered."""
        offered = [one["id"] for one in self._branch.eyes.view["options"]]
        chosen = next((name for option in options for name in offered if name.startswith(option)), None)
        if chosen is not None:
            self._branch.eyes.presses(chosen)

    def _key(self, key: str) -> None:
        self._branch.hand("pinpad", "press", key=key)

    def _take_card(self) -> None:
        if self._branch.hand("card", "remove") is not None:
            self._branch.tell("customer", "takes the card")

    # --- what he does on each screen

    def _idle(self, view: dict[str, Any]) -> None:
        if not self._inserted and self._branch.hand("card", "insert", card=self._visit.card) is not None:
            self._inserted = True
            self._branch.tell("customer", f"inserts the card {self._visit.card}")
        elif not self._inserted:
            self._acted = ()

    def _application(self, view: dict[str, Any]) -> None:
        self._press("application:")

    def _pin(self, view: dict[str, Any]) -> None:
        if self._visit.story == "walks away":
            return
        pin = self._visit.pin
        if self._visit.story == "wrong PIN first" and not self._entries:
            pin = "1" * len(pin)
        if view["mask"] < len(pin):
            self._key(pin[view["mask"]])
        else:
            self._entries += 1
            self._key("enter")

    def _amount(self, view: dict[str, Any]) -> None:
        if self._visit.story == "types the amount":
            self._press("other", "cancel")
        else:
            self._press(f"amount:{self._visit.amount_minor}", "cancel")

    def _type_amount(self, view: dict[str, Any]) -> None:
        """One key for each view, as the digits appear."""
        wanted = str(self._visit.amount_minor // 100)
        shown = "".join(sign for sign in view.get("entry") or "" if sign.isdecimal())
        if shown == wanted:
            self._key("enter")
        elif wanted.startswith(shown):
            self._key(wanted[len(shown)])
        else:
            self._key("clear")

    def _wait(self, view: dict[str, Any]) -> None:
        if self._visit.story == "pulls the card":
            self._take_card()

    def _card_out(self, view: dict[str, Any]) -> None:
        if self._visit.story == "forgets the card" and time.monotonic() - self._asked_for_card() < FORGETS_S:
            self._acted = ()
            return
        self._take_card()

    def _asked_for_card(self) -> float:
        self._asked_at = self._asked_at or time.monotonic()
        return self._asked_at

    def _still_there(self, view: dict[str, Any]) -> None:
        if self._visit.story != "walks away":
            self._press("yes")

    def _cash(self, view: dict[str, Any]) -> None:
        self._branch.hand("dispenser", "take_notes")
        if self._visit.story in ("declines the receipt", "probes"):
            self._press("finish")
        else:
            self._press("receipt", "finish")

    def _receipt(self, view: dict[str, Any]) -> None:
        self._branch.hand("printer", "take_receipt")
        self._press("ok")

    def _failed(self, view: dict[str, Any]) -> None:
        self._take_card()
        self._press("ok")


ACTS: dict[str, Callable[[Guest, dict[str, Any]], None]] = {
    "idle": Guest._idle,
    "chooseApplication": Guest._application,
    "enterPin": Guest._pin,
    "chooseAmount": Guest._amount,
    "otherAmount": Guest._type_amount,
    "wait": Guest._wait,
    "takeCard": Guest._card_out,
    "stillThere": Guest._still_there,
    "takeCash": Guest._cash,
    "takeReceipt": Guest._receipt,
    "thanks": lambda guest, view: guest._press("ok"),
    "failure": Guest._failed,
}
