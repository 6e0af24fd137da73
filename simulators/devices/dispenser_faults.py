"""What can go wrong on the wire of the dispenser, one named fault at a time, each for a number of times."""

from __future__ import annotations

import random
from dataclasses import dataclass

KINDS = {
    "drop_ack": "the command is executed, its ACK is lost",
    "drop_reply": "the command is executed, its answer and all repetitions are lost",
    "delay_reply": "the answer comes `seconds` late",
    "corrupt_reply": "one bit of the answer is wrong (each transmission counts)",
    "truncate_reply": "the answer stops half-way (each transmission counts)",
    "duplicate_reply": "the answer is sent twice in a row",
    "flood_before_reply": "`size` bytes of noise come before the answer",
    "previous_reply": "the answer to the command before is sent instead (each transmission counts)",
    "drop_close": "the EOT that closes the exchange is lost",
    "nak": "the command is refused and not executed",
    "silent": "commands are not heard at all (count None: until cleared)",
}


@dataclass(slots=True)
class Fault:
    kind: str
    left: int | None
    command: int | None
    seconds: float
    size: int
    seed: int


class Faults:
    def __init__(self) -> None:
        self.armed: list[Fault] = []

    def arm(
        self, kind: str, count: int | None = 1, command: int | None = None, seconds: float = 5.0, size: int = 1000, seed: int = 1
    ) -> None:
        if kind == "clear":
            self.armed.clear()
            return
        if kind not in KINDS:
            raise ValueError(f"fault {kind!r}: one of {', '.join(sorted(KINDS))}, or clear")
        if count is not None and count < 1:
            raise ValueError(f"count {count}: at least 1, or null for ever")
        if seconds < 0 or size < 0:
            raise ValueError("seconds and size cannot be negative")
        self.armed.append(Fault(kind, count, command, seconds, size, seed))

    def take(self, kind: str, command: int) -> Fault | None:
        """The armed fault of this kind that fits the command, used up by one."""
        for fault in self.armed:
            if fault.kind == kind and fault.command in (None, command):
                if fault.left is not None:
                    fault.left -= 1
                    if fault.left == 0:
                        self.armed.remove(fault)
                return fault
        return None

    def dead(self) -> bool:
        """Silent for ever: nothing goes out either."""
        return any(fault.kind == "silent" and fault.left is None for fault in self.armed)

    def garble(self, reply: bytes, previous: bytes, command: int) -> bytes:
        """What one transmission of `reply` becomes."""
        if self.take("previous_reply", command) and previous:
            reply = previous
        if self.take("corrupt_reply", command):
            at = len(reply) // 2
            reply = reply[:at] + bytes((reply[at] ^ 0x10,)) + reply[at + 1 :]
        if self.take("truncate_reply", command):
            reply = reply[: len(reply) // 2]
        if self.take("duplicate_reply", command):
            reply += reply
        if flood := self.take("flood_before_reply", command):
            reply = random.Random(flood.seed).randbytes(flood.size) + reply
        return reply

    def state(self) -> list[dict[str, object]]:
        return [{"kind": f.kind, "left": f.left, "command": f.command} for f in self.armed]
