"""The bench page in a real browser, with real simulators behind it and a kiosk in its frame."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]


class Bench:
    """The simulators without a bank and a printer, the bench, a kiosk."""

    def __init__(self, folder: Path, fake_agent: Any) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        controls = folder / "controls"
        for name in ("dispenser", "pinpad"):
            self.start(f"simulators.devices.{name}", "--link", str(folder / name), "--control", str(controls / f"{name}.ctl"))
        self.start("simulators.card", "--port", "9", "--control", str(controls / "card.ctl"))
        port_free = self.start("simulators.bench", "--port", "0", "--controls", str(controls), "--kiosk-url", "http://127.0.0.1:9/")
        self.end_last()
        port = port_free.partition("port=")[2].strip()
        self.agent = fake_agent("--frame-origin", f"http://127.0.0.1:{port}")
        self.start("simulators.bench", "--port", port, "--controls", str(controls), "--kiosk-url", self.agent.url)
        self.url = f"http://127.0.0.1:{port}/"

    def start(self, module: str, *arguments: str) -> str:
        process = subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.processes.append(process)
        assert process.stdout is not None
        return process.stdout.readline().decode()

    def end_last(self) -> None:
        process = self.processes.pop()
        process.kill()
        process.communicate()

    def end(self) -> None:
        while self.processes:
            self.end_last()


@pytest.fixture
def bench(tmp_path: Path, fake_agent: Any) -> Iterator[Bench]:
    bench = Bench(tmp_path, fake_agent)
    yield bench
    bench.end()


def test_a_person_works_the_devices(page: Page, bench: Bench, views: Any, shoot: Any) -> None:
    complaints: list[str] = []
    sent: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("websocket", lambda socket: socket.on("framesent", lambda data: sent.append(str(data))))
    page.set_viewport_size({"width": 1600, "height": 1000})
    bench.agent.show(views("idle", "en"))
    page.goto(bench.url)
    kiosk = page.frame_locator("#kiosk")
    expect(kiosk.get_by_role("heading", name="Please insert your card")).to_be_visible()
    slot = page.get_by_role("region", name="Card slot")
    slot.get_by_role("button", name="储蓄卡").click()
    expect(slot).to_contain_text("everyday")
    pad = page.get_by_role("region", name="PIN pad")
    for key in ("7", "0", "Enter"):
        pad.get_by_role("button", name=key, exact=True).click()
    page.get_by_role("button", name="double note").click()
    safe = page.get_by_role("region", name="Cassettes")
    safe.get_by_role("button", name="Pull out").first.click()
    expect(safe).to_contain_text("pulled out")
    expect(page.get_by_role("region", name="Log")).to_contain_text("person: remove_cassette unit 1")
    expect(page.get_by_role("region", name="Receipt").first).to_contain_text("not there")
    slot.get_by_role("button", name="Take the card out").click()
    expect(slot).to_contain_text("empty")
    page.get_by_role("button", name="clear jam").click()
    shoot(page, "bench")
    assert page.evaluate("document.documentElement.scrollHeight") <= 1000
    assert not any('"press"' in frame or '"key"' in frame for frame in sent)
    assert any("double_note" in frame for frame in sent)
    assert complaints == []
    results = Axe().run(page)
    assert [(one["id"], one["nodes"][0]["html"]) for one in results.response["violations"]] == []


def test_a_fault_is_armed_and_seen_and_a_device_that_hangs_is_named(page: Page, bench: Bench) -> None:
    page.goto(bench.url)
    page.get_by_role("button", name="bad checksum").click()
    expect(page.get_by_role("button", name="bad checksum")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="pull at 2nd GENERATE AC").click()
    expect(page.get_by_role("region", name="Log")).to_contain_text("pull_after ins AE")
    dispenser = bench.processes[0]
    dispenser.send_signal(signal.SIGSTOP)
    try:
        page.get_by_role("button", name="double note").click()
        expect(page.get_by_role("alert")).to_contain_text("dispenser.ctl: no answer in time", timeout=15_000)
        expect(page.get_by_role("region", name="Cassettes")).to_contain_text("not there")
    finally:
        dispenser.send_signal(signal.SIGCONT)
    expect(page.get_by_role("region", name="Cassettes")).to_contain_text("Reject bin", timeout=15_000)


def test_a_bench_that_is_gone_is_shown_and_found_again(page: Page, bench: Bench, views: Any) -> None:
    page.goto(bench.url)
    expect(page.get_by_role("status")).to_have_text("connected")
    command = bench.processes[-1].args
    bench.end_last()
    expect(page.get_by_role("status")).to_have_text("no connection to the bench")
    assert isinstance(command, list)
    bench.start(*command[2:])
    expect(page.get_by_role("status")).to_have_text("connected", timeout=15_000)
