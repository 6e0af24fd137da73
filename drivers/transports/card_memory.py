"""A card reader in memory, for one thread and virtual time: whatever behaves like a slot is the other side."""

from __future__ import annotations

from typing import Protocol

from drivers.errors import LinkError, LinkTimeout
from drivers.protocols.apdu import Exchange, is_t0
from drivers.transports.base import CardPresence, Clock, Deadline

POLL_S = 0.05


class Reply(Protocol):
    """What became of a command: `data` None is silence, `gone` says that the card was pulled over it."""

    @property
    def data(self) -> bytes | None: ...
    @property
    def delay_s(self) -> float: ...
    @property
    def gone(self) -> bool: ...


class Slot(Protocol):
    """The far side. `generation` grows with each insertion."""

    generation: int

    @property
    def present(self) -> bool: ...
    @property
    def atr(self) -> bytes: ...
    def power_on(self) -> bytes: ...
    def power_off(self) -> None: ...
    def transmit(self, apdu: bytes) -> Reply: ...


class MemoryCardChannel:
    """A powered card of one insertion."""

    def __init__(self, slot: Slot, atr: bytes, clock: Clock) -> None:
        self._slot, self._clock = slot, clock
        self._t0 = is_t0(atr)
        self.generation = slot.generation
        self._open = True

    def transmit(self, apdu: bytes, deadline: Deadline) -> bytes:
        exchange = Exchange(apdu, t0=self._t0)
        while exchange.outgoing is not None:
            exchange.incoming(self._once(exchange.outgoing, deadline))
        return exchange.answer

    def _once(self, apdu: bytes, deadline: Deadline) -> bytes:
        if not self._open or not self._slot.present or self._slot.generation != self.generation:
            raise LinkError("the card is gone")
        if deadline.expired:
            raise LinkTimeout("the time for the card ran out")
        reply = self._slot.transmit(apdu)
        if reply.gone:
            raise LinkError("the card was pulled in the middle of a command")
        if reply.data is None or reply.delay_s > deadline.remaining():
            self._clock.sleep(deadline.remaining())
            self._open = False  # a late answer must not answer the next command
            raise LinkTimeout("the card did not answer in time")
        self._clock.sleep(reply.delay_s)
        return reply.data

    def close(self) -> None:
        if self._open and self._slot.generation == self.generation:
            self._slot.power_off()
        self._open = False


class MemoryCardReader:
    """Looks at the slot each 50 ms of the injected clock."""

    def __init__(self, slot: Slot, clock: Clock) -> None:
        self._slot, self._clock = slot, clock

    def wait_change(self, last: CardPresence | None, deadline: Deadline) -> CardPresence:
        while True:
            present = self._slot.present
            seen = CardPresence(present, self._slot.atr if present else b"", self._slot.generation)
            if seen != last or deadline.expired:
                return seen
            self._clock.sleep(min(POLL_S, deadline.remaining()))

    def connect(self) -> MemoryCardChannel:
        atr = self._slot.power_on()
        if not atr:
            raise LinkError("there is no card, or it is mute")
        return MemoryCardChannel(self._slot, atr, self._clock)

    def close(self) -> None:
        """Nothing to give back."""
