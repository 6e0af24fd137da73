"""What a person wrote, before it is stored, signed and shown: text that every database holds and every page can show."""

from __future__ import annotations

import unicodedata


def prose(value: object, least: int, most: int) -> str | None:
    """Without the blanks around it; None when it is no text, too short or too long, or has control characters, NUL, half a surrogate
    pair or marks that turn its direction. Blanks of all widths are fine: Chinese is typed with wide ones.
    """
    if not isinstance(value, str) or not all(one.isprintable() or one == "\n" or unicodedata.category(one) == "Zs" for one in value):
        return None
    found = value.strip()
    return found if least <= len(found) <= most else None


def storable(value: object) -> bool:
    """No text in it, at any depth, that a database refuses: NUL, half a surrogate pair."""
    if isinstance(value, str):
        return not any(one == "\0" or "\ud800" <= one <= "\udfff" for one in value)
    if isinstance(value, dict):
        return all(storable(name) and storable(one) for name, one in value.items())
    return all(storable(one) for one in value) if isinstance(value, list) else True
