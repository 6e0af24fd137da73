"""What several test files share lives in tests/support and tests/bench; pytest's importlib mode puts nothing on the path by itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Shared, noisy machines: how fast an example is made says nothing about the code.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

for _folder in ("support", "bench"):
    sys.path.insert(0, str(Path(__file__).parent / _folder))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast ones first, Chromium last: Playwright keeps an event loop running in this thread, where nobody else could start one."""
    items.sort(key=lambda item: (item.get_closest_marker("browser") is not None, item.get_closest_marker("wire") is not None))


@pytest.fixture(autouse=True)
def contract_kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What the terminal publishes and what the bank answers in this process fits docs/schemas, in every test.

    A test of the transport alone, whose messages are placeholders, says so with the mark `placeholders`.
    """
    from contract import Listener, Recorder, message_fault

    from simulators.bank.host import BankHost
    from simulators.stage import setting
    from terminal.adapters.mqtt import MqttSession

    recorder, publish, handle = Recorder(), MqttSession.publish, BankHost.handle

    def published(session: MqttSession, topic: str, payload: bytes, **rest: Any) -> int:
        recorder.saw(topic, payload)
        return publish(session, topic, payload, **rest)

    def handled(host: BankHost, *arguments: Any, **rest: Any) -> Any:
        answers = handle(host, *arguments, **rest)
        recorder.faults += filter(None, (message_fault(message) for _, message in answers))
        return answers

    start_broker, listeners = setting.start_broker, []

    def listened(*arguments: Any, **rest: Any) -> Any:
        broker = start_broker(*arguments, **rest)
        listeners.append(Listener(broker.url, recorder))
        return broker

    monkeypatch.setattr(setting, "start_broker", listened)
    monkeypatch.setattr(BankHost, "handle", handled)
    if request.node.get_closest_marker("placeholders") is None:
        monkeypatch.setattr(MqttSession, "publish", published)
    yield recorder
    for listener in listeners:
        listener.close()
    assert recorder.faults == [], "the contract (docs/schemas) was broken"
