"""What every request needs: the monitor's parts, who asks, and answers in JSON. Errors are `{"error": code, "message": sentence}`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from kiosk_ui.monitor import people
from kiosk_ui.monitor.config import Config
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.fleet import Fleet
from kiosk_ui.monitor.log import now_ms
from kiosk_ui.monitor.observer import Ingest, Observer
from kiosk_ui.monitor.sender import Sender
from kiosk_ui.monitor.signing import Signer

MAX_BODY = 65_536
BACKGROUND = "x-background"  # the page asks by itself: not a sign of a person


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.code, self.text, self.headers = status, code, text, headers

    def response(self) -> Response:
        return answer({"error": self.code, "message": self.text}, self.status, self.headers)


@dataclass(frozen=True, slots=True)
class Monitor:
    config: Config
    database: Database
    fleet: Fleet
    observer: Observer
    sender: Sender
    signer: Signer | None
    origin: str
    ingest: Ingest

    @property
    def secure(self) -> bool:
        return self.origin.startswith("https://")

    @property
    def cookie(self) -> str:
        return "__Host-monitor" if self.secure else "monitor"


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # a lone surrogate in a terminal's message must not end in an error here
    return Response(body.encode("utf-8", "replace"), status, dict(headers or {}), "application/json")


def camel(row: Mapping[str, Any]) -> dict[str, Any]:
    """The API's names are those of the messages."""
    return {_camel(name): value for name, value in row.items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(one.capitalize() for one in rest)


def monitor_of(request: Request) -> Monitor:
    found = request.app.state.monitor
    assert isinstance(found, Monitor)
    return found


def signed_in(request: Request, needed: str = "viewer", *, touch: bool = True) -> people.SignedIn:
    """Refusal 401 without a session, 403 when the role does not reach. Without `touch` it is no sign of a person."""
    monitor = monitor_of(request)
    token = request.cookies.get(monitor.cookie, "")
    server, now = monitor.config.server, now_ms()
    found = None
    if token:
        with monitor.database.read() as connection:
            idle_ms, whole_ms = int(server.idle_minutes * 60_000), int(server.session_hours * 3_600_000)
            found = people.find_session(connection, token, now, idle_ms=idle_ms, whole_ms=whole_ms)
    if found is None:
        raise Refusal(401, "signIn", "please sign in")
    who, due = found
    if not people.may(who.who.role, needed):
        raise Refusal(403, "notAllowed", f"this needs the role {needed}")
    if touch and due and BACKGROUND not in request.headers:
        with monitor.database.write() as connection:
            people.touch_session(connection, who.token_hash, now)
    return who


def limit(request: Request, name: str, default: int, most: int) -> int:
    """A whole number from the query; Refusal 400."""
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdecimal() or len(text) > 15 or not 0 <= int(text) <= most:
        raise Refusal(400, "badQuery", f"{name} is a whole number, at most {most}")
    return int(text)
