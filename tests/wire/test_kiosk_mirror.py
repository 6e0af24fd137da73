"""The mirror of a real kiosk_ui process: who may write to it, what it refuses, and that it keeps nothing."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mirror_pictures import DARK, Camera, framed, halves
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

pytestmark = pytest.mark.wire
ROOT = Path(__file__).parents[2]
WITHIN_S = 20.0
PICTURE = halves()


class Server:
    def __init__(self, path: Path) -> None:
        self.path = path
        command = [sys.executable, "-m", "kiosk_ui", "--port", "0", "--mirror", str(path)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.said: queue.Queue[dict[str, Any]] = queue.Queue()
        self.complained: queue.Queue[str] = queue.Queue()
        assert self.process.stdout is not None and self.process.stderr is not None
        out, err = self.process.stdout, self.process.stderr
        self._threads = [
            threading.Thread(target=lambda: [self.said.put(json.loads(line)) for line in out]),
            threading.Thread(target=lambda: [self.complained.put(line.decode()) for line in err]),
        ]
        for thread in self._threads:
            thread.start()
        self.port = self.said.get(timeout=WITHIN_S)["ready"]["port"]
        self.seq = 0

    def show(self, *, mirror: bool) -> None:
        """A view, seen to have arrived."""
        self.seq += 1
        view: dict[str, Any] = {"seq": self.seq, "screen": "face", "lang": "en", "title": "Look"}
        if mirror:
            view["mirror"] = {"label": "you", "done": 0, "of": 3}
        self.tell("view", view)

    def tell(self, what: str, value: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({what: value}).encode() + b"\n")
        self.process.stdin.write(json.dumps({"ping": 1}).encode() + b"\n")
        self.process.stdin.flush()
        while "pong" not in self.said.get(timeout=WITHIN_S):
            pass

    def page(self, **changes: Any) -> ClientConnection:
        host = f"127.0.0.1:{self.port}"
        return connect(f"ws://{host}/mirror", **({"origin": Origin(f"http://{host}"), "proxy": None} | changes))

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(WITHIN_S)
        for thread in self._threads:
            thread.join(WITHIN_S)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "m.sock")
    yield server
    server.end()


def test_a_picture_reaches_the_page_as_it_is_and_darkness_too(server: Server) -> None:
    server.show(mirror=True)
    with server.page() as page:
        assert page.recv(timeout=WITHIN_S) == "dark"
        camera = Camera(server.path)
        camera.send(PICTURE)
        assert page.recv(timeout=WITHIN_S) == PICTURE
        camera.dark()
        assert page.recv(timeout=WITHIN_S) == "dark"
        camera.send(PICTURE)
        assert page.recv(timeout=WITHIN_S) == PICTURE
        camera.close()
        assert page.recv(timeout=WITHIN_S) == "dark", "the camera has gone"


def test_a_page_that_comes_later_sees_the_picture_of_now(server: Server) -> None:
    server.show(mirror=True)
    with server.page() as page:
        camera = Camera(server.path)
        camera.send(PICTURE)
        while page.recv(timeout=WITHIN_S) == "dark":
            pass
        with server.page() as other:
            assert other.recv(timeout=WITHIN_S) == PICTURE
        camera.close()


def test_without_a_mirror_on_the_screen_no_picture_is_held(server: Server) -> None:
    server.show(mirror=True)
    with server.page() as page:
        camera = Camera(server.path)
        camera.send(PICTURE)
        while page.recv(timeout=WITHIN_S) == "dark":
            pass
        server.show(mirror=False)
        assert page.recv(timeout=WITHIN_S) == "dark"
        camera.send(PICTURE)
        server.show(mirror=False)
        with server.page() as other:
            assert other.recv(timeout=WITHIN_S) == "dark"
        camera.close()


def test_the_newest_camera_is_the_one_that_is_seen(server: Server) -> None:
    server.show(mirror=True)
    with server.page() as page:
        assert page.recv(timeout=WITHIN_S) == "dark"
        old, new = Camera(server.path), Camera(server.path)
        other = halves(64, 48)
        new.send(other)
        assert page.recv(timeout=WITHIN_S) == other
        old.send(PICTURE)
        assert old.ended()
        new.close()
        assert page.recv(timeout=WITHIN_S) == "dark"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (framed(b"not a picture at all"), "no JPEG"),
        (b"\xff\xff\xff\xff", "bytes; 262144 are allowed"),
        (framed(b"\x89PNG\r\n\x1a\n"), "no JPEG"),
    ],
)
def test_what_is_no_picture_ends_that_camera_and_nothing_else(server: Server, data: bytes, complaint: str) -> None:
    server.show(mirror=True)
    with server.page() as page:
        assert page.recv(timeout=WITHIN_S) == "dark"
        bad = Camera(server.path)
        bad.send_raw(data)
        assert bad.ended() and complaint in server.complained.get(timeout=WITHIN_S)
        good = Camera(server.path)
        good.send(PICTURE)
        assert page.recv(timeout=WITHIN_S) == PICTURE
        good.close()


def test_a_camera_that_falls_silent_in_the_middle_goes_dark(server: Server) -> None:
    server.show(mirror=True)
    with server.page() as page:
        camera = Camera(server.path)
        camera.send(PICTURE)
        while page.recv(timeout=WITHIN_S) == "dark":
            pass
        camera.send_raw(framed(PICTURE)[:100])
        assert page.recv(timeout=WITHIN_S) == "dark"
        assert "silent" in server.complained.get(timeout=WITHIN_S)
        assert camera.ended()


def test_half_a_length_and_the_end(server: Server) -> None:
    server.show(mirror=True)
    camera = Camera(server.path)
    camera.send_raw(DARK[:2])
    camera.close()
    server.show(mirror=True)
    assert server.complained.empty()


def test_the_socket_is_for_this_user_alone_and_replaces_a_stale_one(tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    first = Server(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    first.process.kill()
    first.process.wait()
    assert path.exists(), "left behind by a kill"
    first.end()
    second = Server(path)
    second.show(mirror=True)
    Camera(path).close()
    second.end()


def test_a_file_in_the_place_of_the_socket_is_left_alone_and_the_page_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    path.write_text("somebody's")
    server = Server(path)
    assert "no mirror" in server.complained.get(timeout=WITHIN_S)
    with server.page() as page:
        assert page.recv(timeout=WITHIN_S) == "dark"
    server.end()
    assert path.read_text() == "somebody's"


def test_another_page_may_not_look(server: Server) -> None:
    with pytest.raises(Exception, match=r"403|1008|rejected"), server.page(origin=Origin("http://evil.example")):
        pass


def test_too_many_pages(server: Server) -> None:
    with contextlib.ExitStack() as open_:
        for _ in range(4):
            assert open_.enter_context(server.page()).recv(timeout=WITHIN_S) == "dark"
        with pytest.raises(WebSocketException):
            open_.enter_context(server.page()).recv(timeout=WITHIN_S)
