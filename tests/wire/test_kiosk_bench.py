"""The bench's process between a page and the real simulators on their control sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

pytestmark = pytest.mark.wire

ROOT = Path(__file__).parents[2]
WITHIN_S = 20.0


class Workshop:
    """A folder with simulators and a bench, all ended afterwards."""

    def __init__(self, folder: Path, ends: contextlib.ExitStack) -> None:
        self.folder = folder
        self._ends = ends

    def start(self, name: str, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._ends.callback(self._end, process)
        assert process.stdout is not None
        self.word = process.stdout.readline().decode()
        assert self.word.startswith("ready"), f"{name} said {self.word!r}"
        return process

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.kill()
        process.communicate()

    def simulator(self, name: str) -> subprocess.Popen[bytes]:
        return self.start(
            name,
            f"simulators.devices.{name}",
            "--link",
            str(self.folder / name),
            "--control",
            str(self.folder / "controls" / f"{name}.ctl"),
        )

    def bench(self) -> None:
        controls = str(self.folder / "controls")
        self.start("bench", "simulators.bench", "--port", "0", "--controls", controls, "--kiosk-url", "http://127.0.0.1:9/")
        self.port = int(self.word.partition("port=")[2])

    @contextlib.contextmanager
    def page(self, **changes: Any) -> Iterator[ClientConnection]:
        host = f"127.0.0.1:{self.port}"
        with connect(f"ws://{host}/desk", **({"origin": f"http://{host}", "proxy": None} | changes)) as page:
            yield page


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    with contextlib.ExitStack() as ends:
        yield Workshop(tmp_path, ends)


def until(page: ClientConnection, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first message for which `true`."""
    while True:
        message = json.loads(page.recv(WITHIN_S))
        assert isinstance(message, dict)
        if true(message):
            return message


def wish(page: ClientConnection, device: str, verb: str, **arguments: Any) -> dict[str, Any]:
    page.send(json.dumps({"number": verb, "device": device, "verb": verb, "arguments": arguments}))
    answer = until(page, lambda message: message.get("answer", {}).get("number") == verb)["answer"]
    assert isinstance(answer, dict)
    return answer


def test_a_page_sees_the_devices_and_moves_them(workshop: Workshop) -> None:
    workshop.simulator("dispenser")
    workshop.bench()
    with workshop.page() as page:
        assert json.loads(page.recv(WITHIN_S))["cast"][0]["pin"]
        state = until(page, lambda message: bool(message.get("state")))["state"]
        assert state["dispenser"]["cassettes"][0]["present"]
        assert state["printer"] is None
        assert "ok" in wish(page, "dispenser", "set_cassette", unit=1, count=77)
        until(page, lambda message: "state" in message and message["state"]["dispenser"]["cassettes"][0]["remaining"] == 77)
        assert "whole number" in wish(page, "dispenser", "set_cassette", unit=9)["error"]
        assert "printer.ctl" in wish(page, "printer", "take_receipt")["error"]
        assert "there is no device" in wish(page, "toaster", "state")["error"]
        page.send("{")
        until(page, lambda message: "error" in message.get("answer", {}))
    with workshop.page() as page:  # a new page gets the log from its beginning
        log = until(page, lambda message: bool(message.get("log")))["log"]
    told = [(entry["who"], entry["device"]) for entry in log]
    assert ("person", "dispenser") in told
    assert ("refused", "printer") in told
    assert [entry["number"] for entry in log] == sorted(entry["number"] for entry in log)


def test_a_simulator_that_comes_and_goes_is_followed(workshop: Workshop) -> None:
    workshop.bench()
    with workshop.page() as page:
        until(page, lambda message: "dispenser" in message.get("state", {}) and message["state"]["dispenser"] is None)
        dispenser = workshop.simulator("dispenser")
        until(page, lambda message: bool(message.get("state", {}).get("dispenser")))
        dispenser.kill()
        dispenser.wait(WITHIN_S)
        message = until(page, lambda message: "dispenser" in message.get("state", {}) and message["state"]["dispenser"] is None)
        assert message["log"][-1]["text"] == "is gone"


def test_the_pads_keys_go_to_the_pads_own_door(workshop: Workshop) -> None:
    workshop.simulator("pinpad")
    workshop.bench()
    with workshop.page() as page:
        port = until(page, lambda message: bool(message.get("state", {}).get("pinpad")))["state"]["pinpad"]["http_port"]
        assert "at the pad itself" in wish(page, "pinpad", "press", key="5")["error"]
        door = http.client.HTTPConnection("127.0.0.1", port, timeout=WITHIN_S)
        headers = {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{workshop.port}"}
        door.request("POST", "/press", '{"key": "5"}', headers)
        answer = door.getresponse()
        assert answer.status == 204
        assert answer.getheader("Access-Control-Allow-Origin") == headers["Origin"]
        door.close()


def test_another_page_cannot_use_the_bench(workshop: Workshop) -> None:
    workshop.bench()
    with pytest.raises(InvalidStatus), workshop.page(origin="http://evil.example"):
        pass
    connection = http.client.HTTPConnection("127.0.0.1", workshop.port, timeout=WITHIN_S)
    connection.request("GET", "/", headers={"Host": "evil.example"})
    assert connection.getresponse().status == 403
    connection.close()


def test_the_page_may_frame_the_kiosk_and_reach_the_pad_and_nothing_else(workshop: Workshop) -> None:
    workshop.bench()
    connection = http.client.HTTPConnection("127.0.0.1", workshop.port, timeout=WITHIN_S)
    connection.request("GET", "/")
    answer = connection.getresponse()
    policy = answer.getheader("Content-Security-Policy") or ""
    answer.read()
    assert "frame-src http://127.0.0.1:9;" in policy
    assert "connect-src 'self' http://127.0.0.1:*;" in policy
    assert "unsafe" not in policy
    for path in ("/static/../bench.py", "/receipt/1", "/scene/customer", "/static/bench.html"):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 404, path
    connection.close()


def test_it_ends_with_its_parent(workshop: Workshop) -> None:
    controls = str(workshop.folder)
    bench = workshop.start("bench", "simulators.bench", "--port", "0", "--controls", controls, "--kiosk-url", "http://127.0.0.1:9/")
    assert bench.stdin is not None
    bench.stdin.close()
    bench.stdin = None
    assert bench.wait(WITHIN_S) == 0
