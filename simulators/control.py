"""The control wire of a simulator: one JSON object a line over a Unix socket, one line back.

A request is ``{"do": "verb", ...arguments}``, an answer ``{"ok": result}`` or ``{"error": "sentence"}``. `{"do": "state"}` answers
with the physical state. This is the hand of the person (insert a card, take the notes, cut the power), never a part of a device.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

MAX_LINE = 1 << 20


class ControlError(Exception):
    """A request that the simulator refused, with its sentence."""


class Control:
    """A client. `call("jam", where="exit")` returns the result or raises ControlError with the simulator's sentence."""

    def __init__(self, path: Path | str, timeout_s: float = 10.0) -> None:
        self._path = str(path)
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._rest = b""

    def call(self, do: str, **arguments: Any) -> Any:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(self._timeout_s)
            self._socket.connect(self._path)
        try:
            self._socket.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
            while b"\n" not in self._rest:
                data = self._socket.recv(65536)
                if not data:
                    raise ControlError(f"{self._path}: the simulator closed the control wire")
                self._rest += data
        except OSError as error:
            self.close()
            raise ControlError(f"{self._path}: {error}") from error
        except ControlError:
            self.close()
            raise
        line, _, self._rest = self._rest.partition(b"\n")
        answer = json.loads(line)
        if "error" in answer:
            raise ControlError(answer["error"])
        return answer["ok"]

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._rest = b""


def answer_line(line: bytes, verbs: Any) -> bytes:
    """One request line -> one answer line. `verbs(do, arguments)` returns something JSON can carry or raises ValueError."""
    try:
        request = json.loads(line)
        if not isinstance(request, dict) or not isinstance(request.get("do"), str):
            raise ValueError('a request is an object with a "do"')
        do = request.pop("do")
        answer: dict[str, Any] = {"ok": verbs(do, request)}
    except (ValueError, TypeError, KeyError) as error:
        answer = {"error": str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"}
    return json.dumps(answer, ensure_ascii=False).encode() + b"\n"
