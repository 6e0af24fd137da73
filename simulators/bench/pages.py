"""The bench's page and its WebSocket. On loopback only; Host and Origin checked; a page that loads nothing from elsewhere.

The page may connect to loopback ports besides its own: the PIN pad's door, whose port changes with each start of the pad.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from simulators.bench.bench import Bench, Watch, parse_wish
from simulators.bench.hands import Absent, Refused

STATIC = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
SEND_WITHIN_S = 5.0


class Desk:
    """A page's connection: the whole state at first, then what is new; wishes in, answers out."""

    def __init__(self, bench: Bench, watch: Watch) -> None:
        self._bench = bench
        self._watch = watch

    async def serve(self, page: WebSocket) -> None:
        await page.accept()
        changed = self._watch.join()
        sending = asyncio.create_task(self._send(page, changed))
        try:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                while True:
                    await self._carry_out(page, await page.receive_text())
        finally:
            sending.cancel()
            self._watch.leave(changed)

    async def _send(self, page: WebSocket, changed: asyncio.Event) -> None:
        told = 0
        first = {"cast": self._bench.cast, "kiosk_url": self._bench.kiosk_url}
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            await self._say(page, first)
            while True:
                await changed.wait()
                changed.clear()
                entries = self._bench.entries_after(told)
                told = entries[-1]["number"] if entries else told
                await self._say(page, {"state": self._bench.state, "log": entries})

    async def _carry_out(self, page: WebSocket, text: str) -> None:
        number = None
        try:
            number, device, verb, arguments = parse_wish(text)
            result = {"ok": await self._bench.do(device, verb, arguments)}
            await self._bench.look()
        except (ValueError, RecursionError, Absent, Refused) as error:
            result = {"error": str(error)}
        self._watch.tell()
        await self._say(page, {"answer": {"number": number, **result}})

    @staticmethod
    async def _say(page: WebSocket, message: object) -> None:
        async with asyncio.timeout(SEND_WITHIN_S):
            await page.send_text(json.dumps(message, ensure_ascii=False))


def content_security_policy(kiosk_url: str) -> str:
    scheme, _, rest = kiosk_url.partition("://")
    kiosk = f"{scheme}://{rest.split('/')[0]}"
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self' http://127.0.0.1:*",
            f"frame-src {kiosk}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types lit-html",
        ]
    )


class Guard:
    """Host and Origin, and the headers."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str], policy: str) -> None:
        self._app = app
        self._hosts = hosts
        self._headers = [
            (b"content-security-policy", policy.encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        host, origin = connection.headers.get("host", ""), connection.headers.get("origin")
        ours = host in self._hosts and (scope["type"] != "websocket" or origin == f"http://{host}")
        if ours:
            await self._app(scope, receive, self._with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await PlainTextResponse("this address is not the bench's", 403)(scope, receive, send)

    def _with_headers(self, send: Send) -> Send:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._headers]
            await send(message)

        return answer


def bench_app(
    bench: Bench, *, hosts: frozenset[str], pictures: Path | None, complain: Callable[[str], None], look_every_s: float = 0.25
) -> ASGIApp:
    """`hosts` are the values of the Host header that are ours; `pictures` the folder of the printed receipts."""
    files = {path.relative_to(STATIC).as_posix(): path for path in STATIC.rglob("*") if path.suffix in TYPES}

    async def index(_: Request) -> Response:
        return Response((STATIC / "bench.html").read_bytes(), media_type="text/html")

    async def file(request: Request) -> Response:
        path = files.get(request.path_params["name"])
        return PlainTextResponse("no such file", 404) if path is None else Response(path.read_bytes(), media_type=TYPES[path.suffix])

    async def receipt(request: Request) -> Response:
        name = f"receipt-{request.path_params['number']:04d}.png"
        path = None if pictures is None else pictures / name
        return PlainTextResponse("no such receipt", 404) if path is None or not path.is_file() else FileResponse(path)

    async def still(request: Request) -> Response:
        data = await bench.still(request.path_params["scene"])
        return PlainTextResponse("no such scene", 404) if data is None else Response(data, media_type="image/jpeg")

    routes = [
        Route("/", index),
        Route("/static/{name:path}", file),
        Route("/receipt/{number:int}", receipt),
        Route("/scene/{scene}", still),
        WebSocketRoute("/desk", Desk(bench, Watch(bench, look_every_s, complain)).serve),
    ]
    return Guard(Starlette(routes=routes), hosts, content_security_policy(bench.kiosk_url))
