"""Who watches the money's order at the very moment: intent before command, card before cash, TC before cash, one dispense on the wire."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from simulators.card.application import TC
from terminal.core import commands as c

if TYPE_CHECKING:
    from money.world import World

DISPENSE = b"\x52"


class Witness:
    """Of one world. `dispense_open`: an intent is on disk, and its end is not."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.dispense_open = False
        self.dispenses_sent: Counter[str] = Counter()
        self._intents: list[str] = []
        self._cards_of: dict[str, int] = {}

    def on_wire(self, line: str, direction: str, data: bytes) -> None:
        world = self._world
        if world.story is not None:
            arrow = ">" if direction == "toDevice" else "<"
            world.tell("wire", f"{line} {arrow} {data.hex() if line == 'cashDispenser' else f'{len(data)} bytes'}")
        if line == "cashDispenser" and direction == "toDevice" and data[3:4] == DISPENSE:
            self._dispense_on_wire()
        world.point(f"wire {line} {direction}")

    def _dispense_on_wire(self) -> None:
        transaction_id = self.last_intent()
        self.dispenses_sent[transaction_id] += 1
        if self.dispenses_sent[transaction_id] > 1 or not transaction_id:
            self._world.broke("neverTwice", transaction_id or "without any intent")

    def last_intent(self) -> str:
        return self._intents[-1] if self._intents else ""

    def recorded(self, entries: Any) -> None:
        """An append has returned: on disk."""
        for entry in entries:
            if entry.kind == "dispenseIntended":
                self._intents.append(entry.transaction_id)
                self.dispense_open = True
            elif entry.kind == "transactionSettled":
                self.dispense_open = False
            elif entry.kind == "authorisationRequested":
                slot = self._world.slot
                self._cards_of[entry.transaction_id] = slot.generation if slot.present else -1

    def ordered(self, command: c.DeviceCommand) -> None:
        """The agent is about to send this to a worker."""
        if not isinstance(command, c.Dispense):
            return
        world = self._world
        transaction = world.state.transaction
        identity = transaction.transaction_id if transaction else ""
        if identity != self.last_intent():
            world.broke("intentFirst", identity)
        generation = self._cards_of.get(identity, -1)
        if world.slot.present and world.slot.generation == generation:
            world.broke("cardBeforeCash", identity)
        if world.slot.last_words.get(generation) != TC:
            world.broke("noCashBeforeTc", f"{identity}: the chip's last word was {world.slot.last_words.get(generation)}")
