"""A dataclass as one JSON line and back, by its own type hints: what travels between the agent and its workers.

Only classes of the registry are accepted; a line that does not fit is a WireError that names what is wrong. Secrets travel in clear on
this pipe (it joins two of our own processes) and only here.
"""

from __future__ import annotations

import functools
import json
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from drivers.secret import Secret
from terminal.core import commands, events
from terminal.core.commands import DeviceCommand
from terminal.core.events import Event

MAX_LINE = 1 << 20


class WireError(ValueError):
    """A line that is not one of our messages."""


def _registry() -> dict[str, type[Any]]:
    known: dict[str, type[Any]] = {}
    for module, root in ((commands, DeviceCommand), (events, Event)):
        for name, value in vars(module).items():
            if isinstance(value, type) and issubclass(value, root) and is_dataclass(value):
                known[name] = value
    return known


REGISTRY: Mapping[str, type[Any]] = types.MappingProxyType(_registry())


def encode(message: Any) -> bytes:
    """One line, newline included."""
    return json.dumps({"type": type(message).__name__, **_plain_fields(message)}, ensure_ascii=False).encode() + b"\n"


def decode(line: bytes) -> Any:
    """The message of a line, or WireError."""
    if len(line) > MAX_LINE:
        raise WireError(f"line of {len(line)} bytes is longer than {MAX_LINE}")
    try:
        data = json.loads(line)
    except ValueError as error:
        raise WireError(f"not JSON: {type(error).__name__}") from None
    if not isinstance(data, dict) or data.get("type") not in REGISTRY:
        raise WireError("no known type")
    kind = REGISTRY[data.pop("type")]
    try:
        return _build(typing.cast(Any, kind))(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WireError(f"{kind.__name__}: {type(error).__name__}") from None


def _plain_fields(message: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(message, field.name)) for field in fields(message)}


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return _plain_fields(value)
    return value


Reader = Callable[[Any], Any]


@functools.cache
def _build(kind: Any) -> Reader:
    hints = typing.get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in fields(kind)}

    def build(data: Mapping[str, Any]) -> Any:
        unknown = set(data) - set(readers)
        if unknown:
            raise KeyError(f"unknown field {sorted(unknown)[0]}")
        return kind(**{name: readers[name](value) for name, value in data.items()})

    return build


@functools.cache
def _reader(hint: Any) -> Reader:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = _reader(next(argument for argument in arguments if argument is not type(None)))
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        item = _reader(arguments[0])
        return lambda value: tuple(item(part) for part in value)
    if origin is Secret or hint is Secret:
        return lambda value: Secret(_of(str, value))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    if isinstance(hint, type) and is_dataclass(hint):
        return _build(typing.cast(Any, hint))
    if hint is float:
        return lambda value: float(_of((int, float), value))
    if hint in (int, str, bool):
        return lambda value: _of(hint, value)
    return lambda value: value


def _of(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise TypeError(f"{type(value).__name__} where {kind} is due")
    return value
