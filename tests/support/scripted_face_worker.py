"""A face worker that needs no camera: a real process on the worker's wire and on the mirror's socket, which does what a script says.

The script is a JSON file (the setting `camera` names it): ``{"decision": "accepted", "steps": [["look", "comeCloser"]], "step_s": 0.4}``,
read anew for each look. The template of a verification is really opened, one of an enrolment really sealed for the bank.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import struct
import sys
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from mirror_pictures import Camera, halves

from drivers.secret import Secret
from simulators.crypto.sealed_box import SealedBoxError, open_box, public_bytes, public_from_hex, seal
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device, FaceEvidence
from terminal.workers.wire import decode, encode

MODEL = "f0" * 32
PICTURE_EVERY_S = 0.1
HEARTBEAT_S = 1.0


def a_face(customer: int = 1) -> bytes:
    """128 float32 of length 1."""
    values = [math.sin(customer * 12.9 + place) for place in range(128)]
    length = math.sqrt(sum(value * value for value in values))
    return struct.pack("<128f", *(value / length for value in values))


class ScriptedFace:
    def __init__(self, settings: dict[str, Any], events: int) -> None:
        self._script = Path(settings["camera"])
        self._mirror = settings["mirror"]
        self._events = events
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._rest = b""
        self._stopped = False

    def run(self) -> None:
        self._say(e.DeviceOnline(Device.FACE))
        while True:
            os.write(self._events, b"{}\n")
            for command in self._commands(HEARTBEAT_S):
                self._do(command)

    def _commands(self, within_s: float) -> list[Any]:
        if not select.select([0], [], [], within_s)[0]:
            return []
        data = os.read(0, 65536)
        if not data:
            sys.exit(0)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [decode(line) for line in lines]

    def _say(self, event: e.Event) -> None:
        os.write(self._events, encode(event))

    def _do(self, command: Any) -> None:
        if isinstance(command, c.MakeFaceKey):
            self._key = ec.generate_private_key(ec.SECP256R1())
            self._say(e.FaceKeyMade(command.command_id, public_bytes(self._key.public_key()).hex()))
        elif isinstance(command, c.VerifyFace):
            decision = self._look(command.command_id)
            if decision == "accepted" and not self._opens(command.template):
                decision = "templateRefused"
            self._say(e.FaceVerified(command.command_id, decision, FaceEvidence("scripted", MODEL, score=0.7)))
        elif isinstance(command, c.EnrolFace):
            decision = self._look(command.command_id)
            sealed = self._sealed(command) if decision == "accepted" else ""
            self._say(e.FaceEnrolled(command.command_id, decision, Secret(sealed), FaceEvidence("scripted", MODEL, frames=3)))

    def _look(self, number: int) -> str:
        """Step by step, with pictures; ends at once when it is told to stop."""
        script = json.loads(self._script.read_text())
        picture = Path(script["picture"]).read_bytes() if "picture" in script else halves()
        camera = Camera(self._mirror)
        self._stopped = False
        try:
            for done, (stage, hint) in enumerate(script["steps"]):
                self._say(e.FaceProgress(number, stage, hint, done, len(script["steps"])))
                self._show(camera, picture, script["step_s"])
                if self._stopped:
                    return "stopped"
        finally:
            with contextlib.suppress(OSError):
                camera.dark()
            camera.close()
        return str(script["decision"])

    def _show(self, camera: Camera, picture: bytes, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._stopped:
            with contextlib.suppress(OSError):
                camera.send(picture)
            self._stopped = any(isinstance(command, c.StopFace) for command in self._commands(PICTURE_EVERY_S))

    def _opens(self, template: Secret[str]) -> bool:
        sent = json.loads(template.reveal())
        try:
            plain = open_box(sent["box"], self._key, f"{sent['customer']}|{sent['templateId']}|{sent['model']}|2".encode())
        except SealedBoxError:
            return False
        return len(plain) == 544

    def _sealed(self, command: c.EnrolFace) -> str:
        associated = f"enrol|{command.transaction_id}|{command.consent_id}|{MODEL}|2".encode()
        box = seal(a_face(), public_from_hex(command.recipient_key, "the bank's key"), associated, command.key_id)
        return json.dumps({"model": MODEL, "schema": 2, "consentId": command.consent_id, "box": box})


def main() -> None:
    events = os.dup(1)
    os.dup2(2, 1)
    first = b""
    while not first.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return
        first += byte
    ScriptedFace(json.loads(first)["settings"], events).run()


if __name__ == "__main__":
    main()
