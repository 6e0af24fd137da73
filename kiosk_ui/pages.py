"""The web side of the kiosk: one page, its files, two WebSockets (views, and the mirror). Knows views and presses, nothing of devices.

What protects it: only loopback addresses; Host and Origin checked on every request (DNS rebinding, other pages in the same browser);
a Content-Security-Policy without inline code, with Trusted Types; nothing cached.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from kiosk_ui.mirror import Mirror
from kiosk_ui.view import View, ViewError, check_press, parse_view

STATIC = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
MAX_PAGES = 4
SILENT_AFTER_S = 8.0
SEND_WITHIN_S = 5.0


class Kiosk:
    """The present view and the pages that show it. `say` tells the parent, `complain` its log."""

    def __init__(self, say: Callable[[str, object], None], complain: Callable[[str], None], mirror: Mirror) -> None:
        self._say = say
        self._complain = complain
        self.mirror = mirror
        self._view: View | None = None
        self._since = 0.0
        self._changed: dict[WebSocket, asyncio.Event] = {}

    def heard(self, what: str, value: object) -> None:
        """A line of the parent."""
        if what == "ping":
            self._say("pong", value)
            return
        try:
            view = parse_view(value)
        except ViewError as error:
            self._complain(f"error: the view is refused: {error}")
            return
        if view.ignored:
            self._complain(f"warning: the view has fields that are not known here: {', '.join(view.ignored)}")
        self._view, self._since = view, time.monotonic()
        self.mirror.want(view.fields["mirror"] is not None)
        for changed in self._changed.values():
            changed.set()

    async def serve(self, page: WebSocket) -> None:
        """One page, from its connection to its end."""
        if len(self._changed) >= MAX_PAGES:
            self._complain(f"error: more than {MAX_PAGES} pages at once: one is refused")
            await page.close(1013)
            return
        await page.accept()
        changed = self._changed[page] = asyncio.Event()
        changed.set()
        self._say("page", {"connected": len(self._changed)})
        sending = asyncio.create_task(self._send_views(page, changed))
        try:
            await self._receive(page)
        finally:
            sending.cancel()
            del self._changed[page]
            self._say("page", {"connected": len(self._changed)})

    async def _send_views(self, page: WebSocket, changed: asyncio.Event) -> None:
        """The newest view, each time there is one; a page that is slow misses those between."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while True:
                await changed.wait()
                changed.clear()
                if self._view is not None:
                    async with asyncio.timeout(SEND_WITHIN_S):
                        await page.send_text(self._view.message(time.monotonic() - self._since))

    async def _receive(self, page: WebSocket) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            while True:
                async with asyncio.timeout(SILENT_AFTER_S):
                    text = await page.receive_text()
                try:
                    message = json.loads(text)
                    if isinstance(message, dict) and "press" in message:
                        seq, name = check_press(message["press"], self._view)
                        self._say("pressed", {"seq": seq, "id": name})
                    elif isinstance(message, dict) and "alive" in message:
                        async with asyncio.timeout(SEND_WITHIN_S):
                            await page.send_text(json.dumps({"alive": message["alive"]}))
                    else:
                        raise ViewError('a message is neither {"press": ...} nor {"alive": ...}')
                except (ValueError, RecursionError) as error:
                    self._complain(f"error: from a page: {error}")
            return
        with contextlib.suppress(RuntimeError):
            await page.close(1001)


def compose_page() -> bytes:
    """`kiosk.html` with our drawings in it, each in a <template>: no further request, and no markup is ever made from text."""
    drawings = [
        f'<template id="{folder}-{path.stem}">{path.read_text(encoding="utf-8").strip()}</template>'
        for folder in ("pictures", "icons")
        for path in sorted((STATIC / folder).glob("*.svg"))
    ]
    return (STATIC / "kiosk.html").read_text(encoding="utf-8").replace("<!-- drawings -->", "\n".join(drawings)).encode()


def content_security_policy(frame_origin: str | None) -> str:
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors " + (frame_origin or "'none'"),
            "require-trusted-types-for 'script'",
            "trusted-types lit-html",
        ]
    )


class Guard:
    """Refuses what is not addressed to us by name or comes from another page; adds the headers to every answer."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str], frame_origin: str | None, complain: Callable[[str], None]) -> None:
        self._app = app
        self._hosts = hosts
        self._complain = complain
        self._headers = [
            (b"content-security-policy", content_security_policy(frame_origin).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
            (b"cross-origin-resource-policy", b"same-origin"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        fault = self._fault(HTTPConnection(scope))
        if fault and scope["type"] == "websocket":
            self._complain(f"error: a connection is refused: {fault}")
            await send({"type": "websocket.close", "code": 1008})
        elif fault:
            self._complain(f"error: a request is refused: {fault}")
            await PlainTextResponse(fault, 403)(scope, receive, self._with_headers(send))
        else:
            await self._app(scope, receive, self._with_headers(send))

    def _fault(self, connection: HTTPConnection) -> str | None:
        host, origin = connection.headers.get("host", ""), connection.headers.get("origin")
        if host not in self._hosts:
            return f"host {host[:80]!r} is not ours"
        if connection.scope["type"] == "websocket" and origin != f"http://{host}":
            return f"origin {(origin or '')[:80]!r} is not ours"
        return None

    def _with_headers(self, send: Send) -> Send:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._headers]
            await send(message)

        return answer


def kiosk_app(
    kiosk: Kiosk, *, hosts: frozenset[str], pixel_pitch_mm: float, frame_origin: str | None, complain: Callable[[str], None]
) -> ASGIApp:
    """The application. `hosts` are the values of the Host header that are ours (``127.0.0.1:8080``)."""
    page = compose_page()
    pitch = f":root {{ --mm: {1 / pixel_pitch_mm:.4f}px; }}\n"
    files = {path.relative_to(STATIC).as_posix(): path for path in STATIC.rglob("*") if path.suffix in (".js", ".css", ".svg")}

    async def index(_: Request) -> Response:
        return Response(page, media_type="text/html")

    async def pitch_css(_: Request) -> Response:
        return Response(pitch, media_type="text/css")

    async def file(request: Request) -> Response:
        path = files.get(request.path_params["name"])
        if path is None:
            return PlainTextResponse("no such file", 404)
        return Response(path.read_bytes(), media_type=TYPES[path.suffix])

    routes = [
        Route("/", index),
        Route("/pitch.css", pitch_css),
        Route("/static/{name:path}", file),
        WebSocketRoute("/view", kiosk.serve),
        WebSocketRoute("/mirror", kiosk.mirror.serve),
    ]
    return Guard(Starlette(routes=routes), hosts, frame_origin, complain)
