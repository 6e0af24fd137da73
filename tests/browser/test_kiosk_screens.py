"""Every screen in a real browser: it fits the panel, can be read and touched, says what it shows, and breaks no rule of axe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser

PANELS = {"portrait": (1080, 1920), "desk": (1280, 1024), "landscape": (1920, 1080)}
GOLDEN = Path(__file__).parent / "golden"
MM = 1 / 0.27
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

MEASURE = """() => {
  const seen = (element) => { const box = element.getBoundingClientRect(); return box.width > 0 && box.height > 0; };
  const all = (selector) => [...document.querySelectorAll(selector)].filter(seen);
  const box = (element) => {
    const b = element.getBoundingClientRect();
    return [b.left, b.top, b.right, b.bottom].map((n) => Math.round(n * 10) / 10);
  };
  const name = (element) => {
    const kind = element.className.baseVal ?? element.className;
    return `${element.tagName.toLowerCase()}.${kind} "${element.textContent.trim().slice(0, 30)}"`;
  };
  const context = document.createElement("canvas").getContext("2d");
  const capital = (element) => {
    const style = getComputedStyle(element);
    context.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    return context.measureText("H").actualBoundingBoxAscent;
  };
  const texts = all("#kiosk *").filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  const blocks = all("h1, .hint, .entry, .mask, .amount, .facts, .progress, .picture, .mirror, .demo, #kiosk button, .countdown, .mark");
  return {
    scrolls: document.documentElement.scrollHeight > innerHeight || document.documentElement.scrollWidth > innerWidth,
    texts: texts.map((element) => ({ name: name(element), capital: capital(element), box: box(element) })),
    targets: all("#kiosk button").map((element) => ({ name: name(element), box: box(element),
      clipped: element.scrollWidth > element.clientWidth || (element.querySelector(".label")?.offsetHeight ?? 0) > element.clientHeight })),
    blocks: blocks.map((element) => ({ name: name(element), box: box(element) })),
    panel: [innerWidth, innerHeight],
  };
}"""


def overlap(one: list[float], other: list[float]) -> bool:
    return min(one[2], other[2]) - max(one[0], other[0]) > 1 and min(one[3], other[3]) - max(one[1], other[1]) > 1


def faults(measured: dict[str, Any]) -> list[str]:
    """What is wrong with a screen, as sentences."""
    width, height = measured["panel"]
    found = ["the page scrolls"] if measured["scrolls"] else []
    for text in measured["texts"]:
        if text["capital"] < 4.8 * MM:
            found.append(f"{text['name']}: capitals of {text['capital'] / MM:.2f} mm")
    for target in measured["targets"]:
        left, top, right, bottom = target["box"]
        if min(right - left, bottom - top) < 20 * MM - 0.1:
            found.append(f"{target['name']}: a target of {(right - left) / MM:.1f} x {(bottom - top) / MM:.1f} mm")
        if target["clipped"]:
            found.append(f"{target['name']}: its words are cut off")
    for block in measured["blocks"] + measured["texts"]:
        left, top, right, bottom = block["box"]
        if left < -0.5 or top < -0.5 or right > width + 0.5 or bottom > height + 0.5:
            found.append(f"{block['name']} at {block['box']} is outside the panel")
    blocks = measured["blocks"]
    for number, one in enumerate(blocks):
        found += [f"{one['name']} and {other['name']} overlap" for other in blocks[number + 1 :] if overlap(one["box"], other["box"])]
    return found


def test_the_measure_itself_finds_what_is_wrong() -> None:
    small = {"name": "a", "capital": 10, "box": [0, 0, 50, 50], "clipped": True}
    measured = {
        "panel": [100, 100],
        "scrolls": True,
        "texts": [small],
        "targets": [small],
        "blocks": [small, {"name": "b", "box": [40, 40, 200, 60]}],
    }
    text = "; ".join(faults(measured))
    for sentence in ("scrolls", "capitals of", "a target of", "cut off", "outside", "overlap"):
        assert sentence in text


def open_page(page: Page, agent: Any, views: Any) -> list[str]:
    """Open the kiosk's page on a first view. What the browser complains of (CSP, errors) ends up in the list."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    agent.show(views("readingCard"))
    page.goto(agent.url)
    expect(page.get_by_role("heading")).to_be_visible()
    return complaints


def show(page: Page, agent: Any, view: dict[str, Any]) -> None:
    agent.show(view)
    expect(page.locator("html")).to_have_attribute("data-screen", view["screen"])
    expect(page.locator("html")).to_have_attribute("data-mode", view["mode"])
    expect(page.get_by_role("heading", name=view["title"], exact=True)).to_be_visible()


