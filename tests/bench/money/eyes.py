"""How the workers see a card and a face in the bench."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drivers.errors import LinkError
from drivers.transports.base import CardChannel, CardPresence, Deadline
from drivers.transports.card_memory import MemoryCardReader
from terminal.face.verifier import FaceResult

if TYPE_CHECKING:
    from money.world import World


class ScriptedEye:
    """In the place of `FaceVerifier`: no camera, no models, and the template stays sealed. The customer's plan says what it decides."""

    LOOKS_S = 0.8

    def __init__(self, world: World) -> None:
        self._world = world

    def load(self) -> None:
        """Nothing to load."""

    def public_key(self) -> bytes:
        return self._world.eye_key

    def verify(self, template: str, deadline: Deadline) -> FaceResult:
        self._world.clock.sleep(min(self.LOOKS_S, deadline.remaining()))
        decision: Any = self._world.before_camera
        return FaceResult(decision, 0.62 if decision == "accepted" else None)


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
