"""The operations centre's pages in Chromium: journeys in both languages, axe on every page, nothing blocked by the policy."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from monitor_database import take
from monitor_fleet import fleet
from monitor_process import PASSWORD, Browserless, MonitorProcess, add_people, cli, configuration
from monitor_says import Terminal
from playwright.sync_api import ConsoleMessage, Page, Route, expect
from sqlalchemy import update

from kiosk_ui.monitor.config import load_config
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.schema import COMMAND
from simulators.broker.start import start_broker

pytestmark = pytest.mark.browser
LANGUAGES = ("zh", "en")
AXE_TAGS = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}}
WIDE = {"width": 1440, "height": 900}


class Centre:
    def __init__(self, folder: Path, broker: str, count: int) -> None:
        cli("key", "new", str(folder / "centre.pem"))
        config = configuration(folder, broker, more='[signing]\nkey = "centre.pem"\n[monitor]\ndemo_badge = "DEMO"\n')
        add_people(config)
        self.database = Database(load_config(config).database, folder)
        self.now = time.time_ns() // 1_000_000
        for at, said in fleet(count, self.now):
            for start in range(0, len(said), 250):
                take(self.database, said[start : start + 250], now=at)
        self.process = MonitorProcess(config, "--workers", "1")
        self.url = self.process.url

    def close(self) -> None:
        self.process.stop()
        self.database.close()


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    if not shutil.which("mosquitto", path="/usr/bin:/usr/sbin:/usr/local/sbin"):
        pytest.skip("no mosquitto")
    folder = tmp_path_factory.mktemp("centre")
    with start_broker(folder / "broker", kind="mosquitto") as broker:
        found = Centre(folder, broker.url, 1200)
        yield found
        found.close()


def complains(message: ConsoleMessage) -> bool:
    """An answer that refuses is not a fault of the page."""
    return message.type in ("error", "warning") and not message.text.startswith("Failed to load resource")


@pytest.fixture
def faults(page: Page) -> Iterator[list[str]]:
    """What the console complains of, the policy's violations among it."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda message: found.append(message.text) if complains(message) else None)
    yield found
    assert found == []


def enter(page: Page, centre: Centre, name: str = "sam", lang: str = "zh") -> None:
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]
    page.add_init_script(f"localStorage.getItem('language') ?? localStorage.setItem('language', '{lang}')")
    page.goto(centre.url)
    page.locator("input[name=name]").fill(name)
    page.locator("input[name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator(".tile")).to_have_count(6)


def accessible(page: Page) -> None:
    result = Axe().run(page, options=AXE_TAGS)
    assert result.violations_count == 0, result.generate_report()


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_page_is_accessible(lang: str, page: Page, centre: Centre, faults: list[str], shoot: Any) -> None:
    page.add_init_script(f"localStorage.setItem('language', '{lang}')")
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]
    page.goto(centre.url)
    expect(page.locator("input[name=name]")).to_be_visible()
    accessible(page)
    shoot(page, f"monitor-{lang}-sign-in")
    enter(page, centre, lang=lang)
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN" if lang == "zh" else "en")
    for name, path, ready in (
        ("overview", "#/overview", ".worst-first tbody tr"),
        ("terminal", "#/terminal/T0032", ".cassettes li"),
        ("offline", "#/terminal/T0005", ".last-known"),
        ("alarms", "#/alarms", "tbody tr"),
        ("commands", "#/commands", "h1"),
        ("audit", "#/audit", "tbody tr"),
    ):
        page.goto(f"{centre.url}{path}")
        expect(page.locator(ready).first).to_be_visible()
        accessible(page)
        shoot(page, f"monitor-{lang}-{name}")
    page.goto(f"{centre.url}#/alarms")
    page.locator("td.do button:not(.primary)").first.click()
    expect(page.locator("dialog[open]")).to_be_visible()
    accessible(page)
    shoot(page, f"monitor-{lang}-alarm-dialog")


