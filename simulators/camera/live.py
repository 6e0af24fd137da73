"""python -m simulators.camera.live --photographs DIR --control PATH [--port N] [--scene NAME]: a camera that looks at a living scene.

A Motion JPEG stream over HTTP on 127.0.0.1 (`/scene.mjpg`), which OpenCV's VideoCapture opens as it opens a network camera: 640 x 480, 15
frames a second, each rendered for its moment. What the people in it do is told over the control wire: ``cue`` passes on what the kiosk
asks, so a scene can answer a random challenge. Time in the scene goes on by a fifteenth of a second with each frame that is sent: on a
machine that does not keep up the people move more slowly, instead of in leaps, and the delay stays bounded.

Verbs: show {scene}, cue {stage}, still {scene} (base64 of a JPEG), state. Prints ``ready port=N``.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from simulators.camera.cast import heads
from simulators.camera.encode import EncodingFailed
from simulators.camera.head import Head
from simulators.camera.lobby import Lens, Lobby
from simulators.camera.motion import Obeys
from simulators.camera.presentations import (
    Living,
    Presentation,
    Room,
    Taking,
    nobody,
    obeying,
    print_and_person,
    print_bent,
    print_moved,
    print_tilted,
    prints_swapped,
    replay_interactive,
    replay_session,
    replay_talking,
    still,
    two_people,
)
from simulators.process import Loop

FPS = 15.0
QUALITY = 88
BUFFER = 16384
UNPLUGGED, FROZEN = "unplugged", "frozen"
STAGES = ("look", "turnLeft", "turnRight", "lookStraight", "compare")
HEAD_OF_STREAM = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\nCache-Control: no-store\r\n\r\n"
Cast = Mapping[str, Head]


def _camera_changed(cast: Cast, seed: int) -> Presentation:
    """Another camera, with the same person before it, from the first turn on."""
    random = Random(seed)
    there = Room([Living(cast["customer"], Obeys(random), random)], Lobby(seed, other=True))
    return Taking(random, {"": obeying(cast["customer"], seed), "turnLeft": there, "turnRight": there}, 0.1)


SCENES: Mapping[str, Callable[[Cast, int], Presentation]] = {
    "customer": lambda cast, seed: obeying(cast["customer"], seed),
    "other": lambda cast, seed: obeying(cast["other"], seed),
    "nobody": lambda cast, seed: nobody(seed),
    "two-people": lambda cast, seed: two_people(cast["customer"], cast["other"], seed),
    "still": lambda cast, seed: still(cast["customer"], seed),
    "dark": lambda cast, seed: obeying(cast["customer"], seed, Lens(light=0.12)),
    "blurred": lambda cast, seed: obeying(cast["customer"], seed, Lens(blur_px=5.0)),
    "covered": lambda cast, seed: nobody(seed, Lens(covered=True)),
    FROZEN: lambda cast, seed: still(cast["customer"], seed),
    "print": lambda cast, seed: print_moved(cast["customer"], seed),
    "print-tilted": lambda cast, seed: print_tilted(cast["customer"], seed),
    "print-bent": lambda cast, seed: print_bent(cast["customer"], seed),
    "prints-swapped": lambda cast, seed: prints_swapped(cast["customer"], seed),
    "print-and-person": lambda cast, seed: print_and_person(cast["customer"], cast["other"], seed),
    "replay": lambda cast, seed: replay_talking(cast["customer"], seed),
    "replay-session": lambda cast, seed: replay_session(cast["customer"], seed),
    "replay-interactive": lambda cast, seed: replay_interactive(cast["customer"], seed),
    "camera-changed": _camera_changed,
}


class LiveScene:
    """The scene that is shown, in its own time. `frame()` is the next JPEG; a frozen camera gives the same one for ever."""

    def __init__(self, cast: Cast, scene: str) -> None:
        self._cast = cast
        self._seed = 0
        self.name = ""
        self.stage = "look"
        self._frozen = b""
        self.show(scene)

    def show(self, scene: str) -> None:
        """ValueError: no such scene."""
        if scene != UNPLUGGED and scene not in SCENES:
            raise ValueError(f"there is no scene {scene!r}: {', '.join([*SCENES, UNPLUGGED])}")
        self.name, self._seed, self._frozen, self._at = scene, self._seed + 1, b"", 0.0
        self._presentation = None if scene == UNPLUGGED else SCENES[scene](self._cast, self._seed)
        self.stage = "look"

    def cue(self, stage: str) -> None:
        """ValueError: no such stage."""
        if stage not in STAGES:
            raise ValueError(f"there is no stage {stage!r}: {', '.join(STAGES)}")
        self.stage = stage
        if self._presentation is not None:
            self._presentation.cue(stage, self._at)

    def frame(self) -> bytes:
        assert self._presentation is not None
        self._at += 1 / FPS
        if self.name != FROZEN:
            return jpeg(self._presentation.frame(self._at))
        self._frozen = self._frozen or jpeg(self._presentation.frame(2.0))
        return self._frozen

    def still(self, scene: str) -> str:
        """Base64 of a JPEG. ValueError: no such scene, or nothing to be seen."""
        if scene not in SCENES:
            raise ValueError(f"there is no picture of {scene!r}")
        return base64.b64encode(jpeg(SCENES[scene](self._cast, 1).frame(2.0))).decode()


def jpeg(picture: Any) -> bytes:
    import cv2

    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return bytes(data.tobytes())


class Server:
    """The stream's side: accepts while plugged in, sends to whoever keeps up. One thread, in the simulators' loop."""

    def __init__(self, loop: Loop, scene: LiveScene, port: int) -> None:
        self._loop, self.scene = loop, scene
        self._clients: dict[socket.socket, bytes] = {}
        self._listener: socket.socket | None = None
        self._due = 0.0
        self.port = port
        self.plug()
        if scene.name == UNPLUGGED:
            self.unplug()

    def plug(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self.port = self._listener.getsockname()[1]
            self._loop.add(self._listener, self._accept)

    def unplug(self) -> None:
        if self._listener is not None:
            self._loop.remove(self._listener)
            self._listener.close()
            self._listener = None
        for client in list(self._clients):
            self._drop(client)

    def show(self, scene: str) -> None:
        self.scene.show(scene)
        if scene == UNPLUGGED:
            self.unplug()
        else:
            self.plug()

    def control(self, do: str, arguments: dict[str, Any]) -> Any:
        match do:
            case "state":
                return {"scene": self.scene.name, "stage": self.scene.stage, "watched": bool(self._clients), "scenes": [*SCENES, UNPLUGGED]}
            case "show":
                self.show(str(arguments["scene"]))
            case "cue":
                self.scene.cue(str(arguments["stage"]))
            case "still":
                return self.scene.still(str(arguments["scene"]))
            case _:
                raise ValueError(f"there is no verb {do!r}: show, cue, still, state")
        return None

    def tick(self, now: float) -> None:
        if now >= self._due and not all(self._clients.values()):
            self._due = max(self._due + 1 / FPS, now)
            picture = self.scene.frame()
            part = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(picture), picture)
            for client, rest in list(self._clients.items()):
                if not rest:
                    self._clients[client] = part
        for client in list(self._clients):
            self._send(client)

    def next_wakeup(self) -> float | None:
        if not self._clients:
            return None
        return min(self._due, time.monotonic() + 0.01) if any(self._clients.values()) else self._due

    def _accept(self) -> None:
        assert self._listener is not None
        client, _ = self._listener.accept()
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        self._clients[client] = HEAD_OF_STREAM
        self._loop.add(client, lambda: self._read(client))
        if self.scene.name not in (UNPLUGGED, FROZEN) and len(self._clients) == 1:
            self._due = time.monotonic()

    def _read(self, client: socket.socket) -> None:
        """The request, which is always the same; its end is the client's."""
        try:
            gone = not client.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            gone = True
        if gone:
            self._drop(client)

    def _send(self, client: socket.socket) -> None:
        rest = self._clients[client]
        with contextlib.suppress(BlockingIOError):
            while rest:
                try:
                    rest = rest[client.send(rest) :]
                except BlockingIOError:
                    break
                except OSError:
                    self._drop(client)
                    return
        self._clients[client] = rest

    def _drop(self, client: socket.socket) -> None:
        if self._clients.pop(client, None) is not None:
            self._loop.remove(client)
            client.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m simulators.camera.live", description="A camera that looks at a living scene.")
    parser.add_argument("--photographs", type=Path, required=True, help="the folder that `python -m simulators.camera` fetched")
    parser.add_argument("--control", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes any free one")
    parser.add_argument("--scene", default="customer", choices=[*SCENES, UNPLUGGED])
    parser.add_argument("--keep", action="store_true", help="go on when standard input closes")
    options = parser.parse_args()
    try:
        cast = heads(options.photographs)
    except EncodingFailed as error:
        sys.stderr.write(f"camera: {error}\n")
        return 1
    loop = Loop()
    server = Server(loop, LiveScene(cast, options.scene), options.port)
    loop.serve_control(options.control, server.control)
    if not options.keep:
        loop.stop_on_stdin_eof()
    sys.stdout.write(f"ready port={server.port}\n")
    sys.stdout.flush()
    loop.run(server.tick, server.next_wakeup)
    options.control.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
