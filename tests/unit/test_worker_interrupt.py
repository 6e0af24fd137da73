"""A long verb that is ended early by the next command, or by the end of the agent; and nothing is lost or done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from drivers.transports.memory import VirtualClock
from terminal.core.commands import DeviceCommand, MakeFaceKey, StopFace
from terminal.core.events import Event, FaceKeyMade
from terminal.core.model import Device
from terminal.workers.wire import decode, encode
from terminal.workers.worker import Worker


class ScriptedPipe:
    """`script`: what comes at each look; None is the agent's end, which stays."""

    def __init__(self, *script: bytes | None) -> None:
        self.script, self.written = list(script), b""

    def wait(self, timeout_s: float) -> bytes | None:
        return self.script.pop(0) if self.script else None

    def write(self, data: bytes) -> None:
        self.written += data

    def events(self) -> list[Event]:
        return [decode(line) for line in self.written.splitlines() if line != b"{}"]


class LongVerb:
    """Looks `looks` times, unless something waits."""

    device = Device.FACE
    poll_interval_s = 1.0

    def __init__(self, looks: int = 5) -> None:
        self.looks, self.handled = looks, list[DeviceCommand]()
        self._waiting: Callable[[], bool] = lambda: False

    def interrupted_by(self, waiting: Callable[[], bool]) -> None:
        self._waiting = waiting

    def open(self) -> Iterable[Event]:
        return []

    def close(self) -> None:
        """Nothing is open."""

    def poll(self) -> Iterable[Event]:
        return []

    def handle(self, command: DeviceCommand) -> Iterator[Event]:
        self.handled.append(command)
        if isinstance(command, MakeFaceKey):
            looked = 0
            while looked < self.looks and not self._waiting():
                looked += 1
            yield FaceKeyMade(command.command_id, str(looked))


def keys(pipe: ScriptedPipe, service: LongVerb) -> list[str]:
    Worker(service, pipe, VirtualClock()).run()
    return [event.public_key for event in pipe.events() if isinstance(event, FaceKeyMade)]


def test_the_next_command_ends_it_and_is_done_afterwards() -> None:
    stop = encode(StopFace(2, 1.0))
    service = LongVerb()
    assert keys(ScriptedPipe(encode(MakeFaceKey(1, 5.0)), b"", b"", stop[:9], stop[9:]), service) == ["3"]
    assert [type(command) for command in service.handled] == [MakeFaceKey, StopFace]


def test_a_stop_in_the_same_breath_ends_it_at_once() -> None:
    service = LongVerb()
    assert keys(ScriptedPipe(encode(MakeFaceKey(1, 5.0)) + encode(StopFace(2, 1.0))), service) == ["0"]
    assert len(service.handled) == 2


def test_the_agents_end_ends_it() -> None:
    service = LongVerb(looks=1000)
    assert keys(ScriptedPipe(encode(MakeFaceKey(1, 5.0)), b"", None), service) == ["1"]


def test_without_a_command_it_runs_its_time() -> None:
    assert keys(ScriptedPipe(encode(MakeFaceKey(1, 5.0)), *[b""] * 9), LongVerb()) == ["5"]
