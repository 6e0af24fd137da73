"""The wire to the parent (the agent's supervisor): one JSON object a line, on standard input and output.

Input ``{"view": {...}}`` and ``{"ping": 7}``; output ``{"ready": {"port": 8080}}``, ``{"pressed": {"seq": 12, "id": "cancel"}}``,
``{"page": {"connected": 1}}``, ``{"pong": 7}``. A line that is none of these is named on standard error and changes nothing.
Standard input is read by a thread with `os.read`, since it may be a pipe, a terminal or /dev/null, not all of which can be polled.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable

MAX_LINE = 1 << 18


def complain(text: str) -> None:
    """One line for the parent's log."""
    sys.stderr.write(f"kiosk_ui: {text}\n")
    sys.stderr.flush()


def say(what: str, value: object) -> None:
    """One line to the parent; waits while it does not read (then nothing can go on anyway). When it is gone, standard input ends too."""
    data = json.dumps({what: value}, ensure_ascii=False).encode() + b"\n"
    with contextlib.suppress(BrokenPipeError):
        while data:
            data = data[os.write(1, data) :]


class Lines:
    """Bytes -> lines, of bounded length: what is longer is dropped whole and complained about."""

    def __init__(self) -> None:
        self._rest = b""
        self._dropping = False

    def feed(self, data: bytes) -> list[bytes]:
        *lines, rest = (self._rest + data).split(b"\n")
        if self._dropping and lines:
            lines.pop(0)
            self._dropping = False
        if len(rest) > MAX_LINE:
            complain(f"error: a line from the parent is longer than {MAX_LINE} bytes")
            self._dropping, rest = True, b""
        self._rest = b"" if self._dropping else rest
        return [line for line in lines if line.strip()]


def parse_line(line: bytes) -> tuple[str, object] | None:
    """A line -> (what, value); None (and a complaint) for anything else."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        complain(f"error: a line from the parent is not JSON: {error}")
        return None
    if not isinstance(message, dict) or len(message) != 1 or next(iter(message)) not in ("view", "ping"):
        complain('error: a line from the parent is neither {"view": ...} nor {"ping": ...}')
        return None
    return next(iter(message.items()))


def listen(heard: Callable[[str, object], None], ended: Callable[[], None]) -> None:
    """Call `heard(what, value)` for each good line and `ended()` at the end of standard input, from a thread of its own."""

    def read() -> None:
        lines = Lines()
        while data := os.read(0, 65536):
            for line in lines.feed(data):
                message = parse_line(line)
                if message is not None:
                    heard(*message)
        ended()

    threading.Thread(target=read, name="parent", daemon=True).start()
