"""The next value of a frozen dataclass: as `dataclasses.replace`, for classes whose every field is a positional argument, and faster."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeVar

T = TypeVar("T")


def replace(value: T, /, **changes: Any) -> T:
    """TypeError for a field that the class does not have."""
    kind: Any = value.__class__
    places, read = _fields(kind)
    row = list(read(value))
    try:
        for name, new in changes.items():
            row[places[name]] = new
    except KeyError as error:
        raise TypeError(f"{kind.__name__} has no field {error}") from None
    following: T = kind(*row)
    return following


def as_dict(value: Any) -> dict[str, Any]:
    """The fields by name, as they are: nothing inside is copied or converted."""
    places, read = _fields(value.__class__)
    return dict(zip(places, read(value), strict=True))


@functools.cache
def _fields(kind: Any) -> tuple[Mapping[str, int], Callable[[Any], Iterable[Any]]]:
    names = [field.name for field in fields(kind)]
    places = {name: place for place, name in enumerate(names)}
    if len(names) == 1:  # attrgetter of a single name does not give a tuple
        return places, lambda value: (getattr(value, names[0]),)
    return places, attrgetter(*names)
