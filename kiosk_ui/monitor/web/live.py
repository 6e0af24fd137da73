"""Live updates: a stream of server-sent events (WHATWG HTML, 9.2) that says when there is something new; the page then asks for it.

A browser opens the stream by itself, again after every break, and a tab left open keeps it: none of that is a sign of a person.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from kiosk_ui.monitor.web.context import Refusal, monitor_of, signed_in
from kiosk_ui.monitor.web.reads import health

LOOK_S = 0.5
SAY_ANYWAY_S = 10.0
CHECK_S = 30.0
MOST_STREAMS = 500


async def live(request: Request) -> Response:
    await run_in_threadpool(signed_in, request, touch=False)
    streams = request.app.state.streams
    if len(streams) >= MOST_STREAMS:
        raise Refusal(503, "tooManyPages", "too many pages are open")
    return StreamingResponse(_events(request), media_type="text/event-stream", headers={"x-accel-buffering": "no"})


async def _events(request: Request) -> AsyncIterator[str]:
    monitor, streams = monitor_of(request), request.app.state.streams
    me = object()
    streams.add(me)
    said, quiet_s, checked_s = None, 0.0, 0.0
    try:
        while not request.app.state.over.is_set():
            revision = monitor.fleet.revision + monitor.sender.revision
            now = revision, monitor.observer.fault, monitor.sender.connected, monitor.ingest.hearing_since
            if now != said or quiet_s >= SAY_ANYWAY_S:
                said, quiet_s = now, 0.0
                yield f"data: {json.dumps({'revision': revision, 'health': health(request)})}\n\n"
            await asyncio.sleep(LOOK_S)
            quiet_s, checked_s = quiet_s + LOOK_S, checked_s + LOOK_S
            if checked_s >= CHECK_S:
                checked_s = 0.0
                try:
                    await run_in_threadpool(signed_in, request, touch=False)
                except Refusal:
                    yield "event: over\ndata: {}\n\n"
                    return
    finally:
        streams.discard(me)
