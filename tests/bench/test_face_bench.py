"""The face bench's own arithmetic: rates, intervals, thresholds and pairs against figures known from elsewhere or counted by hand."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import cv2
import numpy
import pytest
from face import accuracy, rotated
from face.chart import Line, chart, even_ticks, linear, logarithmic
from face.data import Data, DataMissing, Pair, read
from face.pipelines import Embedded, matrix
from face.rates import Scores, interval
from face.rates import accuracy as share_right

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        # 0 of n and n of n have closed forms; the others are what R's binom.test gives
        (0, 20, 0.0, 1 - 0.025 ** (1 / 20)),
        (20, 20, 0.025 ** (1 / 20), 1.0),
        (0, 300_000, 0.0, 1 - 0.025 ** (1 / 300_000)),
        (1, 10, 0.002529, 0.445016),
        (5, 100, 0.016432, 0.112835),
        (50, 100, 0.398321, 0.601679),
    ],
)
def test_exact_intervals(count: int, of: int, low: float, high: float) -> None:
    assert interval(count, of) == pytest.approx((low, high), abs=1e-6)


def test_rates_counted_by_hand() -> None:
    scores = Scores.of([0.9, 0.8, 0.7, 0.3], [0.5, 0.4, 0.2, 0.1, 0.0, -math.inf])
    assert (scores.frr(0.5), scores.far(0.5)) == (0.25, 1 / 6)
    assert (scores.frr(0.7), scores.far(0.7)) == (0.25, 0.0)
    assert (scores.frr(0.71), scores.far(0.1)) == (0.5, 4 / 6)
    at = scores.threshold_at(1 / 6)
    assert at is not None and 0.4 < at < 0.4001 and scores.far(at) == 1 / 6
    assert scores.tar_at(1 / 6) == 0.75
    assert scores.threshold_at(0.1) is None, "six impostors say nothing about one in ten"
    assert scores.eer() == pytest.approx(0.25)
    assert Scores.of([0.9, 0.8], [0.1, 0.2]).eer() == 0.0


def test_a_face_that_was_not_found_is_refused_and_never_accepted() -> None:
    scores = Scores.of([0.9, -math.inf], [-math.inf, 0.1])
    assert scores.frr(-1.0) == 0.5 and scores.far(-1.0) == 0.5


def test_accuracy_learns_on_the_other_folds() -> None:
    pairs = tuple(Pair(0, 1, number % 2 == 0) for number in range(40))
    scores = numpy.array([0.8 if pair.genuine else 0.2 for pair in pairs])
    assert share_right(pairs, scores, 0) == share_right(pairs, scores, 4) == 1.0
    scores[0] = 0.1  # one genuine pair below all impostors is wrong wherever it is tested
    assert share_right(pairs, scores, 4) == 39 / 40


class Numbers:
    name, accept = "numbers", 0.45

    def scores(self, these: numpy.ndarray, those: numpy.ndarray) -> numpy.ndarray:
        return these @ those.T

    def mean(self, vectors: numpy.ndarray) -> numpy.ndarray:
        total = vectors.sum(axis=0)
        return total / numpy.linalg.norm(total)


def crowd(people: int = 30, pictures: int = 5, spread: float = 0.07) -> tuple[Data, Embedded]:
    random = numpy.random.default_rng(2)
    names, rows = [], []
    for person in range(people):
        middle = random.normal(size=128)
        middle /= numpy.linalg.norm(middle)
        for _ in range(pictures):
            row = middle + random.normal(scale=spread, size=128)
            names.append(f"P{person}")
            rows.append(row / numpy.linalg.norm(row))
    pairs = tuple(Pair(at, at + 1, names[at] == names[at + 1]) for at in range(len(names) - 1))
    return Data(Path(), tuple(Path(f"{at}.png") for at in range(len(names))), tuple(names), pairs, 0), Embedded(
        Numbers(), numpy.array(rows)
    )


def test_the_whole_measurement_of_people_made_of_numbers() -> None:
    data, embedded = crowd()
    found = accuracy.measure(embedded, data)
    assert found.mean3 is not None
    assert len(found.single.genuine) == 30 * 10 and len(found.single.impostor) == 150 * 149 // 2 - 300
    assert len(found.mean3.genuine) == 30 * 10 * 2, "every three of five, against the other two"
    assert found.mean3.genuine.mean() > found.single.genuine.mean(), "the mean of three is nearer"
    assert found.figures["eer"] < 0.02 and found.figures["fte"] == 0.0
    assert found.figures["at_accept"]["single"]["frr_count"][1] == 300
    assert embedded.pipeline.accept == 0.45 and found.figures["tar_at_far_1e3"] is not None
    for row in accuracy.proposed(found):
        if row["threshold"] is not None:
            assert found.mean3.far(row["threshold"]) <= row["far"]
        if row["threshold_95"] is not None:
            assert row["threshold_95"] >= row["threshold"]
            accepts = found.mean3.false_accepts(row["threshold_95"])
            assert interval(accepts, len(found.mean3.impostor))[1] <= row["far"]


def test_a_missed_picture_counts_against_the_pipeline() -> None:
    data, embedded = crowd()
    embedded.vectors[3] = math.nan
    found = accuracy.measure(embedded, data)
    assert found.figures["fte_count"] == 1 and matrix(embedded)[3, 4] == -math.inf
    assert found.single.false_rejects(-1.0) == 4 and found.mean3 is not None
    assert len(found.mean3.genuine) == 29 * 20 + 4 * 2, "enrolled from four, the fifth is refused each time"
    assert found.mean3.false_rejects(-1.0) == 4


def test_rotation_keeps_scores_and_links_nothing() -> None:
    data, embedded = crowd()
    figures, linked = rotated.measure(accuracy.measure(embedded, data), data)
    assert figures["greatest_change_of_a_score"] < 1e-6
    assert 0.4 < figures["area_under_roc"] < 0.6 and len(linked.genuine) == 1500
    assert figures["same_picture_two_keys"]["deviation"] == pytest.approx(128**-0.5, rel=0.2)
    assert rotated.area(Scores.of([3, 4], [1, 2])) == 1.0 and rotated.area(Scores.of([1, 2], [1, 2])) == 0.5


# --- data -----------------------------------------------------------------------------------------------------------------------------


def people(folder: Path, pairs: str) -> Path:
    for name in ("Ann", "Bob_Lee"):
        (folder / "all" / name).mkdir(parents=True)
        for number in (1, 2):
            cv2.imwrite(str(folder / "all" / name / f"{name}_{number:04d}.png"), numpy.zeros((40, 40, 3), numpy.uint8))
    (folder / "pairs.txt").write_text(pairs)
    return folder


def test_a_list_of_pairs_is_read_with_and_without_its_first_line(tmp_path: Path) -> None:
    data = read(people(tmp_path, "2 1\nAnn 1 2\nAnn\t2\tBob_Lee\t1\n"))
    assert data.folds == 2 and data.people == ("Ann", "Ann", "Bob_Lee", "Bob_Lee")
    assert data.pairs == (Pair(0, 1, True), Pair(1, 2, False))
    assert data.said()["all_genuine"] == 2 and data.said()["all_impostors"] == 4
    (tmp_path / "pairs.txt").write_text("Ann 1 2\nAnn 2 Bob_Lee 1")
    assert read(tmp_path).folds == 0


@pytest.mark.parametrize("line", ["Ann 1 3", "Ann 1", "Ann x 2", "Eve 1 2", "Ann 1 Eve 2", "Ann 1 2 Bob_Lee 1 2"])
def test_a_pair_that_is_not_there_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataMissing, match=line):
        read(people(tmp_path, f"Ann 1 2\nAnn 1 Bob_Lee 1\n{line}\n"))


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="no folder"):
        read(tmp_path / "nothing")
    with pytest.raises(DataMissing, match="pictures of 0 people"):
        read(tmp_path)
    with pytest.raises(DataMissing, match="genuine and impostor"):
        read(people(tmp_path, "Ann 1 2\n"))
    (tmp_path / "pairs.txt").unlink()
    with pytest.raises(DataMissing, match=r"pairs\.txt is missing"):
        read(tmp_path)
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "face.py"), "--data", str(tmp_path / "nothing")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1 and "there is no folder" in done.stderr and "Traceback" not in done.stderr


def test_a_chart_stays_within_its_frame() -> None:
    lines = [Line("a < b", [(1e-9, -3.0), (1e-3, 0.5), (1.0, 9.0)])]
    drawn = chart("t", logarithmic("x", 1e-5), linear("y", [0, 0.5, 1]), lines, [(0.01, "mark")])
    assert "a &lt; b" in drawn and drawn.count("<polyline") == 1
    points = drawn.partition('points="')[2].partition('"')[0].split()
    assert all(0 <= float(point.split(",")[0]) <= 560 and 0 <= float(point.split(",")[1]) <= 400 for point in points)
    assert len(points) == 3


def test_ticks_are_round_numbers() -> None:
    assert even_ticks(-0.18, 0.92) == [-0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert even_ticks(0, 0.16) == [0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16]
    for least, most in ((0.78, 0.99), (0, 1e-3), (-3, 700)):
        ticks = even_ticks(least, most)
        assert ticks[0] <= least and ticks[-1] >= most and 4 <= len(ticks) <= 11
