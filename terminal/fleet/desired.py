"""The desired configuration (`ConfigurationDesired`): what may be set from afar, and how it lies over the terminal's own file.

`configuration` has the file's tables and names. Numbers that may have a fraction are written as decimal text ("0.44"): what is signed
holds no floats. Everything else of the file (keys, ports, addresses, the cassettes' denominations) is set at the terminal alone.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from terminal.config import Config, ConfigError, checked
from terminal.core.model import Timeouts
from terminal.fleet.orders import DESIRED_PREFIX, Keys, moment, signature_fault, well_formed

FIELDS: Mapping[str, type] = {
    "terminal": str, "version": int, "configuration": dict, "issuedAt": str, "issuedBy": str, "keyId": str, "signature": str,
}  # fmt: skip
FACE_THRESHOLDS = ("accept", "ask_again", "high_security_accept")
SETTINGS: Mapping[str, frozenset[str]] = {
    "terminal": frozenset({"language", "languages", "mode"}),
    "cash": frozenset({"presets_minor", "limit_minor", "low_threshold"}),
    "face": frozenset({"from_minor", "high_security_from_minor", *FACE_THRESHOLDS}),
    "timeouts": frozenset(field.name for field in fields(Timeouts)),
    "fleet": frozenset({"telemetry_s", "state_every_s", "device_offline_s", "host_unreachable_s", "out_of_service_s"}),
}
DECIMAL = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?", re.ASCII)
WITH_FRACTION = frozenset(
    (section, name)
    for section, names in (("face", FACE_THRESHOLDS), ("timeouts", SETTINGS["timeouts"]), ("fleet", SETTINGS["fleet"]))
    for name in names
)


@dataclass(frozen=True, slots=True)
class Desired:
    """Verified: the centre's, for this terminal."""

    version: int
    configuration: Mapping[str, Any]
    issued_by: str


def read_desired(data: Mapping[str, Any], keys: Keys, terminal: str) -> Desired | str:
    """Or the reason of refusal, as of an order."""
    if not well_formed(data, FIELDS) or not 0 < data["version"] < 2**53 or moment(data["issuedAt"]) is None:
        return "malformed"
    fault = signature_fault(data, keys, DESIRED_PREFIX)
    if fault:
        return fault
    if data["terminal"] != terminal:
        return "wrongTerminal"
    return Desired(data["version"], data["configuration"], data["issuedBy"])


def overlaid(table: Mapping[str, Any], configuration: Mapping[str, Any], base: Path) -> Config:
    """The file's table with `configuration` over it, checked as the file is. ConfigError names what is wrong."""
    merged = copy.deepcopy(dict(table))
    for section, values in configuration.items():
        if section not in SETTINGS or not isinstance(values, Mapping):
            raise ConfigError(f"{section} cannot be set from afar")
        if section == "face" and "face" not in merged:
            raise ConfigError("face: this terminal has no face verifier")
        into = merged.setdefault(section, {})
        for name, value in values.items():
            if name not in SETTINGS[section]:
                raise ConfigError(f"{section}.{name} cannot be set from afar")
            into[name] = _number(value) if (section, name) in WITH_FRACTION else value
    return checked(merged, base)


def _number(value: Any) -> Any:
    """What is not a number stays as it is, for the check to name it."""
    return float(value) if isinstance(value, str) and DECIMAL.fullmatch(value) else value
