"""What people do: alarms, commands, gaps. Every action needs the session's CSRF token, is limited in rate, and is recorded."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from kiosk_ui.monitor import alarms, commands, desired
from kiosk_ui.monitor.contract import ACKNOWLEDGED
from kiosk_ui.monitor.log import now_ms
from kiosk_ui.monitor.observer import accept_gap
from kiosk_ui.monitor.people import SignedIn
from kiosk_ui.monitor.web.context import Refusal, answer, monitor_of, signed_in
from kiosk_ui.monitor.web.guard import check_csrf, raw_body

A_MINUTE_S, MOST_A_MINUTE = 60.0, 120
STATUS = {"notAllowed": 403, "samePerson": 403, "supervisorNeeded": 403, "unknownAlarm": 404, "unknownCommand": 404, "unknownTerminal": 404}
Action = Callable[[Request, SignedIn, dict[str, Any]], Response]


class Rate:
    """Actions of each person in the last minute."""

    def __init__(self) -> None:
        self._done: dict[str, deque[float]] = defaultdict(deque)
        self._lock = threading.Lock()

    def allows(self, name: str, now: float) -> bool:
        with self._lock:
            done = self._done[name]
            while done and now - done[0] > A_MINUTE_S:
                done.popleft()
            if len(done) >= MOST_A_MINUTE:
                return False
            done.append(now)
            return True


def action(do: Action) -> Callable[[Request], Awaitable[Response]]:
    """A POST of a person who may work: body, token, rate, then the verb in a thread."""

    def work(request: Request, body: dict[str, Any]) -> Response:
        who = signed_in(request, "operator")
        check_csrf(request, who)
        if not request.app.state.rate.allows(who.who.name, time.monotonic()):
            raise Refusal(429, "tooFast", f"more than {MOST_A_MINUTE} actions in a minute")
        try:
            return do(request, who, body)
        except (alarms.AlarmError, commands.CommandError) as error:
            raise Refusal(STATUS.get(error.code, 409), error.code, str(error)) from error

    async def endpoint(request: Request) -> Response:
        body = await raw_body(request)
        return await run_in_threadpool(work, request, body)

    return endpoint


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise Refusal(400, "badBody", f"{name} is missing")
    return value


def act_on_alarms(request: Request, who: SignedIn, body: dict[str, Any]) -> Response:
    """``{"alarms": [id, ...], "action": "acknowledge", ...}``: all of them, or none."""
    monitor, now = monitor_of(request), now_ms()
    ids = body.get("alarms")
    if not isinstance(ids, list) or not 1 <= len(ids) <= 200 or not all(isinstance(one, str) for one in ids):
        raise Refusal(400, "badBody", "alarms is a list of 1 to 200 ids")
    with monitor.database.write() as connection:
        for one in sorted(set(ids)):
            alarms.act(connection, one, _text(body, "action"), body, who.who, now)
    return answer({"done": len(set(ids))})


def order_command(request: Request, who: SignedIn, body: dict[str, Any]) -> Response:
    monitor = monitor_of(request)
    if monitor.signer is None:
        raise Refusal(409, "noKey", "there is no signing key in the configuration, so no command can be sent")
    parameters, life_s = body.get("parameters", {}), body.get("lifeS", 600)
    if not isinstance(parameters, dict) or isinstance(life_s, bool) or not isinstance(life_s, int):
        raise Refusal(400, "badBody", "parameters is an object, lifeS a whole number")
    ordered = commands.Ordered(_text(body, "terminal"), _text(body, "command"), parameters, _text(body, "reason"), life_s)
    with monitor.database.write() as connection:
        identity = commands.order(connection, ordered, who.who, monitor.signer, now_ms())
    monitor.sender.look()
    return answer({"commandId": identity}, 201)


def approve_command(request: Request, who: SignedIn, body: dict[str, Any]) -> Response:
    monitor = monitor_of(request)
    if monitor.signer is None:
        raise Refusal(409, "noKey", "there is no signing key in the configuration, so no command can be sent")
    with monitor.database.write() as connection:
        commands.approve(connection, request.path_params["command"], who.who, monitor.signer, now_ms())
    monitor.sender.look()
    return answer({})


def reject_command(request: Request, who: SignedIn, body: dict[str, Any]) -> Response:
    with monitor_of(request).database.write() as connection:
        commands.reject(connection, request.path_params["command"], who.who, now_ms())
    return answer({})


def withdraw_command(request: Request, who: SignedIn, body: dict[str, Any]) -> Response:
    """`cancel` is the id of the command that asks the terminal to cancel it, or null: it was not sent, and will not be."""
    monitor = monitor_of(request)
    with monitor.database.write() as connection:
        cancel = commands.withdraw(connection, request.path_params["command"], _text(body, "reason"), who.who, monitor.signer, now_ms())
    monitor.sender.look()
    return answer({"cancel": cancel})


def desire_configuration(request: Request, who: SignedIn, body: dict[str, Any]) -> Response:
    monitor = monitor_of(request)
    if monitor.signer is None:
        raise Refusal(409, "noKey", "there is no signing key in the configuration, so nothing can be sent")
    terminal, wanted, reason = request.path_params["terminal"], body.get("configuration"), _text(body, "reason")
    with monitor.database.write() as connection:
        version = desired.desire(connection, terminal, wanted, reason, who.who, monitor.signer, now_ms())
    monitor.sender.look()
    return answer({"version": version}, 201)


def accept_missing(request: Request, who: SignedIn, body: dict[str, Any]) -> Response:
    """A supervisor declares the first missing numbers of a terminal lost."""
    if who.who.role != "supervisor":
        raise Refusal(403, "notAllowed", "only supervisors accept that messages are lost")
    klass, epoch = _text(body, "class"), body.get("epoch")
    if klass not in ACKNOWLEDGED or isinstance(epoch, bool) or not isinstance(epoch, int) or not 0 < epoch < 2**53:
        raise Refusal(400, "badBody", f"class is one of {', '.join(ACKNOWLEDGED)}, epoch a whole number")
    with monitor_of(request).database.write() as connection:
        accepted = accept_gap(connection, _text(body, "terminal"), klass, epoch, who.who, now_ms())
    if not accepted:
        raise Refusal(409, "nothingMissing", "nothing is missing there")
    return answer({"accepted": accepted})
