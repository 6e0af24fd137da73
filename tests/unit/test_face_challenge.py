"""The challenge with people made of numbers: who does what is asked passes, and each trick fails by its own name."""

from __future__ import annotations

import math
from random import Random

import pytest
from face_poses import SIDES, TURNED, Person, obeys, run

from terminal.face.challenge import Challenge, Phase
from terminal.face.turns import draw_turns, relief

LEFT_RIGHT = ("turnLeft", "turnRight")


def challenge(*turns: str, seed: int = 1) -> Challenge:
    return Challenge(turns or LEFT_RIGHT, Random(seed).randrange)  # type: ignore[arg-type]


@pytest.mark.parametrize("turns", [("turnLeft",), LEFT_RIGHT, ("turnRight", "turnRight"), ("turnLeft", "turnRight", "turnLeft")])
def test_who_does_what_is_asked_passes(turns: tuple[str, ...]) -> None:
    for seed in range(20):
        asked = challenge(*turns, seed=seed)
        took = run(asked, Person(obeys, noise=0.04))
        assert (asked.phase, asked.failure) == (Phase.PASSED, "")
        assert asked.done == asked.of == len(turns)
        assert took < 3.0 * len(turns) + 2


def test_what_the_person_is_told_in_order() -> None:
    asked, told = challenge("turnLeft", "turnLeft"), ["look"]
    person = Person(obeys)
    for number in range(1, 400):
        asked.see(number / 15, *person.pose(number / 15, asked.stage))
        if asked.after:
            asked.conclude()
        if asked.stage != told[-1]:
            told.append(asked.stage)
    assert told == ["look", "turnLeft", "lookStraight", "look", "turnLeft", "lookStraight", "compare"]


def test_between_two_sides_the_middle_is_asked_for_sometimes() -> None:
    ways = set()
    for seed in range(30):
        asked, seen = challenge(seed=seed), []
        person = Person(obeys)
        for number in range(1, 400):
            asked.see(number / 15, *person.pose(number / 15, asked.stage))
            seen.append(asked.stage)
        ways.add("lookStraight" in seen[seen.index("turnLeft") : seen.index("turnRight")])
    assert ways == {True, False}


@pytest.mark.parametrize(
    ("person", "failure"),
    [
        (Person(lambda stage, at: 0.0), "noResponse"),
        (Person(lambda stage, at: 0.3 * SIDES.get(stage, 0.0)), "noResponse"),
        (Person(lambda stage, at: -obeys(stage, at)), "wrongWay"),
        (Person(obeys, depth=0.3), "flat"),
        (Person(obeys, depth=0.45), "flat"),
        (Person(obeys, speed=100.0), "jumped"),
        (Person(lambda stage, at: TURNED if stage == "turnLeft" or at > 3 else 0.0), "noResponse"),
    ],
    ids=["stands still", "turns too little", "the wrong way", "a tilted print", "a bent print", "swapped", "does not come back"],
)
def test_each_trick_fails_by_its_own_name(person: Person, failure: str) -> None:
    asked = challenge("turnLeft", "turnLeft")
    run(asked, person)
    assert (asked.phase, asked.failure) == (Phase.FAILED, failure)


def test_a_turn_in_the_moment_of_the_request_was_not_an_answer() -> None:
    asked, at = asked_to_turn()
    for number, yaw in enumerate((0.2, 0.2, 0.5, 0.5), 1):
        asked.see(at + 0.02 * number, yaw, 0.95)
    assert asked.failure == "movedUnasked"


def test_who_turns_back_too_early_twice_is_a_recording() -> None:
    asked, at = asked_to_turn()
    at += 0.3
    for yaw in (0.2, 0.4, 0.5, 0.5, 0.1, 0.0, 0.0, 0.2, 0.4, 0.5, 0.5, 0.1, 0.0):
        at += 0.01
        asked.see(at, yaw, 0.88)
    assert asked.failure == "movedUnasked"


def test_who_turns_back_too_early_turns_again() -> None:
    asked = challenge("turnRight")
    at, poses = 0.0, iter([-0.2, -0.4, -0.5, -0.5, -0.1, 0.0])
    while asked.phase is not Phase.TURN:
        at += 1 / 15
        asked.see(at, 0.0, 1.0)
    at += 0.3
    for yaw in poses:
        at += 0.01
        asked.see(at, yaw, 0.88)
    assert (asked.phase, asked.done, asked.stage) == (Phase.TURN, 0, "turnRight")


def asked_to_turn(frame_s: float = 1 / 15) -> tuple[Challenge, float]:
    """At the first request."""
    asked, at = challenge("turnLeft"), 0.0
    while asked.phase is not Phase.TURN:
        at += frame_s
        asked.see(at, 0.0, 1.0)
    return asked, at


@pytest.mark.parametrize(("frame_s", "phase"), [(1 / 15, Phase.TURN), (0.1, Phase.HOLD)])
def test_a_slow_camera_sees_larger_steps(frame_s: float, phase: Phase) -> None:
    asked, at = asked_to_turn(frame_s)
    for number, yaw in enumerate((0.0, 0.0, 0.18, 0.18, 0.66, 0.66, 0.66), 1):
        asked.see(at + number * frame_s, yaw, 0.8)
    assert asked.phase is phase
    assert asked.stage == ("turnLeft" if phase is Phase.HOLD else "lookStraight")


