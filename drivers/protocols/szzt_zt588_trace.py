"""What of the PIN pad's line may be recorded: everything but keys, PANs, PIN blocks and typed digits.

Made for `drivers.transports.tap.Tap(mask=TraceMask())`. Lengths stay visible, values do not.
"""

from __future__ import annotations

from collections.abc import Hashable

from drivers.protocols.szzt_zt588 import ETX, STX, Frame, KeyPress, Parser
from drivers.protocols.szzt_zt588_commands import USER_INFORMATION_LENGTH, Command
from drivers.protocols.szzt_zt588_extension import MARK, Verb

_OPEN_VERBS = frozenset({Verb.STATUS, Verb.START_PIN_ENTRY, Verb.START_CLEAR_ENTRY, Verb.STOP_ENTRY})
_OPEN_COMMANDS = frozenset({Command.USER_INFORMATION, Command.LOAD_SCANCODE_TABLE, Command.CONTROL})


class TraceMask:
    """Follows both directions, each with its own parser, and gives back whole frames only: STX, text with stars, ETX, two stars."""

    def __init__(self) -> None:
        self._parsers: dict[Hashable, Parser] = {}

    def __call__(self, direction: Hashable, data: bytes) -> bytes:
        shown = b""
        for item in self._parsers.setdefault(direction, Parser()).feed(data):
            if isinstance(item, Frame):
                shown += b"%c%b%c**" % (STX, masked_text(item.text), ETX)
            elif isinstance(item, KeyPress):
                shown += b"*" if 0x30 <= item.code <= 0x39 else bytes([item.code])
            else:
                shown += b"?" * item.count
        return shown


def masked_text(text: bytes) -> bytes:
    """Request or answer with stars for what is secret. An answer of the extension has its mark in the second place."""
    for at in (0, 1):
        if text[at : at + 1] == bytes([MARK]):
            open_whole = text[at + 1 : at + 2] in {bytes([verb]) for verb in _OPEN_VERBS}
            return text if open_whole else _starred(text, at + 4)
    if text[:1] in {bytes([command]) for command in _OPEN_COMMANDS} or len(text) == USER_INFORMATION_LENGTH + 1:
        return text
    return _starred(text, 1)


def _starred(text: bytes, keep: int) -> bytes:
    return text[:keep] + b"*" * len(text[keep:])