@pytest.mark.parametrize(("lang", "word", "fault"), [("zh", "登录", "用户名或密码错误。"), ("en", "Sign in", "Name or password is wrong.")])
def test_a_wrong_password_is_told_and_nothing_else(lang: str, word: str, fault: str, page: Page, centre: Centre) -> None:
    page.add_init_script(f"localStorage.setItem('language', '{lang}')")
    page.goto(centre.url)
    page.locator("input[name=name]").fill("vera")
    page.locator("input[name=password]").fill("not it")
    page.get_by_role("button", name=word, exact=True).click()
    expect(page.get_by_role("alert")).to_have_text(fault)


def test_the_worst_comes_first_and_filters_narrow(page: Page, centre: Centre, faults: list[str]) -> None:
    enter(page, centre, lang="en")
    grades = page.locator(".worst-first .grade")
    expect(grades.first).to_have_text("Fault")
    page.locator('.tile[data-grade="offline"]').click()
    expect(grades.first).to_have_text("Offline")
    page.locator(".cell", has_text="B003").click()
    expect(page.locator(".worst-first tbody small", has_text="B003").first).to_be_visible()
    expect(page.locator(".worst-first tbody small", has_text="B004")).to_have_count(0)
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_role("searchbox").fill("t0777")
    expect(page.locator(".worst-first tbody tr")).to_have_count(1)
    page.get_by_role("link", name="T0777").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("T0777")


def test_a_thousand_rows_are_shown_and_followed(page: Page, centre: Centre, faults: list[str]) -> None:
    enter(page, centre, lang="en")
    rows = page.locator(".worst-first tbody tr")
    for wanted in (600, 1100):
        page.locator(".list .more").click()
        expect(rows).to_have_count(wanted)
    terminal = Terminal("T1003", "B008", epoch=77, now=centre.now + 1)
    take(
        centre.database, [terminal.state(at=centre.now - 1000), terminal.device("pinPad", "hardwareError")], now=time.time_ns() // 1_000_000
    )
    row = page.locator(".worst-first tbody tr", has_text="T1003")
    expect(row.locator(".grade")).to_have_text("Fault", timeout=20_000)
    expect(row).to_contain_text("PIN pad hardware error")


def test_the_page_says_when_it_is_no_longer_live(page: Page, centre: Centre) -> None:
    enter(page, centre, lang="en")
    expect(page.locator(".live")).to_have_text("Live")
    page.route("**/api/v1/**", lambda route: route.abort())
    page.evaluate("window.dispatchEvent(new HashChangeEvent('hashchange'))")
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    expect(page.locator(".tile")).to_have_count(0)


def test_an_operator_works_with_an_alarm(page: Page, centre: Centre, faults: list[str]) -> None:
    enter(page, centre, "olga", "en")
    page.goto(f"{centre.url}#/alarms")
    row = page.locator("tbody tr", has_text="T0063").first
    row.get_by_role("button", name="Acknowledge").click()
    row = page.locator("tbody tr", has_text="T0063").filter(has_text="Acknowledged")
    expect(row.first).to_contain_text("olga")
    row.first.get_by_role("button", name="More").click()
    dialog = page.locator("dialog")
    dialog.get_by_label("Note or reason").fill("technician on the way")
    dialog.get_by_role("button", name="Do it").click()
    expect(dialog).to_be_hidden()
    row.first.get_by_role("button", name="More").click()
    expect(dialog.locator(".notes")).to_contain_text("technician on the way")
    dialog.get_by_label("Shelve for a time").check()
    dialog.get_by_role("button", name="Do it").click()
    expect(dialog.get_by_role("alert")).to_have_text("Please write a note or reason.")
    dialog.get_by_label("Note or reason").fill("part ordered")
    dialog.get_by_role("button", name="Do it").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Set aside").click()
    shelved = page.locator("tbody tr", has_text="T0063").filter(has_text="shelved until")
    expect(shelved).to_have_count(1)


def test_several_alarms_are_acknowledged_at_once(page: Page, centre: Centre, faults: list[str]) -> None:
    enter(page, centre, "olga", "zh")
    page.goto(f"{centre.url}#/alarms")
    boxes = page.locator("tbody input[type=checkbox]")
    for number in range(3):
        boxes.nth(number).check()
    page.get_by_role("button", name="确认所选 3 条").click()
    expect(page.locator("tbody input:checked")).to_have_count(0)
    found = Browserless(centre.url, "vera").get("audit?who=olga")["lines"]
    assert sum(one["action"] == "alarm.acknowledge" for one in found) >= 3


