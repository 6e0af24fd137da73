"""./run bench withdrawal: our own time in a withdrawal, per step; the bank link; the card; start, recovery, memory, idle load.

Own time is everything between what a person or the host does and what the terminal then shows or sends: workers, wires, journal,
page. Mechanics are made a thousand times faster than real, the simulated electronics answer at once and the simulated printer paints no
pictures, so that what is left is ours; the time a person takes is between the intervals; the host's own time (its own measurement,
commit included) is taken out of the authorisation. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "bench"))

from figures import setting

from simulators.stage.customer import Customer
from simulators.stage.scenarios import Scene, take_cash_and_receipt, to_card, wait_for_notes_on_path
from simulators.stage.setting import Options, Stage

FACES = Path(".cache/camera")
FAST = 1000.0
Note = dict[str, Any]


def summary(values_ms: list[float]) -> dict[str, float]:
    if len(values_ms) < 2:
        return {"n": len(values_ms)}
    cuts = quantiles(values_ms, n=100, method="inclusive")
    return {"n": len(values_ms), "p50": round(cuts[49], 2), "p95": round(cuts[94], 2)}


def notes_of(stage: Stage) -> list[Note]:
    return stage.trace()


def sessions(notes: list[Note]) -> list[list[Note]]:
    """The notes of each withdrawal: from CardInserted to the next idle view."""
    found: list[list[Note]] = []
    for note in notes:
        if note["kind"] == "event" and note["name"] == "CardInserted" and note["phase"] == "idle":
            found.append([])
        if found:
            found[-1].append(note)
    return [one for one in found if any(note["name"] == "takeReceipt" for note in one)]


STEPS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "read card": (("event", "CardInserted"), ("view", "enterPin")),
    "seal PIN": (("command", "MakePinBlock"), ("view", "chooseAmount")),
    "prepare (card, dispenser)": (("event", "Pressed"), ("command", "Authorise")),
    "authorise": (("command", "Authorise"), ("event", "AuthorisationAnswered")),
    "card's last word": (("event", "AuthorisationAnswered"), ("view", "takeCard")),
    "card out to dispense command": (("event", "CardRemoved"), ("command", "Dispense")),
    "dispense (without mechanics)": (("command", "Dispense"), ("event", "NotesDispensed")),
    "settle and show cash": (("event", "NotesDispensed"), ("view", "takeCash")),
    "receipt (without mechanics)": (("command", "PrintReceipt"), ("view", "takeReceipt")),
}


def step_ms(session: list[Note], begin: tuple[str, str], end: tuple[str, str]) -> float:
    """From the first note `begin` to the first `end` after it."""
    started = next(note["at"] for note in session if (note["kind"], note["name"]) == begin)
    ended = next(note["at"] for note in session if (note["kind"], note["name"]) == end and note["at"] >= started)
    return float(ended - started) * 1000


def withdraw(scene: Scene) -> None:
    to_card(scene, 30_000)
    scene.customer.takes_card()
    take_cash_and_receipt(scene)
    scene.customer.sees("idle")


def measure_withdrawals(count: int, say: Callable[[str], None]) -> dict[str, Any]:
    with staged(Options(mechanics=FAST, latency=0.0, printer_bytes_per_s=1e6, pictures=False, counts=(2000, 500, 500, 500))) as (
        stage,
        customer,
    ):
        scene = Scene(stage, customer, lambda *_: None)
        for number in range(count):
            say(f"withdrawal {number + 1}/{count}")
            stage.hand("bank").call("set_balance", name=card_account(stage), minor=500_000)
            withdraw(scene)
        host = stage.hand("bank").call("state")["own_time_ms"]
        played = sessions(notes_of(stage))
    per_step = {name: [step_ms(one, *ends) for one in played] for name, ends in STEPS.items()}
    host_ms = float(host.get("p50", 0.0))
    own = [sum(values[i] for values in per_step.values()) - host_ms for i in range(len(played))]
    return {
        "own_ms": summary(own),
        "steps_ms": {name: summary(values) for name, values in per_step.items()},
        "host_own_ms": host,
        "auth_total_ms": summary(per_step["authorise"]),
        "auth_rtt_ms": summary([value - host_ms for value in per_step["authorise"]]),
    }


def card_account(stage: Stage) -> str:
    accounts = stage.hand("bank").call("state")["accounts"]
    return str(next(one["name"] for one in accounts if one["kind"] == "customer" and one["name"].startswith("everyday")))


class staged:  # noqa: N801 (a context, read as a word)
    """A stage and a customer for a while; the terminal is in service when it begins."""

    def __init__(self, options: Options) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="bench-"))
        self._stage = Stage(self._folder, options)

    def __enter__(self) -> tuple[Stage, Customer]:
        self._customer = Customer(self._stage, lambda *_: None)
        try:
            self._stage.set()
            self._customer.sees("idle")
        except BaseException:
            self.__exit__()
            raise
        return self._stage, self._customer

    def __exit__(self, *_: object) -> None:
        self._customer.goes()
        self._stage.strike()
        shutil.rmtree(self._folder, ignore_errors=True)


APDU_LOOP = """
import json, sys, time
from drivers.transports.base import Deadline, MonotonicClock
from drivers.transports.pcsc import PcscReader
clock = MonotonicClock()
reader = PcscReader(sys.argv[1], clock)
presence = reader.wait_change(None, Deadline.after(clock, 1))
while not presence.present:
    presence = reader.wait_change(presence, Deadline.after(clock, 5))
