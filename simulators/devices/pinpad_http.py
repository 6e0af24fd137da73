"""A door for the demo customer's finger: `POST /press {"key": "5"}` on loopback, straight into the pad's own process.

So a page can show a key pad without any other process seeing a digit. Answers only to a loopback Host and, from a browser, to a
loopback Origin; the body must be JSON, which makes a foreign page's browser ask first (and be refused). Requests are bounded.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from simulators.process import Loop

MAX_REQUEST = 4096
MAX_CLIENTS = 16
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_TEXTS = {200: "OK", 204: "No Content", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed"}


class PressDoor:
    """Listens on 127.0.0.1; `port` 0 takes a free one. `press(key)` raises ValueError for a key that does not exist."""

    def __init__(self, loop: Loop, port: int, press: Callable[[str], None]) -> None:
        self._loop = loop
        self._press = press
        self._clients: dict[socket.socket, bytes] = {}
        self._server = socket.create_server(("127.0.0.1", port))
        self._server.setblocking(False)
        self.port: int = self._server.getsockname()[1]
        loop.add(self._server, self._accept)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._server.accept()
            client.setblocking(False)
            if len(self._clients) >= MAX_CLIENTS:
                self._close(next(iter(self._clients)))  # the oldest has had its time
            self._clients[client] = b""
            self._loop.add(client, lambda: self._read(client))

    def _read(self, client: socket.socket) -> None:
        try:
            data = client.recv(MAX_REQUEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        request = self._clients[client] = self._clients[client] + data
        answer = _answer(request, self.port, self._press) if data else b""
        if answer is None and len(request) <= MAX_REQUEST:
            return
        with contextlib.suppress(OSError):
            client.sendall(answer or (_response(400, "") if data else b""))
        self._close(client)

    def _close(self, client: socket.socket) -> None:
        self._clients.pop(client, None)
        self._loop.remove(client)
        client.close()


def _answer(request: bytes, port: int, press: Callable[[str], None]) -> bytes | None:
    """The whole response, or None while the request is not complete."""
    head, found, body = request.partition(b"\r\n\r\n")
    if not found:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or int(length) > MAX_REQUEST:
        return _response(400, "")
    if len(body) < int(length):
        return None
    method, _, rest = first.partition(" ")
    return _route(method, rest.partition(" ")[0], headers, body[: int(length)], port, press)


def _route(method: str, path: str, headers: dict[str, str], body: bytes, port: int, press: Callable[[str], None]) -> bytes:
    origin = headers.get("origin", "")
    if headers.get("host", "") not in {f"{host}:{port}" for host in ("127.0.0.1", "localhost")} or not _loopback(origin):
        return _response(403, "")
    if path != "/press":
        return _response(404, origin)
    if method == "OPTIONS":
        return _response(204, origin)
    if method != "POST":
        return _response(405, origin)
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return _response(400, origin)
    try:
        wish = json.loads(body)
        press(wish["key"])
    except (ValueError, TypeError, KeyError):
        return _response(400, origin)
    return _response(204, origin)


def _loopback(origin: str) -> bool:
    """No Origin is no browser."""
    if not origin:
        return True
    with contextlib.suppress(ValueError):
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.hostname in LOOPBACK
    return False


def _response(status: int, origin: str) -> bytes:
    lines = [f"HTTP/1.1 {status} {_TEXTS[status]}", "Content-Length: 0", "Connection: close", "Cache-Control: no-store", "Vary: Origin"]
    if origin:
        lines += [
            f"Access-Control-Allow-Origin: {origin}",
            "Access-Control-Allow-Methods: POST",
            "Access-Control-Allow-Headers: Content-Type",
            "Access-Control-Allow-Private-Network: true",
        ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
