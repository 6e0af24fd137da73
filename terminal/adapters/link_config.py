"""The bank link's settings, and what is wrong with them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from drivers.secret import Secret
from terminal.adapters.envelope import base_topic
from terminal.adapters.link_tls import LinkConfigError, TlsCredentials, TlsFiles
from terminal.adapters.outbox import Bounds
from terminal.adapters.shipper import ShippingPolicy

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """`url`: mqtt://host:1883 (loopback only) or mqtts://host:8883. `clean_start` False only for a broker that demands it."""

    url: str
    terminal_id: str
    branch_id: str
    tls: TlsCredentials | None = None
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
        if isinstance(self.tls, TlsFiles) and (self.tls.certificate is None) != (self.tls.key is None):
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
        """For the next connection; None without TLS. LinkConfigError names the file that cannot be used."""
        return None if self.tls is None else self.tls.context()