@pytest.mark.parametrize(("alike", "stage"), [(0.44, "lookStraight"), (0.75, "turnLeft")])
def test_another_picture_in_one_frame_is_seen_though_the_median_is_a_frame_late(alike: float, stage: str) -> None:
    """The pose is the median of three: the frame in which it changes comes after the one that is unlike."""
    asked, at = asked_to_turn()
    for number, (yaw, like) in enumerate(((0.0, 1.0), (0.0, 1.0), (0.4, alike), (0.4, 1.0)), 1):
        asked.see(at + number / 15, yaw, 0.92, like)
    assert (asked.phase, asked.stage) == (Phase.TURN, stage)


def test_who_moves_unasked_again_and_again_is_a_recording() -> None:
    asked, at, moved = challenge("turnLeft"), 0.0, 0
    while not asked.over:
        at += 1 / 15
        unasked = asked.phase is Phase.WAIT
        moved += unasked
        asked.see(at, 0.5 if unasked else 0.0, 1.0)
    assert (asked.failure, moved) == ("movedUnasked", 6)


def test_one_wild_frame_is_nobodys_movement() -> None:
    asked, at = asked_to_turn()
    for number, yaw in enumerate((0.0, 1.0, 0.0, -0.9, 0.1, 0.2, 0.3, 0.5, 0.0, 0.5, 0.5), 1):
        asked.see(at + number / 15, yaw, 0.9)
    assert asked.phase in (Phase.HOLD, Phase.BACK) and asked.failure == ""


def test_a_turn_is_begun_soon_and_may_then_take_its_time() -> None:
    slow, at = asked_to_turn()
    for number in range(1, 66):
        slow.see(at + number / 15, min(0.5, max(0.0, (number - 14) * 0.016)), 0.9)
    assert slow.failure == "" and slow.phase is not Phase.TURN


def test_who_begins_too_late_is_asked_anew_once_for_another_side_perhaps() -> None:
    sides = set()
    for seed in range(12):
        late, at = challenge("turnLeft", "turnLeft", seed=seed), 0.0
        asked_at: list[tuple[float, str]] = []
        while not late.over:
            at += 1 / 15
            before = late.stage
            late.see(at, 0.0, 1.0)
            if late.stage != before and late.stage in SIDES:
                asked_at.append((at, late.stage))
        assert late.failure == "noResponse" and len(asked_at) == 2
        assert 2.2 + 0.3 < asked_at[1][0] - asked_at[0][0] < 3.4
        sides.add(asked_at[1][1])
    assert sides == {"turnLeft", "turnRight"}


def test_who_does_not_come_back_soon_does_not_answer() -> None:
    asked = challenge("turnLeft")
    run(asked, Person(lambda stage, at: TURNED if stage == "turnLeft" or asked.phase is Phase.BACK else 0.0))
    assert asked.failure == "noResponse"


@pytest.mark.parametrize(("reaction_s", "turns"), [(0.3, 2), (1.2, 3)])
def test_who_answers_slowly_is_asked_for_one_turn_more(reaction_s: float, turns: int) -> None:
    """There are slow people; and a film that happens to do the right thing does it late, more often than not."""
    asked = challenge("turnLeft", "turnLeft", seed=5)
    run(asked, Person(obeys, reaction_s=reaction_s))
    assert (asked.phase, asked.done, len(asked.turns)) == (Phase.PASSED, turns, turns)


def test_who_answers_the_second_request_passes() -> None:
    """Slow to see the arrow: it has gone again before the head moves, and comes back."""
    late, at, asleep = challenge("turnLeft", seed=3), 0.0, True
    person = Person(obeys)
    while not late.over and at < 20:
        at += 1 / 15
        stage = late.stage
        asleep = asleep and not (late.asked and stage == "look")
        late.see(at, *person.pose(at, "look" if asleep else stage))
        if late.after:
            late.conclude()
    assert (late.phase, late.failure) == (Phase.PASSED, "")


def test_who_leaves_after_the_first_request_does_not_start_again() -> None:
    late, at = asked_to_turn()
    while late.phase is Phase.TURN:
        at += 1 / 15
        late.see(at, 0.0, 1.0)
    late.restart()
    assert late.asked and late.phase is Phase.WAIT


def test_frames_without_a_face_only_let_time_pass() -> None:
    asked, at = asked_to_turn()
    for number in range(100):
        asked.pass_time(at + number / 15)
    assert asked.failure == "noResponse"


def test_the_draw_is_of_count_and_sides() -> None:
    drawn = {draw_turns(Random(seed).randrange, 2) for seed in range(500)}
    assert len(drawn) == 4 + 8
    with pytest.raises(ValueError, match="at least one turn"):
        Challenge((), Random(1).randrange)


def test_relief_is_the_tangent_of_what_narrowed() -> None:
    assert relief(math.tan(math.radians(30)), math.cos(math.radians(30))) == pytest.approx(1.0)
    assert relief(0.25, math.cos(math.radians(45))) == pytest.approx(0.25)
    assert relief(0.5, 2.0) > 1 and relief(0.5, 0.0) < 0.05 and relief(0.5, -1.0) < 0.05
