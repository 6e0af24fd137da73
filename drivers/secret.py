"""A value that must not be seen: PAN, track 2 data, PIN block, key, face template.

It travels between our own processes, so it can be taken out with `reveal()`, in as few places as possible; every other way
of looking at it (repr, str, format, logging, JSON, pickle, copy) shows or does nothing.
"""

from __future__ import annotations

from typing import Generic, NoReturn, TypeVar

T = TypeVar("T", str, bytes)


class Secret(Generic[T]):
    """Wraps a `str` or `bytes`. Compares by value, hashes by identity of type only, prints as ``<secret>``."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value: T = value

    def reveal(self) -> T:
        """The value itself. Every call of this is a place to read in a review."""
        return self._value

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "<secret>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(Secret)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")


def masked_pan(pan: str) -> str:
    """First six and last four digits at most (PCI DSS 3.4.1); fewer digits than 13 are hidden whole."""
    return f"{pan[:6]}{'*' * (len(pan) - 10)}{pan[-4:]}" if len(pan) >= 13 else "*" * len(pan)
