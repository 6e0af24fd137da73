"""The monitor's application in one process, without a broker or a socket: a small fleet, and people who ask.

Every answer is held against openapi.json; `SEEN` remembers which operations were.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from jsonschema import Draft202012Validator
from monitor_database import take
from monitor_fleet import fleet
from monitor_process import PASSWORD, REGIONS

from kiosk_ui.monitor import people
from kiosk_ui.monitor.config import load_config
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.fleet import Fleet
from kiosk_ui.monitor.log import now_ms
from kiosk_ui.monitor.observer import Observer
from kiosk_ui.monitor.sender import Sender
from kiosk_ui.monitor.signing import load_signer, new_key
from kiosk_ui.monitor.web.app import OPENAPI, monitor_app
from kiosk_ui.monitor.web.context import Monitor

ORIGIN = "http://127.0.0.1:8095"
DOCUMENT = json.loads(OPENAPI.read_text(encoding="utf-8"))
SEEN: set[tuple[str, str]] = set()


class PlayedIngest:
    """No process: it says what the test wants."""

    all_there = True
    hearing_since: int | None = 0

    def running(self) -> bool:
        return self.all_there


class Centre:
    """The application with a small fleet in it."""

    def __init__(self, folder: Path) -> None:
        new_key(folder / "centre.pem")
        path = folder / "monitor.toml"
        path.write_text(f'[broker]\nurl = "mqtt://127.0.0.1:1"\n[signing]\nkey = "centre.pem"\n{REGIONS}', encoding="utf-8")
        self.config = load_config(path)
        self.moment = 0.0
        self.database = Database(self.config.database, folder)
        self.database.prepare()
        self.now = now_ms()
        for at, said in fleet(60, self.now):
            take(self.database, said, now=at)
        with self.database.write() as connection:
            for name, role in (("vera", "viewer"), ("olga", "operator"), ("otto", "operator"), ("sam", "supervisor")):
                people.add_person(connection, name, role, PASSWORD, self.now)
        self.fleet = Fleet(self.config)
        self.ingest = PlayedIngest()
        self.observer = Observer(self.config, self.database, self.fleet, self.ingest)
        assert self.config.signing is not None
        signer = load_signer(self.config.signing)
        self.public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer.public_hex))
        self.sender = Sender(self.config, self.database)
        monitor = Monitor(self.config, self.database, self.fleet, self.observer, self.sender, signer, ORIGIN, self.ingest)
        self.app = monitor_app(monitor, asyncio.Event())
        self.look()

    def look(self) -> None:
        """A turn of the observer in which everything is due."""
        self.moment += 10_000.0
        self.observer.turn(now_ms(), self.moment)


@contextmanager
def opened() -> Iterator[Centre]:
    """A centre in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        found = Centre(Path(folder))
        yield found
        found.database.close()


class Client:
    """One person's browser, without a browser. Every answer is held against the document."""

    def __init__(self, centre: Centre, name: str | None = None) -> None:
        self.centre, self.cookie, self.csrf = centre, "", ""
        if name:
            status, found = self.post("session", {"name": name, "password": PASSWORD})
            assert status == 200, found
            self.csrf = found["csrf"]

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        status, given, raw = asyncio.run(self._ask(method, path, body, headers))
        for name, value in given:
            if name == b"set-cookie":
                self.cookie = value.decode().split(";")[0]
                self.set_cookie = value.decode()
        found = json.loads(raw) if raw else None
        self._conforms(method, path.split("?")[0], status, found)
        return status, found

    def _conforms(self, method: str, path: str, status: int, found: Any) -> None:
        for template, operations in DOCUMENT["paths"].items():
            if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), f"/{path}") and method.lower() in operations:
                answer = operations[method.lower()]["responses"].get(str(status))
                assert answer, f"{method} {template} answered {status}, which the document does not have: {found}"
                answer = DOCUMENT["components"]["responses"]["Error"] if "$ref" in answer else answer
                schema = {**answer["content"]["application/json"]["schema"], "components": DOCUMENT["components"]}
                Draft202012Validator(schema).validate(found)
                SEEN.add((method, template))
                return
        raise AssertionError(f"{method} {path} is not in the document")

    async def _ask(
        self, method: str, path: str, body: Any, headers: dict[str, str], root: str = "/api/v1/"
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        said: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            said.append(message)

        await self.centre.app(self._scope(method, root + path, headers), receive, send)
        return said[0]["status"], said[0]["headers"], b"".join(one.get("body", b"") for one in said[1:])

    def _scope(self, method: str, path: str, headers: dict[str, str]) -> dict[str, Any]:
        given = {"host": "127.0.0.1:8095", "origin": ORIGIN, "cookie": self.cookie, "x-csrf-token": self.csrf}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        where, _, query = path.partition("?")
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": where,
            "raw_path": where.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in given.items() if value],
            "client": ("127.0.0.1", 5),
            "server": ("127.0.0.1", 8095),
        }

    def stream(self, until: str, times: int = 1) -> list[str]:
        """What the live stream says until `until` came so many times; then the tab is closed."""
        return asyncio.run(self._stream(until, times))

    async def _stream(self, until: str, times: int) -> list[str]:
        said: list[str] = []
        gone = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            said.append(message.get("body", b"").decode())
            if sum(until in one for one in said) == times:
                gone.set()

        await asyncio.wait_for(self.centre.app(self._scope("GET", "/api/v1/live", {}), receive, send), 60)
        return said

    def healthz(self) -> tuple[int, Any]:
        status, _, raw = asyncio.run(self._ask("GET", "healthz", None, {}, "/"))
        return status, json.loads(raw)

    def get(self, path: str) -> Any:
        status, found = self.call("GET", path)
        assert status == 200, found
        return found

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        return self.call("POST", path, body, **headers)
