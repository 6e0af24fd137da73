"""The routes: pages and their files, the JSON API under /api/v1 (described in openapi.json), live updates, metrics."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from kiosk_ui.monitor.database import first_line
from kiosk_ui.monitor.web import actions, reads, sign_in
from kiosk_ui.monitor.web.context import Monitor, Refusal, answer, monitor_of
from kiosk_ui.monitor.web.guard import Guard
from kiosk_ui.monitor.web.live import live
from kiosk_ui.monitor.web.metrics import metrics

STATIC = Path(__file__).parents[1] / "static"
VENDOR = Path(__file__).parents[2] / "static" / "vendor"
OPENAPI = Path(__file__).parents[1] / "openapi.json"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html", ".json": "application/json"}
API = "/api/v1"


def monitor_app(monitor: Monitor, over: asyncio.Event) -> ASGIApp:
    """`over`: set at the end, so that the streams end too."""
    app = Starlette(
        routes=[*_page_routes(), *_api_routes()],
        exception_handlers={Refusal: _refused, SQLAlchemyError: _database, 404: _not_found, 405: _not_found},
    )
    app.state.monitor = monitor
    app.state.attempts = sign_in.Attempts()
    app.state.hashing = threading.Semaphore(2)
    app.state.rate = actions.Rate()
    app.state.streams = set()
    app.state.over = over
    return Guard(app, monitor.origin)


def _api_routes() -> list[Route]:
    def get(path: str, read: Callable[[Request], Response]) -> Route:
        return Route(f"{API}{path}", read, methods=["GET"])

    def post(path: str, do: actions.Action) -> Route:
        return Route(f"{API}{path}", actions.action(do), methods=["POST"])

    return [
        Route(f"{API}/session", sign_in.sign_in, methods=["POST"]),
        get("/session", sign_in.session),
        Route(f"{API}/session", sign_in.sign_out, methods=["DELETE"]),
        get("/overview", reads.overview),
        get("/terminals", reads.terminals),
        get("/terminals/{terminal}", reads.terminal),
        get("/terminals/{terminal}/events", reads.events),
        get("/terminals/{terminal}/telemetry", reads.telemetry),
        post("/terminals/{terminal}/configuration", actions.desire_configuration),
        get("/alarms", reads.alarm_list),
        get("/alarms/notes", reads.alarm_notes),
        post("/alarms/actions", actions.act_on_alarms),
        get("/commands", reads.command_list),
        post("/commands", actions.order_command),
        get("/commands/{command}/picture", reads.command_picture),
        post("/commands/{command}/approve", actions.approve_command),
        post("/commands/{command}/reject", actions.reject_command),
        post("/commands/{command}/withdraw", actions.withdraw_command),
        get("/audit", reads.audit_list),
        get("/refusals", reads.refusals),
        get("/gaps", reads.gaps),
        post("/gaps/accept", actions.accept_missing),
        Route(f"{API}/live", live, methods=["GET"]),
        get("/openapi.json", _openapi),
        Route("/metrics", metrics, methods=["GET"]),
        Route("/healthz", _healthz, methods=["GET"]),
    ]


def _page_routes() -> list[Route]:
    files = {path.relative_to(STATIC).as_posix(): path for path in STATIC.rglob("*") if path.suffix in TYPES}
    files |= {f"vendor/{path.name}": path for path in VENDOR.glob("*.js")}

    async def index(_: Request) -> Response:
        return Response(files["index.html"].read_bytes(), media_type="text/html")

    async def file(request: Request) -> Response:
        path = files.get(request.path_params["name"])
        if path is None:
            raise Refusal(404, "noFile", "no such file")
        return Response(path.read_bytes(), media_type=TYPES[path.suffix])

    return [Route("/", index), Route("/static/{name:path}", file)]


def _openapi(_: Request) -> Response:
    return Response(OPENAPI.read_bytes(), media_type="application/json")


def _healthz(request: Request) -> Response:
    """For a watchdog or a load balancer: are the parts alive? Says nothing of the fleet."""
    monitor = monitor_of(request)
    parts = {
        "observer": monitor.observer.alive(),
        "sender": monitor.sender.alive(),
        "workers": monitor.ingest.running(),
        "database": not monitor.observer.fault,
    }
    well = all(parts.values())
    return answer({"ok": well, **parts}, 200 if well else 503)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return error.response()


async def _database(_: Request, error: Exception) -> Response:
    return Refusal(503, "database", f"the database does not answer: {first_line(error)}").response()


def _not_found(request: Request, error: Exception) -> Response | Awaitable[Response]:
    return Refusal(404, "notFound", "there is nothing here").response()
