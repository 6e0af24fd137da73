"""All demonstrations, by name."""

from __future__ import annotations

from simulators.stage import face_scenarios, scenarios

ALL = (*scenarios.ALL, *face_scenarios.ALL)
BY_NAME = {scenario.name: scenario for scenario in ALL}
