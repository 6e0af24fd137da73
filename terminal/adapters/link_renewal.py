"""When the bank link takes its certificate anew: for every connection, and for a standing one when a new certificate was put there.

A standing connection is given up for a new certificate only while no customer waits for the bank, and has not for a while; what is in
the outbox waits those milliseconds as it does in any outage.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import datetime

from terminal.adapters.link_events import BadMessage, LinkEvent
from terminal.adapters.link_tls import LinkConfigError, TlsCredentials

LOOK_EVERY_S = 10.0
QUIET_S = 30.0


class Renewal:
    """The credentials, as the link's thread uses them. LinkConfigError from the constructor: nothing can be used."""

    def __init__(self, credentials: TlsCredentials | None, inbox: Callable[[LinkEvent], None]) -> None:
        self._credentials, self._inbox = credentials, inbox
        self._context: ssl.SSLContext | None = None
        self._version, self._told = "", ""
        self._look_at = self._asked_at = 0.0
        if credentials is not None:
            self._version, self._context = credentials.version(), credentials.context()

    def context(self) -> ssl.SSLContext | None:
        """For a new connection. What cannot be used now is told, and the last one stays."""
        if self._credentials is not None:
            self._version = self._credentials.version()
            try:
                self._context = self._credentials.context()
                self._told = ""
            except LinkConfigError as error:
                self._tell(str(error))
        return self._context

    def asked(self, now: float) -> None:
        """A customer waits for the bank."""
        self._asked_at = now

    def due(self, now: float) -> bool:
        """Something new is there, and nobody has asked for a while. Looks at the files every ten seconds."""
        if self._credentials is None or now < self._look_at:
            return False
        self._look_at = now + LOOK_EVERY_S
        return now - self._asked_at >= QUIET_S and self._credentials.version() != self._version

    def stood(self) -> None:
        if self._credentials is None:
            return
        try:
            self._credentials.stood()
        except LinkConfigError as error:
            self._tell(str(error))
        self._version = self._credentials.version()

    def failed(self) -> None:
        if self._credentials is not None:
            self._credentials.failed()

    def ends(self) -> datetime | None:
        return None if self._credentials is None else self._credentials.ends()

    def _tell(self, sentence: str) -> None:
        if sentence != self._told:
            self._told = sentence
            self._inbox(BadMessage("certificate", sentence))
