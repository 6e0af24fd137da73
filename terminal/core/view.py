"""A view as a value: what a screen is made of, and the few parts that many screens share. Text keys, no words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from terminal.core.model import State

PIN_MAXIMUM = 12


@dataclass(frozen=True, slots=True)
class Option:
    """`label` is a text key; `key` the key of a tactile keypad."""

    id: str
    key: str
    label: str
    role: str = "choice"
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    role: str
    text: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mirror:
    """A screen before the open camera. `arrow`: where the person is to turn, as they see it in a mirror; `label`: what the picture is."""

    arrow: Literal["left", "right"] | None
    done: int
    of: int
    label: str = "face.mirror"


@dataclass(frozen=True, slots=True)
class View:
    """`title`, `hint`: text keys with `values`. `seconds` is the time limit of this screen."""

    screen: str
    language: str
    title: str
    hint: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[Line, ...] = ()
    options: tuple[Option, ...] = ()
    mask: int | None = None
    mask_maximum: int = PIN_MAXIMUM
    entry: str | None = None
    keypad: bool = False
    picture: str = ""
    tone: str = "normal"
    seconds: float | None = None
    progress: bool = False
    mode: str = "standard"
    mirror: Mirror | None = None

    def presses_pass(self, before: View | None) -> bool:
        """What was pressed on `before` is still meant here: guidance changes many times a second, the choices under it do not."""
        if before is None or self.mirror is None or before.mirror is None:
            return False
        return (self.screen, self.language, self.options) == (before.screen, before.language, before.options)


CANCEL = Option("cancel", "Escape", "option.cancel", "cancel")
OK = Option("ok", "Enter", "option.ok", "primary")


def make_view(state: State, screen: str, **more: Any) -> View:
    more.setdefault("title", f"{screen}.title")
    return View(screen=screen, language=state.language, mode=state.config.mode, **more)


def language_options(state: State) -> tuple[Option, ...]:
    others = [language for language in state.config.languages if language != state.language]
    return tuple(Option(f"language:{language}", "l", f"language.{language}", "language") for language in others)


def hint_of(state: State, screen: str) -> str:
    return f"hint.{state.hint}" if state.hint else f"{screen}.hint"
