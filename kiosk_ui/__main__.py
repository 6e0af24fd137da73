"""The customer's screen as a process: `python -m kiosk_ui --port 8080`. See `parent` for its wire and `view` for what it shows."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import logging
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from kiosk_ui import parent
from kiosk_ui.mirror import Mirror
from kiosk_ui.pages import Kiosk, kiosk_app


class Announcing(uvicorn.Server):
    """Tells the parent once the port answers, and only then listens to it: ready is always the first line."""

    def __init__(self, config: uvicorn.Config, listen: Callable[[], None]) -> None:
        super().__init__(config)
        self._listen = listen

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if sockets:
            parent.say("ready", {"port": sockets[0].getsockname()[1]})
        self._listen()


def _loopback(text: str) -> str:
    try:
        address = ipaddress.ip_address("127.0.0.1" if text == "localhost" else text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address") from None
    if not address.is_loopback:
        raise argparse.ArgumentTypeError(f"{text} is not a loopback address: the kiosk's page is for this machine's own screen only")
    return str(address)


def _pitch(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0.02 <= value <= 2.0:
        raise argparse.ArgumentTypeError(f"{text} mm is no pixel pitch: 0.02 to 2.0 are possible")
    return value


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or any(character in text for character in " ;,'\"*"):
        raise argparse.ArgumentTypeError(f"{text!r} is not the address of a page (http://127.0.0.1:8090)")
    return f"{parts.scheme}://{parts.netloc}"


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="kiosk_ui", description="The customer's screen. Speaks JSON lines with its parent.")
    parser.add_argument("--port", type=int, required=True, help="0 takes any free port; the ready line names it")
    parser.add_argument("--host", type=_loopback, default="127.0.0.1")
    parser.add_argument("--pixel-pitch-mm", type=_pitch, default=0.27, help="of the panel; sizes on the page are in millimetres")
    parser.add_argument("--frame-origin", type=_origin, help="the one page that may show this one in a frame (the simulators' bench)")
    parser.add_argument("--mirror", type=Path, help="Unix socket on which a face worker sends the camera's picture")
    return parser.parse_args(argv)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(64)
    return listener


def _application(arguments: argparse.Namespace, kiosk: Kiosk, port: int) -> ASGIApp:
    address = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    return kiosk_app(
        kiosk,
        hosts=frozenset({f"{address}:{port}", f"localhost:{port}"}),
        pixel_pitch_mm=arguments.pixel_pitch_mm,
        frame_origin=arguments.frame_origin,
        complain=parent.complain,
    )


def _configuration(application: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        ws="websockets-sansio",
        ws_max_size=4096,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
    )


async def _serve(arguments: argparse.Namespace, listener: socket.socket) -> None:
    mirror = Mirror(parent.complain)
    kiosk = Kiosk(parent.say, parent.complain, mirror)
    loop = asyncio.get_running_loop()

    def post(call: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(call)

    def end() -> None:
        server.should_exit = True

    def listen() -> None:
        parent.listen(lambda what, value: post(lambda: kiosk.heard(what, value)), lambda: post(end))

    server = Announcing(_configuration(_application(arguments, kiosk, listener.getsockname()[1])), listen)
    async with contextlib.AsyncExitStack() as ends:
        if arguments.mirror is not None:
            try:
                await ends.enter_async_context(await mirror.listen(arguments.mirror))
            except OSError as error:  # without a mirror the page guides in words
                parent.complain(f"error: no mirror: {error}")
        await server.serve(sockets=[listener])


def main(argv: list[str] | None = None) -> int:
    arguments = _arguments(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="kiosk_ui: %(levelname)s: %(message)s")
    try:
        listener = _listen(arguments.host, arguments.port)
    except (OSError, OverflowError) as error:
        parent.complain(f"error: cannot listen on {arguments.host}:{arguments.port}: {error}")
        return 1
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments, listener))
    return 0


if __name__ == "__main__":
    sys.exit(main())
