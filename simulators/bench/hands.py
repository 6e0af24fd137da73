"""The control wires of the simulators, without waiting for one another: the bench's hands.

The wire is the one of ``simulators.control``: one JSON object a line, one line back. A simulator that is not there (no socket, nobody
listening, no answer in time) is absent, which is no error.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

from simulators.control import MAX_LINE

ANSWER_WITHIN_S = 2.0


class Absent(Exception):
    """The simulator is not there, or does not answer."""


class Refused(Exception):
    """The simulator answered with a sentence why not."""


class Hand:
    """One simulator's control wire. Opened when needed, closed after any trouble; one request at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, do: str, **arguments: Any) -> Any:
        """The result of a verb. Raises Absent or Refused; an answer that comes too late is never taken for another one's."""
        async with self._turn:
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    line = await self._exchange(json.dumps({"do": do, **arguments}).encode() + b"\n")
                answer = json.loads(line)
            except (OSError, TimeoutError, ValueError) as error:
                self.close()
                raise Absent(f"{self._path.name}: {str(error) or 'no answer in time'}") from error
            except asyncio.CancelledError:
                self.close()
                raise
        if not isinstance(answer, dict) or not answer.keys() & {"ok", "error"}:
            self.close()
            raise Absent(f"{self._path.name}: an answer that is none")
        if "error" in answer:
            raise Refused(str(answer["error"]))
        return answer["ok"]

    async def _exchange(self, request: bytes) -> bytes:
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(str(self._path), limit=MAX_LINE)
        reader, writer = self._streams
        writer.write(request)
        await writer.drain()
        line = await reader.readline()
        if not line.endswith(b"\n"):
            raise OSError("the simulator closed the wire")
        return line

    def close(self) -> None:
        if self._streams is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._streams[1].close()
            self._streams = None
