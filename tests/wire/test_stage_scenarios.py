"""Every demonstration, over the same wires: played, then judged by counting notes, asking the bank and verifying the journal.

What was told on the way is printed: pytest shows it with a failure.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.camera.scenes import make_scenes
from simulators.stage.catalogue import ALL, BY_NAME
from simulators.stage.demo import TIMEOUTS, passed, run_scenario
from simulators.stage.scenarios import Scenario
from simulators.stage.setting import Options

pytestmark = pytest.mark.wire
CACHE = Path(__file__).parents[2] / ".cache" / "camera"


@pytest.fixture(scope="session")
def options() -> Options:
    make_scenes(CACHE)
    return Options(faces=CACHE, timeouts=TIMEOUTS, mechanics=4.0, printer_bytes_per_s=9600.0)


@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_scenario_ends_as_it_must(scenario: Scenario, options: Options) -> None:
    line = run_scenario(scenario, options)
    assert passed(line), line
    assert line["dispensed_minor"] == line["debited_minor"] or line["result"] == "inDoubt"


def test_without_pcscd_and_mosquitto_the_same_withdrawal_works(options: Options) -> None:
    """The terminal plays the reader of the vpcd wire; the broker is the one inside a wheel."""
    import dataclasses

    line = run_scenario(BY_NAME["success"], dataclasses.replace(options, cards_by="vpcd", broker_kind="iotcore"))
    assert passed(line), line


def test_the_judge_can_say_no(options: Options) -> None:
    """A note that vanishes from a cassette, or a wrong expectation, is not called balanced or passed."""
    import dataclasses

    scenario = dataclasses.replace(BY_NAME["declined"], expected="success")
    assert not passed(run_scenario(scenario, options))
