"""Public keys of certification authorities (EMV 4.3 Book 2, 5.2): what offline data authentication hangs on.

They come from a file, because each scheme hands them to its acquirers and they expire. ``[[key]]`` tables of `rid`, `index`,
`modulus`, `exponent`, all hex.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from drivers.errors import ConfigurationFault


@dataclass(frozen=True, slots=True)
class CaPublicKey:
    """`rid`: five bytes. `index`: 8F of the card names it."""

    rid: bytes
    index: int
    modulus: bytes
    exponent: int


def load_capks(path: Path | str) -> tuple[CaPublicKey, ...]:
    """ConfigurationFault names the file, the key's place in it and what is wrong."""
    try:
        found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationFault(f"CA public keys {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationFault(f"CA public keys {path}: {error}") from error
    tables = found.get("key")
    if not isinstance(tables, list) or not tables:
        raise ConfigurationFault(f"CA public keys {path}: there is no [[key]]")
    keys = []
    for place, table in enumerate(tables, 1):
        try:
            keys.append(_key(table))
        except ValueError as error:
            raise ConfigurationFault(f"CA public keys {path}, key {place}: {error}") from error
    seen = [(key.rid, key.index) for key in keys]
    for key in keys:
        if seen.count((key.rid, key.index)) > 1:
            raise ConfigurationFault(f"CA public keys {path}: {key.rid.hex().upper()} index {key.index:02X} is there twice")
    return tuple(keys)


def _key(table: object) -> CaPublicKey:
    if not isinstance(table, dict):
        raise ValueError("it is no table")
    values = {name: _hex(table, name) for name in ("rid", "index", "modulus", "exponent")}
    exponent = int.from_bytes(values["exponent"], "big")
    if len(values["rid"]) != 5:
        raise ValueError("rid has five bytes")
    if len(values["index"]) != 1:
        raise ValueError("index has one byte")
    if not 64 <= len(values["modulus"]) <= 248:
        raise ValueError(f"a modulus of {len(values['modulus'])} bytes is none of EMV (64 to 248)")
    if exponent not in (3, 65537):
        raise ValueError("exponent is 3 or 65537 (03 or 010001)")
    return CaPublicKey(values["rid"], values["index"][0], values["modulus"], exponent)


def _hex(table: dict[str, object], name: str) -> bytes:
    value = table.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is missing")
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise ValueError(f"{name} is not hex") from None