@pytest.mark.parametrize(
    ("lang", "word", "sentence"), [("zh", "确认", "操作过于频繁。"), ("en", "Acknowledge", "Too many actions in a minute.")]
)
def test_a_button_that_is_refused_says_why(lang: str, word: str, sentence: str, page: Page, centre: Centre, faults: list[str]) -> None:
    enter(page, centre, "olga", lang)
    page.goto(f"{centre.url}#/alarms")
    page.route("**/api/v1/alarms/actions", lambda route: route.fulfill(status=429, json={"error": "tooFast", "message": "slowly"}))
    page.locator("tbody").get_by_role("button", name=word, exact=True).first.click()
    expect(page.get_by_role("alert")).to_have_text(sentence)
    accessible(page)
    page.goto(f"{centre.url}#/commands")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_what_a_device_says_is_told_in_words(page: Page, centre: Centre, faults: list[str]) -> None:
    terminal = Terminal("T0110", "B003", epoch=98, now=centre.now + 1)
    said = [terminal.device("cashDispenser", "online", "nearEnd3,nearEnd4"), terminal.device("pinPad", "offline", "tampered")]
    take(centre.database, said, now=time.time_ns() // 1_000_000)
    enter(page, centre, "vera", "zh")
    page.goto(f"{centre.url}#/terminal/T0110")
    expect(page.locator(".devices li", has_text="出钞机")).to_contain_text("钞箱 3 将空，钞箱 4 将空")
    expect(page.locator(".devices li", has_text="密码键盘")).to_contain_text("被动过")


def test_all_that_is_shown_is_acknowledged_in_batches(page: Page, centre: Centre, faults: list[str]) -> None:
    """After an outage: hundreds of alarms, one press, and what a refused batch leaves stays chosen."""
    enter(page, centre, "otto", "en")
    page.goto(f"{centre.url}#/alarms")
    every, chosen = page.get_by_role("button", name="Choose all"), page.locator("tbody input:checked")
    acknowledge = page.locator(".panel-head button.primary")
    expect(every).to_be_visible()
    shown = int(re.sub(r"\D", "", every.inner_text()))
    assert shown > 200
    every.click()
    expect(chosen).to_have_count(shown)
    page.get_by_role("button", name="Choose none").click()
    expect(chosen).to_have_count(0)
    sent: list[int] = []

    def pass_on(route: Route) -> None:
        body: Any = route.request.post_data_json
        sent.append(len(body["alarms"]))
        if len(sent) == 2:
            route.fulfill(status=429, json={"error": "tooFast", "message": "slowly"})
        else:
            route.continue_()

    page.route("**/api/v1/alarms/actions", pass_on)
    every.click()
    acknowledge.click()
    expect(page.get_by_role("alert")).to_have_text("Too many actions in a minute.")
    expect(chosen).to_have_count(shown - 200)
    acknowledge.click()
    expect(chosen).to_have_count(0)
    expect(every).to_have_count(0)
    assert max(sent) == 200 and sum(sent) - sent[1] == shown


def test_two_people_take_a_terminal_out_of_service(page: Page, centre: Centre, faults: list[str]) -> None:
    enter(page, centre, "olga", "en")
    page.goto(f"{centre.url}#/terminal/T0008")
    page.get_by_role("button", name="Send a command").click()
    dialog = page.locator("dialog")
    dialog.get_by_label("Command").select_option("leaveService")
    expect(dialog).to_contain_text("A second person has to approve this")
    dialog.get_by_role("button", name="Send", exact=True).click()
    expect(dialog).to_be_visible()  # no reason, no command
    dialog.get_by_label("Reason").fill("water under the safe")
    dialog.get_by_role("button", name="Send", exact=True).click()
    expect(dialog).to_be_hidden()
    expect(page.locator(".state")).to_have_text("Awaiting approval")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    enter(page, centre, "sam")
    page.goto(f"{centre.url}#/commands")
    page.locator(".waiting").get_by_role("button", name="Approve").click()
    expect(page.locator("dialog")).to_contain_text("water under the safe")
    page.locator("dialog").get_by_role("button", name="Approve").click()
    row = page.locator("tbody tr", has_text="T0008")
    expect(row).to_contain_text("approved by sam")
    expect(row.locator(".state")).to_have_text("Queued")  # nobody is there to receive it: the broker keeps nothing
    with centre.database.write() as connection:
        connection.execute(update(COMMAND).where(COMMAND.c.terminal == "T0008").values(state="succeeded", result="SUCC"))
    page.reload()
    expect(row.locator(".state")).to_have_text("Succeeded")


def test_a_command_that_waits_for_a_terminal_is_withdrawn(page: Page, centre: Centre, faults: list[str], shoot: Any) -> None:
    enter(page, centre, "olga", "en")
    page.goto(f"{centre.url}#/terminal/T0022")
    page.get_by_role("button", name="Send a command").click()
    dialog = page.locator("dialog")
    dialog.get_by_label("Command").select_option("enterService")
    dialog.get_by_label("Reason").fill("the branch opens")
    dialog.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator(".state")).to_have_text("Queued")
    page.get_by_role("button", name="Withdraw").click()
    expect(dialog).to_contain_text("has not been sent to T0022 yet")
    accessible(page)
    shoot(page, "monitor-en-withdraw")
    dialog.get_by_label("Reason").fill("the branch stays shut")
    dialog.get_by_role("button", name="Withdraw").click()
    expect(dialog).to_be_hidden()
    expect(page.locator(".state")).to_have_text("Withdrawn")
    expect(page.get_by_role("button", name="Withdraw")).to_have_count(0)
    page.goto(f"{centre.url}#/commands")
    expect(page.get_by_role("heading", level=1)).to_have_text("Commands")
    expect(page.locator("tbody tr", has_text="T0022").locator(".state")).to_have_text("Withdrawn")
    shoot(page, "monitor-en-commands-withdrawn")


