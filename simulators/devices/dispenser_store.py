"""The dispenser as a process, and its state file: notes do not vanish when the simulator is killed.

The file holds what a real unit keeps without power: where the notes lie, the EEPROM, and the result of the last movement when
that is configured to survive. It is replaced atomically at every change; a kill is a power cut.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from simulators.devices.dispenser import SURVIVES, Dispenser, Options
from simulators.devices.dispenser_physics import CASSETTES, SENSORS, Cassette, Counts, Jam, PathNote
from simulators.process import run_serial

VERSION = 1
DEFAULT_CASSETTES = (("CNY 100", 400), ("CNY 50", 400), ("CNY 20", 400), ("CNY 10", 400))
CASSETTE_KEYS = {"denomination", "count", "type", "near_end_at", "present"}


def cassettes_from(given: Any) -> list[Cassette]:
    """From ``[{"denomination": "CNY 100", "count": 400, "type": 1, "near_end_at": 20, "present": true}, ...]``, four of them."""
    if not isinstance(given, list) or len(given) != CASSETTES or not all(isinstance(item, dict) for item in given):
        raise ValueError(f"cassettes: a list of {CASSETTES} objects")
    made = []
    for unit, item in enumerate(given, start=1):
        if unknown := set(item) - CASSETTE_KEYS:
            raise ValueError(f"cassette {unit}: unknown {', '.join(sorted(unknown))}; known are {', '.join(sorted(CASSETTE_KEYS))}")
        numbers = {"count": item.get("count", 0), "type": item.get("type", unit), "near_end_at": item.get("near_end_at", 20)}
        for name, value in numbers.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 0 or (name == "type" and not 1 <= value <= CASSETTES):
                raise ValueError(f"cassette {unit}: {name} {value!r} is not possible")
        denomination, present = item.get("denomination", ""), item.get("present", True)
        if not isinstance(denomination, str) or not isinstance(present, bool):
            raise ValueError(f"cassette {unit}: denomination is a text, present is true or false")
        made.append(Cassette(denomination, numbers["count"], numbers["type"], numbers["near_end_at"], present, numbers["count"]))
    return made


def default_cassettes() -> list[Cassette]:
    return [Cassette(denomination, count, kind, initial=count) for kind, (denomination, count) in enumerate(DEFAULT_CASSETTES, start=1)]


def to_json(device: Dispenser) -> dict[str, Any]:
    mechanics = device.mechanics
    return {
        "version": VERSION,
        "cassettes": [asdict(cassette) for cassette in mechanics.cassettes],
        "path": [asdict(note) for note in mechanics.path],
        "reject_bin": mechanics.reject_bin,
        "reject_bin_present": mechanics.reject_bin_present,
        "outlet": mechanics.outlet,
        "taken": mechanics.taken,
        "by_hand": mechanics.by_hand,
        "passed": mechanics.passed,
        "jam": None if mechanics.jam is None else asdict(mechanics.jam),
        "eeprom": device.eeprom,
        "eeprom_damaged": device.eeprom_damaged,
        "last": None if device.kept_without_power is None else asdict(device.kept_without_power),
    }


def load_json(device: Dispenser, saved: Any) -> None:
    """ValueError when the file is not one of ours or its notes do not add up."""
    mechanics = device.mechanics
    try:
        if saved["version"] != VERSION:
            raise ValueError(f"version {saved['version']!r} instead of {VERSION}")
        mechanics.cassettes = [Cassette(**item) for item in saved["cassettes"]]
        mechanics.path = [PathNote(**item) for item in saved["path"]]
        for name in ("reject_bin", "outlet", "taken", "by_hand"):
            setattr(mechanics, name, [int(value) for value in saved[name]])
        mechanics.reject_bin_present = bool(saved["reject_bin_present"])
        mechanics.passed = int(saved["passed"])
        mechanics.jam = None if saved["jam"] is None else Jam(**saved["jam"])
        device.eeprom = {key: [int(value) for value in saved["eeprom"][key]] for key in device.eeprom}
        device.eeprom_damaged = bool(saved["eeprom_damaged"])
        device.remember(None if saved["last"] is None else Counts(**saved["last"]))
        if any(note.place not in SENSORS for note in mechanics.path) or len(mechanics.cassettes) != CASSETTES:
            raise ValueError("a note is nowhere, or a cassette is missing")
        mechanics.check()
    except (KeyError, TypeError, IndexError, AssertionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


class StoredDispenser:
    """A Dispenser whose state file follows it."""

    def __init__(self, device: Dispenser, file: Path) -> None:
        self._device = device
        self._file = file
        self._saved = ""
        if file.exists():
            try:
                load_json(device, json.loads(file.read_text()))
            except ValueError as error:
                raise ValueError(f"{file} is not a dispenser's state: {error}") from error
        self._save()

    def feed(self, data: bytes, now: float) -> None:
        self._device.feed(data, now)
        self._save()

    def take_output(self, now: float) -> bytes:
        output = self._device.take_output(now)
        self._save()  # before the host can see the bytes
        return output

    def next_wakeup(self) -> float | None:
        return self._device.next_wakeup()

    def control(self, do: str, arguments: dict[str, Any], now: float) -> Any:
        try:
            return self._device.control(do, arguments, now)
        finally:
            self._save()

    def _save(self) -> None:
        text = json.dumps(to_json(self._device))
        if text == self._saved:
            return
        fresh = self._file.with_name(self._file.name + ".new")
        fresh.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(text)
        os.replace(fresh, self._file)
        self._saved = text


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="simulators.devices.dispenser", description="A Puloon LCDM-4000 cash dispenser on a pty.")
    parser.add_argument("--link", type=Path, required=True, help="where the serial port appears")
    parser.add_argument("--control", type=Path, required=True, help="where the control socket appears")
    parser.add_argument("--cassettes", help="JSON list of four: denomination, count, type, near_end_at, present")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times faster than the real mechanics")
    parser.add_argument("--latency", type=float, default=1.0, help="scales the electronics' time to answer; 0 answers at once")
    parser.add_argument("--last-status-survives", choices=SURVIVES, default="nothing")
    parser.add_argument("--reset-replies", type=int, choices=(0, 1, 2), default=0)
    parser.add_argument("--state", type=Path, help="file that keeps the notes and the EEPROM; when it exists it wins over --cassettes")
    given = parser.parse_args(arguments)
    options = Options(
        given.speed, latency=given.latency, reset_replies=given.reset_replies, last_status_survives=given.last_status_survives
    )
    try:
        cassettes = cassettes_from(json.loads(given.cassettes)) if given.cassettes else default_cassettes()
        device = Dispenser(cassettes, options)
        whole = StoredDispenser(device, given.state) if given.state else device
    except (ValueError, OSError) as error:
        parser.error(str(error))
    run_serial(whole, given.link, given.control)
