"""Signing in and out. Wrong passwords cost time: five for a name, or twenty from an address, and there is a pause."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from kiosk_ui.monitor import people
from kiosk_ui.monitor.audit import Who, record
from kiosk_ui.monitor.log import now_ms
from kiosk_ui.monitor.web.context import Monitor, Refusal, answer, monitor_of, signed_in
from kiosk_ui.monitor.web.guard import check_csrf, raw_body

WINDOW_S = 900.0
MOST_FOR_NAME, MOST_FOR_ADDRESS = 5, 20
REMEMBERED = 10_000


class Attempts:
    """Failures in the last quarter of an hour, by name and by address; bounded."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def pause_s(self, key: str, most: int, now: float) -> int:
        with self._lock:
            recent = [at for at in self._failed.get(key, []) if now - at < WINDOW_S]
        return 0 if len(recent) < most else int(WINDOW_S - (now - recent[-most])) + 1

    def failed(self, key: str, now: float) -> None:
        with self._lock:
            recent = [at for at in self._failed.pop(key, []) if now - at < WINDOW_S]
            self._failed[key] = [*recent, now][-MOST_FOR_ADDRESS:]
            while len(self._failed) > REMEMBERED:
                self._failed.popitem(last=False)

    def forget(self, key: str) -> None:
        with self._lock:
            self._failed.pop(key, None)


def session_view(who: people.SignedIn, monitor: Monitor) -> dict[str, object]:
    shown = monitor.config.monitor
    return {
        "name": who.who.name,
        "role": who.who.role,
        "csrf": who.csrf,
        "language": shown.language,
        "timeZone": shown.time_zone,
        "demoBadge": shown.demo_badge,
        "canCommand": monitor.signer is not None,
    }


async def sign_in(request: Request) -> Response:
    body = await raw_body(request)
    name, password = body.get("name"), body.get("password")
    if not isinstance(name, str) or not isinstance(password, str) or len(name) > 64:
        raise Refusal(400, "badBody", "name and password are needed")
    return await run_in_threadpool(_sign_in, request, name, password)


def _sign_in(request: Request, name: str, password: str) -> Response:
    monitor, attempts = monitor_of(request), request.app.state.attempts
    address = f"from {request.client.host if request.client else ''}"
    moment = time.monotonic()
    pause = max(attempts.pause_s(name, MOST_FOR_NAME, moment), attempts.pause_s(address, MOST_FOR_ADDRESS, moment))
    if pause:
        raise Refusal(429, "tooManyAttempts", f"too many attempts; again in {pause} seconds", {"retry-after": str(pause)})
    with monitor.database.read() as connection:
        role, stored = people.password_of(connection, name)
    with request.app.state.hashing:  # 32 MiB each
        right = people.verify_password(password, stored) and bool(role)
    now = now_ms()
    if not right:
        attempts.failed(name, moment)
        attempts.failed(address, moment)
        known = name if people.NAME.fullmatch(name) else "?"
        with monitor.database.write() as connection:
            record(connection, Who(known, "none"), "signIn.failed", known, {"address": address}, now)
        raise Refusal(401, "wrongPassword", "name or password is wrong")
    attempts.forget(name)
    with monitor.database.write() as connection:
        token, csrf = people.open_session(connection, name, now)
        record(connection, Who(name, role), "signIn", name, {"address": address}, now)
    found = people.SignedIn(Who(name, role), csrf, people.token_hash(token))
    response = answer(session_view(found, monitor))
    whole_s = int(monitor.config.server.session_hours * 3600)
    response.set_cookie(monitor.cookie, token, max_age=whole_s, path="/", secure=monitor.secure, httponly=True, samesite="strict")
    return response


def session(request: Request) -> Response:
    return answer(session_view(signed_in(request), monitor_of(request)))


def sign_out(request: Request) -> Response:
    who, monitor = signed_in(request), monitor_of(request)
    check_csrf(request, who)
    with monitor.database.write() as connection:
        people.close_session(connection, who.token_hash)
        record(connection, who.who, "signOut", who.who.name, {}, now_ms())
    response = answer({})
    response.delete_cookie(monitor.cookie, path="/", secure=monitor.secure, httponly=True, samesite="strict")
    return response
