"""The face verifier's service. The sealed template is opened here and nowhere else; decision and score leave, images never."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from drivers.errors import ProtocolError
from drivers.transports.base import Clock, Deadline, MonotonicClock
from terminal.core.commands import CheckFaceVerifier, DeviceCommand, MakeFaceKey, VerifyFace
from terminal.core.events import Event, FaceKeyMade, FaceVerified, SelfCheckDone
from terminal.core.model import Device
from terminal.face.verifier import FaceConfig, FaceVerifier


class FaceService:
    """The models are loaded at the opening: a verification must not wait for them."""

    device = Device.FACE
    poll_interval_s = 60.0

    def __init__(self, verifier: FaceVerifier, clock: Clock) -> None:
        self._verifier = verifier
        self._clock = clock

    def open(self) -> Iterable[Event]:
        self._verifier.load()
        return []

    def close(self) -> None:
        """Nothing is open between two verifications."""

    def poll(self) -> Iterable[Event]:
        return []

    def handle(self, command: DeviceCommand) -> Iterable[Event]:
        match command:
            case MakeFaceKey():
                return [FaceKeyMade(command.command_id, self._verifier.public_key().hex())]
            case VerifyFace(template=template):
                result = self._verifier.verify(template.reveal(), Deadline.after(self._clock, command.deadline_s - 0.5))
                return [FaceVerified(command.command_id, result.decision, result.score)]
            case CheckFaceVerifier():
                self._verifier.load()
                return [SelfCheckDone(command.command_id, self.device, {"modelsLoaded": True})]
        raise ProtocolError(f"{type(command).__name__} is no command of a face verifier")


def build(settings: Mapping[str, Any]) -> FaceService:
    clock = MonotonicClock()
    camera: str = settings["camera"]
    config = FaceConfig(camera=int(camera) if camera.isdecimal() else camera, threshold=settings["threshold"])
    return FaceService(FaceVerifier(config, clock), clock)
