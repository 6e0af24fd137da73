"""The kiosk's process on its wires: JSON lines with the parent, HTTP and a WebSocket with the page."""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

pytestmark = pytest.mark.wire

ROOT = Path(__file__).parents[2]
WITHIN_S = 20.0
VIEW: dict[str, Any] = {
    "seq": 12,
    "screen": "chooseAmount",
    "lang": "en",
    "title": "How much?",
    "options": [{"id": "amount:10000", "key": "1", "label": "100", "role": "choice"}],
}


class Process:
    """A started kiosk_ui, with what it says on both outputs in queues."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "kiosk_ui", "--port", "0", *arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.said: queue.Queue[str] = queue.Queue()
        self.complained: queue.Queue[str] = queue.Queue()
        self._threads = [
            threading.Thread(target=self._copy, args=pair)
            for pair in ((self.process.stdout, self.said), (self.process.stderr, self.complained))
        ]
        for thread in self._threads:
            thread.start()
        self.port: int = self.hear()["ready"]["port"]

    @staticmethod
    def _copy(source: Any, target: queue.Queue[str]) -> None:
        for line in source:
            target.put(line.decode())

    def hear(self) -> dict[str, Any]:
        message = json.loads(self.said.get(timeout=WITHIN_S))
        assert isinstance(message, dict)
        return message

    def complaint(self) -> str:
        return self.complained.get(timeout=WITHIN_S)

    def tell(self, line: bytes | dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
        self.process.stdin.flush()

    def page(self, **changes: Any) -> ClientConnection:
        host = f"127.0.0.1:{self.port}"
        return connect(f"ws://{host}/view", **({"origin": f"http://{host}", "proxy": None} | changes))

    def get(self, path: str, host: str | None = None) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WITHIN_S)
        connection.putrequest("GET", path, skip_host=True)
        connection.putheader("Host", host or f"127.0.0.1:{self.port}")
        connection.endheaders()
        answer = connection.getresponse()
        result = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
        connection.close()
        return result

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(WITHIN_S)
        self.finish()
        return code

    def finish(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(WITHIN_S)
        for thread in self._threads:
            thread.join(WITHIN_S)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def kiosk() -> Iterator[Process]:
    process = Process()
    yield process
    process.finish()


def test_a_view_reaches_the_page_and_a_press_reaches_the_agent_with_its_seq(kiosk: Process) -> None:
    kiosk.tell({"view": VIEW})
    with kiosk.page() as page:
        assert kiosk.hear() == {"page": {"connected": 1}}
        assert json.loads(page.recv(WITHIN_S))["view"]["title"] == "How much?"
        page.send(json.dumps({"press": {"seq": 12, "id": "amount:10000"}}))
        assert kiosk.hear() == {"pressed": {"seq": 12, "id": "amount:10000"}}
        kiosk.tell({"view": {**VIEW, "seq": 13, "title": "Wait"}})
        assert json.loads(page.recv(WITHIN_S))["view"]["seq"] == 13
        page.send(json.dumps({"press": {"seq": 12, "id": "amount:10000"}}))
        assert kiosk.hear() == {"pressed": {"seq": 12, "id": "amount:10000"}}  # stale: the agent's business
    assert kiosk.hear() == {"page": {"connected": 0}}


def test_a_page_that_comes_back_gets_the_whole_view_and_how_old_it_is(kiosk: Process) -> None:
    kiosk.tell({"view": {**VIEW, "seconds": 30}})
    for _ in range(2):
        with kiosk.page() as page:
            message = json.loads(page.recv(WITHIN_S))
            assert message["view"]["options"] == VIEW["options"]
            assert message["age_s"] >= 0


def test_a_ping_is_answered_and_a_heartbeat_too(kiosk: Process) -> None:
    kiosk.tell({"ping": 7})
    assert kiosk.hear() == {"pong": 7}
    with kiosk.page() as page:
        page.send(json.dumps({"alive": 3}))
        assert json.loads(page.recv(WITHIN_S)) == {"alive": 3}


def test_malformed_lines_are_named_and_nothing_dies(kiosk: Process) -> None:
    kiosk.tell(b"{nonsense")
    assert "not JSON" in kiosk.complaint()
    kiosk.tell({"view": {**VIEW, "lang": "fr"}})
    assert "view.lang must be one of en, zh" in kiosk.complaint()
    kiosk.tell({"view": {**VIEW, "colour": "red"}})
    assert "not known here: colour" in kiosk.complaint()
    with kiosk.page() as page:
        page.recv(WITHIN_S)
        for text, complaint in (
            ("{", "from a page"),
            ('{"press": 5}', "must be an object"),
            ('{"press": {"seq": 99, "id": "x"}}', "never sent"),
            ('{"press": {"seq": 12, "id": "cancel"}}', "does not offer"),
            ('"hello"', "neither"),
        ):
            page.send(text)
            assert complaint in kiosk.complaint()
        page.send(json.dumps({"press": {"seq": 12, "id": "amount:10000"}}))
        assert kiosk.hear() == {"page": {"connected": 1}}
        assert kiosk.hear() == {"pressed": {"seq": 12, "id": "amount:10000"}}


def test_a_message_without_bound_ends_that_page_only(kiosk: Process) -> None:
    kiosk.tell({"view": VIEW})
    with kiosk.page() as page:
        page.recv(WITHIN_S)
        page.send("x" * 5000)
        with pytest.raises(ConnectionClosed):
            page.recv(WITHIN_S)
    with kiosk.page() as page:
        page.recv(WITHIN_S)


@pytest.mark.parametrize("origin", [None, "http://evil.example", "null"])
def test_another_page_cannot_connect(kiosk: Process, origin: str | None) -> None:
    with pytest.raises(InvalidStatus) as refused, kiosk.page(origin=origin):
        pass
    assert refused.value.response.status_code == 403
    assert "is not ours" in kiosk.complaint()


def test_a_request_for_another_host_is_refused(kiosk: Process) -> None:
    status, _, text = kiosk.get("/", host=f"evil.example:{kiosk.port}")
    assert status == 403
    assert "is not ours" in text


def test_the_page_is_under_a_strict_policy_with_no_inline_code(kiosk: Process) -> None:
    status, headers, text = kiosk.get("/")
    assert status == 200
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son[a-z]+=|javascript:", text)
    assert 'id="pictures-insertCard"' in text
    assert "<!-- drawings -->" not in text


def test_every_file_the_page_names_is_there_and_nothing_else_is(kiosk: Process) -> None:
    text = kiosk.get("/")[2] + "".join(kiosk.get(f"/static/{name}.js")[2] for name in ("kiosk", "screen", "link"))
    names = set(re.findall(r'"(/(?:static/|pitch)[^"]*)"', text))
    assert len(names) >= 7
    for name in names:
        assert kiosk.get(name)[0] == 200, name
    assert "--mm: 3.7037px" in kiosk.get("/pitch.css")[2]
    for name in ("/static/../__main__.py", "/static/%2e%2e/view.py", "/static/kiosk.html", "/static/vendor/README.md", "/other"):
        assert kiosk.get(name)[0] == 404, name


def test_a_fifth_page_is_refused(kiosk: Process) -> None:
    with contextlib.ExitStack() as pages:
        for _ in range(4):
            pages.enter_context(kiosk.page())
        with pytest.raises(InvalidStatus):
            pages.enter_context(kiosk.page())
    assert "more than 4 pages" in kiosk.complaint()


def test_it_ends_when_the_parent_does(kiosk: Process) -> None:
    with kiosk.page():
        assert kiosk.end() == 0


def test_the_bench_may_frame_it_only_when_told() -> None:
    process = Process("--frame-origin", "http://127.0.0.1:8090/bench", "--pixel-pitch-mm", "0.2")
    try:
        assert "frame-ancestors http://127.0.0.1:8090;" in process.get("/")[1]["content-security-policy"]
        assert "--mm: 5.0000px" in process.get("/pitch.css")[2]
    finally:
        process.finish()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--port", "0", "--host", "0.0.0.0"], "not a loopback address"),
        (["--port", "0", "--pixel-pitch-mm", "9"], "no pixel pitch"),
        (["--port", "0", "--frame-origin", "* 'self'"], "not the address of a page"),
        (["--port", "70000"], "cannot listen"),
    ],
)
def test_wrong_arguments_get_a_sentence(arguments: list[str], sentence: str) -> None:
    done = subprocess.run([sys.executable, "-m", "kiosk_ui", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode in (1, 2)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
