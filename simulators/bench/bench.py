"""What the bench knows: the state of every simulator, who did what, and which verbs a page may ask for.

No PIN passes here: the pad's keys are pressed by the page at the pad's own door, and `press` and `type` are refused.
"""

from __future__ import annotations

import asyncio
import base64
import json
import tomllib
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simulators.bench.hands import Absent, Hand, Refused
from simulators.bench.story import changes

DEVICES = ("dispenser", "card", "pinpad", "printer", "bank", "camera")
NOT_HERE = {("pinpad", "press"), ("pinpad", "type")}
ENTRIES_KEPT = 300
CAST_FIELDS = ("name", "title", "pin", "authentication", "language")


class Bench:
    """`look()` asks every simulator for its state; `do()` is a person's hand. `kiosk_url` is only told to the page."""

    def __init__(self, controls: Path, *, cast: Path, kiosk_url: str) -> None:
        self._hands = {name: Hand(controls / f"{name}.ctl") for name in DEVICES}
        self._stills: dict[str, bytes] = {}
        self.cast = read_cast(cast)
        self.kiosk_url = kiosk_url
        self.state: dict[str, Any] = {}
        self.log: deque[dict[str, Any]] = deque(maxlen=ENTRIES_KEPT)
        self.written = 0
        self._looking = asyncio.Lock()

    async def look(self) -> bool:
        """Ask all of them. True when something is different from the last look."""
        async with self._looking:
            return await self._look()

    async def _look(self) -> bool:
        states = await asyncio.gather(*(self._state_of(name) for name in DEVICES))
        fresh: dict[str, Any] = dict(zip(DEVICES, states, strict=True))
        if fresh == self.state:
            return False
        if self.state:
            for device, text in changes(self.state, fresh):
                self._write("device", device, text)
        self.state = fresh
        return True

    async def _state_of(self, name: str) -> Any:
        try:
            return await self._hands[name].call("state")
        except (Absent, Refused):
            return None

    async def do(self, device: str, verb: str, arguments: dict[str, Any]) -> Any:
        """A verb on a simulator. Raises Absent or Refused with a sentence for the person."""
        if (device, verb) in NOT_HERE:
            raise Refused("the keys of the PIN pad are pressed at the pad itself, never through the bench")
        try:
            result = await self._carry_out(device, verb, arguments)
        except (Absent, Refused) as error:
            self._write("refused", device, f"{verb}: {error}")
            raise
        shown = ", ".join(f"{name} {value}" for name, value in arguments.items())
        self._write("person", device, f"{verb} {shown}".strip())
        return result

    async def _carry_out(self, device: str, verb: str, arguments: dict[str, Any]) -> Any:
        if device not in self._hands:
            raise Refused(f"there is no device {device!r}: {', '.join(DEVICES)}")
        return await self._hands[device].call(verb, **{name: value for name, value in arguments.items() if name != "do"})

    async def still(self, scene: str) -> bytes | None:
        """A JPEG of what a scene of the camera looks like; None when there is no such scene."""
        if scene not in self._stills:
            try:
                self._stills[scene] = base64.b64decode(await self._hands["camera"].call("still", scene=scene))
            except (Absent, Refused):
                return None
        return self._stills[scene]

    def _write(self, who: str, device: str, text: str) -> None:
        self.written += 1
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.log.append({"number": self.written, "at": at, "who": who, "device": device, "text": text})

    def entries_after(self, number: int) -> list[dict[str, Any]]:
        return [entry for entry in self.log if entry["number"] > number]

    def close(self) -> None:
        for hand in self._hands.values():
            hand.close()


def read_cast(path: Path) -> list[dict[str, Any]]:
    """The cards a person may have: name, title, the test PIN as a hint. No card number."""
    cards = tomllib.loads(path.read_text(encoding="utf-8"))["card"]
    return [{field: card[field] for field in CAST_FIELDS} for card in cards]


class Watch:
    """Looks a few times a second while somebody watches; whoever joined has an event, set when there is something new."""

    def __init__(self, bench: Bench, every_s: float, complain: Callable[[str], None]) -> None:
        self._bench = bench
        self._every_s = every_s
        self._complain = complain
        self._changed: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None

    def join(self) -> asyncio.Event:
        changed = asyncio.Event()
        changed.set()
        self._changed.add(changed)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return changed

    def leave(self, changed: asyncio.Event) -> None:
        self._changed.discard(changed)
        if not self._changed and self._task is not None:
            self._task.cancel()
            self._task = None

    def tell(self) -> None:
        for changed in self._changed:
            changed.set()

    async def _run(self) -> None:
        while True:
            try:
                if await self._bench.look():
                    self.tell()
            except (KeyError, TypeError, AttributeError) as error:  # a state that is not as expected: say so, look again
                self._complain(f"error: a simulator's state is not understood: {type(error).__name__}: {error}")
            await asyncio.sleep(self._every_s)


def parse_wish(text: str) -> tuple[Any, str, str, dict[str, Any]]:
    """What a page sends -> (number, device, verb, arguments). ValueError says what is wrong."""
    wish = json.loads(text)
    if not isinstance(wish, dict) or not isinstance(wish.get("device"), str) or not isinstance(wish.get("verb"), str):
        raise ValueError('a wish is {"number", "device", "verb", "arguments"}')
    arguments = wish.get("arguments", {})
    if not isinstance(arguments, dict):
        raise ValueError('"arguments" is an object')
    return wish.get("number"), wish["device"], wish["verb"], arguments