@pytest.mark.parametrize("mode", ["standard", "elderly"])
@pytest.mark.parametrize("panel", PANELS)
def test_every_screen_fits_and_can_be_read_and_touched(browser: Browser, agent: Any, views: Any, shoot: Any, panel: str, mode: str) -> None:
    width, height = PANELS[panel]
    context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    page = context.new_page()
    complaints = open_page(page, agent, views)
    found = []
    for lang in ("zh", "en"):
        for screen in views.screens:
            show(page, agent, views(screen, lang, mode))
            page.evaluate("document.fonts.ready")
            found += [f"{screen} {lang}: {fault}" for fault in faults(page.evaluate(MEASURE))]
            shoot(page, f"kiosk-{panel}-{mode}-{lang}-{screen}")
        for screen in ("chooseApplication", "chooseAmount", "otherAmount", "enterPin", "failure"):
            show(page, agent, views(screen, lang, mode, picture=None, demo="模拟设备 simulated devices"))
            expect(page.locator(".picture")).to_have_count(0)
            found += [f"{screen} {lang} without picture: {fault}" for fault in faults(page.evaluate(MEASURE))]
    context.close()
    assert not found, "\n".join(found)
    assert complaints == []


@pytest.mark.parametrize("mode", ["standard", "elderly"])
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_axe_finds_nothing_on_any_screen(page: Page, agent: Any, views: Any, lang: str, mode: str) -> None:
    open_page(page, agent, views)
    axe = Axe()
    found = []
    for screen in views.screens:
        show(page, agent, views(screen, lang, mode))
        results = axe.run(page, options={"runOnly": {"type": "tag", "values": AXE_TAGS}})
        assert len(results.response["passes"]) > 5, "axe looked at nothing"
        found += [(screen, one["id"], [node["html"] for node in one["nodes"]]) for one in results.response["violations"]]
    assert found == []


def test_axe_finds_nothing_on_the_notice_of_a_lost_connection(page: Page, agent: Any) -> None:
    page.goto(agent.url)  # no view yet
    expect(page.get_by_role("alert")).to_be_visible()
    results = Axe().run(page, options={"runOnly": {"type": "tag", "values": AXE_TAGS}})
    assert [one["id"] for one in results.response["violations"] if one["id"] not in ("page-has-heading-one", "landmark-one-main")] == []


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_screen_reader_gets_what_is_shown(page: Page, agent: Any, views: Any, lang: str) -> None:
    """Golden files: read them before accepting a change (SMART_BRANCH_ARIA=1 writes them)."""
    open_page(page, agent, views)
    for screen in views.screens:
        show(page, agent, views(screen, lang))
        golden = GOLDEN / f"{screen}.{lang}.aria.yml"
        if os.environ.get("SMART_BRANCH_ARIA"):
            golden.parent.mkdir(exist_ok=True)
            golden.write_text(page.locator("body").aria_snapshot() + "\n", encoding="utf-8")
        expect(page.locator("body")).to_match_aria_snapshot(golden.read_text(encoding="utf-8"))


def test_every_part_of_a_view_reaches_the_screen_reader(page: Page, agent: Any, views: Any) -> None:
    """The golden files are written from the page; this is their check against the views themselves."""
    open_page(page, agent, views)
    for lang in ("zh", "en"):
        for screen in views.screens:
            view = views(screen, lang)
            show(page, agent, view)
            snapshot = page.locator("body").aria_snapshot()
            for text in [view["title"], view.get("hint"), *(line["text"] for line in view.get("lines", []))]:
                assert text is None or text in snapshot, (screen, lang, text)
            for option in view.get("options", []):
                expect(page.get_by_role("button", name=option["label"], exact=True)).to_have_count(1)


def test_type_shrinks_only_when_a_view_would_not_fit(page: Page, agent: Any, views: Any) -> None:
    page.set_viewport_size({"width": 1280, "height": 1024})
    open_page(page, agent, views)
    show(page, agent, views("takeCard", "en", "elderly"))
    expect(page.locator("html")).to_have_attribute("data-tight", "0")
    long = [{"role": role, "label": "Your money", "text": "Nothing was charged. " * 5} for role in ("card", "money", "next")]
    show(page, agent, views("failure", "en", "elderly", lines=long))
    expect(page.locator("html")).not_to_have_attribute("data-tight", "0")
    assert faults(page.evaluate(MEASURE)) == []
    show(page, agent, views("takeCard", "en", "elderly"))
    expect(page.locator("html")).to_have_attribute("data-tight", "0")


def test_nothing_moves_for_who_asked_for_less_motion(page: Page, agent: Any, views: Any) -> None:
    open_page(page, agent, views)
    moving = "() => document.getAnimations().filter((one) => one.playState === 'running' && one.animationName !== 'run-out').length"
    show(page, agent, views("idle"))
    assert page.evaluate(moving) == 0
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(moving) > 0


def test_millimetres_follow_the_pixel_pitch(page: Page, fake_agent: Any, views: Any) -> None:
    sizes = []
    for pitch in ("0.27", "0.18"):
        agent = fake_agent("--pixel-pitch-mm", pitch)
        agent.show(views("failure", "en"))
        page.goto(agent.url)
        box = page.get_by_role("button", name="I understand").bounding_box()
        assert box is not None
        sizes.append(box["height"] * float(pitch))
        assert sizes[-1] >= 20
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)
