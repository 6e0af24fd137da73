"""The mirror's wire: length and JPEG, ten a second, never waiting, dark at the end."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy

from terminal.face.mirror import SocketMirror

FRAME = numpy.zeros((480, 640, 3), numpy.uint8)
FRAME[:, :320] = 255


def listener(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(1)
    return server


def read(page: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = page.recv(count - len(data))
        assert part
        data += part
    return data


def message(page: socket.socket) -> bytes:
    (length,) = struct.unpack(">I", read(page, 4))
    return read(page, length)


def test_pictures_are_small_mirrored_and_ten_a_second_and_then_it_is_dark(tmp_path: Path) -> None:
    with listener(tmp_path / "m") as server:
        mirror = SocketMirror(tmp_path / "m")
        for number in range(30):
            mirror.show(number / 30, FRAME)
            if number == 0:
                page, _ = server.accept()
                page.settimeout(5)
        mirror.close()
        pictures: list[Any] = []
        while data := message(page):
            pictures.append(cv2.imdecode(numpy.frombuffer(data, numpy.uint8), cv2.IMREAD_COLOR))
        assert page.recv(1) == b""
        page.close()
    assert len(pictures) == 10
    assert pictures[0].shape == (360, 480, 3)
    assert pictures[0][:, :200].mean() < 10 and pictures[0][:, 280:].mean() > 245


def test_a_page_that_does_not_read_costs_pictures_and_no_time(tmp_path: Path) -> None:
    noise = numpy.random.default_rng(1).integers(0, 255, FRAME.shape, dtype=numpy.uint8)
    with listener(tmp_path / "m") as server:
        mirror = SocketMirror(tmp_path / "m")
        mirror.show(0.0, noise)
        page, _ = server.accept()
        page.settimeout(5)
        for number in range(1, 40):
            mirror.show(float(number), noise)
        mirror.close()
        got = 0
        try:
            while message(page):
                got += 1
        except AssertionError:  # the end came in the middle of a picture
            pass
        page.close()
    assert 1 <= got < 39


def test_no_page_is_no_fault(tmp_path: Path) -> None:
    mirror = SocketMirror(tmp_path / "nobody")
    for number in range(3):
        mirror.show(float(number), FRAME)
    mirror.close()
    mirror.close()
    with listener(tmp_path / "m") as server:
        mirror = SocketMirror(tmp_path / "m")
        mirror.show(0.0, FRAME)
        page, _ = server.accept()
        page.close()
        for number in range(1, 4):
            mirror.show(float(number), FRAME)
        mirror.close()
