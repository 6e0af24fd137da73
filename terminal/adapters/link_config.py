"""The bank link's settings, and what is wrong with them."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from drivers.secret import Secret
from terminal.adapters.envelope import base_topic
from terminal.adapters.outbox import Bounds
from terminal.adapters.shipper import ShippingPolicy

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class LinkConfigError(ValueError):
    """The sentence names the setting or file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. Certificate and key together, or neither."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """`url`: mqtt://host:1883 (loopback only) or mqtts://host:8883. `clean_start` False only for a broker that demands it."""

    url: str
    terminal_id: str
    branch_id: str
    tls: TlsFiles | None = None
    username: str | None = None
    password: Secret[str] | None = None
    keepalive_s: int = 30
    connect_timeout_s: float = 5.0
    puback_timeout_s: float = 30.0
    base_backoff_s: float = 1.0
    max_backoff_s: float = 300.0
    boot_spread_s: float = 60.0
    window: int = 20
    clean_start: bool = True
    shipping: ShippingPolicy = field(default_factory=ShippingPolicy)
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        for name in ("terminal_id", "branch_id"):
            value = getattr(self, name)
            if not value or any(character in value for character in "/+#\0"):
                raise LinkConfigError(f"{name}: {value!r} cannot be part of a topic")
        scheme, host, _ = self.address()
        if scheme == "mqtt" and host not in LOOPBACK:
            raise LinkConfigError(f"url: {host} is another machine; use mqtts://")
        if (scheme == "mqtts") != (self.tls is not None):
            raise LinkConfigError("url: mqtts:// goes with tls files, mqtt:// without")
        if self.tls and (self.tls.certificate is None) != (self.tls.key is None):
            raise LinkConfigError("tls: certificate and key go together")
        positive = (self.keepalive_s, self.connect_timeout_s, self.puback_timeout_s, self.base_backoff_s, self.max_backoff_s, self.window)
        if min(positive) <= 0 or self.boot_spread_s < 0:
            raise LinkConfigError("times and the window must be more than 0 (boot_spread_s may be 0)")

    def address(self) -> tuple[str, str, int]:
        """Scheme, host and port of `url`."""
        try:
            parts = urlsplit(self.url)
            port = parts.port or {"mqtt": 1883, "mqtts": 8883}[parts.scheme]
        except (ValueError, KeyError):
            raise LinkConfigError("url: it must be mqtt://host:port or mqtts://host:port") from None
        if not parts.hostname or parts.username or parts.password:
            raise LinkConfigError("url: it needs a host, and user names and passwords have settings of their own")
        return parts.scheme, parts.hostname, port

    @property
    def base(self) -> str:
        return base_topic(self.branch_id, self.terminal_id)

    def tls_context(self) -> ssl.SSLContext | None:
        """TLS 1.2 or later, the broker's name checked. LinkConfigError names the file that cannot be used."""
        if self.tls is None:
            return None
        context = _loaded(self.tls.ca, lambda path: ssl.create_default_context(cafile=path))
        context.sslsocket_class = _TidySocket
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.tls.certificate is not None and self.tls.key is not None:
            key = str(self.tls.key)
            _loaded(self.tls.key, lambda path: path.open("rb").close())
            _loaded(self.tls.certificate, lambda path: context.load_cert_chain(path, key))
        return context


class _TidySocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho forgets it then."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


_T = TypeVar("_T")


def _loaded(path: Path, load: Callable[[Path], _T]) -> _T:
    try:
        return load(path)
    except ssl.SSLError as error:
        raise LinkConfigError(f"{path}: not usable PEM, or certificate and key do not belong together ({error.reason or error})") from error
    except OSError as error:
        raise LinkConfigError(f"{path}: {error.strerror or error}") from error
