"""A newcomer's withdrawal in two real pages: all is clicked on the bench and in the kiosk's frame, nothing is scripted behind them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from simulators.broker.start import free_port
from simulators.camera.scenes import make_scenes
from simulators.stage.setting import Options, Stage

pytestmark = [pytest.mark.browser, pytest.mark.wire]
CACHE = Path(__file__).parents[2] / ".cache" / "camera"
SHOTS = os.environ.get("SMART_BRANCH_SHOTS")
LONG_MS = 30_000


@pytest.fixture
def stage() -> Iterator[Stage]:
    make_scenes(CACHE)
    folder = Path(tempfile.mkdtemp(prefix="branch-"))
    stage = Stage(folder, Options(faces=CACHE, bench=True, kiosk_port=free_port(), bench_port=free_port(), printer_bytes_per_s=9600.0))
    try:
        stage.set()
        yield stage
    finally:
        stage.strike()


def shot(page: Page, name: str) -> None:
    """For the README. The camera's photographs are not ours: they stay out of the pictures."""
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        page.evaluate("document.querySelectorAll('.scenes img').forEach((image) => { image.style.visibility = 'hidden'; })")
        page.screenshot(path=f"{SHOTS}/{name}.png", animations="disabled")


def kiosk_shot(stage: Stage, page: Page, name: str) -> None:
    """The customer's page alone, as on its own panel."""
    if SHOTS:
        alone = page.context.new_page()
        alone.goto(stage.kiosk_url)
        expect(alone.locator("#title")).not_to_be_empty()
        alone.screenshot(path=f"{SHOTS}/{name}.png", animations="disabled")
        alone.close()


class Hands:
    """A person with a mouse before both pages."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.kiosk: FrameLocator = page.frame_locator("#kiosk")

    def shown(self, text: str) -> None:
        expect(self.kiosk.locator("#title")).to_contain_text(text, timeout=LONG_MS)

    def choose(self, option: str) -> None:
        self.kiosk.locator(f'[data-id="{option}"]').click()

    def turns_as_asked(self, stage: Stage, until: str) -> None:
        """The person in the living scene follows the mirror's arrow, until the screen says something else than to look."""
        asked = ""
        for _ in range(LONG_MS // 100):
            if until in (self.kiosk.locator("#title").text_content() or ""):
                return
            arrow = self.kiosk.locator(".mirror")
            shown = (arrow.get_attribute("data-arrow") or "") if arrow.count() else ""
            stage_of = {"left": "turnLeft", "right": "turnRight"}.get(shown, "lookStraight")
            if stage_of != asked and "camera" in stage.children:
                stage.hand("camera").call("cue", stage=stage_of)
                asked = stage_of
            self._page.wait_for_timeout(100)

    def bench(self, button: str) -> None:
        self._page.get_by_role("button", name=button).first.click()

    def insert(self, title: str) -> None:
        self._page.get_by_role("group", name="Cards").get_by_text(title).click()

    def type_pin(self, digits: str) -> None:
        pad = self._page.get_by_role("region", name="PIN pad")
        for number, digit in enumerate(digits, 1):
            pad.get_by_role("button", name=digit, exact=True).click()
            expect(pad.get_by_role("img", name=f"{number} digits")).to_be_visible()
        pad.get_by_role("button", name="Enter").click()


def test_card_pin_amount_face_cash_receipt(stage: Stage, page: Page) -> None:
    page.set_viewport_size({"width": 1600, "height": 1000})
    page.goto(stage.bench_url)
    hands = Hands(page)
    hands.shown("请插入银行卡")
    hands.insert("Debit, CDA")
    hands.shown("请输入密码")
    hands.choose("language:en")
    hands.shown("Please enter your PIN")
    hands.type_pin("135790")
    hands.shown("How much would you like?")
    kiosk_shot(stage, page, "kiosk-amount")
    hands.choose("amount:100000")
    hands.shown("This amount needs a face check")
    hands.choose("goOn")
    hands.turns_as_asked(stage, "Please take your card")
    hands.shown("Please take your card")
    hands.bench("Take the card out")
    hands.shown("Please take your cash")
    shot(page, "bench-cash")
    hands.bench("Take the notes")
    hands.choose("receipt")
    hands.shown("Please take your receipt")
    expect(page.get_by_role("region", name="The last receipt").locator("img")).to_be_visible(timeout=LONG_MS)
    hands.bench("Take the receipt")
    hands.choose("ok")
    hands.shown("请插入银行卡")
    account = next(one for one in stage.hand("bank").call("state")["accounts"] if one["name"] == "everyday")
    assert account["balance_minor"] == 400_000


def test_other_amount_on_the_screens_keys_and_a_wrong_pin(stage: Stage, page: Page) -> None:
    page.set_viewport_size({"width": 1600, "height": 1000})
    page.goto(stage.bench_url)
    hands = Hands(page)
    hands.shown("请插入银行卡")
    hands.insert("Debit and credit")
    hands.shown("请选择账户类型")
    hands.kiosk.locator('[data-id^="application:"]').first.click()
    hands.shown("Please enter your PIN")  # the card prefers English
    hands.type_pin("111111")
    hands.shown("How much would you like?")
    hands.choose("other")
    hands.shown("Please enter an amount")
    for key in "170":
        hands.choose(f"key:{key}")
    hands.choose("enter")
    hands.shown("Please enter your PIN")
    expect(hands.kiosk.locator(".hint")).to_contain_text("That PIN was not right")
    hands.type_pin("246802")
    hands.shown("Please take your card")
    hands.bench("Take the card out")
    hands.shown("Please take your cash")
    hands.bench("Take the notes")
    hands.choose("finish")
    hands.shown("请插入银行卡")
    account = next(one for one in stage.hand("bank").call("state")["accounts"] if one["name"] == "two-applications")
    assert account["balance_minor"] == 283_000
