"""`python -m simulators.bench --port 8090 --controls .run/controls --kiosk-url http://127.0.0.1:8080/`: the hand of person and operator.

Prints ``ready port=N`` once the port answers; ends on SIGTERM, SIGINT, or when standard input closes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import socket
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn

from simulators.bench.bench import Bench
from simulators.bench.pages import bench_app

CAST = Path(__file__).parents[1] / "cast.toml"


class Announcing(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if sockets:
            sys.stdout.write(f"ready port={sockets[0].getsockname()[1]}\n")
            sys.stdout.flush()


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or any(character in text for character in " ;,'\"*"):
        raise argparse.ArgumentTypeError(f"{text!r} is not the address of a page (http://127.0.0.1:8080/)")
    return text


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulators.bench", description="The bench: every simulated device on one page.")
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1; 0 takes any free one")
    parser.add_argument("--controls", type=Path, required=True, help="the folder of the control sockets (dispenser.ctl, card.ctl, ...)")
    parser.add_argument("--kiosk-url", type=_url, required=True, help="the customer's page, shown in a frame")
    parser.add_argument("--pictures", type=Path, help="the folder of the printed receipts' pictures")
    parser.add_argument("--cast", type=Path, default=CAST, help="the cards")
    parser.add_argument("--keep", action="store_true", help="go on when standard input closes")
    return parser.parse_args(argv)


def _on_stdin_end(call: object) -> None:
    while os.read(0, 4096):
        pass
    call()  # type: ignore[operator]


async def _serve(arguments: argparse.Namespace, listener: socket.socket) -> None:
    bench = Bench(arguments.controls, cast=arguments.cast, kiosk_url=arguments.kiosk_url)
    port = listener.getsockname()[1]
    application = bench_app(
        bench, hosts=frozenset({f"127.0.0.1:{port}", f"localhost:{port}"}), pictures=arguments.pictures, complain=_complain
    )
    server = Announcing(
        uvicorn.Config(
            application,
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="websockets-sansio",
            ws_max_size=65536,
            timeout_graceful_shutdown=1,
        )
    )
    loop = asyncio.get_running_loop()

    def end() -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: setattr(server, "should_exit", True))

    if not arguments.keep:
        threading.Thread(target=_on_stdin_end, args=(end,), daemon=True).start()
    await server.serve(sockets=[listener])
    bench.close()


def _complain(text: str) -> None:
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


def main(argv: list[str] | None = None) -> int:
    arguments = _arguments(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="bench: %(levelname)s: %(message)s")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", arguments.port))
        listener.listen(64)
    except (OSError, OverflowError) as error:
        _complain(f"error: cannot listen on 127.0.0.1:{arguments.port}: {error}")
        return 1
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments, listener))
    return 0


if __name__ == "__main__":
    sys.exit(main())
