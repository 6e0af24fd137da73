"""Faces at the kiosk in Chromium, with everything behind the page running: enrolled, used, asked for by the bank, refused, removed.

The camera is a scripted worker (tests/support): a real process on the real wires, with a picture of two colours.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from simulators.broker.start import free_port
from simulators.stage.setting import Options, Stage

pytestmark = [pytest.mark.browser, pytest.mark.wire]
SUPPORT = Path(__file__).parents[1] / "support"
ROOT = Path(__file__).parents[2]
LONG_MS = 30_000
STEPS = [["look", ""], ["look", "comeCloser"], ["turnLeft", ""], ["turnRight", ""], ["lookStraight", ""], ["compare", ""]]
TURN = [["look", "comeCloser"], ["turnLeft", ""]]
"""So slow that what is looked for is still there."""
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PIXELS = """() => {
  const canvas = document.querySelector(".mirror canvas");
  const row = canvas.getContext("2d").getImageData(0, canvas.height / 2, canvas.width, 1).data;
  const at = (part) => [...row.slice(4 * Math.floor(canvas.width * part)).slice(0, 3)];
  return [at(0.25), at(0.75)];
}"""


class Kiosk:
    """A person before the panel, with hands for card and keys."""

    def __init__(self, stage: Stage, page: Page, script: Path) -> None:
        self.stage, self.page, self._script = stage, page, script

    def script(self, decision: str = "accepted", step_s: float = 0.25, steps: list[list[str]] | None = None, **more: Any) -> None:
        self._script.write_text(json.dumps({"decision": decision, "step_s": step_s, "steps": steps or STEPS, **more}))

    def shown(self, text: str) -> None:
        expect(self.page.locator("#title")).to_contain_text(text, timeout=LONG_MS)

    def hint(self, text: str) -> None:
        expect(self.page.locator(".hint")).to_contain_text(text, timeout=LONG_MS)

    def choose(self, option: str) -> None:
        self.page.locator(f'[data-id="{option}"]').click(timeout=LONG_MS)

    def insert(self, card: str = "everyday") -> None:
        self.stage.hand("card").call("insert", card=card)

    def type_pin(self, digits: str = "135790") -> None:
        pad = self.stage.hand("pinpad")
        for number, digit in enumerate(digits, 1):
            pad.call("press", key=digit)
            expect(self.page.locator(".dot.full")).to_have_count(number)
        pad.call("press", key="enter")

    def to_amounts(self) -> None:
        self.shown("Welcome")
        self.insert()
        self.shown("请输入密码")  # the card prefers Chinese
        self.choose("language:en")
        self.shown("Please enter your PIN")
        self.type_pin()
        self.shown("How much would you like?")

    def take_card(self) -> None:
        self.stage.hand("card").call("remove")

    def take_cash(self) -> None:
        self.shown("Please take your card")
        self.take_card()
        self.shown("Please take your cash")
        self.stage.hand("dispenser").call("take_notes")
        self.choose("finish")
        self.shown("Thank you")
        self.choose("ok")

    def enrol(self) -> None:
        self.choose("faceServices")
        self.shown("Face services")
        self.choose("enrol")
        self.shown("May we enrol your face?")
        self.choose("agree")

    def goes_with_card(self) -> None:
        self.shown("Please take your card")
        self.take_card()
        self.shown("Welcome")

    def accessible(self) -> None:
        found = Axe().run(self.page, options={"runOnly": {"type": "tag", "values": AXE_TAGS}}).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []

    def bank(self, verb: str, **arguments: Any) -> Any:
        return self.stage.hand("bank").call(verb, **arguments)


@pytest.fixture(params=["standard"])
def kiosk(request: pytest.FixtureRequest, page: Page) -> Iterator[Kiosk]:
    folder = Path(tempfile.mkdtemp(prefix="face-"))
    script = folder / "script.json"
    stage = Stage(
        folder,
        Options(
            kiosk_port=free_port(),
            printer_bytes_per_s=9600.0,
            language="en",
            mode=request.param,
            pictures=False,
            agent_module="scripted_face_agent",
            agent_env={"PYTHONPATH": os.pathsep.join([str(SUPPORT), str(ROOT)])},
            face={"camera": str(script), "from_minor": 100_000, "controller": "Example Bank Company Limited"},
        ),
    )
    try:
        stage.set()
        page.goto(stage.kiosk_url)
        kiosk = Kiosk(stage, page, script)
        kiosk.script()
        yield kiosk
    finally:
        stage.strike()


def test_enrolled_used_and_removed(kiosk: Kiosk, shoot: Any) -> None:
    kiosk.to_amounts()
    kiosk.choose("faceServices")
    kiosk.shown("Face services")
    expect(kiosk.page.locator(".facts")).to_contain_text("Your face is not enrolled")
    kiosk.choose("enrol")
    kiosk.shown("May we enrol your face?")
    expect(kiosk.page.locator(".facts")).to_contain_text("Example Bank Company Limited")
    expect(kiosk.page.locator(".mirror")).to_have_count(0)
    assert kiosk.bank("face_consents") == [], "nothing is recorded before the answer"
    kiosk.accessible()
    kiosk.script(steps=TURN, step_s=4.0)
    kiosk.choose("agree")
    kiosk.shown("Slowly turn your head to the left")
    expect(kiosk.page.locator(".mirror[data-lit]")).to_have_count(1)
    kiosk.accessible()
    shoot(kiosk.page, "journey-enrolling")
    kiosk.shown("Your face is enrolled")
    [row] = kiosk.bank("faces")
    [consent] = kiosk.bank("face_consents")
    assert (row["customer"], consent["version"], consent["language"], consent["withdrawnAt"]) == ("customer", "1", "en", "")
    kiosk.choose("receipt")
    kiosk.goes_with_card()
    receipt = "\n".join(kiosk.stage.hand("printer").call("take_receipt")["lines"])
    assert "Face enrolled" in receipt and consent["consentId"] in receipt

    kiosk.script(steps=TURN, step_s=4.0)
    page = kiosk.page
    kiosk.to_amounts()
    kiosk.choose("amount:100000")
    kiosk.shown("This amount needs a face check")
    expect(page.locator(".mirror")).to_have_count(0)
    kiosk.accessible()
    kiosk.choose("goOn")
    kiosk.shown("Please look at the camera")
    kiosk.hint("Please come a little closer")
    kiosk.shown("Slowly turn your head to the left")
    expect(page.locator('.mirror[data-arrow="left"] .mirror-arrow.left')).to_be_visible()
    kiosk.take_cash()
    verified = [one["data"] for one in kiosk.bank("messages", kind="audit") if one["type"] == "ATMFaceVerificationAdvice"]
    assert [(one["purpose"], one["decision"]) for one in verified] == [("enrolment", "accepted"), ("verification", "accepted")]

    kiosk.to_amounts()
    kiosk.choose("faceServices")
    kiosk.shown("Face services")
    kiosk.choose("remove")
    kiosk.shown("Delete your face data?")
    kiosk.choose("yes")
    kiosk.shown("Your face data is deleted")
    kiosk.choose("finish")
    kiosk.goes_with_card()
    proofs = kiosk.bank("face_proofs")
    assert kiosk.bank("faces") == [] and [one["reason"] for one in proofs["proofs"]] == ["consentWithdrawn"] and not proofs["broken_at"]

    kiosk.to_amounts()
    kiosk.choose("amount:100000")
    kiosk.choose("goOn")
    kiosk.hint("Your face is not enrolled")
    kiosk.choose("cancel")
    kiosk.goes_with_card()


def test_the_mirror_is_a_mirror_and_goes_dark(kiosk: Kiosk) -> None:
    page = kiosk.page
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    kiosk.to_amounts()
    kiosk.script(step_s=2.0, steps=[["look", ""], ["look", "holdStill"]])
    kiosk.enrol()
    expect(page.locator(".mirror[data-lit]")).to_have_count(1, timeout=LONG_MS)
    left, right = page.evaluate(PIXELS)
    assert left[2] > 150 > left[0] and right[0] > 150 > right[2], "as it came: the worker has mirrored it"
    expect(page.get_by_role("img", name="The camera's picture of you")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuetext", "1 / 2")
    expect(page.locator("#announcer")).to_contain_text("Please hold still")
    kiosk.shown("Your face is enrolled")
    expect(page.locator(".mirror")).to_have_count(0)
    assert page.evaluate("document.querySelector('canvas')") is None
    assert complaints == [], "the strict policy of the page holds"


def test_another_way_at_once_while_the_worker_looks(kiosk: Kiosk) -> None:
    kiosk.to_amounts()
    kiosk.enrol()
    kiosk.shown("Your face is enrolled")
    kiosk.choose("finish")
    kiosk.goes_with_card()
    kiosk.to_amounts()
    kiosk.choose("amount:100000")
    kiosk.script(steps=[["turnLeft", ""]] * 6, step_s=3.0)
    kiosk.choose("goOn")
    kiosk.shown("Slowly turn your head to the left")
    kiosk.choose("otherWay")
    kiosk.hint("These amounts need no face check")
    expect(kiosk.page.locator('[data-id="amount:100000"]')).to_have_count(0)
    kiosk.choose("amount:30000")
    kiosk.take_cash()
    kiosk.shown("Welcome")


def test_looked_three_times_in_vain(kiosk: Kiosk) -> None:
    kiosk.to_amounts()
    kiosk.enrol()
    kiosk.shown("Your face is enrolled")
    kiosk.choose("finish")
    kiosk.goes_with_card()
    kiosk.script("askAgain", steps=[["look", ""]])
    kiosk.to_amounts()
    kiosk.choose("amount:100000")
    kiosk.shown("This amount needs a face check")
    kiosk.choose("goOn")
    for _ in range(2):
        kiosk.shown("Shall we try once more?")
        kiosk.hint("We could not be sure that it is you")
        kiosk.choose("goOn")
        expect(kiosk.page.locator("html")).to_have_attribute("data-screen", "face")
    kiosk.shown("How much would you like?")
    kiosk.hint("The face check did not pass")
    kiosk.choose("cancel")
    kiosk.goes_with_card()


def test_the_bank_asks_for_the_face(kiosk: Kiosk) -> None:
    kiosk.to_amounts()
    kiosk.enrol()
    kiosk.shown("Your face is enrolled")
    kiosk.choose("finish")
    kiosk.goes_with_card()
    kiosk.bank("fault", kind="risk", account="everyday")
    kiosk.to_amounts()
    kiosk.choose("amount:30000")
    kiosk.hint("Your bank asks for it this time")
    kiosk.choose("goOn")
    kiosk.shown("Please enter your PIN")
    kiosk.hint("Please enter your PIN once more to finish")
    kiosk.type_pin()
    kiosk.take_cash()
    last = kiosk.bank("state")["transactions"][0]
    assert (last["status"], last["attempt"], last["face"]) == ("settled", 2, "accepted")


def test_a_removal_that_the_bank_does_not_answer_is_carried_out_all_the_same(kiosk: Kiosk) -> None:
    kiosk.to_amounts()
    kiosk.enrol()
    kiosk.shown("Your face is enrolled")
    kiosk.choose("finish")
    kiosk.goes_with_card()
    kiosk.to_amounts()
    kiosk.choose("faceServices")
    kiosk.shown("Face services")
    kiosk.choose("remove")
    kiosk.shown("Delete your face data?")
    kiosk.bank("fault", kind="silent", n=1)
    kiosk.choose("yes")
    expect(kiosk.page.locator("#title")).to_contain_text("Your deletion is recorded", timeout=60_000)
    assert kiosk.bank("faces") == [] and len(kiosk.bank("face_proofs")["proofs"]) == 1
    kiosk.choose("finish")
    kiosk.goes_with_card()


@pytest.mark.parametrize("kiosk", ["elderly"], indirect=True)
def test_in_elderly_mode(kiosk: Kiosk, shoot: Any) -> None:
    expect(kiosk.page.locator("html")).to_have_attribute("data-mode", "elderly")
    kiosk.to_amounts()
    kiosk.script(steps=[["turnRight", ""]], step_s=6.0)
    kiosk.enrol()
    kiosk.shown("Slowly turn your head to the right")
    kiosk.accessible()
    shoot(kiosk.page, "journey-elderly")
    kiosk.shown("Your face is enrolled")
    kiosk.choose("finish")
    kiosk.goes_with_card()
    kiosk.to_amounts()
    kiosk.choose("faceServices")
    kiosk.shown("Face services")
    expect(kiosk.page.locator('[data-id="remove"]')).to_be_visible()
    expect(kiosk.page.locator('[data-id="enrol"]')).to_have_count(0)
    kiosk.choose("done")
    kiosk.goes_with_card()
