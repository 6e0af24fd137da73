"""A dataclass as one JSON line and back, by its own type hints: what travels between the agent and its workers.

Only classes of the registry are accepted; a line that does not fit is a WireError that names what is wrong. Secrets travel in clear on
this pipe (it joins two of our own processes) and only here.
"""

from __future__ import annotations

import functools
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any

from drivers.secret import Secret
from terminal.core import commands, events
from terminal.core.commands import DeviceCommand
from terminal.core.events import Event

MAX_LINE = 1 << 20


class WireError(ValueError):
    """A line that is not one of our messages."""


# What a worker may say. The other events (the bank's answers, presses, timers) are none of its business.
WORKER_EVENTS: tuple[type[Event], ...] = (
    events.DeviceOnline,
    events.DeviceLost,
    events.DeviceNoted,
    events.CommandFailed,
    events.CommandDone,
    events.CardInserted,
    events.CardRemoved,
    events.ApplicationsRead,
    events.ApplicationSelected,
    events.FirstCryptogramMade,
    events.SecondCryptogramMade,
    events.KeyPressed,
    events.PinBlockMade,
    events.FaceKeyMade,
    events.FaceProgress,
    events.FaceVerified,
    events.FaceEnrolled,
    events.DispenserPrepared,
    events.NotesDispensed,
    events.LastStatusRead,
    events.DispenserInitialised,
    events.ReceiptPrinted,
    events.SelfCheckDone,
)


def _registry() -> dict[str, type[Any]]:
    known: dict[str, type[Any]] = {kind.__name__: kind for kind in WORKER_EVENTS}
    for name, value in vars(commands).items():
        if isinstance(value, type) and issubclass(value, DeviceCommand) and value is not DeviceCommand:
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
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {type(error).__name__}") from None
    name = data.pop("type", None) if isinstance(data, dict) else None
    if not isinstance(name, str) or name not in REGISTRY:
        raise WireError("no known type")
    return _build(typing.cast(Any, REGISTRY[name]))(data)


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
    needed = {field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING}

    def build(data: Any) -> Any:
        """The errors name class and field, never a value: it may be a secret."""
        if not isinstance(data, dict):
            raise WireError(f"{kind.__name__}: {type(data).__name__} where an object is due")
        if set(data) - set(readers):
            raise WireError(f"{kind.__name__}: an unknown field")
        if missing := needed - set(data):
            raise WireError(f"{kind.__name__}: {min(missing)} is missing")
        values = {}
        for name, value in data.items():
            try:
                values[name] = readers[name](value)
            except WireError as error:
                raise WireError(f"{kind.__name__}.{name}: {error}") from None
        return kind(**values)

    return build


@functools.cache
def _reader(hint: Any) -> Reader:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = _reader(next(argument for argument in arguments if argument is not type(None)))
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        item = _reader(arguments[0])
        return lambda value: tuple(item(part) for part in _of(list, value))
    if origin is Secret or hint is Secret:
        return lambda value: Secret(_of(str, value))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return lambda value: _member(hint, value)
    if origin is typing.Literal:
        return lambda value: _one_of(arguments, value)
    if origin is Mapping:
        return lambda value: _of(dict, value)
    if isinstance(hint, type) and is_dataclass(hint):
        return _build(typing.cast(Any, hint))
    if hint is float:
        return lambda value: _finite(_of((int, float), value))
    if hint in (int, str, bool):
        return lambda value: _of(hint, value)
    return lambda value: value


def _of(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise WireError(f"{type(value).__name__} where {_word(kind)} is due")
    return value


def _finite(value: float) -> float:
    """JSON as Python writes it has NaN; a journal has not."""
    if not math.isfinite(value):
        raise WireError("a number that is not finite")
    return float(value)


def _word(kind: Any) -> str:
    return " or ".join(one.__name__ for one in kind) if isinstance(kind, tuple) else str(kind.__name__)


def _member(kind: type[Enum], value: Any) -> Enum:
    if value not in [member.value for member in kind]:
        raise WireError(f"not one of {kind.__name__}")
    return kind(value)


def _one_of(values: tuple[Any, ...], value: Any) -> Any:
    if value not in values:
        raise WireError(f"not one of {', '.join(values)}")
    return value
