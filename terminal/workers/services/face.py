"""The face verifier's service. The sealed template is opened here and nowhere else; decision and figures leave, images never.

Between two steps the camera is opened for a moment to see whether it is there and sees anything: its state goes out as DeviceNoted
(cameraCovered, cameraFrozen, cameraDark; empty: well again), its absence as DeviceLost. What was plugged in again is found by the worker's
own reopening, without a restart of anything.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from drivers.devices.camera import CameraState
from drivers.errors import ConfigurationFault, LinkError, ProtocolError
from drivers.secret import Secret
from drivers.transports.base import Clock, Deadline, MonotonicClock
from terminal.core.commands import CheckFaceVerifier, DeviceCommand, EnrolFace, MakeFaceKey, StopFace, VerifyFace
from terminal.core.events import DeviceNoted, Event, FaceEnrolled, FaceKeyMade, FaceProgress, FaceVerified, SelfCheckDone
from terminal.core.model import Device
from terminal.face.mirror import SocketMirror
from terminal.face.passive import PassiveConfig
from terminal.face.verifier import FaceConfig, FaceResult, FaceVerifier, Progress, Recipient, Told

LOOK_S = 3.0
WELL_EVERY_S, UNWELL_EVERY_S = 60.0, 3.0
ANSWER_RESERVE_S = 0.5


class FaceService:
    """The models are loaded at the opening: a verification must not wait for them."""

    device = Device.FACE

    def __init__(self, verifier: FaceVerifier, clock: Clock) -> None:
        self._verifier = verifier
        self._clock = clock
        self._state = CameraState.WELL
        self._gone: LinkError | None = None
        self._look_at = 0.0

    @property
    def poll_interval_s(self) -> float:
        return WELL_EVERY_S if self._state is CameraState.WELL else UNWELL_EVERY_S

    def interrupted_by(self, waiting: Callable[[], bool]) -> None:
        """The worker's word for "a command has come": during a step that is only ever StopFace, or the agent's end."""
        self._verifier.interrupted = waiting

    def open(self) -> Iterable[Event]:
        self._gone = None
        self._verifier.load()
        return self._look()

    def close(self) -> None:
        """Nothing is open between two verifications."""

    def poll(self) -> Iterable[Event]:
        """LinkError: the camera was lost in the last step, or is gone now."""
        if self._gone is not None:
            raise self._gone
        return self._look() if self._clock.now() >= self._look_at else []

    def handle(self, command: DeviceCommand) -> Iterable[Event]:
        deadline = Deadline.after(self._clock, command.deadline_s - ANSWER_RESERVE_S)
        match command:
            case MakeFaceKey():
                return [FaceKeyMade(command.command_id, self._verifier.public_key().hex())]
            case VerifyFace():
                told = self._verifier.verify(command.template.reveal(), deadline, high_security=command.high_security)
                return self._events(command.command_id, told, _verified)
            case EnrolFace():
                recipient = _recipient(command)
                return self._events(command.command_id, self._verifier.enrol(recipient, deadline), _enrolled)
            case StopFace():
                return []
            case CheckFaceVerifier():
                self._verifier.load()
                return [SelfCheckDone(command.command_id, self.device, {"modelsLoaded": True})]
        raise ProtocolError(f"{type(command).__name__} is no command of a face verifier")

    def _events(self, command_id: int, told: Iterator[Told], answer: Callable[[int, FaceResult], Event]) -> Iterator[Event]:
        for one in told:
            if isinstance(one, Progress):
                yield FaceProgress(command_id, one.stage, one.hint, one.done, one.of)
            else:
                self._gone = one.gone
                yield answer(command_id, one)
                if one.evidence.frames:
                    yield from self._note(one.camera)

    def _look(self) -> Iterable[Event]:
        return self._note(self._verifier.camera.check(Deadline.after(self._clock, LOOK_S)))

    def _note(self, state: CameraState) -> list[Event]:
        self._look_at = self._clock.now() + (WELL_EVERY_S if state is CameraState.WELL else UNWELL_EVERY_S) * 0.9
        changed, self._state = state is not self._state, state
        return [DeviceNoted(Device.FACE, str(state))] if changed else []


def _verified(command_id: int, result: FaceResult) -> Event:
    return FaceVerified(command_id, result.decision, result.evidence)


def _enrolled(command_id: int, result: FaceResult) -> Event:
    return FaceEnrolled(command_id, result.decision, Secret(result.template), result.evidence)


def _recipient(command: EnrolFace) -> Recipient:
    try:
        key = bytes.fromhex(command.recipient_key)
    except ValueError:
        raise ConfigurationFault("the bank's public key is not hexadecimal") from None
    return Recipient(key, command.key_id, command.transaction_id, command.consent_id)


def build(settings: Mapping[str, Any]) -> FaceService:
    clock = MonotonicClock()
    passive = None
    if settings.get("passive_model"):
        passive = PassiveConfig(
            Path(settings["passive_model"]), settings["passive_sha256"], settings["passive_format"], settings["passive_threshold"]
        )
    config = FaceConfig(
        camera=settings["camera"],
        width=settings.get("width", 640),
        height=settings.get("height", 480),
        fps=settings.get("fps", 15),
        backend=settings["backend"],
        accept=settings["accept"],
        ask_again=settings["ask_again"],
        high_accept=settings.get("high_security_accept"),
        turns=settings.get("challenge_turns", 2),
        passive=passive,
    )
    mirror = SocketMirror(settings["mirror"]) if settings.get("mirror") else None
    return FaceService(FaceVerifier(config, clock, secrets.randbelow, mirror=mirror), clock)
