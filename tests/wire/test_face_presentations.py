"""Rendered people and attacks, real models, the whole verifier, in virtual time; and the recorder and report on the same."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from face_stage import FPS, EnrolledCustomer, StagedCamera, present

from drivers.transports.memory import VirtualClock
from simulators.camera.attacks import ATTACKS
from simulators.camera.cast import heads
from simulators.camera.head import Head
from simulators.camera.presentations import Presentation, obeying, still
from simulators.camera.scenes import make_scenes
from terminal.face.backend import Backend, load_backend
from terminal.face.pad.recorder import record
from terminal.face.pad.recording import recordings
from terminal.face.pad.report import Judge, rows
from terminal.face.verifier import FaceConfig

pytestmark = pytest.mark.wire


@pytest.fixture(scope="module")
def cache(pytestconfig: pytest.Config) -> Path:
    folder = pytestconfig.rootpath / ".cache" / "camera"
    make_scenes(folder)
    return folder


@pytest.fixture(scope="module")
def cast(cache: Path) -> Mapping[str, Head]:
    return heads(cache / "photographs")


@pytest.fixture(scope="module")
def backend() -> Backend:
    return load_backend("sface")


@pytest.fixture(scope="module")
def customer(cache: Path) -> EnrolledCustomer:
    return EnrolledCustomer(cache / "templates.json")


def test_living_customers_pass_and_other_living_people_do_not(
    cast: Mapping[str, Head], customer: EnrolledCustomer, backend: Backend
) -> None:
    for seed in (0, 2, 3):
        outcome = present("genuine", seed, obeying(cast["customer"], seed), customer, backend)
        assert (outcome.decision, outcome.reason) == ("accepted", "passed")
        assert outcome.seconds < 13
    other = present("other", 2, obeying(cast["other"], 2), customer, backend)
    assert (other.decision, other.reason) == ("rejected", "passed")


@pytest.mark.parametrize("species", ATTACKS)
def test_an_attack_of_each_species_is_not_alive(
    cast: Mapping[str, Head], customer: EnrolledCustomer, backend: Backend, species: str
) -> None:
    outcome = present(species, 1, ATTACKS[species](cast["customer"], cast["other"], 1), customer, backend)
    assert (outcome.decision, outcome.score) == ("notLive", None)


def test_who_does_nothing_is_asked_and_not_alive(cast: Mapping[str, Head], customer: EnrolledCustomer, backend: Backend) -> None:
    outcome = present("still", 1, still(cast["customer"], 1), customer, backend)
    assert (outcome.decision, outcome.reason) == ("notLive", "noResponse")


def test_the_recorder_and_the_report(cast: Mapping[str, Head], backend: Backend, tmp_path: Path) -> None:
    def recorded(species: str, presentation: Presentation, seed: int) -> str:
        clock = VirtualClock()
        camera, asked = StagedCamera(presentation, clock, seed), random.Random(seed).randrange
        stages = {"look at the camera": "look", "TURN LEFT": "turnLeft", "TURN RIGHT": "turnRight", "look straight": "lookStraight"}
        return record(
            tmp_path,
            species,
            "s1",
            "form 1",
            config=FaceConfig("staged", fps=FPS),
            camera=camera,
            backend=backend,
            clock=clock,
            random_below=asked,
            tell=lambda text: camera.asks(stages.get(text, "compare")),
        )

    said = [recorded("live", obeying(cast["customer"], seed), seed) for seed in (0, 3)]
    said.append(recorded("print", ATTACKS["printMoved"](cast["customer"], cast["other"], 1), 1))
    assert said == ["passed", "passed", "noResponse"]
    found = sorted(recordings(tmp_path), key=lambda one: one.meta.species)
    live, printed = rows(Judge(FaceConfig("staged", fps=FPS), backend, None).judge(found))
    assert (live.count, live.passed, live.accepted) == (1, 1, 1)
    assert (printed.count, printed.passed, printed.accepted, printed.non_response) == (1, 0, 0, 1)