channel, times = reader.connect(), []
channel.transmit(bytes.fromhex("00A4040008A00000033301010100"), Deadline.after(clock, 5))
for _ in range(int(sys.argv[2])):
    began = time.perf_counter()
    answer = channel.transmit(bytes.fromhex("80CA9F3605"), Deadline.after(clock, 5))
    times.append((time.perf_counter() - began) * 1000)
    assert answer[-2:] == bytes.fromhex("9000")
channel.close()
print(json.dumps(times))
"""


def measure_apdus(count: int) -> dict[str, float]:
    """GET DATA of the ATC through pyscard, pcscd and vpcd: one exchange, in a process of its own as the worker has it."""
    with staged(Options(mechanics=FAST)) as (stage, _):
        stage.children["terminal"].stop()
        if stage.pcscd is None:
            return {"n": 0}
        stage.hand("card").call("insert", card="everyday")
        done = subprocess.run(
            [sys.executable, "-c", APDU_LOOP, stage.pcscd.reader_name, str(count)],
            env=stage.pcscd.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        return summary(json.loads(done.stdout))


def measure_start(times: int) -> dict[str, Any]:
    """From the start of the agent's process to the idle screen; and the same after SIGKILL while notes move, recovery included."""
    starts, recoveries = [], []
    for _ in range(times):
        with staged(Options(mechanics=0.3, last_status_survives="reset", faces=FACES if FACES.exists() else None)) as (stage, customer):
            stage.children["terminal"].stop()
            customer.goes()
            starts.append(seconds_to_idle(stage, customer))
            scene = Scene(stage, customer, lambda *_: None)
            to_card(scene, 20_000)
            customer.takes_card()
            wait_for_notes_on_path(scene)
            stage.children["terminal"].kill()
            customer.goes()
            while stage.hand("dispenser").call("state")["path"]:  # its own mechanics are not our recovery
                pass
            recoveries.append(seconds_to_idle(stage, customer))
    return {"start_s": round(max(starts), 2), "recover_s": round(max(recoveries), 2), "starts": starts, "recoveries": recoveries}


def seconds_to_idle(stage: Stage, customer: Customer) -> float:
    customer.view = {}
    began = time.monotonic()
    stage.start_terminal()
    customer.sees("idle")
    return round(time.monotonic() - began, 3)


def measure_idle(seconds: float) -> dict[str, Any]:
    """PSS of agent, workers and page (face apart), and their CPU while nothing happens."""
    with staged(Options(faces=FACES if FACES.exists() else None)) as (stage, _):
        while notes_of(stage)[-1]["name"] != "DeviceOnline" and FACES.exists():  # the face verifier comes last
            time.sleep(0.5)
        time.sleep(3)
        agent = stage.children["terminal"].pid
        family = {agent: "agent", **children_of(agent)}
        began, ticks = time.monotonic(), sum(map(cpu_ticks, family))
        time.sleep(seconds)
        load = (sum(map(cpu_ticks, family)) - ticks) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began) * 100
        memory = {f"{name}": round(pss_mb(pid), 1) for pid, name in family.items()}
    face = memory.pop("faceVerifier", None)
    return {"idle_mb": round(sum(memory.values()), 1), "face_mb": face, "idle_cpu_pct": round(load, 2), "memory_mb": memory}


def children_of(parent: int) -> dict[int, str]:
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if int((path / "stat").read_text().rsplit(")", 1)[1].split()[1]) == parent:
                words = (path / "cmdline").read_bytes().split(b"\0")
                found[int(path.name)] = "page" if b"kiosk_ui" in words else words[-2].decode()
        except (OSError, IndexError):
            continue
    return found


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def pss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run bench withdrawal")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--idle-s", type=float, default=20.0)
    arguments = parser.parse_args()

    def say(text: str) -> None:
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()

    result: dict[str, Any] = measure_withdrawals(arguments.count, say)
    say("card")
    result["apdu_ms"] = measure_apdus(500)
    say("start and recovery")
    result |= measure_start(3)
    say("idle")
    result |= measure_idle(arguments.idle_s)
    say("")
    for name, values in result["steps_ms"].items():
        print(f"{name:<32} p50 {values.get('p50', 0):8.2f} ms   p95 {values.get('p95', 0):8.2f} ms")
    result |= setting("paho-mqtt", "pyscard", "cryptography", "starlette", "opencv-python-headless")
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
