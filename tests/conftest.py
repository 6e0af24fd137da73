"""What several test files share lives in tests/support and tests/bench; pytest's importlib mode puts nothing on the path by itself."""

from __future__ import annotations

import sys
from pathlib import Path

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
