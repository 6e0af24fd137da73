"""The monitor's one configuration file (TOML) -> frozen dataclasses. A wrong file is refused with a sentence that names the place.

Every setting is a field below; docs/monitoring.md explains them. Paths are relative to the file's own folder.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MAX_WORKERS = 16


class ConfigError(Exception):
    """A sentence for the person who wrote the file."""


@dataclass(frozen=True, slots=True)
class MonitorSection:
    """`name` makes the MQTT client ids and the shared subscription's group: two monitors of the same name throw each other out."""

    name: str = "monitor"
    time_zone: str = "Asia/Shanghai"
    language: str = "zh"
    demo_badge: str = ""


@dataclass(frozen=True, slots=True)
class DatabaseSection:
    """`url` ``sqlite:FILE`` or ``postgresql://user@host:port/name`` (``?socket=/path/.s.PGSQL.5432`` for a Unix socket)."""

    url: str = "sqlite:monitor.sqlite"
    password_file: Path | None = None
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class BrokerSection:
    url: str
    ca: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    username: str = ""
    password_file: Path | None = None
    keepalive_s: int = 30
    session_expiry_s: int = 86_400
    max_backoff_s: float = 30.0


@dataclass(frozen=True, slots=True)
class IngestSection:
    """`batch`: messages in one transaction at most. `window`: messages without PUBACK at most, for each worker."""

    workers: int = 2
    batch: int = 250
    window: int = 1000
    adopt_after_s: float = 600.0


@dataclass(frozen=True, slots=True)
class ServerSection:
    """`origin`: how browsers address the pages (``https://monitor.bank.example``) when it is not ``http(s)://host:port``."""

    host: str = "127.0.0.1"
    port: int = 8095
    certificate: Path | None = None
    private_key: Path | None = None
    origin: str = ""
    behind_proxy: bool = False
    idle_minutes: float = 30.0
    session_hours: float = 12.0
    metrics_token_file: Path | None = None


@dataclass(frozen=True, slots=True)
class SigningSection:
    key: Path
    key_id: str = ""


@dataclass(frozen=True, slots=True)
class RetentionSection:
    telemetry_days: int = 30
    event_days: int = 400
    refusals: int = 10_000


@dataclass(frozen=True, slots=True)
class ThresholdSection:
    """`silent_after_s`: a terminal that says nothing for so long counts as offline, whatever its last word was; 0: never."""

    silent_after_s: float = 300.0
    offline_alarm_after_s: float = 120.0
    cash_out_h: float = 24.0
    clock_offset_ms: int = 5_000
    certificate_days: int = 30


@dataclass(frozen=True, slots=True)
class RegionSection:
    """`branches`: names of branches, with * and ? as in file names; the first region that fits has the branch."""

    id: str
    zh: str
    en: str
    branches: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Config:
    broker: BrokerSection
    monitor: MonitorSection = field(default_factory=MonitorSection)
    database: DatabaseSection = field(default_factory=DatabaseSection)
    ingest: IngestSection = field(default_factory=IngestSection)
    server: ServerSection = field(default_factory=ServerSection)
    signing: SigningSection | None = None
    retention: RetentionSection = field(default_factory=RetentionSection)
    threshold: ThresholdSection = field(default_factory=ThresholdSection)
    region: tuple[RegionSection, ...] = ()

    def region_of(self, branch: str) -> str:
        """The region's id; "" when no region has the branch."""
        return next((one.id for one in self.region if any(fnmatchcase(branch, form) for form in one.branches)), "")


def load_config(path: Path) -> Config:
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
        config = _section(Config, table, "", path.resolve().parent)
        assert isinstance(config, Config)
        for refused, sentence in _checks(config):
            if refused:
                raise ConfigError(sentence)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    return config


def _section(kind: Any, table: object, where: str, base: Path) -> Any:
    if not isinstance(table, dict):
        raise ConfigError(f"{where or 'the file'} must be a table")
    hints = typing.get_type_hints(kind)
    known = {one.name: one for one in dataclasses.fields(kind)}
    prefix = f"{where}." if where else ""
    for name in table:
        if name not in known:
            raise ConfigError(f"{prefix}{name} is not a setting; known here: {', '.join(known)}")
    values = {}
    for name, one in known.items():
        if name in table:
            values[name] = _value(hints[name], table[name], prefix + name, base)
        elif one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{prefix}{name} is missing")
    return kind(**values)


