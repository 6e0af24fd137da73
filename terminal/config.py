"""The terminal's one configuration file (TOML) -> frozen dataclasses. A wrong file is refused with a sentence that names the place.

Every setting is a field below; docs/configuration.md explains them. Amounts are integer minor units, times seconds. Paths are
relative to the file's own folder.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from terminal import config_face
from terminal.config_face import FaceSection
from terminal.config_fleet import CentreSection, FleetSection, InspectionSection, fleet_refusals
from terminal.core.cash import CashUnit
from terminal.core.model import CoreConfig, Timeouts

IDENTIFIER = re.compile(r"[A-Za-z0-9]{1,16}")


class ConfigError(Exception):
    """A sentence for the person who wrote the file."""


@dataclass(frozen=True, slots=True)
class TerminalSection:
    id: str
    branch: str
    store: Path
    currency: str = "CNY"
    country: str = "0156"
    language: str = "zh"
    languages: tuple[str, ...] = ("zh", "en")
    mode: str = "standard"
    demo_badge: str = ""
    head_key: Path | None = None


@dataclass(frozen=True, slots=True)
class BankSection:
    url: str
    public_key: Path
    key_id: str = "bank-2026"
    ca: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    boot_spread_s: float = 60.0
    max_backoff_s: float = 300.0
    drain_per_s: float = 20.0
    clean_start: bool = True


@dataclass(frozen=True, slots=True)
class KeystoreSection:
    """Absent section: keys in files, data at rest not sealed. `passphrase`: "credential:NAME" or "fd:NUMBER", else `passphrase_file`.

    With `pkcs11_module` a token opens it, and the passphrase is its user PIN.
    """

    file: Path
    passphrase: str = ""
    passphrase_file: Path | None = None
    pkcs11_module: Path | None = None
    pkcs11_token: str = ""


@dataclass(frozen=True, slots=True)
class UnitSection:
    """A cassette: `initial` counts only until the journal has its first checkpoint."""

    unit: str
    denomination_minor: int
    initial: int


@dataclass(frozen=True, slots=True)
class CashSection:
    presets_minor: tuple[int, ...]
    limit_minor: int
    unit: tuple[UnitSection, ...]
    max_notes: int = 40
    low_threshold: int = 50


@dataclass(frozen=True, slots=True)
class SerialSection:
    """Port settings. They must match the device's own."""

    port: Path
    baudrate: int = 9600
    parity: str = "N"
    stop_bits: int = 1
    data_bits: int = 8


@dataclass(frozen=True, slots=True)
class PrinterSection(SerialSection):
    columns: int = 42
    confirms: bool = True


@dataclass(frozen=True, slots=True)
class PinPadSection(SerialSection):
    """`key_blocks`: a JSON file of TR-31 blocks by slot name; encrypted, made for this pad."""

    key_blocks: Path = Path("key-blocks.json")
    format: str = "iso9564-4"


@dataclass(frozen=True, slots=True)
class CardSection:
    """`reader`: "pcsc" (the first whose name fits `name`, with * and ? as in file names; empty: any), or "vpcd" (this program plays
    the reader's side of the vpcd wire on `port`).
    """

    ca_keys: Path
    reader: str = "pcsc"
    name: str = ""
    port: int = 35963


@dataclass(frozen=True, slots=True)
class KioskSection:
    """`port` 0 takes a free one. `frame_origin`: a page that may frame the kiosk (the simulators' bench)."""

    port: int = 0
    pixel_pitch_mm: float = 0.27
    frame_origin: str = ""


