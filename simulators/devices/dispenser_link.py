"""The dispenser's UART and its side of an exchange: hear commands, acknowledge, answer, repeat, close. Time is an argument."""

from __future__ import annotations

from dataclasses import dataclass

from simulators.devices import dispenser_wire as wire
from simulators.devices.dispenser_faults import Faults

ACK_DELAY_S = 0.01
ANSWER_DELAY_S = 0.02
REPEAT_S = 1.0  # own reading: the description says that an unacknowledged answer is repeated three times, not when
MAX_REPEATS = 3


@dataclass(slots=True)
class Reply:
    """An answer on its way: not yet sent (`at`), or sent and waiting for the host's ACK (`repeat_at`)."""

    code: int
    data: bytes
    at: float | None
    repeat_at: float | None = None
    repeats: int = 0
    naks: int = 0


class Link:
    """`latency` scales how long the electronics take to acknowledge and to answer (1 = as a real unit might; 0 = at once)."""

    def __init__(self, latency: float = 1.0) -> None:
        self.faults = Faults()
        self.ack_delay_s = ACK_DELAY_S * latency
        self.answer_delay_s = ANSWER_DELAY_S * latency
        self._ear = wire.Ear()
        self._outbox: list[tuple[float, bytes]] = []
        self._reply: Reply | None = None
        self._previous = b""

    @property
    def answering(self) -> bool:
        """An answer is due and not yet sent."""
        return self._reply is not None and self._reply.at is not None

    def hear(self, data: bytes, now: float) -> list[wire.Heard]:
        """The commands among the bytes. The host's answers to our answers are dealt with here."""
        commands = []
        for heard in self._ear.hear(data, now):
            if heard.kind == "command":
                commands.append(heard)
            elif heard.kind == "bad":
                self.say(wire.NAK, now + self.ack_delay_s)
            elif self._reply and self._reply.repeat_at is not None:
                self._host_answered(self._reply, heard.kind == "ack", now)
        return commands

    def deafen(self) -> None:
        self._ear.forget()

    def say(self, data: bytes, at: float) -> None:
        if not self.faults.dead():
            self._outbox.append((at, data))
            self._outbox.sort(key=lambda item: item[0])

    def take(self, now: float) -> bytes:
        due = [data for at, data in self._outbox if at <= now]
        self._outbox = [item for item in self._outbox if item[0] > now]
        return b"".join(due)

    def next_output(self) -> float | None:
        return self._outbox[0][0] if self._outbox else None

    def next_event(self) -> float | None:
        if self._reply is None:
            return None
        return self._reply.at if self._reply.at is not None else self._reply.repeat_at

    def run_event(self, moment: float) -> None:
        """What `next_event` announced: the first sending of an answer, or a repetition."""
        reply = self._reply
        if reply is None:
            return
        if reply.at is None:
            reply.repeats += 1
            if reply.repeats > MAX_REPEATS:
                self._reply = None
                return
        self.say(self.faults.garble(reply.data, self._previous, reply.code), moment)
        reply.at, reply.repeat_at = None, moment + REPEAT_S

    def accept(self, code: int, now: float) -> float:
        """Acknowledge a command; an older answer that still waits is given up. Returns when the ACK is out."""
        self._reply = None
        if not self.faults.take("drop_ack", code):
            self.say(wire.ACK, now + self.ack_delay_s)
        return now + self.ack_delay_s

    def answer(self, code: int, data: bytes, at: float) -> None:
        if self.faults.take("drop_reply", code):
            return
        delay = self.faults.take("delay_reply", code)
        self._reply = Reply(code, data, at + self.answer_delay_s + (delay.seconds if delay else 0.0))

    def _host_answered(self, reply: Reply, acknowledged: bool, now: float) -> None:
        if acknowledged:
            self._previous = reply.data
            self._reply = None
            if not self.faults.take("drop_close", reply.code):
                self.say(wire.EOT, now + self.ack_delay_s)
            return
        reply.naks += 1
        if reply.naks > MAX_REPEATS:
            self._reply = None
        else:
            reply.at, reply.repeat_at = now + self.answer_delay_s, None

    def forget(self) -> None:
        """The electronics restart."""
        self._reply = None
        self._outbox.clear()
        self._ear.forget()
        self._previous = b""
