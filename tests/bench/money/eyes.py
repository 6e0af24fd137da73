"""How the workers see a card and a face in the bench."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from drivers.errors import LinkError, ProtocolError
from drivers.secret import Secret
from drivers.transports.base import CardChannel, CardPresence, Deadline
from drivers.transports.card_memory import MemoryCardReader
from money.hardware import chance_of
from simulators.crypto.sealed_box import public_from_hex, seal
from terminal.core.commands import DeviceCommand, EnrolFace, MakeFaceKey, StopFace, VerifyFace
from terminal.core.events import Event, FaceEnrolled, FaceKeyMade, FaceProgress, FaceVerified
from terminal.core.model import Device, FaceEvidence

if TYPE_CHECKING:
    from money.children import MemoryPipe
    from money.world import World

STEPS = (("look", "comeCloser"), ("turnLeft", ""), ("compare", ""))
STEP_S = 0.3
MODEL = "b" * 64
ENROLLED = struct.pack("<128f", *([128**-0.5] * 128))


class ScriptedEye:
    """In the place of the face verifier's service: no camera, no models, and the template stays sealed. The customer's plan decides."""

    device = Device.FACE
    poll_interval_s = 60.0

    def __init__(self, world: World, pipe: MemoryPipe) -> None:
        self._world = world
        self._pipe = pipe

    def open(self) -> Iterable[Event]:
        return []

    def close(self) -> None:
        """Nothing is open."""

    def poll(self) -> Iterable[Event]:
        return []

    def handle(self, command: DeviceCommand) -> Iterable[Event]:
        match command:
            case MakeFaceKey():
                return [FaceKeyMade(command.command_id, self._world.eye_key.hex())]
            case VerifyFace() | EnrolFace():
                return self._look(command)
            case StopFace():
                return []
        raise ProtocolError(f"{type(command).__name__} is no command of a face verifier")

    def _look(self, command: VerifyFace | EnrolFace) -> Iterator[Event]:
        """Step by step; a command that waits in the pipe can only be the wish to stop."""
        decision = self._world.before_camera
        for number, (stage, hint) in enumerate(STEPS):
            yield FaceProgress(command.command_id, stage, hint, number, len(STEPS))
            self._world.clock.sleep(STEP_S)
            if self._pipe.waiting:
                decision = "stopped"
                break
        evidence = FaceEvidence("scripted", MODEL, frames=len(STEPS), score=0.62 if decision == "accepted" else None)
        if isinstance(command, VerifyFace):
            yield FaceVerified(command.command_id, decision, evidence)
        else:
            sealed = self._sealed(command) if decision == "accepted" else ""
            yield FaceEnrolled(command.command_id, decision, Secret(sealed), evidence)

    def _sealed(self, command: EnrolFace) -> str:
        associated = f"enrol|{command.transaction_id}|{command.consent_id}|{MODEL}|2".encode()
        chance = chance_of(self._world.schedule.seed, f"eye {command.consent_id}")
        box = seal(ENROLLED, public_from_hex(command.recipient_key, "bank"), associated, command.key_id, chance.randbytes)
        return json.dumps({"model": MODEL, "schema": 2, "consentId": command.consent_id, "box": box})


class Reader:
    """drivers.transports.base.CardReader: the slot in memory, and a reader that can be gone (pcscd restarted, cable out)."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._inner = MemoryCardReader(world.slot, world.clock)
        self._check()

    def _check(self) -> None:
        if self._world.now < self._world.reader_gone_until:
            raise LinkError("the card reader is gone")

    def wait_change(self, last: CardPresence | None, deadline: Deadline) -> CardPresence:
        self._check()
        return self._inner.wait_change(last, deadline)

    def connect(self) -> CardChannel:
        self._check()
        return self._inner.connect()

    def close(self) -> None:
        """Nothing to give back."""