@dataclass(frozen=True, slots=True)
class Config:
    terminal: TerminalSection
    bank: BankSection
    cash: CashSection
    dispenser: SerialSection
    card: CardSection
    pin_pad: PinPadSection
    printer: PrinterSection
    kiosk: KioskSection = field(default_factory=KioskSection)
    face: FaceSection | None = None
    keystore: KeystoreSection | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    fleet: FleetSection = field(default_factory=FleetSection)
    centre: CentreSection = field(default_factory=CentreSection)
    inspection: InspectionSection = field(default_factory=InspectionSection)

    def core(self) -> CoreConfig:
        """What of it the core must know."""
        return CoreConfig(
            terminal_id=self.terminal.id,
            currency=self.terminal.currency,
            presets_minor=self.cash.presets_minor,
            limit_minor=self.cash.limit_minor,
            units=tuple(CashUnit(u.unit, u.denomination_minor, u.initial) for u in self.cash.unit),
            max_notes=self.cash.max_notes,
            face_from_minor=self.face.from_minor if self.face else None,
            **({} if self.face is None else _face_policy(self.face)),
            language=self.terminal.language,
            languages=self.terminal.languages,
            mode=self.terminal.mode,
            pin_format=self.pin_pad.format,
            timeouts=self.timeouts,
        )


def _face_policy(face: FaceSection) -> dict[str, Any]:
    """Arguments of CoreConfig."""
    return {
        "face_high_security_from_minor": face.high_security_from_minor,
        "face_attempts": face.attempts,
        "face_controller": face.controller,
        "face_retention_months": face.retention_months,
    }