def test_a_viewer_has_nothing_to_press(page: Page, centre: Centre, faults: list[str]) -> None:
    enter(page, centre, "vera", "zh")
    page.goto(f"{centre.url}#/terminal/T0001")
    expect(page.locator(".cassettes li")).to_have_count(4)
    expect(page.get_by_role("button", name="下达指令")).to_have_count(0)
    expect(page.locator("td.do button")).to_have_count(0)


def test_the_language_is_switched_and_kept(page: Page, centre: Centre, faults: list[str]) -> None:
    enter(page, centre, "vera", "zh")
    expect(page.locator("h2", has_text="地区与网点")).to_be_visible()
    page.get_by_role("button", name="English").click()
    expect(page.locator("h2", has_text="Regions and branches")).to_be_visible()
    page.reload()
    expect(page.locator("h2", has_text="Regions and branches")).to_be_visible()


def test_the_keyboard_reaches_everything(page: Page, centre: Centre, faults: list[str]) -> None:
    enter(page, centre, "sam", "en")
    page.keyboard.press("Tab")
    for _ in range(30):
        if page.evaluate("document.activeElement?.matches('.tile')"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".tile").first).to_have_attribute("aria-pressed", "true")


def test_what_a_terminal_says_is_text_and_never_markup(page: Page, centre: Centre, faults: list[str]) -> None:
    terminal = Terminal("T0090", "B007", epoch=99, now=centre.now)
    evil = "<img src=x onerror=document.title='owned'>"
    said = [terminal.device("printer", "hardwareError", evil), terminal.odd("event", "SecurityEvent", {"text": evil})]
    take(centre.database, said, now=time.time_ns() // 1_000_000)
    enter(page, centre, "vera", "en")
    page.goto(f"{centre.url}#/terminal/T0090")
    expect(page.locator(".what", has_text="onerror").first).to_be_visible()
    assert page.locator("img[src=x]").count() == 0 and "owned" not in page.title()
