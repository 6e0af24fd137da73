"""The stage: broker, bank, devices and the terminal itself, each a process, in one folder. `up` and `demo` both play on it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulators.broker.start import Broker, start_broker
from simulators.card.capk import capk_toml
from simulators.card.keys import load_card_keys
from simulators.control import Control
from simulators.crypto.host_pin import HostPinKeys, key_blocks_for
from simulators.ports.pcscd import Pcscd, start_pcscd
from simulators.stage.processes import READY_S, Child, StageError

TERMINAL, BRANCH = "T0001", "B001"
PAD_SERIAL = "ZT588SIM00000001"
DENOMINATIONS = (10_000, 5_000, 2_000, 1_000)


@dataclass(frozen=True, slots=True)
class Options:
    """How the stage is set. `counts`: notes in each cassette. `mechanics`: how many times faster than real.

    `latency` scales the simulated electronics' time to answer. `faces`: folder of scenes; `face`: a section of one's own instead.
    `agent_module`: what `python -m` starts as the
    agent; a test may put its own launcher around it, told by `agent_env`. `bank_acknowledges`: "txn" where a monitor takes the rest.
    `cameras`: device and source of inspection cameras."""

    counts: tuple[int, int, int, int] = (200, 200, 200, 200)
    journal_counts: tuple[int, int, int, int] | None = None
    mechanics: float = 1.0
    latency: float = 1.0
    printer_bytes_per_s: float = 960.0
    pictures: bool = True
    faces: Path | None = None
    face: dict[str, Any] | None = None
    mode: str = "standard"
    scene: str = "customer"
    kiosk_port: int = 0
    bench_port: int = 0
    bench: bool = False
    timeouts: dict[str, float] = field(default_factory=dict)
    language: str = "zh"
    cards_by: str = "pcsc"
    last_status_survives: str = "reset"
    broker_url: str | None = None
    broker_kind: str | None = None
    agent_module: str = "terminal"
    agent_env: dict[str, str] = field(default_factory=dict)
    bank_acknowledges: str = "txn,audit,alarm"
    fleet: dict[str, float] = field(default_factory=dict)
    cameras: tuple[tuple[str, str], ...] = ()


class Stage:
    """`set()` starts everything, `strike()` ends everything that was started, in reverse."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.folder = folder
        self.options = options
        self.children: dict[str, Child] = {}
        self.broker: Broker | None = None
        self.pcscd: Pcscd | None = None
        self.reader_says = ""
        self.kiosk_url = ""
        self.bench_url = ""
        self.camera_url = ""
        self._controls: dict[str, Control] = {}

    # --- setting and striking

    def set(self) -> None:
        for name in ("controls", "wires", "logs", "pictures"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.broker = start_broker(self.folder / "broker", url=self.options.broker_url, kind=self.options.broker_kind)
        port = self._start_reader()
        self._start_simulators(port)
        for child in self.children.values():
            child.wait_word("ready")
        if "camera" in self.children:
            self.camera_url = f"http://127.0.0.1:{self.children['camera'].words[-1].split('port=')[1]}/scene.mjpg"
        self._write_configuration()
        if self.options.bench:
            self._start_bench()
        self.start_terminal()

    def strike(self) -> None:
        for control in self._controls.values():
            control.close()
        for child in reversed(self.children.values()):
            child.stop()
        self.children.clear()
        if self.pcscd is not None:
            self.pcscd.stop()
        if self.broker is not None and self.broker.kind != "configured":
            self.broker.stop()

    def _start_reader(self) -> int:
        """pcscd with vpcd where it is to be had; else the terminal plays the reader's side of the vpcd wire itself."""
        started = start_pcscd(self._short_folder()) if self.options.cards_by == "pcsc" else "the vpcd wire was asked for"
        if isinstance(started, Pcscd):
            self.pcscd = started
            self.reader_says = "PC/SC: pcscd with a virtual reader, the real pyscard"
            return started.port
        from simulators.broker.start import free_port

        self.reader_says = f"the vpcd wire, played by the terminal ({started})"
        return free_port()

    def _short_folder(self) -> Path:
        """A Unix socket's path has 107 bytes at most."""
        folder = self.folder / "pcsc"
        folder.mkdir(exist_ok=True)
        return folder

    def _child(self, name: str, *arguments: str, env: dict[str, str] | None = None) -> Child:
        child = Child(name, arguments, self.folder / "logs" / f"{name}.log", env)
        self.children[name] = child
        return child

    def _start_simulators(self, card_port: int) -> None:
        folder, options = self.folder, self.options
        assert self.broker is not None
        faces = options.faces
        templates = ["--templates", str(faces / "templates.json")] if faces is not None else []
        bank = ["--broker", self.broker.url, "--store", str(folder / "bank" / "bank.sqlite"), "--stdin-eof", *templates]
        bank += ["--acknowledges", options.bank_acknowledges]
        (folder / "bank").mkdir(exist_ok=True)
        self._child("bank", "simulators.bank", *bank, "--control", self.control_path("bank"))
        cassettes = [
            {"denomination": f"CNY {minor // 100}", "count": count, "type": number, "near_end_at": 10, "present": True}
            for number, (minor, count) in enumerate(zip(DENOMINATIONS, options.counts, strict=True), 1)
        ]
        self._child(
            "dispenser",
            "simulators.devices.dispenser",
            *("--link", self.wire("dispenser"), "--control", self.control_path("dispenser"), "--cassettes", json.dumps(cassettes)),
            *("--speed", str(options.mechanics), "--latency", str(options.latency), "--last-status-survives", options.last_status_survives),
            *("--state", str(folder / "dispenser.json")),
        )
        self._child(
            "pinpad",
            "simulators.devices.pinpad",
            *("--link", self.wire("pinpad"), "--control", self.control_path("pinpad"), "--serial", PAD_SERIAL),
            *("--state", str(folder / "pinpad.json"), "--latency", str(options.latency)),
        )
        self._child(
            "printer",
            "simulators.devices.printer",
            *("--link", self.wire("printer"), "--control", self.control_path("printer")),
            *("--bytes-per-s", str(options.printer_bytes_per_s)),
            *(("--pictures", str(folder / "pictures")) if options.pictures else ()),
        )
        if faces is not None:
            self._child(
                "camera",
                "simulators.camera.live",
                *("--photographs", str(faces / "photographs"), "--control", self.control_path("camera"), "--scene", options.scene),
            )
        self._card_port = card_port
        self._child("card", "simulators.card", "--port", str(card_port), "--control", self.control_path("card"))

    def _start_bench(self) -> None:
        child = self._child(
            "bench",
            "simulators.bench",
            *("--port", str(self.options.bench_port), "--controls", str(self.folder / "controls")),
            *("--pictures", str(self.folder / "pictures"), "--kiosk-url", f"http://127.0.0.1:{self.options.kiosk_port}/"),
        )
        child.wait_word("ready")
        self.bench_url = f"http://127.0.0.1:{self.options.bench_port}/"

    # --- the terminal

    def start_terminal(self) -> None:
        """The agent's own process; also after it was killed."""
        module, folder = self.options.agent_module, self.folder
        arguments = (module, "--config", str(folder / "terminal.toml"), "--trace", str(folder / "trace.jsonl"))
        reader = {"PCSCLITE_CSOCK_NAME": self.pcscd.env["PCSCLITE_CSOCK_NAME"]} if self.pcscd else {}
        env = {**self.options.agent_env, **reader}
        child = self.children.get("terminal")
        if child is None:
            child = self._child("terminal", *arguments, env=env)
        else:
            child.start()
        self.kiosk_url = child.wait_word("kiosk page").split()[-1]

    def restart(self, name: str, ready_s: float = READY_S) -> None:
        """After a power cut of one part (killed already, or now): started again with what it keeps on disk, at the same place.
        StageError when it is not ready in time; it may run all the same.

        A wire that hangs nowhere is taken away first: the number of a dead pty may soon be somebody else's.
        """
        if name == "broker":
            assert self.broker is not None
            self.broker.kill()
            self.broker.restart()
            return
        child = self.children[name]
        child.kill()
        if name == "terminal":
            self.start_terminal()
            return
        if name in self._controls:
            self._controls.pop(name).close()
        Path(self.wire(name)).unlink(missing_ok=True)
        child.start()
        child.wait_word("ready", ready_s)

    def _write_configuration(self) -> None:
        folder, options = self.folder, self.options
        (folder / "key-blocks.json").write_text(json.dumps(key_blocks_for(PAD_SERIAL, HostPinKeys.load())))
        (folder / "ca-keys.toml").write_text(capk_toml(load_card_keys()))
        (folder / "bank-key.hex").write_text(self.hand("bank").call("public_key"))
        (folder / "centre-key.hex").write_text(self.hand("bank").call("centre_key"))
        assert self.broker is not None
        counts = options.journal_counts or options.counts
        sections: dict[str, dict[str, Any]] = {
            "terminal": {
                "id": TERMINAL,
                "branch": BRANCH,
                "store": "journal.sqlite",
                "language": options.language,
                "mode": options.mode,
                "demo_badge": "模拟设备 simulated devices",
            },
            "bank": {
                "url": self.broker.url,
                "public_key": "bank-key.hex",
                "boot_spread_s": 0.0,
                "max_backoff_s": 2.0,
                "clean_start": self.broker.kind != "iotcore",
            },
            "cash": {
                "presets_minor": [10_000, 20_000, 30_000, 50_000, 100_000, 200_000],
                "limit_minor": 300_000,
                "max_notes": 40,
                "unit": [
                    {"unit": str(number), "denomination_minor": minor, "initial": count}
                    for number, (minor, count) in enumerate(zip(DENOMINATIONS, counts, strict=True), 1)
                ],
            },
            "dispenser": {"port": self.wire("dispenser")},
            "pin_pad": {"port": self.wire("pinpad"), "key_blocks": "key-blocks.json"},
            "printer": {"port": self.wire("printer"), "columns": 42},
            "card": self._card_section(),
            "kiosk": {"port": options.kiosk_port},
            "centre": {"key": [{"id": "centre-2026", "file": "centre-key.hex"}]},
        }
        if options.fleet:
            sections["fleet"] = dict(options.fleet)
        if options.cameras:
            sections["inspection"] = {"camera": [{"device": device, "source": source} for device, source in options.cameras]}
        if options.bench:
            sections["kiosk"]["frame_origin"] = f"http://127.0.0.1:{options.bench_port}"
        if options.faces is not None:
            sections["face"] = {"camera": self.camera_url, "from_minor": 100_000}
        if options.face is not None:
            sections["face"] = options.face
        if options.timeouts:
            sections["timeouts"] = options.timeouts
        (folder / "terminal.toml").write_text(toml(sections), encoding="utf-8")

    def _card_section(self) -> dict[str, Any]:
        section = {"ca_keys": "ca-keys.toml", "reader": "pcsc" if self.pcscd else "vpcd"}
        return {**section, "name": self.pcscd.reader_name} if self.pcscd else {**section, "port": self._card_port}

    # --- hands

    def wire(self, name: str) -> str:
        return str(self.folder / "wires" / name)

    def control_path(self, name: str) -> str:
        return str(self.folder / "controls" / f"{name}.ctl")

    def hand(self, name: str) -> Control:
        """The control wire of a simulator."""
        if name not in self._controls:
            self._controls[name] = Control(self.control_path(name))
        return self._controls[name]

    def show_scene(self, scene: str) -> None:
        """Somebody or something else before the camera."""
        self.hand("camera").call("show", scene=scene)

    def waits_for_trace(self, kind: str, name: str, within_s: float = 20.0) -> None:
        """Until the terminal's trace notes it."""
        until = time.monotonic() + within_s
        while not any(note["kind"] == kind and note["name"] == name for note in self.trace()):
            if time.monotonic() > until:
                raise StageError(f"the terminal's trace never noted {kind} {name}")
            time.sleep(0.01)

    def trace(self) -> list[dict[str, Any]]:
        """What the agent noted so far; a line that is still being written is left out."""
        lines = (self.folder / "trace.jsonl").read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def journal(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """branch-terminal journal ..., as a person would type it."""
        command = [sys.executable, "-m", "terminal", "journal", *arguments, "--config", str(self.folder / "terminal.toml")]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def toml(sections: dict[str, dict[str, Any]]) -> str:
    """Plain tables of plain values: all that the configuration needs. JSON's strings, numbers and lists are TOML's as well."""
    lines: list[str] = ["# Written by the stage for its own simulators."]
    for section, values in sections.items():
        lines.append(f"\n[{section}]")
        nested = {key: value for key, value in values.items() if isinstance(value, list) and value and isinstance(value[0], dict)}
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items() if key not in nested]
        for key, tables in nested.items():
            for table in tables:
                lines.append(f"\n[[{section}.{key}]]")
                lines += [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in table.items()]
    return "\n".join(lines) + "\n"


def clean(folder: Path) -> None:
    """A stage of its own making, emptied. Never anything else."""
    if (folder / "terminal.toml").exists() or (folder / "broker").exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
