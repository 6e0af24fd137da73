"""The view: everything the customer's screen shows at one moment, as the agent sends it. Checked here, drawn by the page.

A view is whole: the page needs no earlier one to draw it. All text is in it, in the customer's language; digits of a PIN are
not (`mask` is their number). A view that is not as described below is refused with a sentence that names the field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PICTURES = frozenset(path.stem for path in (Path(__file__).parent / "static" / "pictures").glob("*.svg"))
LINE_ROLES = (
    *("card", "money", "next", "reference", "note", "amount"),
    *("camera", "machine", "kept", "who", "purpose", "retention", "withdraw", "otherWay"),
)
OPTION_ROLES = ("primary", "choice", "cancel", "language", "back", "service")
TONES = ("normal", "good", "attention", "bad")
KEYPAD = frozenset([*(f"key:{digit}" for digit in range(10)), "key:backspace", "key:clear"])
MAX_OPTIONS = 16
MAX_LINES = 8
MAX_TEXT = 400
MAX_STEPS = 12

Check = Callable[[str, object], Any]


class ViewError(ValueError):
    """A view, or a press, that is not as agreed; the sentence names the field."""


@dataclass(frozen=True, slots=True)
class View:
    """A checked view. `offered` are the ids that can be pressed on it; `fields` is what the page gets."""

    seq: int
    offered: frozenset[str]
    fields: dict[str, Any]
    ignored: tuple[str, ...] = ()

    def message(self, age_s: float) -> str:
        """For the page: the view and how long ago it began, so that a page which reconnects shows the time that is left."""
        return json.dumps({"view": self.fields, "age_s": round(age_s, 3)}, ensure_ascii=False)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise ViewError(f"view.{name} must be text of at most {MAX_TEXT} characters")
    return value


def _some_text(name: str, value: object) -> str:
    if not _text(name, value):
        raise ViewError(f"view.{name} must not be empty")
    return str(value)


def _optional_text(name: str, value: object) -> str | None:
    return None if value is None else _text(name, value)


def _word(name: str, value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z][A-Za-z0-9]{0,39}", value):
        raise ViewError(f"view.{name} must be a camelCase word, not {value!r}")
    return value


def _one_of(*allowed: str) -> Check:
    def check(name: str, value: object) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ViewError(f"view.{name} must be one of {', '.join(sorted(allowed))}, not {value!r}")
        return value

    return check


def _number(low: int, high: int) -> Check:
    def check(name: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ViewError(f"view.{name} must be a whole number from {low} to {high}, not {value!r}")
        return value

    return check


def _optional(check: Check) -> Check:
    return lambda name, value: None if value is None else check(name, value)


def _seconds(name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 3600:
        raise ViewError(f"view.{name} must be a number of seconds up to 3600, not {value!r}")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ViewError(f"view.{name} must be true or false, not {value!r}")
    return value


def _each(maximum: int, fields: dict[str, tuple[Check, Any]]) -> Check:
    def check(name: str, value: object) -> list[dict[str, Any]]:
        if not isinstance(value, list) or len(value) > maximum:
            raise ViewError(f"view.{name} must be a list of at most {maximum}")
        return [_fields(f"{name}[{number}].", fields, item)[0] for number, item in enumerate(value)]

    return check


def _object(fields: dict[str, tuple[Check, Any]]) -> Check:
    return lambda name, value: _fields(f"{name}.", fields, value)[0]


REQUIRED = object()
LINE: dict[str, tuple[Check, Any]] = {"role": (_one_of(*LINE_ROLES), REQUIRED), "label": (_text, ""), "text": (_some_text, REQUIRED)}
OPTION: dict[str, tuple[Check, Any]] = {
    "id": (_some_text, REQUIRED),
    "key": (_some_text, REQUIRED),
    "label": (_some_text, REQUIRED),
    "role": (_one_of(*OPTION_ROLES), "choice"),
}
MIRROR: dict[str, tuple[Check, Any]] = {
    "arrow": (_optional(_one_of("left", "right")), None),
    "done": (_number(0, MAX_STEPS), 0),
    "of": (_number(0, MAX_STEPS), 0),
    "label": (_some_text, REQUIRED),
}
VIEW: dict[str, tuple[Check, Any]] = {
    "seq": (_number(0, 2**53 - 1), REQUIRED),
    "screen": (_word, REQUIRED),
    "lang": (_one_of("zh", "en"), REQUIRED),
    "mode": (_one_of("standard", "elderly"), "standard"),
    "title": (_some_text, REQUIRED),
    "hint": (_optional_text, None),
    "lines": (_each(MAX_LINES, LINE), ()),
    "options": (_each(MAX_OPTIONS, OPTION), ()),
    "mask": (_optional(_number(0, 12)), None),
    "mask_maximum": (_optional(_number(1, 12)), 6),
    "entry": (_optional_text, None),
    "keypad": (_flag, False),
    "picture": (_optional(_one_of(*PICTURES)), None),
    "tone": (_one_of(*TONES), "normal"),
    "seconds": (_optional(_seconds), None),
    "progress": (_flag, False),
    "mirror": (_optional(_object(MIRROR)), None),
    "demo": (_optional_text, None),
}


def _fields(prefix: str, table: dict[str, tuple[Check, Any]], raw: object) -> tuple[dict[str, Any], tuple[str, ...]]:
    if not isinstance(raw, dict):
        raise ViewError(f"view.{prefix.rstrip('.')} must be an object" if prefix else "a view must be an object")
    checked = {}
    for name, (check, default) in table.items():
        if name not in raw and default is REQUIRED:
            raise ViewError(f"view.{prefix}{name} is missing")
        checked[name] = check(prefix + name, raw[name]) if name in raw else [] if default == () else default
    return checked, tuple(str(name) for name in raw if name not in table)


def parse_view(raw: object) -> View:
    """A decoded JSON value -> a checked view. Raises ViewError; fields nobody knows are left out and named in `ignored`."""
    fields, ignored = _fields("", VIEW, raw)
    for what in ("id", "key"):
        seen = [option[what] for option in fields["options"]]
        twice = next((value for value in seen if seen.count(value) > 1), None)
        if twice is not None:
            raise ViewError(f"view.options: the {what} {twice!r} is there twice")
    if fields["mask"] is not None and fields["mask"] > (fields["mask_maximum"] or 0):
        raise ViewError(f"view.mask {fields['mask']} is more than view.mask_maximum {fields['mask_maximum']}")
    if fields["mirror"] is not None and fields["mirror"]["done"] > fields["mirror"]["of"]:
        raise ViewError("view.mirror.done is more than view.mirror.of")
    offered = frozenset(option["id"] for option in fields["options"]) | (KEYPAD if fields["keypad"] else frozenset())
    return View(fields["seq"], offered, fields, ignored)


def check_press(press: object, view: View | None) -> tuple[int, str]:
    """What a page says was pressed -> (seq, id). Raises ViewError.

    A press on an earlier view passes: the agent, which knows what has changed since, drops it. A press on the present view must be
    on something that it offers, and none can be on a view that does not exist yet.
    """
    if not isinstance(press, dict):
        raise ViewError("a press must be an object")
    seq, name = press.get("seq"), press.get("id")
    if not isinstance(seq, int) or isinstance(seq, bool) or not isinstance(name, str) or not 0 < len(name) <= MAX_TEXT:
        raise ViewError("a press needs a whole number seq and a text id")
    if view is None or seq > view.seq:
        raise ViewError(f"a press on view {seq}, which was never sent")
    if seq == view.seq and name not in view.offered:
        raise ViewError(f"a press on {name!r}, which view {seq} does not offer")
    return seq, name
