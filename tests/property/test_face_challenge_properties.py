"""Whatever the points do, the challenge ends, never passes by less than was asked, and never passes twice."""

from __future__ import annotations

from random import Random

from face_poses import Person, obeys, run
from hypothesis import given
from hypothesis import strategies as st

from terminal.face.challenge import Challenge, Phase
from terminal.face.turns import ChallengeLimits, draw_turns

YAWS = st.floats(-2, 2, allow_nan=False)
FRAMES = st.lists(st.tuples(st.floats(0.005, 0.4), YAWS, st.floats(0.05, 3)), max_size=300)


def fresh(seed: int, turns: int = 2) -> Challenge:
    random = Random(seed)
    return Challenge(draw_turns(random.randrange, turns), random.randrange)


@given(seed=st.integers(0, 10_000), frames=FRAMES)
def test_it_passes_only_after_every_turn_was_seen(seed: int, frames: list[tuple[float, float, float]]) -> None:
    challenge, at = fresh(seed), 0.0
    seen: list[float] = []
    for gap, yaw, width in frames:
        at += gap
        seen.append(yaw)
        done = challenge.done
        challenge.see(at, yaw, width)
        challenge.conclude()
        assert challenge.done in (done, done + 1)
        assert 0 <= challenge.done <= challenge.of
        assert bool(challenge.failure) == (challenge.phase is Phase.FAILED)
    if challenge.phase is Phase.PASSED:
        assert challenge.done == challenge.of
        assert max(seen) - min(seen) >= ChallengeLimits().turn


@given(seed=st.integers(0, 10_000), frames=FRAMES, yaw=YAWS)
def test_what_is_over_stays_over(seed: int, frames: list[tuple[float, float, float]], yaw: float) -> None:
    challenge = fresh(seed)
    run(challenge, Person(lambda stage, at: yaw))
    challenge.pass_time(1e6)
    before = (challenge.phase, challenge.failure, challenge.done)
    at = 2e6
    for gap, one, width in frames if challenge.over else []:
        at += gap
        challenge.see(at, one, width)
        challenge.pass_time(at)
        challenge.conclude()
        challenge.restart()
    assert not challenge.over or (challenge.phase, challenge.failure, challenge.done) == before


@given(seed=st.integers(0, 10_000), yaw=st.floats(-1, 1))
def test_who_only_looks_never_passes(seed: int, yaw: float) -> None:
    challenge = fresh(seed)
    run(challenge, Person(lambda stage, at: yaw), seconds=60)
    assert challenge.phase is not Phase.PASSED


@given(
    seed=st.integers(0, 10_000),
    turns=st.integers(1, 4),
    reaction_s=st.floats(0.2, 1.5),
    speed=st.floats(0.8, 4.0),
    depth=st.floats(0.75, 1.3),
    noise=st.floats(0, 0.05),
)
def test_who_obeys_passes(seed: int, turns: int, reaction_s: float, speed: float, depth: float, noise: float) -> None:
    challenge = fresh(seed, turns)
    run(challenge, Person(obeys, reaction_s, speed, depth, noise, Random(seed)), seconds=60)
    assert (challenge.phase, challenge.failure) == (Phase.PASSED, "")


@given(seed=st.integers(0, 10_000), depth=st.floats(0.05, 0.45), speed=st.floats(0.8, 4.0))
def test_what_is_flat_never_passes(seed: int, depth: float, speed: float) -> None:
    challenge = fresh(seed)
    run(challenge, Person(obeys, depth=depth, speed=speed), seconds=60)
    assert challenge.phase is not Phase.PASSED
