"""The independent PyPI package `puloon` drives our simulated unit over a pty: two readings of the description that nobody aligned."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from puloon import PuloonException, PuloonLCDM4000
from serial import Serial

from simulators.control import Control

pytestmark = pytest.mark.peer


@pytest.fixture
def unit(tmp_path: Path) -> Iterator[tuple[Any, Control]]:
    link, control = tmp_path / "dispenser", tmp_path / "control"
    command = [sys.executable, "-m", "simulators.devices.dispenser", "--link", str(link), "--control", str(control), "--speed", "20"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    hand = Control(control)
    port = Serial(str(link))
    yield PuloonLCDM4000(port), hand
    port.close()
    hand.close()
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_the_peer_walks_through_every_command_it_knows(unit: tuple[Any, Control]) -> None:
    peer, hand = unit
    peer.reset()
    status = peer.status().as_dict()
    assert (status["error"], status["type1"], status["type4"], status["opac1"], status["leng4"]) == (0, 1, 4, 100, 98)
    dispensed = peer.dispense(3, 0, 2, 0).as_dict()
    assert (dispensed["exit1"], dispensed["exit3"], dispensed["reject1"]) == (3, 2, 0)
    assert peer.last_status().as_dict()["exit1"] == 3
    assert hand.call("take_notes") == [[1, 3], [3, 2]]
    assert peer.test_dispense(0, 1, 0, 0).as_dict()["reject2"] == 1
    assert peer.sensor_diagnostics(4).as_dict()["reject"] == 5
    assert peer.purge().as_dict()["reject1"] == 0
    peer.set_bill_opacities(1, 255, 0, 90)
    assert list(peer.get_bill_opacities().as_dict().values()) == [0, 1, 255, 100, 90]
    peer.set_bill_lengths(0, 0, 191, 0)
    assert list(peer.get_bill_lengths().as_dict().values()) == [0, 98, 98, 191, 98]
    peer.set_bill_dispense_order(4, 3, 2, 1)
    assert list(peer.get_bill_dispense_order().as_dict().values()) == [0, 4, 3, 2, 1]
    once = ("44", "50", "52", "55", "53", "58", "51", "5a", "5b", "5e", "5f", "5c", "5d")
    assert hand.call("history")["totals"] == dict.fromkeys(once, 1)


def test_the_peer_understands_what_went_wrong(unit: tuple[Any, Control]) -> None:
    peer, hand = unit
    hand.call("set_cassette", unit=2, count=1)
    with pytest.raises(PuloonException) as empty:
        peer.dispense(0, 2, 0, 0)
    assert (empty.value.code, empty.value.response.as_dict()["exit2"]) == (0x01, 1)
    hand.call("jam", where="dvt")
    with pytest.raises(PuloonException) as jammed:
        peer.dispense(1, 0, 0, 0)
    assert jammed.value.message.startswith("Jam on the path between DVT")
    with pytest.raises(PuloonException) as last:
        peer.last_status()
    assert last.value.code == 0x03
    hand.call("clear_jam")
    hand.call("fault", kind="corrupt_reply", count=2)
    assert peer.status().as_dict()["error"] == 0  # it refuses two bad answers and gets a good one
    hand.call("fault", kind="nak")
    assert peer.dispense(1, 0, 0, 0).as_dict()["exit1"] == 1  # a refused frame is sent again
