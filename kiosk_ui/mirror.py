"""The mirror: the camera's picture on its way to the page, without touching the agent and without being kept.

A face worker connects to a Unix socket (mode 0600, same user) and writes pictures, mirrored: four bytes of length, big-endian, then a
JPEG; length 0, or the end of the connection, is "the camera is closed". Only the newest picture is held, in memory, and only while the
view has a mirror; the page gets it as a binary WebSocket message, and the text ``dark`` when there is none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path

from starlette.websockets import WebSocket, WebSocketDisconnect

MAX_PICTURE_BYTES = 256 * 1024
MAX_PAGES = 4
SEND_WITHIN_S = 2.0
SILENT_AFTER_S = 2.0
JPEG = b"\xff\xd8\xff"


class Mirror:
    """`complain` tells the parent's log what was wrong; never a byte of a picture."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        self._complain = complain
        self._wanted = False
        self._picture: bytes | None = None
        self._camera = 0
        """Number of the connection that may write: the newest."""
        self._changed: dict[WebSocket, asyncio.Event] = {}

    def want(self, wanted: bool) -> None:
        """Whether the present view has a mirror. Without one the picture is forgotten at once."""
        self._wanted = wanted
        if not wanted:
            self._show(None)

    def _show(self, picture: bytes | None) -> None:
        if picture is None and self._picture is None:
            return
        self._picture = picture
        for changed in self._changed.values():
            changed.set()

    # --- the camera's side

    async def listen(self, path: Path) -> asyncio.Server:
        """OSError when the path cannot be used. A socket that an earlier process left there is replaced; anything else is not."""
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise OSError(f"{path} is there and is no socket")
            path.unlink()
        before = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(self._take, path=path, limit=MAX_PICTURE_BYTES + 4)
        finally:
            os.umask(before)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._camera += 1
        number = self._camera
        try:
            if _user_of(writer) != os.getuid():
                self._complain("error: a mirror connection of another user is refused")
                return
            while number == self._camera:
                async with asyncio.timeout(SILENT_AFTER_S if self._picture else None):
                    picture = await _read(reader)
                if number == self._camera:
                    self._show(picture if self._wanted else None)
        except (asyncio.IncompleteReadError, ConnectionError):
            """The camera is closed."""
        except TimeoutError:
            self._complain("warning: the camera fell silent")
        except ValueError as error:
            self._complain(f"error: from the camera: {error}")
        finally:
            if number == self._camera:
                self._show(None)
            writer.close()

    # --- the page's side

    async def serve(self, page: WebSocket) -> None:
        """One page, from its connection to its end: what is shown now, and each change; a slow page misses those between."""
        if len(self._changed) >= MAX_PAGES:
            await page.close(1013)
            return
        await page.accept()
        changed = self._changed[page] = asyncio.Event()
        changed.set()
        sending = asyncio.create_task(self._send(page, changed))
        try:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError, KeyError):
                while True:
                    await page.receive_text()  # nothing is said here; this waits for the end
        finally:
            sending.cancel()
            del self._changed[page]

    async def _send(self, page: WebSocket, changed: asyncio.Event) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            while True:
                await changed.wait()
                changed.clear()
                async with asyncio.timeout(SEND_WITHIN_S):
                    if self._picture is None:
                        await page.send_text("dark")
                    else:
                        await page.send_bytes(self._picture)


async def _read(reader: asyncio.StreamReader) -> bytes | None:
    """A picture; None for "closed". ValueError for what is no picture."""
    (length,) = struct.unpack(">I", await reader.readexactly(4))
    if length == 0:
        return None
    if length > MAX_PICTURE_BYTES:
        raise ValueError(f"a picture of {length} bytes; {MAX_PICTURE_BYTES} are allowed")
    picture = await reader.readexactly(length)
    if not picture.startswith(JPEG):
        raise ValueError("a picture that is no JPEG")
    return picture


def _user_of(writer: asyncio.StreamWriter) -> int:
    """Who is at the other end (unix(7), SO_PEERCRED)."""
    credentials = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])
