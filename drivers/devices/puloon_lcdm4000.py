"""Puloon LCDM-4000: cash dispenser with four cassettes, a reject tray and no presenter: a note that has passed EXIT is paid.

Source: see `drivers.protocols.puloon_messages`; times and retries from the vendor's LCDM interface specification.

The rule of this file: **a verb that moves notes is sent once.** Not even a NAK makes it go out again: one disturbed byte turns an ACK into
a NAK, and a short dispense is over before anybody could notice. What the exceptions of `purge`, `dispense`, `test_dispense` and
`sensor_diagnostics` mean:

* LinkError, ProtocolError, DeviceFault: nothing was executed.
* OutcomeUnknown: the command left and its answer is lost. Ask `last_status`; never send it again.

A result with an error in it is a result: its `exit` counts are cash that is gone.

Decisions: an ACK that is missing proves nothing, so the answer is still awaited up to the deadline (allow `dispense_time_s`). An
answer that is not closed by the device's EOT is kept: its BCC was right, it has been acknowledged, and only the close is lost.
The next verb then begins by synchronising on STATUS, so that a repeated answer cannot be taken for the answer to a new command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from drivers.errors import DeviceFault, LinkError, LinkTimeout, OutcomeUnknown, ProtocolError
from drivers.protocols.puloon_frame import Frame
from drivers.protocols.puloon_lcdm4000 import ANSWER_LENGTHS, decode, encode
from drivers.protocols.puloon_messages import (
    NOT_EXECUTED,
    PROTOCOL_MAX_NOTES,
    Answer,
    AnyCommand,
    BareError,
    Command,
    DispenseCommand,
    DispenseOrder,
    DispenseResult,
    ErrorStatus,
    Four,
    LastStatus,
    MovementResult,
    PlainCommand,
    PurgeResult,
    ReferenceValues,
    SensorDiagnostics,
    SensorDiagnosticsCommand,
    SerialNumber,
    SetBytesCommand,
    SetDispenseOrderCommand,
    Status,
    TestDispenseResult,
)
from drivers.transports.base import ByteStream, Clock, Deadline
from drivers.transports.puloon_line import Failure, LineCounters, PuloonLine

MOVES_NOTES = frozenset({Command.PURGE, Command.DISPENSE, Command.TEST_DISPENSE, Command.SENSOR_DIAGNOSTICS})
"""Not idempotent: sent once. RESET is not repeated after silence either (a unit's motors may turn); every
other verb may be repeated freely."""

ANSWER_TIME_S = 3.0  # of verbs that move nothing
RESET_TIME_S = 2.0  # specification: initialisation after RESET
MAX_SENDS = 3  # of one command


def dispense_time_s(notes: int) -> float:
    """How long a dispense may take: 60 s to answer (specification) and 1 s a note, the usage in the field."""
    return 60.0 + notes


@dataclass(frozen=True, slots=True)
class ResetResult:
    """`replies`: how often the unit answered RESET (0, 1 or 2 by model). `status` proves that it is back."""

    replies: int
    status: Status


_Kind = TypeVar("_Kind", bound=Answer)


def paid_by_type(result: MovementResult) -> Four:
    """EXIT counts by cassette type 1..4, as `dispense` asks; the answer has them by position. A removed cassette: its position."""
    paid = [0, 0, 0, 0]
    for position, cassette in enumerate(result.cassettes, start=1):
        paid[(cassette.type if 1 <= cassette.type <= 4 else position) - 1] += cassette.exit
    first, second, third, fourth = paid
    return first, second, third, fourth


class PuloonLcdm4000:
    """`max_notes` limits one dispense (at most 100, the protocol's own limit with rejected notes included)."""

    def __init__(self, stream: ByteStream, clock: Clock, *, max_notes: int = 40, name: str = "dispenser") -> None:
        if not 1 <= max_notes <= PROTOCOL_MAX_NOTES:
            raise ValueError(f"max_notes {max_notes}: 1 to {PROTOCOL_MAX_NOTES}")
        self._stream = stream
        self._line = PuloonLine(stream, clock, ANSWER_LENGTHS)
        self._max_notes = max_notes
        self._name = name
        self._acknowledged = False

    @property
    def line_counters(self) -> LineCounters:
        """What was wrong on the line since this driver began."""
        return self._line.counters

    @property
    def acknowledged(self) -> bool:
        """Whether the device confirmed the last command that moves notes.

        After OutcomeUnknown False is no proof that nothing ran: the ACK can be lost like any byte. LAST STATUS carries no number and may
        show the dispense BEFORE; it speaks of this one only when it differs from what it was before sending.
        """
        return self._acknowledged

    # ---- verbs, in the manual's order ----

    def reset(self, deadline: Deadline) -> ResetResult:
        """Software reset; returns when the unit answers STATUS again. Read `last_status` BEFORE this: it may be gone after it."""
        frame = encode(PlainCommand(Command.RESET))
        replies: int | None = None
        for _ in range(MAX_SENDS):
            self._line.begin(deadline)
            replies = self._line.send_and_count(frame, Command.RESET, deadline.sooner(RESET_TIME_S))
            if replies is not None:
                break
        else:
            raise LinkError(f"the dispenser {Failure.REFUSED.value} {MAX_SENDS} times: RESET", device=self._name)
        while True:
            try:
                return ResetResult(replies, self.status(deadline))
            except LinkTimeout:
                if deadline.expired:
                    raise

    def status(self, deadline: Deadline) -> Status:
        """Idempotent. Near end, removed cassettes, blocked sensors. The error in it is the device's state, never raised."""
        return self._expect(Status, PlainCommand(Command.STATUS), deadline)

    def purge(self, deadline: Deadline) -> PurgeResult:
        """MOVES NOTES. Clears the path to the reject tray; a note that stands in EXIT may come out to the customer (in `exit`)."""
        return self._expect(PurgeResult, PlainCommand(Command.PURGE), deadline)

    def dispense(self, quantities: Four, deadline: Deadline) -> DispenseResult:
        """MOVES MONEY. `quantities` by cassette type 1..4. See the module's text for what an exception means.

        ValueError for a request that is out of range. The answer is believed only when it can be the answer to this request:
        without an error, exactly what was asked for has left. Anything else is OutcomeUnknown.
        """
        self._check_quantities(quantities)
        result = self._expect(DispenseResult, DispenseCommand(quantities), deadline)
        paid = paid_by_type(result)
        if result.error.ok and paid != tuple(quantities):
            self._line.settled = False
            raise OutcomeUnknown(f"asked for {quantities}, the answer says {paid} without an error", device=self._name)
        return result

    def test_dispense(self, quantities: Four, deadline: Deadline) -> TestDispenseResult:
        """MOVES NOTES, all of them to the reject tray."""
        self._check_quantities(quantities)
        return self._expect(TestDispenseResult, DispenseCommand(quantities, test=True), deadline)

    def last_status(self, deadline: Deadline) -> LastStatus:
        """Idempotent. The result of the last purge, dispense or test dispense; whether it survives a power cut is not documented."""
        return self._expect(LastStatus, PlainCommand(Command.LAST_STATUS), deadline)

    def sensor_diagnostics(self, position: int, deadline: Deadline) -> SensorDiagnostics:
        """MOVES NOTES: five from the cassette at `position` (1..4, top first) to the reject tray."""
        return self._expect(SensorDiagnostics, SensorDiagnosticsCommand(position), deadline)

    def set_opacities(self, values: Four, deadline: Deadline) -> None:
        """Idempotent. Thickness references by position, kept in EEPROM; 0 keeps the stored value."""
        self._accept(SetBytesCommand(Command.SET_OPACITIES, values), deadline)

    def get_opacities(self, deadline: Deadline) -> Four:
        """Idempotent. Damaged EEPROM falls back to factory values: compare at power-on."""
        return self._values(Command.GET_OPACITIES, deadline)

    def set_dispense_order(self, order: Four, deadline: Deadline) -> None:
        """Idempotent. Cassette types in the order in which they are picked."""
        self._accept(SetDispenseOrderCommand(order), deadline)

    def get_dispense_order(self, deadline: Deadline) -> Four:
        """Idempotent."""
        answer = self._expect(DispenseOrder, PlainCommand(Command.GET_DISPENSE_ORDER), deadline)
        self._check(answer.error, Command.GET_DISPENSE_ORDER)
        return answer.order

    def set_lengths(self, values: Four, deadline: Deadline) -> None:
        """Idempotent. Length references by position in units of 0.785 mm; 0 keeps the stored value."""
        self._accept(SetBytesCommand(Command.SET_LENGTHS, values), deadline)

    def get_lengths(self, deadline: Deadline) -> Four:
        """Idempotent."""
        return self._values(Command.GET_LENGTHS, deadline)

    def get_serial_number(self, deadline: Deadline) -> int:
        """Idempotent. NOT VERIFIED: one independent driver only knows this command."""
        answer = self._expect(SerialNumber, PlainCommand(Command.GET_SERIAL_NUMBER), deadline)
        self._check(answer.error, Command.GET_SERIAL_NUMBER)
        return answer.number

    def close(self) -> None:
        self._stream.close()

    # ---- how a verb is done ----

    def _expect(self, kind: type[_Kind], command: AnyCommand, deadline: Deadline) -> _Kind:
        """The answer to `command` as `kind`."""
        answer = self._ask(command, deadline)
        if isinstance(answer, kind):
            if isinstance(answer, MovementResult) and command.code in MOVES_NOTES and not any(c.exit or c.reject for c in answer.cassettes):
                self._check_executed(answer.error, command.code)
            return answer
        if isinstance(answer, BareError) and not answer.error.ok:
            self._check_executed(answer.error, command.code)
            if command.code not in MOVES_NOTES:
                self._check(answer.error, command.code)
        text = f"{command.code.name} was answered with {type(answer).__name__}"
        raise self._lost(command.code, text) if command.code in MOVES_NOTES else ProtocolError(text, device=self._name)

    def _ask(self, command: AnyCommand, deadline: Deadline) -> Answer:
        code, frame = command.code, encode(command)
        moves = code in MOVES_NOTES
        if moves and not self._line.settled:
            self.status(deadline)
        failure = Failure.REFUSED
        for _ in range(1 if moves else MAX_SENDS):
            self._line.begin(deadline)
            try:
                outcome = self._line.exchange(frame, code, deadline if moves else deadline.sooner(ANSWER_TIME_S), patient=moves)
            except LinkError as error:
                if not moves:
                    raise
                raise self._lost(code, str(error)) from error
            finally:
                if moves:
                    self._acknowledged = self._line.acknowledged
            if isinstance(outcome, Frame):
                return self._decoded(outcome, code)
            failure = outcome
            if moves:
                raise self._lost(code, f"the dispenser {failure.value}")
            if deadline.expired:
                break
        text = f"the dispenser {failure.value}: {code.name}"
        if failure in (Failure.BAD_ANSWER, Failure.NOISE):
            raise ProtocolError(text, device=self._name)
        raise (LinkError if failure is Failure.REFUSED else LinkTimeout)(text, device=self._name)

    def _decoded(self, frame: Frame, code: Command) -> Answer:
        try:
            return decode(frame)
        except ProtocolError as error:
            if code not in MOVES_NOTES:
                raise
            raise self._lost(code, str(error)) from error

    def _accept(self, command: SetBytesCommand | SetDispenseOrderCommand, deadline: Deadline) -> None:
        self._check(self._expect(BareError, command, deadline).error, command.code)

    def _values(self, code: Command, deadline: Deadline) -> Four:
        answer = self._expect(ReferenceValues, PlainCommand(code), deadline)
        self._check(answer.error, code)
        return answer.values

    def _check(self, error: ErrorStatus, code: Command) -> None:
        if not error.ok:
            raise DeviceFault(f"the dispenser answered {code.name} with {error.name}", code=error.code, name=error.name, device=self._name)

    def _check_executed(self, error: ErrorStatus, code: Command) -> None:
        if error.code in NOT_EXECUTED:
            self._check(error, code)

    def _check_quantities(self, quantities: Four) -> None:
        if len(quantities) != 4 or any(n < 0 for n in quantities):
            raise ValueError(f"quantities {quantities}: four numbers, none negative")
        if not 1 <= sum(quantities) <= self._max_notes:
            raise ValueError(f"quantities {quantities}: 1 to {self._max_notes} notes in all")

    def _lost(self, code: Command, why: str) -> OutcomeUnknown:
        self._line.settled = False
        return OutcomeUnknown(f"{code.name} was sent and its outcome is not known: {why}", device=self._name)