def _value(hint: Any, value: object, where: str, base: Path) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _value(next(one for one in arguments if one is not type(None)), value, where, base)
    if origin is tuple:
        if not isinstance(value, list) or not value:
            raise ConfigError(f"{where} must be a list with at least one item")
        return tuple(_value(arguments[0], item, f"{where}[{number}]", base) for number, item in enumerate(value))
    if dataclasses.is_dataclass(hint):
        return _section(hint, value, where, base)
    if hint is Path:
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{where} must be a path, not {value!r}")
        return base / value
    wanted, words = _PLAIN[hint]
    if not isinstance(value, wanted) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{where} must be {words}, not {value!r}")
    return value


_PLAIN: dict[Any, tuple[Any, str]] = {
    str: (str, "a text"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    bool: (bool, "true or false"),
}


def _checks(config: Config) -> Iterator[tuple[bool, str]]:
    """What types alone cannot say."""
    yield not re.fullmatch(r"[A-Za-z0-9-]{1,32}", config.monitor.name), "monitor.name must be 1 to 32 letters, digits and hyphens"
    yield config.monitor.language not in ("zh", "en"), 'monitor.language must be "zh" or "en"'
    yield not _is_zone(config.monitor.time_zone), f"monitor.time_zone: there is no zone {config.monitor.time_zone!r}"
    yield (
        not re.match(r"sqlite:.|postgresql://", config.database.url),
        "database.url must begin with sqlite: or postgresql://",
    )
    broker = urlsplit(config.broker.url)
    yield broker.scheme not in ("mqtt", "mqtts") or not broker.hostname, "broker.url must be mqtt://host:port or mqtts://host:port"
    yield broker.scheme == "mqtts" and config.broker.ca is None, "broker.url is mqtts, so broker.ca is needed"
    yield not 5 <= config.broker.keepalive_s <= 3600, "broker.keepalive_s must be 5 to 3600"
    yield not 0 <= config.broker.session_expiry_s < 2**32, "broker.session_expiry_s must be 0 to 4294967295"
    yield not 0 < config.broker.max_backoff_s <= 3600, "broker.max_backoff_s must be above 0 and at most 3600"
    yield not 1 <= config.ingest.workers <= MAX_WORKERS, f"ingest.workers must be 1 to {MAX_WORKERS}"
    yield not 1 <= config.ingest.batch <= 1000, "ingest.batch must be 1 to 1000"
    yield not config.ingest.batch <= config.ingest.window <= 65_535, "ingest.window must be ingest.batch to 65535"
    yield from _server_checks(config.server)
    retention = config.retention
    yield min(retention.telemetry_days, retention.event_days) < 1, "retention: days must be 1 or more"
    yield not 10 <= retention.refusals <= 1_000_000, "retention.refusals must be 10 to 1000000"
    for name in ("silent_after_s", "offline_alarm_after_s", "cash_out_h"):
        yield getattr(config.threshold, name) < 0, f"threshold.{name} must not be below 0"
    ids = [one.id for one in config.region]
    yield len(set(ids)) < len(ids), "region: an id comes twice"


def _server_checks(server: ServerSection) -> Iterator[tuple[bool, str]]:
    yield not 0 <= server.port <= 65_535, "server.port must be 0 to 65535"
    yield (server.certificate is None) != (server.private_key is None), "server.certificate and server.private_key come together"
    try:
        loopback = ip_address(server.host).is_loopback
    except ValueError:
        raise ConfigError("server.host must be an address, as 127.0.0.1") from None
    bare = not loopback and server.certificate is None and not server.behind_proxy
    yield bare, "server.host is not of this machine: passwords need TLS (server.certificate, or server.behind_proxy = true)"
    origin = urlsplit(server.origin)
    yield (
        bool(server.origin) and (origin.scheme not in ("http", "https") or not origin.netloc or origin.path != ""),
        ("server.origin must be as https://monitor.bank.example, without a path"),
    )
    yield not 1 <= server.idle_minutes <= 24 * 60, "server.idle_minutes must be 1 to 1440"
    yield not 0 < server.session_hours <= 24 * 7, "server.session_hours must be above 0 and at most 168"


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
