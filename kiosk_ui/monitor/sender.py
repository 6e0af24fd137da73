"""Sends what is queued: a thread of the server's process with an MQTT session of its own.

A command is `sent` when the broker has acknowledged it. With the reason "no matching subscribers" (0x10) the broker threw it away:
it stays queued and is tried again until it expires, with the same id, so a terminal that did get it refuses the second copy.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import deque
from contextlib import suppress

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from kiosk_ui.monitor import command_states as states
from kiosk_ui.monitor.commands import expire
from kiosk_ui.monitor.config import Config
from kiosk_ui.monitor.contract import utc_text
from kiosk_ui.monitor.database import Database, first_line
from kiosk_ui.monitor.desired import published, unpublished
from kiosk_ui.monitor.log import encode, now_ms, say
from kiosk_ui.monitor.mqtt import CROWDED, NO_SUBSCRIBER, Backoff, Connected, Ended, Happening, Published, Session, Unreachable
from kiosk_ui.monitor.schema import COMMAND

LOOK_S = 1.0
AGAIN_S = 5.0
AT_ONCE = 100


class Wake:
    """A pipe: written by anybody, read by the loop."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def fileno(self) -> int:
        return self._read

    def up(self) -> None:
        with suppress(OSError):  # full: awake already; closed: over
            os.write(self._write, b"\0")

    def calm(self) -> None:
        with suppress(OSError):
            os.read(self._read, 4096)

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


class Sender:
    def __init__(self, config: Config, database: Database) -> None:
        self._config, self._database = config, database
        self._wake = Wake()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self._backoff = Backoff(config.broker.max_backoff_s, random.Random())
        self._in_flight: dict[int, str | tuple[str, int]] = {}  # a command's id, or a terminal and the version of its configuration
        self._again_at: dict[str, float] = {}
        self._happened: deque[Happening] = deque()  # what the database has yet to hear of stays here
        self._session: Session | None = None
        self._ready = False
        self.connected = False
        self.revision = 0  # grows when a command changed here

    def start(self) -> None:
        self._thread.start()

    def alive(self) -> bool:
        return self._thread.is_alive()

    def look(self) -> None:
        """Something was queued."""
        self.revision += 1
        self._wake.up()

    def stop(self) -> None:
        self._over.set()
        self._wake.up()
        self._thread.join(10)
        self._wake.close()

    def _run(self) -> None:
        complained = False
        while not self._over.is_set():
            try:
                self._turn()
                complained = False
            except Unreachable as error:
                self._end(0)
                if not complained:
                    say(f"commands: no broker: {error}")
                complained = True
            except SQLAlchemyError as error:
                say(f"commands: the database: {first_line(error)}")
                self._over.wait(1.0)
        if self._session is not None:
            self._session.disconnect()

    def _turn(self) -> None:
        if self._session is None:
            session = Session(self._config.broker, f"{self._config.monitor.name}-commands", 20, clean=True, keep=False)
            session.connect()
            self._session = session
        self._happened.extend(self._session.pump(LOOK_S, self._wake))
        while self._happened:
            happening = self._happened[0]
            if isinstance(happening, Connected):
                self._backoff.reset()
                self._ready = self.connected = True
            elif isinstance(happening, Published):
                self._published(happening)
            elif isinstance(happening, Ended):
                say(f"commands: the broker is away: {happening.text}")
                self._end(happening.reason)
                return
            self._happened.popleft()
        self._wake.calm()
        if self._ready:
            self._send_queued()

    def _end(self, reason: int) -> None:
        self._session, self._ready, self.connected = None, False, False
        self._in_flight.clear()  # without PUBACK they are still queued
        self._happened.clear()
        self._over.wait(self._backoff.delay(crowded=reason in CROWDED))

    def _send_queued(self) -> None:
        assert self._session is not None
        now, moment = now_ms(), time.monotonic()
        with self._database.read() as connection:
            columns = (COMMAND.c.command_id, COMMAND.c.branch, COMMAND.c.terminal, COMMAND.c.signed, COMMAND.c.expires_at)
            wanted = select(*columns).where(COMMAND.c.state == states.QUEUED).order_by(COMMAND.c.issued_at).limit(AT_ONCE)
            queued = connection.execute(wanted).all()
        flying = set(self._in_flight.values())
        for row in queued:
            if row.command_id in flying or row.expires_at <= now or self._again_at.get(row.command_id, 0) > moment:
                continue
            base = f"bank/v1/{row.branch}/{row.terminal}"
            life_s = max(1, (row.expires_at - now) // 1000)
            message = _message("ATMDeviceControl", base, row.command_id, row.signed, now)
            mid = self._session.publish(f"{base}/cmd", message, expiry_s=life_s, key=row.command_id)
            self._in_flight[mid] = row.command_id
        due = {row.command_id for row in queued}
        self._again_at = {name: at for name, at in self._again_at.items() if name in due}
        with self._database.read() as connection:
            wished = unpublished(connection, AT_ONCE)
        for row in wished:
            if (row.terminal, row.version) not in flying:
                base = f"bank/v1/{row.branch}/{row.terminal}"
                message = _message("ConfigurationDesired", base, f"{row.terminal}/desired/{row.version}", row.signed, now)
                mid = self._session.publish(f"{base}/desired", message, retain=True)
                self._in_flight[mid] = row.terminal, row.version
        with self._database.write() as connection:
            self.revision += bool(expire(connection, now))

    def _published(self, happening: Published) -> None:
        identity = self._in_flight.get(happening.mid)
        if isinstance(identity, tuple):
            self._configuration_published(*identity, happening.reason)
        elif identity is not None:
            self._command_published(identity, happening.reason)
        self._in_flight.pop(happening.mid, None)

    def _command_published(self, identity: str, reason: int) -> None:
        if reason == NO_SUBSCRIBER or reason >= 0x80:
            self._again_at[identity] = time.monotonic() + AGAIN_S
            return
        with self._database.write() as connection:
            sent = update(COMMAND).where(COMMAND.c.command_id == identity, COMMAND.c.state == states.QUEUED)
            connection.execute(sent.values(state=states.SENT, state_at=now_ms()))
        self.revision += 1

    def _configuration_published(self, terminal: str, version: int, reason: int) -> None:
        """Retained: a terminal that is away gets it when it comes back, so "no subscriber" is no failure."""
        if reason < 0x80:
            with self._database.write() as connection:
                published(connection, terminal, version, now_ms())
            self.revision += 1


def _message(kind: str, base: str, identity: str, signed: str, now: int) -> bytes:
    fields = {"specversion": "1.0", "id": identity, "source": "bank/v1", "type": kind, "subject": base}
    schema = {"datacontenttype": "application/json", "dataschema": f"smart-branch:{kind}:1"}
    return encode({**fields, "time": utc_text(now), **schema, "data": json.loads(signed)})