def load(path: Path) -> Config:
    """The configuration in `path`, or ConfigError with one sentence."""
    table = read_table(path)
    try:
        return checked(table, path.resolve().parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def read_table(path: Path) -> dict[str, Any]:
    """The file as TOML has it."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from None


def checked(table: Mapping[str, Any], base: Path) -> Config:
    """A configuration from plain tables; `base` is what its paths are relative to. ConfigError."""
    config = _section(Config, dict(table), "", base)
    _check(config)
    return typing.cast(Config, config)


def _section(kind: Any, table: Any, where: str, base: Path) -> Any:
    if not isinstance(table, dict):
        raise ConfigError(f"{where or 'the file'} must be a table")
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in dataclasses.fields(kind)}
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
        elif isinstance(one.default, Path):
            values[name] = base / one.default
    return kind(**values)


def _value(hint: Any, value: Any, where: str, base: Path) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _value(next(a for a in arguments if a is not type(None)), value, where, base)
    if origin is tuple:
        if not isinstance(value, list) or not value:
            raise ConfigError(f"{where} must be a list with at least one item")
        return tuple(_value(arguments[0], item, f"{where}[{number}]", base) for number, item in enumerate(value))
    if dataclasses.is_dataclass(hint):
        return _section(hint, value, where, base)
    return _PLAIN[hint](value, where, base)


def _plain(kind: type[Any] | tuple[type[Any], ...], name: str) -> Callable[[Any, str, Path], Any]:
    def read(value: Any, where: str, base: Path) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ConfigError(f"{where} must be {name}, not {value!r}")
        return value

    return read


def _path(value: Any, where: str, base: Path) -> Path:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{where} must be a path, not {value!r}")
    return base / value


_PLAIN: Mapping[Any, Callable[[Any, str, Path], Any]] = {
    str: _plain(str, "a text"),
    int: _plain(int, "a whole number"),
    float: _plain((int, float), "a number"),
    bool: _plain(bool, "true or false"),
    Path: _path,
}


def _check(config: Config) -> None:
    """What types alone cannot say."""
    for section in _CHECKS:
        for refused, sentence in _CHECKS[section](config):
            if refused:
                raise ConfigError(sentence)


Refusals = list[tuple[bool, str]]


def _check_terminal(config: Config) -> Refusals:
    terminal = config.terminal
    return [
        (not IDENTIFIER.fullmatch(terminal.id), "terminal.id must be 1 to 16 letters and digits"),
        (not IDENTIFIER.fullmatch(terminal.branch), "terminal.branch must be 1 to 16 letters and digits"),
        (terminal.currency != "CNY", "terminal.currency: only CNY is supported so far"),
        (terminal.country != "0156", "terminal.country: only 0156 (China) is supported so far"),
        (terminal.language not in terminal.languages, "terminal.language must be one of terminal.languages"),
        (not set(terminal.languages) <= {"zh", "en"}, 'terminal.languages: known are "zh" and "en"'),
        (terminal.mode not in ("standard", "elderly"), 'terminal.mode must be "standard" or "elderly"'),
    ]


def _check_bank(config: Config) -> Refusals:
    times = [getattr(config.timeouts, f.name) for f in dataclasses.fields(Timeouts)]
    return [
        (not re.match(r"mqtts?://", config.bank.url), "bank.url must begin with mqtt:// or mqtts://"),
        (not all(isfinite(time) and time > 0 for time in times), "timeouts: every time is above 0 and finite"),
        (not isfinite(config.bank.max_backoff_s + config.bank.boot_spread_s + config.bank.drain_per_s), "bank: every time is finite"),
        (min(config.bank.max_backoff_s, config.bank.drain_per_s) <= 0, "bank.max_backoff_s and bank.drain_per_s are above 0"),
        (config.bank.boot_spread_s < 0, "bank.boot_spread_s is not below 0"),
    ]


def _check_keystore(config: Config) -> Refusals:
    keystore = config.keystore
    if keystore is None:
        return []
    return [
        (bool(keystore.passphrase) == (keystore.passphrase_file is not None), "keystore: passphrase or passphrase_file, one of the two"),
        (
            bool(keystore.passphrase) and not re.fullmatch(r"credential:[A-Za-z0-9_.-]+|fd:[0-9]+", keystore.passphrase),
            'keystore.passphrase must be "credential:NAME" or "fd:NUMBER"; a file is named in keystore.passphrase_file',
        ),
        ((keystore.pkcs11_module is None) != (not keystore.pkcs11_token), "keystore: pkcs11_module and pkcs11_token go together"),
    ]


def _check_cash(config: Config) -> Refusals:
    cash = config.cash
    return [
        (len(cash.unit) != 4, "cash.unit: the dispenser has four cassettes, so four units are needed"),
        (any(u.denomination_minor <= 0 for u in cash.unit), "cash.unit: a denomination is above 0"),
        (any(u.initial < 0 for u in cash.unit), "cash.unit: a count is not below 0"),
        (any(u.denomination_minor % 100 for u in cash.unit), "cash.unit: a denomination is in whole currency units"),
        ([u.unit for u in cash.unit] != ["1", "2", "3", "4"], 'cash.unit: the units are "1", "2", "3", "4", in this order'),
        (any(a <= 0 or a > cash.limit_minor for a in cash.presets_minor), "cash.presets_minor: each above 0, at most cash.limit_minor"),
        (not 1 <= cash.max_notes <= 100, "cash.max_notes must be 1 to 100 (the dispenser's limit)"),
    ]


def _check_devices(config: Config) -> Refusals:
    refusals = [
        (config.card.reader not in ("pcsc", "vpcd"), 'card.reader must be "pcsc" or "vpcd"'),
        (config.pin_pad.format not in ("iso9564-4", "iso9564-0"), 'pin_pad.format must be "iso9564-4" or "iso9564-0"'),
        (not 0 <= config.kiosk.port <= 65535, "kiosk.port must be 0 to 65535"),
        (not 0.02 <= config.kiosk.pixel_pitch_mm <= 2.0, "kiosk.pixel_pitch_mm must be 0.02 to 2.0"),
        (not 1 <= config.card.port <= 65535, "card.port must be 1 to 65535"),
    ]
    for name in ("dispenser", "pin_pad", "printer"):
        section: SerialSection = getattr(config, name)
        refusals.append((section.parity not in ("N", "E", "O"), f'{name}.parity must be "N", "E" or "O"'))
        refusals.append((section.stop_bits not in (1, 2), f"{name}.stop_bits must be 1 or 2"))
        refusals.append((section.data_bits not in (7, 8), f"{name}.data_bits must be 7 or 8"))
        refusals.append((section.baudrate <= 0, f"{name}.baudrate must be above 0"))
    return refusals


def _check_face(config: Config) -> Refusals:
    return [] if config.face is None else config_face.refusals(config.face)


def _check_fleet(config: Config) -> Refusals:
    face_camera = config.face.camera if config.face else None
    return fleet_refusals(config.fleet, config.centre, config.inspection, config.cash.low_threshold, face_camera)


_CHECKS = {
    "terminal": _check_terminal,
    "bank": _check_bank,
    "keystore": _check_keystore,
    "cash": _check_cash,
    "devices": _check_devices,
    "face": _check_face,
    "fleet": _check_fleet,
}
