"""Customers: they see the kiosk's view, press its options, and have two hands. Plan and screen decide what they do."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from money.schedule import Customer

if TYPE_CHECKING:
    from money.world import World

PATIENCE_S = 130.0
NOBODY_S = 15.0
"""So long nobody stands there when somebody has walked away."""
SLOW_S = 1.5
"""Whose pace this is lets a screen go away by itself."""
AWAY = ("idle", "outOfService")


class Person:
    """A task in the world. `at_machine` until they have gone."""

    def __init__(self, world: World, plan: Customer) -> None:
        self._world, self.plan = world, plan
        self._card_in = False
        self._typed = self._tried = 0
        self._dawdled = False
        self._until = 0.0
        self._seen: tuple[Any, ...] = ()
        self.began = False

    def main(self) -> None:
        world, plan = self._world, self.plan
        self._until = world.now + PATIENCE_S
        while world.now < self._until:
            sight = self._sight()
            if (sight[1] == "idle" or plan.eager) and not world.slot.present:
                self._wait(plan.pace_s)
                if not world.slot.present:
                    break
            elif not self._look(sight):
                return
        else:
            return
        world.tell("customer", f"inserts the card {plan.card}")
        world.before_camera = plan.face
        world.insert_card(plan.card)
        self.began = self._card_in = True
        self._generation = world.slot.generation
        self._use()

    def _use(self) -> None:
        """Until the session is over for them."""
        world, plan = self._world, self.plan
        started = False
        while world.now < self._until:
            sight = self._sight()
            screen = sight[1]
            started = started or screen not in AWAY
            self._card_in = world.slot.present and world.slot.generation == self._generation
            if screen in AWAY and not self._card_in:
                return
            if screen == plan.leaves_at:
                world.tell("customer", "walks away")
                self._wait(NOBODY_S)
                return
            if screen == plan.pulls_at:
                self._take_card("pulls out")
            self._react(screen, started)
            if not self._look(sight):
                break
        self._take_card("takes in the end")

    def _sight(self) -> tuple[Any, str]:
        return self._world.view.get("seq"), self._world.view.get("screen", "dark")

    def _look(self, seen: tuple[Any, str]) -> bool:
        """Wait for another view than `seen`, or a while. False when patience is over."""
        world = self._world
        until = min(self._until, world.now + 2.0)
        while self._sight() == seen and world.now < until:
            world.watchers.add(world.schedule_task())
            world.time.wait(until)
        return world.now < self._until

    def _react(self, screen: str, started: bool) -> None:
        plan, key = self.plan, (self._world.view.get("seq"), screen)
        if key == self._seen and screen not in ("failure", "takeCard", "idle", "outOfService"):
            return  # done with this one
        self._seen = key
        if screen == plan.cancels_at and self._press("cancel"):
            return
        if screen == plan.dawdles_at and not self._dawdled:
            return
        match screen:
            case "chooseApplication":
                self._press_first("application:")
            case "enterPin":
                self._type_pin()
            case "chooseAmount":
                self._choose_amount()
            case "otherAmount":
                self._type_amount()
            case "faceNotice":
                self._press("otherWay" if plan.service == "otherWay" else "goOn")
            case "face":
                self._before_camera()
            case "faceServices":
                self._face_services()
            case "faceConsent":
                self._wait(plan.pace_s)
                self._press("back" if plan.service == "disagree" else "agree")
            case "faceRemoval":
                self._press("yes" if plan.service == "remove" else "no")
            case "faceDone":
                self._press("receipt" if plan.receipt else "finish") or self._press("finish")
            case "stillThere":
                self._wake_up()
            case "idle" if not started:
                self._wait(0.3)  # the machine has not seen the card yet
            case "takeCard" | "failure" | "idle" | "outOfService":
                self._wait(plan.card_after_s)
                self._take_card("takes")
                if screen == "failure":
                    self._take_cash()
                    if plan.pace_s < SLOW_S:
                        self._press("ok")
            case "takeCash" | "receiptQuestion":
                self._take_cash()
                self._press("receipt" if plan.receipt else "finish") or self._press("finish")
            case "thanks" | "takeReceipt" if plan.pace_s < SLOW_S:
                self._press("ok")

    # --- hands

    def _wait(self, seconds: float) -> None:
        self._world.time.sleep(seconds)

    def _wake_up(self) -> None:
        self._dawdled = True
        if self.plan.wakes == "card":
            self._take_card("pulls out")
        elif self.plan.wakes == "key":
            with contextlib.suppress(ValueError):
                self._world.pad.hand("press", key="clear")
        else:
            self._press(self.plan.wakes)

    def _take_card(self, how: str) -> None:
        world = self._world
        if world.slot.present and world.slot.generation == self._generation:
            world.tell("customer", f"{how} the card")
            world.slot.remove()

    def _take_cash(self) -> None:
        world = self._world
        if self.plan.cash_after_s is None:
            return
        self._wait(self.plan.cash_after_s)
        world.take_cash()

    def _type_pin(self) -> None:
        world, pins = self._world, self.plan.pins
        if world.view.get("mask"):
            return  # it is being typed already
        pin = pins[min(self._typed, len(pins) - 1)]
        self._typed += 1
        self._wait(self.plan.pace_s)
        world.tell("customer", "types the PIN and enter")
        with contextlib.suppress(ValueError):
            world.pad.hand("type", digits=pin)
            world.pad.hand("press", key="enter")
        until = world.now + 2.0
        while world.view.get("screen") == "enterPin" and world.now < until:
            world.watchers.add(world.schedule_task())
            world.time.wait(until)
        self._seen = ()

    def _before_camera(self) -> None:
        """Those who want to stop do so in the middle of it; the view they press on may be a moment old."""
        if self.plan.service == "stop" or (self.plan.service == "otherWay" and self.plan.pace_s < 0.2):
            self._wait(self.plan.pace_s)
            self._press("otherWay")

    def _face_services(self) -> None:
        wanted = {"remove": "remove", "keep": "remove"}.get(self.plan.service, "enrol")
        self._wait(self.plan.pace_s)
        tried, self._tried = self._tried, self._tried + 1
        if tried > 1 or not self._press(wanted):
            self._press("done")

    def _choose_amount(self) -> None:
        self._wait(self.plan.pace_s)
        if self.plan.service not in ("", "otherWay") and self._press("faceServices"):
            return
        if self.plan.keypad or not self._press(f"amount:{self.plan.amount_minor}"):
            self._press("other") or self._press_first("amount:")

    def _type_amount(self) -> None:
        self._wait(self.plan.pace_s)
        text = str(self.plan.amount_minor // 100)
        if self._world.view.get("entry"):
            return
        if self.plan.keypad:
            with contextlib.suppress(ValueError):
                self._world.pad.hand("type", digits=text)
                self._world.pad.hand("press", key="enter")
            self._wait(1.0)
            return
        for digit in text:
            self._press(f"key:{digit}")
            self._wait(0.1)
        self._press("enter")
        self._wait(0.1)
        if self._world.view.get("screen") == "otherAmount":
            self._press("cancel")

    def _press(self, option: str) -> bool:
        """False when the screen does not offer it."""
        view = self._world.view
        if option not in [one["id"] for one in view.get("options", ())] and not (option.startswith("key:") and view.get("keypad")):
            return False
        self._world.tell("customer", f"presses {option}")
        self._world.press(view["seq"], option)
        return True

    def _press_first(self, beginning: str) -> bool:
        options = [one["id"] for one in self._world.view.get("options", ()) if one["id"].startswith(beginning)]
        return bool(options) and self._press(options[0])
