"""The two benches of scale, tiny: what they measure is for their own machine, what they judge holds here too. And the simulated fleet."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from contract import Listener, Recorder
from scale.setting import running

from simulators.broker.start import start_broker

pytestmark = [
    pytest.mark.wire,
    pytest.mark.skipif(not shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin"), reason="no mosquitto"),
]
ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 300.0


def run(*arguments: object) -> str:
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=WITHIN_S)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"
    return done.stdout


def bench(name: str, *options: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(f"benchmarks/{name}.py", *options).splitlines()[-1])
    return found


def test_the_link_bench_loses_nothing_and_counts_everything(tmp_path: Path) -> None:
    sizes = ("--events", 300, "--repeats", 1, "--backlog", 2_000, "--part", 800, "--rounds", 2, "--orders", 6, "--fuzz", 1_000)
    found = bench("link", *sizes, "--days", 1, "--transactions", 50, "--folder", tmp_path, "--sqlite")
    assert (found["violations"], found["lost"], found["twice"], found["rounds"]) == (0, 0, 0, 2)
    assert found["outbox_per_s"] > 0 and found["paho_per_s"] > 0 and found["fsync_per_s"] > 0
    assert found["command_rtt_ms"]["p50"] > 0 and found["crash_events"] > 0
    assert found["fuzz"]["refused"] > 900 and found["fuzz"]["served_after"] is True
    assert found["offline"]["thinned_when_full"] == 720 and found["offline"]["others_dropped"] == 0


def test_the_fleet_bench_comes_back_and_serves_transactions_first() -> None:
    found = bench("fleet", "--terminals", 50, "--seconds", 5, "--workers", "1,2", "--burst", 1, "--outage-s", 3, "--accept-per-s", 25)
    assert found["connected"] == 50 and [one["workers"] for one in found["steady"]] == [1, 2]
    outage = found["outage"]
    assert outage["back"] == 50 and outage["out_of_order"] == 0
    assert outage["txn_s"] is not None and outage["telemetry_s"] is not None, "everything that had gathered is through"


def test_the_simulated_fleet_speaks_the_contract(tmp_path: Path) -> None:
    recorder = Recorder()
    with start_broker(tmp_path, kind="mosquitto") as broker, running("scale.consumer", "--url", broker.url, said="subscribed"):
        listener = Listener(broker.url, recorder)
        options = ("--broker", broker.url, "--seconds", 6, "--spread-s", 0.5, "--telemetry-s", 2, "--customer-s", 2)
        said = run("-m", "simulators.fleet", 30, *options)
        listener.close()
    assert "30 of 30 connected" in said
    assert recorder.faults == []
    assert {"state ATMDeviceReport", "telemetry TelemetryReport", "txn ATMWithdrawalCompletionAdvice"} <= set(recorder.seen)
