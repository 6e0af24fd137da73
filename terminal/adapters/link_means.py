"""What the bank link stands on: threads, sockets and chance, or, in the deterministic bench, one thread and virtual time."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from terminal.adapters.mqtt import Happening, MqttOptions, MqttSession
from terminal.adapters.wake import Wake


class WakePort(Protocol):
    """Set from anywhere; one loop waits on it."""

    def fileno(self) -> int: ...
    def set(self) -> None: ...
    def clear(self) -> None: ...
    def wait(self, timeout_s: float) -> None: ...
    def close(self) -> None: ...


class Session(Protocol):
    """One connection with the broker, from CONNECT to its end (see MqttSession)."""

    def connect(self) -> None: ...
    def subscribe(self, topics: list[str]) -> None: ...
    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        expiry_s: int | None = None,
        response_topic: str | None = None,
        correlation: bytes | None = None,
        key: str | None = None,
    ) -> int: ...
    def pump(self, timeout_s: float, wake: WakePort) -> list[Happening]: ...
    def disconnect(self, timeout_s: float, wake: WakePort) -> None: ...
    def abandon(self) -> None: ...


class ThreadPort(Protocol):
    """As `threading.Thread`."""

    @property
    def ident(self) -> int | None: ...
    def start(self) -> None: ...
    def is_alive(self) -> bool: ...
    def join(self, timeout: float | None = None) -> None: ...


def daemon_thread(target: Callable[[], None], name: str) -> ThreadPort:
    return threading.Thread(target=target, name=name, daemon=True)


@dataclass(frozen=True, slots=True)
class LinkMeans:
    """`identify` names a request, uniquely."""

    session: Callable[[MqttOptions], Session] = MqttSession
    thread: Callable[[Callable[[], None], str], ThreadPort] = daemon_thread
    wake: Callable[[], WakePort] = Wake
    identify: Callable[[], str] = lambda: str(uuid.uuid4())
