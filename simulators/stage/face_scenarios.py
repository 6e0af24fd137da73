"""The demonstrations of the face step-up: who passes, and with which words everybody else is refused.

The camera is a simulated one with a living scene (simulators/camera/live.py), opened by OpenCV; the person in it does what the kiosk's
arrow asks, as far as the scene can. The words are the Chinese ones of the kiosk's screens, which the card asks for.
"""

from __future__ import annotations

import time

from simulators.stage.scenarios import (
    FACE_AMOUNT,
    Play,
    Scenario,
    Scene,
    go_on_to_camera,
    past_the_camera,
    take_cash_and_receipt,
    to_amount,
)

TURN = "请跟随箭头慢慢转头"  # please follow the arrow
ALONE = "画面中不止一人"  # there was more than one person
NOT_SEEN = "没有看清您的脸"  # we could not see your face well
DARK = "光线太暗"  # it is too dark
UNAVAILABLE = "人脸核验暂不可用"  # face check is not available


def to_camera(scene: Scene) -> None:
    scene.customer.presses(f"amount:{FACE_AMOUNT}")
    go_on_to_camera(scene)
    scene.customer.sees("face", where=lambda view: view["mirror"] is not None)


def paid(scene: Scene) -> None:
    began = time.monotonic()
    past_the_camera(scene, "takeCard")
    scene.tell("stage", f"the face step took {time.monotonic() - began:.1f} s, from the mirror to the card")
    scene.customer.takes_card()
    take_cash_and_receipt(scene)
    scene.customer.sees("idle")


def leave(scene: Scene) -> None:
    scene.customer.presses("cancel")
    scene.customer.sees("takeCard")
    scene.customer.takes_card()
    scene.customer.sees("idle")


def live(scene: Scene) -> None:
    to_amount(scene)
    to_camera(scene)
    paid(scene)


def second_try(scene: Scene) -> None:
    scene.tell("stage", "somebody looks over the shoulder")
    to_amount(scene)
    to_camera(scene)
    scene.customer.sees("faceNotice", where=lambda view: view["hint"].startswith(ALONE))
    scene.tell("stage", "and goes away; the customer tries again")
    scene.stage.show_scene("customer")
    paid(scene)


def refused(before_the_camera: str, words: str, *, hint: str = "") -> Play:
    """Asked to try once more, with the reason; the customer takes the other way."""

    def play(scene: Scene) -> None:
        scene.tell("stage", before_the_camera)
        to_amount(scene)
        to_camera(scene)
        if hint:
            scene.customer.sees("face", where=lambda view: hint in view["hint"])
            scene.tell("kiosk", scene.customer.view["hint"])
        scene.customer.sees("faceNotice", where=lambda view: view["hint"].startswith(words))
        scene.tell("kiosk", scene.customer.view["hint"])
        scene.customer.presses("otherWay")
        scene.customer.sees("chooseAmount")
        leave(scene)

    return play


def covered(scene: Scene) -> None:
    scene.tell("stage", "a hand lies on the lens")
    to_amount(scene)
    to_camera(scene)
    scene.customer.sees("chooseAmount", where=lambda view: view["hint"].startswith(UNAVAILABLE))
    leave(scene)


def unplugged(scene: Scene) -> None:
    scene.tell("stage", "the camera's plug is pulled")
    scene.stage.waits_for_trace("event", "DeviceLost")
    to_amount(scene)
    scene.customer.presses(f"amount:{FACE_AMOUNT}")
    scene.customer.sees("chooseAmount", where=lambda view: view["hint"].startswith(UNAVAILABLE))
    scene.tell("kiosk", scene.customer.view["hint"])
    leave(scene)
    noted = len(scene.stage.trace())
    scene.tell("stage", "the camera is plugged in again: nothing is restarted")
    scene.stage.show_scene("customer")
    until = time.monotonic() + 30
    while not any(note["name"] == "DeviceOnline" for note in scene.stage.trace()[noted:]) and time.monotonic() < until:
        time.sleep(0.05)
    to_amount(scene)
    to_camera(scene)
    paid(scene)


def _refusal(name: str, says: str, scene: str, play: Play) -> Scenario:
    return Scenario(name, says, play, "none", FACE_AMOUNT, options={"scene": scene})


ALL = (
    Scenario("face-live", "a living person turns as asked", live, requested_minor=FACE_AMOUNT),
    _refusal("face-print", "a photograph is held up", "print", refused("somebody holds up a printed photograph of the customer", TURN)),
    _refusal("face-replay", "a film on a screen", "replay", refused("somebody holds up a tablet with a film of the customer", TURN)),
    _refusal("face-two-people", "somebody looks over the shoulder", "two-people", refused("two people stand before the camera", ALONE)),
    Scenario(
        "face-second-try",
        "somebody looks over the shoulder, goes away, and the customer tries again",
        second_try,
        requested_minor=FACE_AMOUNT,
        options={"scene": "two-people"},
    ),
    _refusal("face-dark", "the lamps are off", "dark", refused("the lobby's lamps are off", NOT_SEEN, hint=DARK)),
    _refusal("face-covered", "the lens is covered", "covered", covered),
    Scenario(
        "face-unplugged",
        "the camera is unplugged, and plugged in again",
        unplugged,
        requested_minor=FACE_AMOUNT,
        options={"scene": "unplugged"},
    ),
)
