"""One exchange with a Puloon LCDM dispenser over a ByteStream: command, ACK, answer, our ACK, the device's EOT.

It sends a command once and says what came of it. Whether a command may be sent again is decided by the driver, who knows what
it moves. Times: the vendor's LCDM interface specification.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from drivers.errors import LinkError, LinkTimeout
from drivers.protocols.puloon_frame import SOH, BadFrame, Control, Frame, Garbage, Item, Parser
from drivers.transports.base import ByteStream, Clock, Deadline

ACK_TIME_S = 0.55  # specification: ACK or NAK within 500 ms after the frame
CLOSE_TIME_S = 0.55  # EOT after our ACK
GAP_TIME_S = 0.2  # specification: a whole frame within 200 ms
MAX_NAKS = 3  # specification: of one answer, then the device stops
MAX_ITEMS_BEFORE_CLOSE = 64
ACK, NAK = bytes((Control.ACK,)), bytes((Control.NAK,))
MAX_NOISE = 1 << 16  # bytes that belong to nothing, in one exchange


class Failure(Enum):
    """Why an exchange has no answer. None of them proves that the device did nothing: a NAK may be a disturbed ACK."""

    REFUSED = "refused the frame (NAK)"
    NO_ACK = "did not acknowledge the command"
    NO_ANSWER = "did not answer by the deadline"
    BAD_ANSWER = f"sent an unreadable answer {MAX_NAKS + 1} times"
    NOISE = "sent nothing but noise"


@dataclass(slots=True)
class LineCounters:
    """What was wrong on the line since the beginning. A technician reads these before changing a cable."""

    noise_bytes: int = 0
    bad_frames: int = 0
    late_answers: int = 0
    refused_commands: int = 0
    missing_acks: int = 0
    missing_closes: int = 0


class PuloonLine:
    """`settled` is False while an earlier exchange may still have something to say: then synchronise on STATUS first."""

    def __init__(self, stream: ByteStream, clock: Clock, answer_lengths: Mapping[int, int]) -> None:
        self._stream = stream
        self._clock = clock
        self._parser = Parser(SOH, answer_lengths)
        self._items: deque[Item] = deque()
        self._noise = 0
        self._looked_at = -1.0
        self.settled = False  # what the process before us did is not known
        self.acknowledged = False  # the device confirmed the last command sent (by ACK or by an answer)
        self.counters = LineCounters()

    def begin(self, deadline: Deadline) -> None:
        """Throw away what is late. LinkError: the line is not there, or no time is left; nothing has been sent."""
        if deadline.expired:
            raise LinkTimeout("no time left to send the command")
        late = self._parser.feed(self._stream.discard_input())
        self.counters.late_answers += sum(isinstance(item, Frame) for item in late)
        self._parser.reset()
        self._items.clear()
        self._noise = 0

    def exchange(self, frame: bytes, command: int, deadline: Deadline, *, patient: bool) -> Frame | Failure:
        """Send once, and the answer to it. LinkError: the line failed at or after the sending.

        `patient` is for commands that must not be repeated: a NAK counts only when nothing else came in the whole time for an
        ACK, and after a missing ACK the answer is awaited all the same. Otherwise either ends the exchange at once.
        """
        self.settled = self.acknowledged = False
        self._stream.write(frame, deadline)
        outcome = self._await_ack(command, deadline, patient)
        self.acknowledged = outcome is None
        if outcome is None or (patient and outcome is Failure.NO_ACK):
            outcome = self._await_answer(command, deadline)
        if isinstance(outcome, Frame):
            self.acknowledged = True
            return self._close(outcome, deadline)
        return outcome

    def send_and_count(self, frame: bytes, command: int, deadline: Deadline) -> int | None:
        """Send a command that is answered any number of times (RESET), count until `deadline`. None: a NAK and nothing else."""
        self.settled = self.acknowledged = False
        self._stream.write(frame, deadline)
        replies, refused, other = 0, False, False
        while (item := self._next(deadline)) is not None:
            if isinstance(item, Frame) and item.command == command:
                self._stream.write(ACK, deadline)
                replies += 1
            refused = refused or item is Control.NAK
            other = other or item is not Control.NAK
        return None if refused and not other else replies

    def _await_ack(self, command: int, deadline: Deadline, patient: bool) -> Frame | Failure | None:
        """None: acknowledged. A frame: the answer, whose ACK was lost.

        A frame that comes before the ACK is the late answer to an earlier command when the ACK still follows; only when none
        does can it be the answer to this one.
        """
        until = deadline.sooner(ACK_TIME_S)
        early: Frame | None = None
        refused, clean = False, True
        while (item := self._next(until)) is not None:
            if item is Control.ACK:
                self.counters.late_answers += early is not None
                return None
            if item is Control.NAK:
                refused = True
                if not patient:
                    break
                continue
            clean = False
            if isinstance(item, Frame) and item.command == command:
                early = item
            elif isinstance(item, Frame):
                self.counters.late_answers += 1
                self._stream.write(ACK, deadline)  # so that the device is done with it
            if self._noise > MAX_NOISE:
                return Failure.NOISE
        if early is not None:
            return early
        if refused and clean:
            self.counters.refused_commands += 1
            return Failure.REFUSED
        self.counters.missing_acks += 1
        return Failure.NO_ACK

    def _await_answer(self, command: int, deadline: Deadline) -> Frame | Failure:
        naks = 0
        while (item := self._next(deadline)) is not None:
            if isinstance(item, Frame):
                if item.command == command:
                    return item
                self.counters.late_answers += 1
            elif isinstance(item, BadFrame):
                if naks == MAX_NAKS:
                    return Failure.BAD_ANSWER
                naks += 1
                self._stream.write(NAK, deadline)
            if self._noise > MAX_NOISE:
                return Failure.NOISE
        return Failure.NO_ANSWER

    def _close(self, answer: Frame, deadline: Deadline) -> Frame:
        """Acknowledge and wait for EOT. The answer is good whatever happens here; only `settled` depends on it."""
        with contextlib.suppress(LinkError):
            self._stream.write(ACK, deadline)
            until = deadline.sooner(CLOSE_TIME_S)
            for _ in range(MAX_ITEMS_BEFORE_CLOSE):
                item = self._next(until)
                if item is Control.EOT:
                    self.settled = True
                    return answer
                if item is None:
                    break
                if item == answer:  # it did not hear our ACK
                    self._stream.write(ACK, deadline)
        self.counters.missing_closes += 1
        return answer

    def _next(self, until: Deadline) -> Item | None:
        """The next item, or None at `until`, also in a flood. A frame that stops half-way for GAP_TIME_S becomes a BadFrame."""
        if until.expired and self._looked_at == until.at:
            return None
        while not self._items:
            if until.expired:
                self._looked_at = until.at  # one last look at what has arrived by now, then the end
            gap = until.sooner(GAP_TIME_S) if self._parser.pending else until
            data = self._stream.read(gap)
            if data:
                self._items.extend(self._parser.feed(data))
            elif gap.at < until.at:
                self._items.extend(self._parser.abandon())
            else:
                return None
        item = self._items.popleft()
        if isinstance(item, Garbage):
            self._noise += item.size
            self.counters.noise_bytes += item.size
        elif isinstance(item, BadFrame):
            self._noise += item.size
            self.counters.bad_frames += 1
        return item
