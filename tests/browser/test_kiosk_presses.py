"""What a customer's hand does on the page, and what the agent hears of it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from mirror_pictures import Camera, halves
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def start(page: Page, agent: Any, view: dict[str, Any]) -> None:
    agent.show(view)
    page.goto(agent.url)
    expect(page.get_by_role("heading", name=view["title"])).to_be_visible()


def test_a_touch_and_a_key_say_the_same(page: Page, agent: Any, views: Any) -> None:
    view = views("chooseAmount", "en")
    start(page, agent, view)
    page.get_by_role("button", name="1,000", exact=True).click()
    assert agent.wait_for("pressed") == {"seq": view["seq"], "id": "amount:100000"}
    again = views("chooseAmount", "en")
    agent.show(again)
    expect(page.get_by_role("button", name="1,000", exact=True)).to_be_enabled()
    page.keyboard.press("4")
    assert agent.wait_for("pressed") == {"seq": again["seq"], "id": "amount:100000"}
    agent.show(views("enterPin", "en"))
    expect(page.get_by_role("heading", name="Enter your PIN")).to_be_visible()
    page.keyboard.press("Escape")
    assert agent.wait_for("pressed")["id"] == "cancel"


def test_after_a_press_nothing_can_be_pressed_until_the_next_view(page: Page, agent: Any, views: Any) -> None:
    first = views("chooseAmount", "en")
    start(page, agent, first)
    page.get_by_role("button", name="100", exact=True).click()
    expect(page.get_by_role("button", name="200", exact=True)).to_be_disabled()
    page.keyboard.press("2")
    assert agent.wait_for("pressed") == {"seq": first["seq"], "id": "amount:10000"}
    assert agent.nothing_pressed()
    second = views("chooseAmount", "en")
    agent.show(second)
    expect(page.get_by_role("button", name="200", exact=True)).to_be_enabled()
    page.keyboard.press("2")
    assert agent.wait_for("pressed") == {"seq": second["seq"], "id": "amount:20000"}


def test_a_press_that_nobody_answers_frees_the_options_after_two_seconds(page: Page, agent: Any, views: Any) -> None:
    page.clock.install()
    view = views("stillThere", "en")
    start(page, agent, view)
    button = page.get_by_role("button", name="Yes, more time")
    assert button.evaluate("(button) => { button.click(); return button.disabled; }")
    agent.wait_for("pressed")
    page.clock.run_for(2100)
    expect(button).to_be_enabled()
    page.keyboard.press("1")
    assert agent.wait_for("pressed") == {"seq": view["seq"], "id": "more"}


def test_an_amount_is_typed_by_touch_and_by_key(page: Page, agent: Any, views: Any) -> None:
    start(page, agent, views("otherAmount", "en", entry=""))
    heard = []

    def typed() -> None:
        heard.append(agent.wait_for("pressed")["id"])
        view = views("otherAmount", "en", entry=str(len(heard)))
        agent.show(view)
        expect(page.locator("output.entry")).to_have_text(str(len(heard)))

    page.get_by_role("button", name="5", exact=True).click()
    typed()
    for key in ("0", "Backspace", "Delete", "Enter"):
        page.keyboard.press(key)
        typed()
    page.get_by_role("button", name="Clear", exact=True).click()
    typed()
    page.get_by_role("button", name="Confirm", exact=True).click()
    typed()
    assert heard == ["key:5", "key:0", "key:backspace", "key:clear", "confirm", "key:clear", "confirm"]


def test_digits_typed_on_the_pin_screen_go_nowhere(page: Page, agent: Any, views: Any) -> None:
    start(page, agent, views("enterPin", "en"))
    expect(page.get_by_role("img", name="4 / 12")).to_be_visible()
    page.keyboard.type("135790")
    assert agent.nothing_pressed()
    expect(page.locator(".dot.full")).to_have_count(4)


def test_enter_presses_the_button_that_the_keyboard_chose(page: Page, agent: Any, views: Any) -> None:
    start(page, agent, views("otherAmount", "en"))
    page.get_by_role("button", name="Back", exact=True).focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Cancel, return card")).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    assert agent.wait_for("pressed")["id"] == "cancel"


def test_a_touched_button_does_not_catch_the_next_enter(page: Page, agent: Any, views: Any) -> None:
    start(page, agent, views("otherAmount", "en"))
    page.get_by_role("button", name="7", exact=True).click()
    assert agent.wait_for("pressed")["id"] == "key:7"
    agent.show(views("otherAmount", "en", entry="7"))
    expect(page.locator("output.entry")).to_have_text("7")
    page.keyboard.press("Enter")
    assert agent.wait_for("pressed")["id"] == "confirm"


def test_each_screen_is_announced_once_with_its_facts(page: Page, agent: Any, views: Any) -> None:
    start(page, agent, views("failure", "en"))
    status = page.locator("#announcer")
    expect(status).to_contain_text("The withdrawal was not completed")
    expect(status).to_contain_text("Your card: Please take it from the card slot")
    page.evaluate("() => { window.said = 0; new MutationObserver(() => window.said++).observe(announcer, {childList: true}); }")
    agent.show(views("failure", "en"))
    agent.show(views("thanks", "zh"))
    expect(status).to_have_text("谢谢，再见 请核对您的卡和现金")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    assert page.evaluate("window.said") == 1


def test_a_server_that_dies_makes_the_page_inert_and_a_new_one_wakes_it(page: Page, fake_agent: Any, views: Any, shoot: Any) -> None:
    agent = fake_agent()
    start(page, agent, views("chooseAmount", "en"))
    agent.end()
    notice = page.get_by_role("alert")
    expect(notice).to_be_visible()
    expect(notice).to_contain_text("屏幕正在连接")
    expect(notice).to_contain_text("The screen is connecting")
    assert page.locator("#kiosk").evaluate("(root) => root.inert")
    shoot(page, "kiosk-no-link")
    page.keyboard.press("1")
    new = fake_agent(port=agent.port)
    new.show(views("idle", "zh"))
    expect(page.get_by_role("heading", name="请插入银行卡")).to_be_visible(timeout=15_000)
    expect(notice).to_be_hidden()
    assert new.nothing_pressed()
    page.get_by_role("button", name="English").click()
    assert new.wait_for("pressed")["id"] == "language"


def test_a_server_that_hangs_makes_the_page_inert_too(page: Page, agent: Any, views: Any) -> None:
    page.clock.install()
    start(page, agent, views("chooseAmount", "en"))
    agent.process.send_signal(signal.SIGSTOP)
    try:
        page.clock.run_for(8000)
        expect(page.get_by_role("alert")).to_be_visible()
    finally:
        agent.process.send_signal(signal.SIGCONT)
    page.clock.run_for(6000)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_the_time_that_is_left_survives_a_new_page(page: Page, agent: Any, views: Any) -> None:
    start(page, agent, views("stillThere", "en", seconds=1000))
    page.reload()
    expect(page.locator(".countdown i")).to_be_attached()
    delay = page.locator(".countdown i").evaluate("(bar) => parseFloat(bar.style.animationDelay)")
    assert delay < 0
    assert page.locator(".countdown i").evaluate("(bar) => bar.style.animationDuration") == "1000s"


# --- before the camera


def test_guidance_is_announced_as_it_changes_and_does_not_flash_the_choices(page: Page, agent: Any, views: Any) -> None:
    start(page, agent, views("faceLook", "en", hint="Your face inside the oval"))
    status = page.locator("#announcer")
    expect(status).to_contain_text("Please look at the camera Your face inside the oval")
    page.evaluate("() => { window.button = document.querySelector('[data-id=otherWay]'); }")
    agent.show(views("faceLook", "en"))
    expect(status).to_contain_text("Please come a little closer")
    assert page.evaluate("window.button === document.querySelector('[data-id=otherWay]')"), "the button is the same, with its focus"


def test_another_way_by_touch_and_by_key_while_guidance_goes_on(page: Page, agent: Any, views: Any) -> None:
    first = views("faceTurn", "en")
    start(page, agent, first)
    page.get_by_role("button", name="Use another way").click()
    assert agent.wait_for("pressed") == {"seq": first["seq"], "id": "otherWay"}
    again = views("faceTurn", "en")
    agent.show(again)
    expect(page.get_by_role("button", name="Use another way")).to_be_enabled()
    page.keyboard.press("2")
    assert agent.wait_for("pressed") == {"seq": again["seq"], "id": "otherWay"}


def test_steps_and_arrow(page: Page, agent: Any, views: Any) -> None:
    start(page, agent, views("faceTurn", "en"))
    expect(page.locator(".mirror-ring .step")).to_have_count(5)
    expect(page.locator(".mirror-ring .step.done")).to_have_count(2)
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "2")
    expect(page.locator(".mirror-arrow.left")).to_be_visible()
    expect(page.locator(".mirror-arrow.right")).to_be_hidden()
    agent.show(views("faceLook", "en", mirror={"label": "you", "arrow": "right", "done": 0, "of": 0}))
    expect(page.locator(".mirror-arrow.right")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_count(0)


def test_a_mirror_without_pictures_shows_a_neutral_head(page: Page, fake_agent: Any, views: Any, tmp_path: Path) -> None:
    agent = fake_agent("--mirror", str(tmp_path / "m.sock"))
    start(page, agent, views("faceLook", "en"))
    expect(page.locator(".mirror-nobody")).to_be_visible()
    camera = Camera(tmp_path / "m.sock")
    camera.send(halves())
    expect(page.locator(".mirror[data-lit]")).to_have_count(1)
    expect(page.locator(".mirror-nobody")).to_be_hidden()
    camera.dark()
    expect(page.locator(".mirror-nobody")).to_be_visible()
    assert page.evaluate("document.querySelector('.mirror canvas').width") == 0, "the pixels are gone, too"
    camera.send(halves())
    expect(page.locator(".mirror[data-lit]")).to_have_count(1)
    expect(page.locator(".mirror-nobody")).to_be_visible(timeout=10_000)  # silence: the page does not freeze on the last picture
    camera.close()


def test_a_picture_that_is_none_leaves_the_mirror_as_it_was(page: Page, fake_agent: Any, views: Any, tmp_path: Path) -> None:
    agent = fake_agent("--mirror", str(tmp_path / "m.sock"))
    start(page, agent, views("faceLook", "en"))
    camera = Camera(tmp_path / "m.sock")
    camera.send(b"\xff\xd8\xff half a JPEG")
    camera.send(halves())
    expect(page.locator(".mirror[data-lit]")).to_have_count(1)
    camera.close()
