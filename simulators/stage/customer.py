"""The customer of the demonstrations: sees the kiosk's views over its own WebSocket, presses its options, and has two hands.

Every step is told with its time. A customer who does not see what he waits for within his patience ends the story with what he sees.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from simulators.stage.processes import StageError
from simulators.stage.setting import Stage

Tell = Callable[[str, str], None]
ARROWS = {"left": "turnLeft", "right": "turnRight"}


class Customer:
    """`sees(...)` waits for a screen, `presses(...)` chooses on it; the other verbs are hands."""

    def __init__(self, stage: Stage, tell: Tell, patience_s: float = 40.0) -> None:
        self._stage = stage
        self._tell = tell
        self._patience_s = patience_s
        self._page: ClientConnection | None = None
        self._open = contextlib.ExitStack()
        self.view: dict[str, Any] = {}
        self.screens: list[str] = []
        self._asked: str | None = None

    # --- eyes

    def _connect(self, until: float) -> ClientConnection:
        while self._page is None:
            url = self._stage.kiosk_url.rstrip("/")
            try:
                self._page = self._open.enter_context(connect(url.replace("http", "ws") + "/view", origin=Origin(url), open_timeout=5))
            except (OSError, WebSocketException, TimeoutError) as error:  # a page that is just dying may break off in the handshake
                if time.monotonic() > until:
                    raise StageError(f"the kiosk page at {url} cannot be reached: {error}") from error
                time.sleep(0.1)
        return self._page

    def _look(self, until: float) -> None:
        """The next view, or return at `until`."""
        page = self._connect(until)
        try:
            try:
                message = json.loads(page.recv(timeout=max(0.01, min(2.0, until - time.monotonic()))))
            except TimeoutError:
                page.send(json.dumps({"alive": 1}))
                return
        except ConnectionClosed:
            self._page = None
            return
        if "view" in message:
            message = message["view"]
        if "screen" in message:
            if message["screen"] != self.view.get("screen"):
                self.screens.append(message["screen"])
                self._tell("kiosk", f"{message['title']}" + (f"  [{_lines(message)}]" if message.get("lines") else ""))
            self.view = message
            self._turn(message.get("mirror"))

    def _turn(self, mirror: dict[str, Any] | None) -> None:
        """What the mirror's arrow asks is what the person before the camera does. An arrow to the left is their own left."""
        asked = None if mirror is None else ARROWS.get(mirror["arrow"], "lookStraight")
        if asked is not None and asked != self._asked and "camera" in self._stage.children:
            self._stage.hand("camera").call("cue", stage=asked)
            if asked in ARROWS.values():
                self._tell("customer", f"is asked to turn {'left' if asked == 'turnLeft' else 'right'}")
        self._asked = asked

    def sees(self, *screens: str, where: Callable[[dict[str, Any]], bool] | None = None) -> dict[str, Any]:
        """Wait until one of these screens is shown (and `where` holds)."""
        until = time.monotonic() + self._patience_s
        while not (self.view.get("screen") in screens and (where is None or where(self.view))):
            if time.monotonic() > until:
                raise StageError(f"waited for the screen {' or '.join(screens)}, but it shows: {self.view.get('title')}")
            self._look(until)
        return self.view

    def looks(self, within_s: float) -> dict[str, Any]:
        """What is shown now, or next within that time; nothing when the page has gone or does not come."""
        until = time.monotonic() + within_s
        with contextlib.suppress(StageError):
            self._look(until)
        if self._page is None:
            self.view = {}
        return self.view

    # --- hands

    def presses(self, option: str) -> None:
        """An option of the present view."""
        labels = {one["id"]: one["label"] for one in self.view["options"]}
        if option not in labels:
            raise StageError(f"the screen {self.view['screen']} offers no {option}: {', '.join(labels)}")
        self._tell("customer", f"presses “{labels[option]}”")
        self._connect(time.monotonic() + 5).send(json.dumps({"press": {"seq": self.view["seq"], "id": option}}))

    def inserts(self, card: str) -> None:
        self._tell("customer", f"inserts the card “{card}”")
        self._stage.hand("card").call("insert", card=card)

    def takes_card(self) -> None:
        self._tell("customer", "takes the card")
        self._stage.hand("card").call("remove")

    def types_pin(self, digits: str) -> None:
        """On the pad, ended by enter, each digit seen as a mask before the next."""
        self._tell("customer", f"types {len(digits)} digits on the PIN pad and presses enter")
        pad = self._stage.hand("pinpad")
        for number, digit in enumerate(digits, 1):
            pad.call("press", key=digit)
            self.sees("enterPin", where=lambda view, n=number: view["mask"] == n)  # type: ignore[misc]
        pad.call("press", key="enter")

    def takes_cash(self) -> None:
        taken = self._stage.hand("dispenser").call("take_notes")
        self._tell("customer", f"takes the cash: {_notes(taken)}")

    def takes_receipt(self) -> None:
        receipt = self._stage.hand("printer").call("take_receipt")
        lines = receipt.get("lines") or receipt.get("text") or []
        self._tell("customer", f"takes the receipt ({len(lines)} lines)")

    def goes(self) -> None:
        self._open.close()
        self._page = None


def _lines(view: dict[str, Any]) -> str:
    return "; ".join(line["text"] for line in view["lines"])


def _notes(taken: Any) -> str:
    return json.dumps(taken, ensure_ascii=False)
