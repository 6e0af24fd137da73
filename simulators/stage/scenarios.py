"""The demonstrations: one customer, one thing that goes wrong, and what must be true afterwards.

`expected` is the outcome as the bank and the journal must tell it: success, partial, none (no cash, nothing debited) or inDoubt (latched).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from simulators.stage.customer import Customer
from simulators.stage.setting import Options, Stage

Play = Callable[["Scene"], None]
CARD, PIN, AMOUNT = "everyday", "135790", 30_000
FACE_AMOUNT = 100_000


@dataclass(slots=True)
class Scene:
    """What a play has in hand."""

    stage: Stage
    customer: Customer
    tell: Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    says: str
    play: Play
    expected: str = "success"
    requested_minor: int = AMOUNT
    card: str = CARD
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def staged(self, options: Options) -> Options:
        return replace(options, **self.options)


def to_amount(scene: Scene, card: str = CARD, pin: str = PIN) -> None:
    """Up to the choice of the amount."""
    scene.customer.sees("idle")
    scene.customer.inserts(card)
    scene.customer.sees("enterPin")
    scene.customer.types_pin(pin)
    scene.customer.sees("chooseAmount")


def to_card(scene: Scene, amount_minor: int = AMOUNT, card: str = CARD, pin: str = PIN) -> None:
    """Up to "take your card"."""
    to_amount(scene, card, pin)
    scene.customer.presses(f"amount:{amount_minor}")
    if scene.stage.options.faces and amount_minor >= FACE_AMOUNT:
        go_on_to_camera(scene)
        past_the_camera(scene, "takeCard")
    else:
        scene.customer.sees("takeCard")


def go_on_to_camera(scene: Scene) -> None:
    """The screen before the camera says what it will do, and waits for a yes."""
    scene.customer.sees("faceNotice")
    scene.customer.presses("goOn")
    scene.customer.sees("face")


def past_the_camera(scene: Scene, then: str) -> None:
    """Tries again as often as the terminal offers it: it sends some living people back (docs/face-liveness.md), more on a busy machine."""
    while scene.customer.sees(then, "faceNotice")["screen"] == "faceNotice":
        scene.tell("kiosk", scene.customer.view["hint"])
        go_on_to_camera(scene)


def take_cash_and_receipt(scene: Scene) -> None:
    customer = scene.customer
    customer.sees("takeCash")
    customer.takes_cash()
    customer.presses("receipt")
    customer.sees("takeReceipt")
    customer.takes_receipt()
    customer.presses("ok")


def success(scene: Scene) -> None:
    to_card(scene, FACE_AMOUNT if scene.stage.options.faces else AMOUNT)
    scene.customer.takes_card()
    take_cash_and_receipt(scene)
    scene.customer.sees("idle")


def wrong_pin_then_right(scene: Scene) -> None:
    to_amount(scene, pin="111111")
    scene.customer.presses(f"amount:{AMOUNT}")
    scene.customer.sees("enterPin")
    scene.customer.types_pin(PIN)
    scene.customer.sees("takeCard")
    scene.customer.takes_card()
    take_cash_and_receipt(scene)
    scene.customer.sees("idle")


def failing(card: str, pin: str = PIN) -> Play:
    """The bank says no; the card is given back."""

    def play(scene: Scene) -> None:
        to_amount(scene, card, pin)
        scene.customer.presses(f"amount:{AMOUNT}")
        scene.customer.sees("failure")
        scene.customer.takes_card()
        scene.customer.sees("idle")

    return play


def host_timeout(scene: Scene) -> None:
    scene.tell("fault", "the bank receives everything and answers nothing")
    scene.stage.hand("bank").call("fault", kind="silent", n=1)
    failing(CARD)(scene)


def card_removed_early(scene: Scene) -> None:
    scene.tell("fault", "the bank thinks for two seconds; the customer pulls the card meanwhile")
    scene.stage.hand("bank").call("fault", kind="slow", seconds=2)
    to_amount(scene)
    scene.customer.presses(f"amount:{AMOUNT}")
    scene.stage.waits_for_trace("command", "Authorise")
    scene.customer.takes_card()
    scene.customer.sees("failure")
    scene.customer.sees("idle")


def customer_timeout(scene: Scene) -> None:
    to_amount(scene)
    scene.tell("customer", "walks away")
    scene.customer.sees("stillThere")
    scene.customer.sees("takeCard")
    scene.tell("customer", "comes back")
    scene.customer.takes_card()
    scene.customer.sees("idle")


def cassette_low(scene: Scene) -> None:
    scene.tell("stage", "only one note of 100 is left: the mix must do with smaller ones")
    to_card(scene)
    scene.customer.takes_card()
    take_cash_and_receipt(scene)
    scene.customer.sees("idle")


def partial_dispense(scene: Scene) -> None:
    scene.tell("fault", "cassette 1 holds one note only, though the counters say 200")
    scene.stage.hand("dispenser").call("set_cassette", unit=1, count=1)
    to_card(scene)
    scene.customer.takes_card()
    take_cash_and_receipt(scene)
    scene.customer.sees("idle")


def jam(scene: Scene) -> None:
    scene.tell("fault", "the second note will jam inside, between ejector and exit")
    scene.stage.hand("dispenser").call("jam", where="ejt", after_notes=1)
    to_card(scene)
    scene.customer.takes_card()
    scene.customer.sees("takeCash", "failure")
    if scene.customer.view["screen"] == "takeCash":
        take_cash_and_receipt(scene)
    scene.customer.sees("outOfService")


def response_lost(scene: Scene) -> None:
    scene.tell("fault", "the dispenser's answer to DISPENSE will be lost on the line")
    scene.stage.hand("dispenser").call("fault", kind="drop_reply", command=0x52)
    to_card(scene)
    scene.customer.takes_card()
    scene.customer.sees("dispensing", where=lambda view: view["progress"])
    take_cash_and_receipt(scene)
    scene.customer.sees("idle")


def printer_paper_out(scene: Scene) -> None:
    scene.tell("fault", "the receipt paper ends while the receipt is printed")
    scene.stage.hand("printer").call("paper", remaining_mm=25)
    to_card(scene)
    scene.customer.takes_card()
    scene.customer.sees("takeCash")
    scene.customer.takes_cash()
    scene.customer.presses("receipt")
    scene.customer.sees("thanks")
    scene.customer.presses("ok")
    scene.customer.sees("idle")


def face_mismatch(scene: Scene) -> None:
    scene.tell("stage", "before the camera stands another person than the card's")
    to_amount(scene)
    scene.customer.presses(f"amount:{FACE_AMOUNT}")
    go_on_to_camera(scene)
    past_the_camera(scene, "chooseAmount")
    scene.customer.presses("cancel")
    scene.customer.sees("takeCard")
    scene.customer.takes_card()
    scene.customer.sees("idle")


def broker_down_then_up(scene: Scene) -> None:
    to_card(scene)
    scene.tell("fault", "the MQTT broker is killed")
    assert scene.stage.broker is not None
    scene.stage.broker.kill()
    scene.customer.takes_card()
    take_cash_and_receipt(scene)
    scene.customer.sees("outOfService")
    scene.tell("stage", "the broker comes back: the outbox delivers what the bank does not know yet")
    scene.stage.broker.restart()
    scene.customer.sees("idle")


def agent_killed_mid_dispense(scene: Scene) -> None:
    to_card(scene)
    scene.customer.takes_card()
    wait_for_notes_on_path(scene)
    scene.tell("fault", "the agent is killed (SIGKILL) while notes move")
    scene.stage.children["terminal"].kill()
    scene.customer.goes()
    scene.tell("stage", "the agent is started again: LAST STATUS before anything else")
    scene.stage.start_terminal()
    scene.customer.sees("idle")
    scene.customer.takes_cash()


def dispenser_power_cut(scene: Scene) -> None:
    to_card(scene)
    scene.customer.takes_card()
    wait_for_notes_on_path(scene)
    scene.tell("fault", "the dispenser's power is cut while notes move, and comes back")
    hand = scene.stage.hand("dispenser")
    hand.call("power", to="off")
    hand.call("power", to="on")
    scene.customer.sees("failure")
    scene.customer.sees("outOfService")


def wait_for_notes_on_path(scene: Scene) -> None:
    """Until the first note is under way (the simulator's own word, not a guess in seconds)."""
    hand = scene.stage.hand("dispenser")
    while not hand.call("state")["path"]:
        pass


ALL = (
    Scenario("success", "cash, receipt, face step-up", success, requested_minor=FACE_AMOUNT),
    Scenario("wrong-pin-then-right", "a second PIN try on the same card", wrong_pin_then_right),
    Scenario("declined", "the bank has blocked the card", failing("host-blocked"), "none", card="host-blocked"),
    Scenario("insufficient-funds", "the account holds less", failing("little-money"), "none", card="little-money"),
    Scenario("host-timeout", "the bank never answers", host_timeout, "none"),
    Scenario("card-removed-early", "the card is pulled while the bank thinks", card_removed_early, "none"),
    Scenario("customer-timeout", "nobody is there any more", customer_timeout, "none", 0),
    Scenario("cassette-low", "a smaller mix", cassette_low, options={"counts": (1, 200, 200, 200)}),
    Scenario("partial-dispense", "the cassette holds less than counted", partial_dispense, "partial"),
    Scenario("jam", "a note jams on the path", jam, "partial"),
    Scenario("response-lost", "the dispenser's answer never arrives", response_lost),
    Scenario("printer-paper-out", "no receipt, but the money is right", printer_paper_out),
    Scenario("face-mismatch", "the face is not the card's", face_mismatch, "none", FACE_AMOUNT, options={"scene": "other"}),
    Scenario("broker-down-then-up", "the completion waits in the outbox", broker_down_then_up),
    Scenario("agent-killed-mid-dispense", "LAST STATUS tells what was paid", agent_killed_mid_dispense, options={"mechanics": 0.3}),
    Scenario(
        "dispenser-power-cut",
        "nobody can know: in doubt, latched",
        dispenser_power_cut,
        "inDoubt",
        options={"mechanics": 0.3, "last_status_survives": "nothing"},
    ),
)
BY_NAME = {scenario.name: scenario for scenario in ALL}
