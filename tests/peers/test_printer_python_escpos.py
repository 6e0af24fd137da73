"""python-escpos, written by others, drives our simulated printer over a pty: its text, code pages, pictures, QR codes and status."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from simulators.control import Control

pytestmark = [pytest.mark.peer, pytest.mark.wire]


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[tuple[Any, Control]]:
    from escpos.printer import Serial

    link, path = tmp_path / "printer", tmp_path / "printer.ctl"
    command = [sys.executable, "-m", "simulators.devices.printer", "--link", str(link), "--control", str(path)]
    command += ["--pictures", str(tmp_path), "--bytes-per-s", "100000"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None and process.stdout.readline() == "ready\n"
        printer, control = Serial(devfile=str(link), baudrate=9600, timeout=0.3, dsrdtr=False), Control(path)
        yield printer, control
        printer.close()
        control.close()
        process.stdin.close()
        assert process.wait(10) == 0


def printed(printer: Any, control: Control) -> list[dict[str, Any]]:
    """All receipts once GS r 1 says that everything sent was carried out."""
    printer._raw(b"\x1dr\x01")
    printer.device.timeout = 10
    assert printer.device.read(1) == b"\x00"
    printer.device.timeout = 0.3
    state = control.call("state")
    assert state["unknown_commands"] == []
    receipts: list[dict[str, Any]] = state["receipts"]
    return receipts


def test_it_reads_our_status(wire: tuple[Any, Control]) -> None:
    printer, control = wire
    assert (printer.is_online(), printer.paper_status()) == (True, 2)
    control.call("paper", level="low")
    assert (printer.is_online(), printer.paper_status()) == (True, 1)
    control.call("paper", level="out")
    assert (printer.is_online(), printer.paper_status()) == (False, 0)
    control.call("paper", level="full")
    control.call("cover", open=True)
    assert (printer.is_online(), printer.paper_status()) == (False, 2)


def test_its_text_comes_out(wire: tuple[Any, Control]) -> None:
    printer, control = wire
    printer.set(align="center", bold=True, double_width=True, double_height=True)
    printer.textln("Smart Branch")
    printer.set_with_default()
    printer.textln("取款金额：200 元")
    printer._raw(b"\x1c.")  # its western code pages need the Kanji mode off
    printer.textln("Grüße, £5")
    printer.cut()
    (receipt,) = printed(printer, control)
    assert receipt["lines"] == ["Smart Branch", "取款金额：200 元", "Grüße, £5"]
    assert receipt["cut"]


@pytest.mark.parametrize("way", ["bitImageRaster", "graphics", "bitImageColumn"])
def test_its_pictures_come_out_dot_for_dot(wire: tuple[Any, Control], tmp_path: Path, way: str) -> None:
    printer, control = wire
    picture = Image.new("1", (96, 48), 1)
    black: Callable[[int, int], bool] = lambda x, y: (x // 8 + y // 8) % 2 == 0 and x < y * 2  # noqa: E731
    for x in range(96):
        for y in range(48):
            picture.putpixel((x, y), 0 if black(x, y) else 1)
    printer.image(picture, impl=way)
    printer.textln("below")
    printer.cut(feed=False)
    (receipt,) = printed(printer, control)
    with Image.open(receipt["picture"]) as paper:
        dots = paper.crop((32, 32, 32 + 96, 32 + 48)).point(lambda value: 255 if value > 127 else 0).convert("1")
    assert dots.tobytes() == picture.tobytes()


def test_its_native_qr_code_is_drawn(wire: tuple[Any, Control]) -> None:
    printer, control = wire
    printer.qr("T0001-00000017", native=True, size=4)
    printer.cut()
    (receipt,) = printed(printer, control)
    assert receipt["lines"] == ["[QR] T0001-00000017"]
    with Image.open(receipt["picture"]) as paper:
        finder = paper.crop((32, 32, 32 + 28, 32 + 28))
    assert [finder.getpixel((at, 14)) == 0 for at in (2, 6, 10, 14, 18, 22, 26)] == [True, False, True, True, True, False, True]
