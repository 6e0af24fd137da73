"""Before every request: is it addressed to us, does it come from our own page? On every answer: the headers.

A request that changes something needs our own Origin, and (in `body_of`) the session's CSRF token; the cookie is SameSite=Strict
besides. The Content-Security-Policy allows no inline code and no other host.
"""

from __future__ import annotations

import hmac
import json
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kiosk_ui.monitor.people import SignedIn
from kiosk_ui.monitor.prose import storable
from kiosk_ui.monitor.web.context import MAX_BODY, Refusal

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types lit-html",
    ]
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
SAFE = ("GET", "HEAD")


class Guard:
    """`origin` is the one under which browsers know us, ``http://127.0.0.1:8095``."""

    def __init__(self, app: ASGIApp, origin: str) -> None:
        self._app = app
        self._origin = origin
        self._host = origin.split("://", 1)[1]
        self._headers = [*HEADERS, (b"strict-transport-security", b"max-age=31536000")] if origin.startswith("https:") else HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        fault = self._fault(scope)
        if fault is not None:
            await fault.response()(scope, receive, self._with_headers(send))
        else:
            await self._app(scope, receive, self._with_headers(send))

    def _fault(self, scope: Scope) -> Refusal | None:
        if scope["path"] == "/metrics":  # Prometheus may know us by another name; it has a token
            return None
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            return Refusal(400, "badQuery", "an address has no NUL")
        headers = HTTPConnection(scope).headers
        if headers.get("host") != self._host:
            return Refusal(403, "wrongHost", "this host is not ours")
        if scope["method"] not in SAFE and headers.get("origin") != self._origin:
            return Refusal(403, "wrongOrigin", "this request comes from another page")
        return None

    def _with_headers(self, send: Send) -> Send:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._headers]
            await send(message)

        return answer


async def raw_body(request: Request) -> dict[str, Any]:
    """A JSON object of bounded size."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise Refusal(413, "tooLarge", f"a request has {MAX_BODY} bytes at most")
    try:
        found = json.loads(body.decode())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not storable(found):
        raise Refusal(400, "badBody", "the body is not a JSON object, or has text that cannot be stored")
    return found


def check_csrf(request: Request, who: SignedIn) -> None:
    token = request.headers.get("x-csrf-token", "")
    if not hmac.compare_digest(token.encode("utf-8", "replace"), who.csrf.encode()):
        raise Refusal(403, "wrongToken", "this page is of an older session; load it again")
